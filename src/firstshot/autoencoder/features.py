"""A waveform becomes the vectors that the autoencoder reconstructs.

Input: float32 (samples,), about +-1, 16 kHz. Output: a log-mel spectrogram (frames, 128) in dB, and
from it K = frames - 4 overlapping stacks of five frames, (K, 640), element 128*t + m being mel m of
the t-th frame of the stack. Formula: the challenge's published code, which is librosa's: 1024
samples of a periodic Hann window every 512, the clip padded by 512 zeros on either side, |X|^2,
128 Slaney triangles of unit area from 0 to 8000 Hz, 10 log10 of at least 2.2e-16. Nothing is
normalised and no other clip is used.

Stacks share four of their five frames, so they are not copied: a training set is its frames, one
after the other, and the first frame of each stack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from firstshot.complexity import AutoencoderGeometry
from firstshot.errors import DatasetError, SoundError
from firstshot.sound.mel import MelSpec, mel_energies

GEOMETRY = AutoencoderGeometry()
MEL = MelSpec(
    window=1024, mels=128, low=0.0, high=8000.0, scale="slaney", area=True, hop=GEOMETRY.hop
)
STACKED = GEOMETRY.stacked
VECTOR = STACKED * MEL.mels
SHORTEST_SAMPLES = (STACKED - 1) * MEL.hop
_FLOOR = np.float32(np.finfo(np.float64).eps)


def log_mel(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the log-mel spectrogram (1 + samples // 512, 128) of one waveform, in dB.

    Raises
    ------
    SoundError
        The waveform is not one channel, or has less than one stack of frames.

    Examples
    --------
    >>> silence = log_mel(np.zeros(160000, dtype=np.float32))
    >>> silence.shape, round(float(silence[0, 0]), 2)
    ((313, 128), -156.54)
    """
    if waveform.ndim != 1 or len(waveform) < SHORTEST_SAMPLES:
        raise SoundError(
            f"a waveform of shape {waveform.shape} has no stack of {STACKED} frames: pass one "
            f"channel of at least {SHORTEST_SAMPLES} samples at {MEL.sample_rate} Hz"
        )
    padded = np.pad(waveform, MEL.window // 2)
    energies = mel_energies(padded, MEL, centred=False)
    decibels: NDArray[np.float32] = np.float32(10) * np.log10(np.maximum(energies, _FLOOR))
    return decibels


def stack_frames(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the stacks (frames - 4, 640) of consecutive frames (frames, 128), without a copy.

    The result is a view whose rows overlap; do not write to it.

    >>> frames = np.repeat(np.arange(6, dtype=np.float32)[:, None], 128, axis=1)
    >>> stack_frames(frames)[:, ::128].tolist()
    [[0.0, 1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0, 5.0]]
    """
    frames = np.ascontiguousarray(frames)
    rows, mels = frames.shape
    strides = (frames.strides[0], frames.itemsize)
    shape = (max(0, rows - STACKED + 1), STACKED * mels)
    return as_strided(frames, shape, strides, writeable=False)


@dataclass(frozen=True)
class TrainingFrames:
    """The frames of a machine's normal clips, and where the vectors begin in them.

    Attributes
    ----------
    frames : float32 (frames, 128)
        The log-mel spectrograms of all clips, one after the other.
    starts : int64 (vectors,)
        First frame of each vector; all frames of a vector are of one clip.
    is_target : bool (vectors,)
        Whether the vector's clip is of the target domain.
    clips : int
        Number of clips.
    """

    frames: NDArray[np.float32]
    starts: NDArray[np.int64]
    is_target: NDArray[np.bool_]
    clips: int


def join_frames(
    spectrograms: Sequence[NDArray[np.float32]], is_target: Sequence[bool]
) -> TrainingFrames:
    """Join the spectrograms (frames, 128) of clips of any lengths, in the order given.

    Raises
    ------
    DatasetError
        There are too few vectors for training and validation.

    Examples
    --------
    >>> clips = [np.zeros((6, 128), np.float32), np.zeros((5, 128), np.float32)]
    >>> join_frames(clips, [False, True]).starts.tolist()
    [0, 1, 6]
    """
    lengths = np.array([len(frames) for frames in spectrograms], dtype=np.int64)
    counts = np.maximum(0, lengths - STACKED + 1)
    if counts.sum() < 3:
        raise DatasetError(
            f"{len(spectrograms)} training clips have {counts.sum()} vectors of {STACKED} frames; "
            "the autoencoder needs three or more, give longer or more clips"
        )
    begins = np.cumsum(lengths) - lengths
    starts = [begin + np.arange(count) for begin, count in zip(begins, counts, strict=True)]
    return TrainingFrames(
        frames=np.concatenate(spectrograms),
        starts=np.concatenate(starts),
        is_target=np.repeat(np.asarray(is_target, dtype=np.bool_), counts),
        clips=len(spectrograms),
    )
