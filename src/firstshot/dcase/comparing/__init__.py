"""Results beside the published tables."""
