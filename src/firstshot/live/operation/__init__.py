"""What keeps a watching process in order, and what lets a person look at it."""
