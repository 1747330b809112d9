"""What the pages draw and play: arrays become SVG markup and excerpts of sound."""
