"""The zip file that is submitted to the challenge."""
