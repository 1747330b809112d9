"""The report's tables by one command: data, weights, every system's run, one page."""
