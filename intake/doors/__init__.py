"""Doors of a desk: the quick form, late entries, letters, calls, what is added later, mandates."""
