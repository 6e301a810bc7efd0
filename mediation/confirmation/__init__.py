"""Judicial confirmation: the parties apply together, the court decides."""
