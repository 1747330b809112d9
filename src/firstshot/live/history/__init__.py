"""What was heard on past days, from the history on disk to a page."""
