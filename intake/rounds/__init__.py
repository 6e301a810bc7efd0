"""Rounds (排查): that somebody looked, and what was found: place and cause, nobody's name."""
