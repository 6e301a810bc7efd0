"""The case file as one PDF or as a bundle that machines read, made in the background."""
