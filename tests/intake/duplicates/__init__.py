"""Tests of likely duplicates, joining and undoing."""
