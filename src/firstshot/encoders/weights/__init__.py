"""Weights of the pre-trained encoders: found, fetched, read strictly, cached."""
