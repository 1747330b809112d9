"""A file of raw samples becomes a FLAC file, block by block."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np

from firstshot.disk.files import replacing

SAMPLE = np.dtype("<f4")
MOST_CHANNELS = 8
"""Channels that a FLAC file may have."""
_BLOCK = 1 << 16


def encode(raw: Path, sound: Path, rate: int, channels: int) -> int:
    """Write the whole samples of a raw file as FLAC of 24 bits; return how many there are.

    No file is made of no sample. Raises the `OSError` of the file system.
    """
    import soundfile

    width = channels * SAMPLE.itemsize
    count = raw.stat().st_size // width
    if not count:
        return 0
    with replacing(sound) as draft, raw.open("rb") as file:
        try:
            with soundfile.SoundFile(
                draft, "w", rate, channels, subtype="PCM_24", format="FLAC"
            ) as made:
                while block := file.read(_BLOCK * width):
                    samples = np.frombuffer(block[: len(block) // width * width], SAMPLE)
                    made.write(np.clip(samples.reshape(-1, channels), -1.0, 1.0))
            is_whole = soundfile.info(draft).frames == count
        except (soundfile.LibsndfileError, AssertionError):
            is_whole = False  # the library has no other word for a full disk
        if not is_whole:
            raise OSError(errno.ENOSPC, "the sound cannot be written, the disk may be full")
    return count
