"""An audio file becomes the samples of one channel.

Input: the path of anything libsndfile reads. Output: float32 (samples,) at the file's own rate, and
that rate. Files are read a block at a time, so an hour of many channels needs the memory of one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import ParameterError, SoundError
from firstshot.sound.audio_kinds import way_out, why_unopenable

Channel: TypeAlias = int | Literal["mean"]
Waveform: TypeAlias = NDArray[np.float32]

LONGEST_SECONDS = 3600.0
FRAMES_PER_BLOCK = 1 << 18
LARGEST_COUNT = 1 << 62
"""libsndfile gives 2^63 - 1 frames for a FLAC that was written to a pipe, and cannot read it."""
STREAMED = 0x7FFFF000
"""From this size on a WAV's data chunk says only that the recorder could not know its length."""


def read_audio_file(path: Path, channel: Channel) -> tuple[Waveform, int]:
    """Return one channel of a file and the file's rate in Hz.

    Raises
    ------
    SoundError
        The file is missing, is not audio, is truncated, lacks the channel, or is longer than an
        hour. A truncated OGG or AIFF whose header does not tell how long it was is a shorter clip.
    """
    import soundfile

    why = why_unopenable(path)
    if why is not None:
        raise SoundError(f"{path}: {why}")
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            rate, promised = int(file.samplerate), frames_promised(path, file)
            samples = _read_channel(file, channel, str(path))
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        raise SoundError(
            f"{path}: not readable as audio ({_reason(error)}); expected WAV, FLAC, OGG or MP3, "
            f"{way_out(path)}"
        ) from error
    if len(samples) < promised:
        raise SoundError(
            f"{path}: truncated, {len(samples)} of the {promised} samples its header promises are "
            "there; copy or record it again"
        )
    return samples, rate


def pick_channel(samples: NDArray[np.float32], channel: Channel, label: str) -> Waveform:
    """Return one channel of samples (samples, channels), or their mean.

    >>> pick_channel(np.array([[0.0, 1.0]], dtype=np.float32), "mean", "clip").tolist()
    [0.5]
    """
    if channel == "mean":
        return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)
    if not isinstance(channel, int) or isinstance(channel, bool):
        raise ParameterError(f"channel {channel!r}: expected a number from 0 on, or 'mean'")
    if not 0 <= channel < samples.shape[1]:
        raise SoundError(
            f"{label}: channel {channel} was asked for, it has {samples.shape[1]} "
            "(counted from 0); choose another or 'mean'"
        )
    return samples[:, channel]


def check_longest(seconds: float, label: str) -> None:
    """Raise `SoundError` for a clip of more than an hour."""
    if seconds > LONGEST_SECONDS:
        raise SoundError(
            f"{label}: {seconds / 3600:.2f} h long; at most one hour is taken at a time, cut it"
        )


def _read_channel(file: Any, channel: Channel, label: str) -> Waveform:
    if file.frames > LARGEST_COUNT:
        raise SoundError(f"{label}: its header does not say how long it is; convert it to WAV")
    check_longest(file.frames / file.samplerate, label)
    samples = np.empty(file.frames, dtype=np.float32)
    count = 0
    while len(block := file.read(FRAMES_PER_BLOCK, "float32", always_2d=True)):
        samples[count : count + len(block)] = pick_channel(block, channel, label)
        count += len(block)
    return samples[:count]


def frames_promised(path: Path, file: Any) -> int:
    """Count the frames that the header announces.

    libsndfile quietly shortens a WAV whose data chunk runs past the end of the file, so that chunk
    is read here; for other formats libsndfile's own count is the header's.
    """
    frames = int(file.frames)
    if file.format not in {"WAV", "WAVEX", "RF64"}:
        return frames
    align, long_size = 1, 0
    with path.open("rb") as raw:
        head = raw.read(12)
        while head[:4] in (b"RIFF", b"RF64") and len(chunk := raw.read(8)) == 8:
            size = int.from_bytes(chunk[4:], "little")
            start = raw.tell()
            if chunk[:4] == b"ds64":
                long_size = int.from_bytes(raw.read(16)[8:], "little")
            elif chunk[:4] == b"fmt ":
                align = int.from_bytes(raw.read(16)[12:14], "little")
            elif chunk[:4] == b"data":
                size = long_size if head[:4] == b"RF64" else size
                streamed = size == 0 or (size >= STREAMED and head[:4] == b"RIFF")
                return frames if streamed else size // max(align, 1)
            raw.seek(start + size + size % 2)
    return frames


def _reason(error: Exception) -> str:
    text = str(error).strip().rstrip(".")
    return text.split(": ")[-1] or type(error).__name__
