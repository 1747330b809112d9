"""How messages reach an output: kept on disk, within limits, again after a failure."""
