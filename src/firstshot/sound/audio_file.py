"""An audio file becomes blocks of samples.

Input: the path of anything libsndfile reads. Output: float32 blocks (samples, channels) at the
file's own rate. Only one block of a file is in memory, however long the file is. The length that
its header promises is compared with what can be read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import ParameterError, SoundError
from firstshot.sound.audio_kinds import why_unopenable
from firstshot.sound.headers.promise import Promise, read_promise
from firstshot.sound.headers.unreadable import explain_unreadable
from firstshot.sound.near_far import NEAR_FAR, Transfer

Channel: TypeAlias = int | Literal["mean", "near-far"] | Transfer
"""A channel's number from 0 on, the mean of all, or near minus far: channel 0 without what channel
1 explains of it, as fitted on the recording itself or as a `Transfer` says."""
Waveform: TypeAlias = NDArray[np.float32]

VALUES_PER_BLOCK = 1 << 19
LARGEST_COUNT = 1 << 62
"""libsndfile gives 2^63 - 1 frames for a FLAC that was written to a pipe, and cannot read it."""
UNFINISHED = "written to a pipe, cut off, or still being written"
INTEGER_BITS = {"PCM_32": 32}
"""Encodings with more bits than most recorders measure, by libsndfile's name."""


@dataclass(frozen=True)
class AudioFile:
    """An open audio file.

    Attributes
    ----------
    rate : int
        Samples per second.
    channels : int
        Number of channels.
    frames : int
        Samples per channel, by libsndfile's count; the file may hold less.
    bits : int or None
        Bits per sample, where the values may have fewer; None for floats, 0 where it does not
        matter.
    notes : list of str
        What the user must know about the file; filled while it is read.
    """

    path: Path
    rate: int
    channels: int
    frames: int
    bits: int | None
    promise: Promise
    sound: Any
    notes: list[str] = field(default_factory=list)

    def blocks(self, values: int = VALUES_PER_BLOCK) -> Iterator[NDArray[np.float32]]:
        """Yield all samples in blocks (samples, channels) of at most that many values.

        Raises
        ------
        SoundError
            The file holds less than its header promises, or is damaged.
        """
        count, size = 0, max(1, values // self.channels)
        while True:
            with _one_line_errors(self.path):
                block = self.sound.read(size, "float32", always_2d=True)
            if not len(block):
                break
            count += len(block)
            yield block
        self._check_end(count)

    def _check_end(self, count: int) -> None:
        missing = self.promise.missing(count)
        if missing is None and count < self.frames:
            missing = f"{count} of the {self.frames} samples its header promises are there"
        if missing is not None:
            raise SoundError(f"{self.path}: truncated, {missing}; copy or record it again")
        if self.promise.doubt is None:
            return
        if count == 0:
            raise SoundError(
                f"{self.path}: no samples can be read, {self.promise.doubt} ({UNFINISHED}); let "
                "the recording end, or rewrite it (ffmpeg -i FILE NEW.wav)"
            )
        self.notes.append(
            f"{self.promise.doubt} ({UNFINISHED}); the {count / self.rate:.1f} s that are there "
            "are taken as the whole recording"
        )


@contextmanager
def open_audio_file(path: Path) -> Iterator[AudioFile]:
    """Open a file for its blocks.

    Raises
    ------
    SoundError
        The file is missing, is not audio, or is truncated according to its header.
    """
    import soundfile

    why = why_unopenable(path)
    if why is not None:
        raise SoundError(f"{path}: {why}")
    with _one_line_errors(path):
        sound = soundfile.SoundFile(os.fsencode(path))
    with sound:
        frames = int(sound.frames)
        if frames > LARGEST_COUNT:
            raise SoundError(
                f"{path}: its header does not say how long it is ({UNFINISHED}); let the recording "
                "end, or rewrite it (ffmpeg -i FILE NEW.flac)"
            )
        with _one_line_errors(path):
            promise = read_promise(path) or Promise()
        if missing := promise.missing(frames):
            raise SoundError(f"{path}: truncated, {missing}; copy or record it again")
        bits = None if sound.subtype in ("FLOAT", "DOUBLE") else INTEGER_BITS.get(sound.subtype, 0)
        yield AudioFile(
            path, int(sound.samplerate), int(sound.channels), frames, bits, promise, sound
        )


def subtracts_far(channel: Channel) -> bool:
    """Tell whether a recording is to become near minus far."""
    return channel == NEAR_FAR or isinstance(channel, Transfer)


def pick_channel(samples: NDArray[np.float32], channel: Channel, label: str) -> Waveform:
    """Return one channel (samples,) of samples (samples, channels), their mean, or near and far.

    Near and far are (samples, 2), from which `near_far.subtract_far` makes one channel.

    >>> pick_channel(np.array([[0.0, 1.0]], dtype=np.float32), "mean", "clip").tolist()
    [0.5]
    """
    if channel == "mean":
        return _mean(samples)
    if subtracts_far(channel):
        if samples.shape[1] < 2:
            raise SoundError(
                f"{label}: has one channel, and near minus far needs two (0 near the machine, 1 "
                "far from it); use --channel 0"
            )
        return samples[:, :2]
    if not isinstance(channel, int) or isinstance(channel, bool):
        raise ParameterError(
            f"channel {channel!r}: expected a number from 0 on, 'mean' or 'near-far'"
        )
    if not 0 <= channel < samples.shape[1]:
        raise SoundError(
            f"{label}: channel {channel} was requested, it has {samples.shape[1]} "
            "(counted from 0); choose another or 'mean'"
        )
    return samples[:, channel]


def _mean(samples: NDArray[np.float32]) -> Waveform:
    if samples.shape[1] == 1:
        return samples[:, 0]
    if samples.shape[1] > 2:
        averaged: Waveform = samples.mean(axis=1, dtype=np.float32)
        return averaged
    # Five times as fast as numpy's mean for two channels, with the same bits; 0 turns -0 into 0.
    mean: Waveform = np.add(samples[:, 0], samples[:, 1], dtype=np.float32)
    mean += np.float32(0.0)
    mean /= np.float32(2.0)
    return mean


@contextmanager
def _one_line_errors(path: Path) -> Iterator[None]:
    """Turn errors of libsndfile and the system into one line on the file."""
    import soundfile

    try:
        yield
    except (soundfile.LibsndfileError, RuntimeError, OSError, TypeError) as error:
        reason, advice = explain_unreadable(path, error)
        raise SoundError(f"{path}: not readable as audio ({reason}); {advice}") from error
