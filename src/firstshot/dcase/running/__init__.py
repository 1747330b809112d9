"""A system on every section of a data set; one folder per run."""
