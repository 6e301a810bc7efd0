"""Counterclaims and linked matters: cases that belong together and go on apart."""
