"""Measurements of a running installation: ratios taken in one run, each beside its target."""
