"""One happening behind several cases: evidence once, files closed to each other."""
