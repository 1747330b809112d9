"""Normal clips with what is known of them, and their waveforms.

Input: records of a data set's training clips. Output: float32 waveforms (samples,), mono at 16 kHz,
held in memory, and a digest of their samples. A clip that is shorter than a window is repeated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firstshot.encoders.specs.base import SAMPLE_RATE
from firstshot.errors import ParameterError
from firstshot.memory import free_memory
from firstshot.ordered_threads import count_workers, in_order
from firstshot.progress import Progress
from firstshot.sound.audio import Channel, load_waveform

MEMORY_SHARE = 0.8
"""Of the free memory, what waveforms may take."""
WINDOW_BOUNDS = (1.0, 2.0)
"""Seconds: the window that follows from the shortest clip lies between them."""


@dataclass(frozen=True)
class TrainingClip:
    """A normal clip: its file, and what it is of.

    `attributes` is "" where they are not given; `domain` is "source" or "target".
    """

    path: Path
    machine: str
    section: str = "00"
    domain: str = "source"
    attributes: str = ""


@dataclass(frozen=True)
class LoadedClips:
    """Clips with their waveforms (samples,) and the digests of these, in one order."""

    clips: tuple[TrainingClip, ...]
    waveforms: tuple[NDArray[np.float32], ...]
    digests: tuple[str, ...]


def load_clips(
    clips: Sequence[TrainingClip],
    channel: Channel = "mean",
    progress: Progress | None = None,
    workers: int | None = None,
) -> LoadedClips:
    """Read all clips into memory.

    Raises
    ------
    SoundError
        A clip cannot be read.
    ParameterError
        The clips do not fit into memory.
    """
    waveforms: list[NDArray[np.float32]] = []
    digests, free, size = [], free_memory(), 0
    read = partial(_read, channel=channel)
    for outcome in in_order(read, clips, count_workers(workers)):
        waveform = outcome.get()
        waveforms.append(waveform)
        digests.append(hashlib.sha256(waveform.data).hexdigest())
        size += waveform.nbytes
        if free is not None and size > MEMORY_SHARE * free:
            raise ParameterError(
                f"{outcome.item.path}: clip {len(waveforms)} of {len(clips)}, and {size / 1e9:.1f} "
                f"GB of sound are read, all that fits into the free memory of {free / 1e9:.1f} GB; "
                "train on fewer clips"
            )
        if progress is not None:
            progress(len(waveforms), len(clips))
    return LoadedClips(tuple(clips), tuple(waveforms), tuple(digests))


def _read(clip: TrainingClip, channel: Channel) -> NDArray[np.float32]:
    waveform = load_waveform(clip.path, SAMPLE_RATE, channel=channel)
    return np.ascontiguousarray(waveform)


def window_samples(waveforms: Sequence[NDArray[np.float32]], seconds: float = 0.0) -> int:
    """Return the samples of a window, an even number; 0 s takes the shortest clip, 1 to 2 s.

    >>> window_samples([np.zeros(20001, np.float32)]), window_samples([], 0.75)
    (20000, 12000)
    """
    if not seconds:
        low, high = (round(bound * SAMPLE_RATE) for bound in WINDOW_BOUNDS)
        return min(max(min(map(len, waveforms)), low), high) // 2 * 2
    return round(seconds * SAMPLE_RATE) // 2 * 2
