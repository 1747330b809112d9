"""What the header of an audio file says, and why a file cannot be read as audio."""
