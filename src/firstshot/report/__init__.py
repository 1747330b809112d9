"""Results become tables, plots and one offline page."""
