"""The networks of the pre-trained encoders, plain torch modules."""
