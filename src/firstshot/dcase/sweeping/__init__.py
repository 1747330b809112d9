"""Settings tried on a data set and ranked."""
