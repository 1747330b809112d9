"""Embeddings become scores: nearest members, normalisers, transforms before the distance."""

from firstshot.progress import report_progress
from firstshot.scoring.normalizers import make_normalizer
from firstshot.scoring.search.exact import nearest
from firstshot.scoring.transform import make_transform

__all__ = ["make_normalizer", "make_transform", "nearest", "report_progress"]
