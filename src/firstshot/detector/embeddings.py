"""Embeddings of clips as a table, and as an `.npz` file that numpy reads without pickle.

Input: clips, and how they become embeddings. Output: `Embeddings`: a row per clip, or per window of
one, with names, domains, starts, and an array for each layer. Nothing is fitted.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.embedding import embed_all, make_embedding_settings, with_far_noise
from firstshot.detector.embedding.clips import stack_layers
from firstshot.detector.sources import Sources, check_apart, list_clips, list_far_noise
from firstshot.disk.files import write_result
from firstshot.disk.names import write_name
from firstshot.domains import DOMAINS
from firstshot.encoders.protocol import Encoder
from firstshot.errors import DatasetError
from firstshot.progress import Progress
from firstshot.sound.audio import Channel, LengthPolicy
from firstshot.sound.near_far import Transfer
from firstshot.store import EmbeddingStore

_TABLES = ("names", "domains", "starts", "encoder")


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Embeddings of clips.

    Attributes
    ----------
    names, domains : tuple of str (rows,)
        Of the clip of each row.
    starts : float64 (rows,)
        Where the row's window begins in its clip, in seconds.
    layers : dict of int to float32 (rows, values)
        The embeddings of each layer.
    encoder, fingerprint : str
        The encoder's name, and the digest of its weights and settings.
    """

    names: tuple[str, ...]
    domains: tuple[str, ...]
    starts: NDArray[np.float64]
    layers: dict[int, NDArray[np.float32]]
    encoder: str
    fingerprint: str

    def save(self, path: str | Path) -> None:
        """Write an `.npz` file: `names`, `domains`, `starts`, `encoder`, and `layer_N` per layer.

        Names of any bytes are written as `firstshot.disk.names.write_name` writes them. Raises
        OutputError where the file cannot be written.
        """
        arrays: dict[str, Any] = {
            "names": np.array([write_name(name) for name in self.names]),
            "domains": np.array(self.domains),
            "starts": self.starts,
            "encoder": np.array([self.encoder, self.fingerprint]),
            **{f"layer_{number}": rows for number, rows in self.layers.items()},
        }
        content = io.BytesIO()
        np.savez(content, **arrays)
        write_result(Path(path), content.getvalue())


def embed(
    source: Sources,
    target: Sources | None = None,
    *,
    encoder: str | Encoder = "logmel",
    layers: Sequence[int] | None = None,
    pooling: str = "temporal",
    length: str | LengthPolicy = "native",
    channel: Channel = "mean",
    far_noise: Sources | Transfer | None = None,
    encoder_settings: dict[str, Any] | None = None,
    sample_rate: int | None = None,
    store: EmbeddingStore | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Embeddings:
    """Embed clips without learning anything; arguments are those of `Detector` and `Detector.fit`.

    Raises
    ------
    SoundError, DatasetError
        A clip cannot be read, or there is none.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal((3, 16000)) * 0.1
    >>> embeddings = embed(noise, sample_rate=16000)
    >>> embeddings.layers[1].shape, embeddings.domains
    ((3, 144), ('source', 'source', 'source'))
    """
    settings = make_embedding_settings(
        encoder, encoder_settings, layers=layers, pooling=pooling, length=length, channel=channel
    )
    settings = with_far_noise(settings, list_far_noise(far_noise, sample_rate))
    sources = list_clips(source, sample_rate, "source clips")
    targets = [] if target is None else list_clips(target, sample_rate, "target clips")
    check_apart(sources, targets)
    clips = embed_all(
        sources + targets, settings, store=store, progress=progress, workers=workers, spectra=False
    )
    if not clips:
        raise DatasetError("no clips to embed; name at least one file, folder or array")
    return Embeddings(
        tuple(clip.name for clip in clips for _ in clip.starts),
        tuple(
            DOMAINS[number >= len(sources)]
            for number, clip in enumerate(clips)
            for _ in clip.starts
        ),
        np.array([start for clip in clips for start in clip.starts]),
        dict(zip(settings.layers, stack_layers(clips), strict=True)),
        settings.encoder.name,
        settings.encoder.fingerprint,
    )


def is_embeddings_file(path: Path) -> bool:
    """Tell whether a file is one that `Embeddings.save` wrote."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {f"{name}.npy" for name in _TABLES} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False
