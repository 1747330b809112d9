"""What the pre-trained encoders are, without torch: geometry, front-end, counts."""
