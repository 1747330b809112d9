"""Clips become embeddings: how they are read and encoded, one batch at a time, many in order."""

from firstshot.detector.embedding.batch_embedder import EmbeddedClip
from firstshot.detector.embedding.clips import embed_all, embed_clips
from firstshot.detector.embedding.settings import (
    Clip,
    EmbeddingSettings,
    make_embedding_settings,
    with_far_noise,
)

__all__ = [
    "Clip",
    "EmbeddedClip",
    "EmbeddingSettings",
    "embed_all",
    "embed_clips",
    "make_embedding_settings",
    "with_far_noise",
]
