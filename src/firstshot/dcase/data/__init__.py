"""The data sets of the challenge: layout, names, checks, downloads."""
