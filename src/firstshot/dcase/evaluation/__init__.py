"""The official evaluation of score files."""
