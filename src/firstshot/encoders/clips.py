"""The clips given to an encoder become checked waveforms at its sample rate.

Input: an array (clips, samples) or a list of arrays (samples,), floats of about +-1, at any rate.
Output: float32 arrays (samples,) at the encoder's rate, finite, each long enough for one token.
Resampling is soxr's high quality.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firstshot.encoders.protocol import Waveforms
from firstshot.errors import SoundError
from firstshot.numbers import check_number

LARGEST_RATIO = 128
"""Between a clip's rate and the encoder's: beyond it a clip of seconds would fill the memory."""


def prepare_waveforms(
    waveforms: Waveforms, sample_rate: int, encoder_rate: int, shortest: int, encoder: str
) -> list[NDArray[np.float32]]:
    """Return every clip at `encoder_rate` Hz.

    Raises
    ------
    SoundError
        There are no clips, or one is not mono, not of floats, has NaN, or has fewer than `shortest`
        samples at `encoder_rate` Hz.
    ParameterError
        `sample_rate` is more than 128 times the encoder's, or less than a 128th of it.

    Examples
    --------
    >>> clips = prepare_waveforms(np.zeros((2, 3200)), 32000, 16000, 400, "eat")
    >>> [len(clip) for clip in clips]
    [1600, 1600]
    """
    if len(waveforms) == 0:
        raise SoundError(f"no clips were given; {encoder} needs at least one")
    least, most = encoder_rate / LARGEST_RATIO, encoder_rate * LARGEST_RATIO
    check_number("sample_rate", sample_rate, least, most, "Hz")
    clips = []
    for index, waveform in enumerate(waveforms):
        clip = _checked(waveform, f"clip {index}")
        if sample_rate != encoder_rate:
            import soxr

            clip = soxr.resample(clip, sample_rate, encoder_rate, quality="HQ")
        check_length(len(clip), encoder_rate, shortest, encoder, f"clip {index}")
        clips.append(clip)
    return clips


def check_length(
    samples: int, sample_rate: int, shortest: int, encoder: str, clip: str = "a clip"
) -> None:
    """Raise `SoundError` for a clip of fewer than `shortest` samples.

    >>> check_length(399, 16000, 400, "eat")
    Traceback (most recent call last):
    ...
    firstshot.errors.SoundError: a clip has 399 samples at 16000 Hz; eat needs at least 400 \
(0.025 s) for one token; record longer or pad it
    """
    if samples < shortest:
        raise SoundError(
            f"{clip} has {samples} samples at {sample_rate} Hz; {encoder} needs at least "
            f"{shortest} ({shortest / sample_rate:.3f} s) for one token; record longer or pad it"
        )


def _checked(waveform: NDArray[np.float32], clip: str) -> NDArray[np.float32]:
    samples = np.asarray(waveform)
    if samples.ndim != 1:
        raise SoundError(
            f"{clip} has shape {samples.shape}; expected (samples,): give an array "
            "(clips, samples) or a list of mono waveforms"
        )
    if samples.dtype.kind != "f":
        raise SoundError(f"{clip} holds {samples.dtype}; expected floats of about +-1")
    if not np.isfinite(samples).all():
        raise SoundError(f"{clip} has NaN or infinite samples; record it again or leave it out")
    return np.ascontiguousarray(samples, dtype=np.float32)
