"""An audio file, or an array with its rate, becomes a mono float32 waveform of about +-1.

Input: anything libsndfile reads (WAV of any width, FLAC, OGG, MP3, ...) with any number of channels
at any rate, or a numpy array. Output: float32 (samples,) at the rate asked for. Resampling is
soxr's high quality. The channels are averaged unless one is chosen. A length policy then says what
becomes of clips that are shorter or longer than the encoder should hear.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstshot.errors import ParameterError, SoundError, warn
from firstshot.sound.audio_file import (
    LONGEST_SECONDS,
    Channel,
    Waveform,
    check_longest,
    pick_channel,
    read_audio_file,
)
from firstshot.sound.audio_kinds import AUDIO_SUFFIXES

__all__ = ["AUDIO_SUFFIXES", "Channel", "LengthPolicy", "Waveform", "load_waveform"]

SHORTEST_SECONDS = 0.1
LOUDEST_SAMPLE = 1e6
"""Samples are about +-1; 16-bit integers given as floats still pass, powers of 1e28 overflow."""


def load_waveform(
    source: str | Path | ArrayLike,
    sample_rate: int,
    *,
    source_rate: int | None = None,
    channel: Channel = "mean",
    name: str | None = None,
) -> Waveform:
    """Read a file or take an array, and return it mono at `sample_rate` Hz.

    Parameters
    ----------
    source : path or array
        An audio file, or samples of about +-1 with shape (samples,) or (samples, channels).
        Arrays of integers are scaled by their type's full range.
    sample_rate : int
        Rate of the result in Hz.
    source_rate : int, optional
        Rate in Hz of an array; None means that it already has `sample_rate`.
    channel : int or "mean"
        The channel to keep, counted from 0, or the mean over channels (default).
    name : str, optional
        What to call an array in messages.

    Raises
    ------
    SoundError
        The file is missing, is not audio, is truncated, has no samples, has NaN or infinite
        samples, lacks the channel, or is shorter than 0.1 s or longer than an hour.

    Examples
    --------
    >>> tone = np.sin(np.arange(8000) * 0.3)
    >>> load_waveform(tone, 16000, source_rate=8000).shape
    (16000,)
    """
    if isinstance(source, (str, Path)):
        label = str(source)
        mono, rate = read_audio_file(Path(source), channel)
    else:
        label = name or "the array"
        mono = pick_channel(_as_float(source, label), channel, label)
        rate = sample_rate if source_rate is None else source_rate
    _check_samples(mono, rate, label)
    if rate < sample_rate:
        warn(
            f"{label}: recorded at {rate} Hz, below the encoder's {sample_rate} Hz; its upper "
            "bands are empty, which scores as a fault beside clips that have them",
            stacklevel=2,
        )
    if rate != sample_rate:
        import soxr

        mono = soxr.resample(mono, rate, sample_rate, quality="HQ")
    return np.ascontiguousarray(mono, dtype=np.float32)


def _as_float(source: ArrayLike, label: str) -> NDArray[np.float32]:
    array = np.asarray(source)
    if array.dtype.kind == "u":
        # Unsigned samples, as in 8-bit WAV, rest at the middle of their range.
        half = float(np.iinfo(array.dtype).max // 2 + 1)
        array = (array.astype(np.float64) - half) / half
    elif array.dtype.kind == "i":
        array = array / (float(np.iinfo(array.dtype).max) + 1.0)
    elif array.dtype.kind != "f":
        raise SoundError(f"{label}: samples of type {array.dtype}; expected floats or integers")
    if array.ndim not in (1, 2):
        raise SoundError(
            f"{label}: an array of shape {array.shape}; expected (samples,) or (samples, channels)"
        )
    if array.ndim == 2 and array.shape[1] > array.shape[0] > 0:
        raise SoundError(
            f"{label}: an array of shape {array.shape} has more channels than samples; expected "
            "(samples, channels), or a list of clips"
        )
    # Values too large for float32 become infinite here, and are refused as such.
    with np.errstate(over="ignore"):
        samples = array.astype(np.float32)
    return samples if samples.ndim == 2 else samples[:, np.newaxis]


def _check_samples(mono: Waveform, rate: int, label: str) -> None:
    if not rate > 0:
        raise SoundError(f"{label}: a sample rate of {rate} Hz; expected a positive one")
    if len(mono) == 0:
        raise SoundError(f"{label}: has no samples; record it again or leave it out")
    finite = np.isfinite(mono)
    if not finite.all():
        first = int(np.argmin(finite))
        raise SoundError(
            f"{label}: sample {first} is {mono[first]}; every sample must be finite, repair the "
            "recording or leave it out"
        )
    loudest = float(np.abs(mono).max())
    if loudest > LOUDEST_SAMPLE:
        raise SoundError(
            f"{label}: holds a sample of size {loudest:.3g}; expected about +-1, at most "
            f"{LOUDEST_SAMPLE:.0e}, scale the recording or leave it out"
        )
    seconds = len(mono) / rate
    if seconds < SHORTEST_SECONDS:
        raise SoundError(
            f"{label}: {seconds:.3f} s long; at least {SHORTEST_SECONDS} s of sound is needed"
        )
    check_longest(seconds, label)
    if not mono.any():
        warn(
            f"{label}: digital silence, every sample is 0; its score says nothing of a machine",
            stacklevel=3,
        )


@dataclass(frozen=True)
class LengthPolicy:
    """What an encoder hears of a clip.

    Parameters
    ----------
    kind : "native", "fixed" or "windows"
        The clip as it is; exactly `seconds` of it (zeros appended, or the start kept); or windows
        of `seconds` every `hop_seconds`, the last one moved back so that it ends with the clip.
    seconds, hop_seconds : float
        Lengths in seconds; `hop_seconds` defaults to `seconds`.

    Examples
    --------
    >>> clip = np.ones(40000, dtype=np.float32)
    >>> [len(part) for part in LengthPolicy("windows", 1.0).apply(clip, 16000)]
    [16000, 16000, 16000]
    >>> LengthPolicy.parse("fixed:10")
    LengthPolicy(kind='fixed', seconds=10.0, hop_seconds=None)
    """

    kind: Literal["native", "fixed", "windows"] = "native"
    seconds: float | None = None
    hop_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("native", "fixed", "windows"):
            raise ParameterError(
                f"length policy {self.kind!r} is not known; choose native, fixed or windows"
            )
        lengths = [x for x in (self.seconds, self.hop_seconds) if x is not None]
        if any(not SHORTEST_SECONDS <= x <= LONGEST_SECONDS for x in lengths):
            raise ParameterError(
                f"length policy {self.kind}: {lengths} s; lengths must lie between "
                f"{SHORTEST_SECONDS} and {LONGEST_SECONDS:.0f} s"
            )
        if self.kind != "native" and self.seconds is None:
            raise ParameterError(f"length policy {self.kind}: say how many seconds")
        if len(lengths) > {"native": 0, "fixed": 1, "windows": 2}[self.kind]:
            raise ParameterError(
                f"length policy {self.kind}: {lengths} s are too many lengths; give native none, "
                "fixed the seconds, windows the seconds and the hop"
            )

    @classmethod
    def parse(cls, text: str) -> LengthPolicy:
        """Read `native`, `fixed:10`, `windows:10` or `windows:10:5` (seconds, hop)."""
        kind, *numbers = text.split(":")
        try:
            values = [float(number) for number in numbers]
        except ValueError as error:
            raise ParameterError(
                f"length policy {text!r}: expected native, fixed:SECONDS or windows:SECONDS[:HOP]"
            ) from error
        if len(values) > {"native": 0, "fixed": 1}.get(kind, 2):
            raise ParameterError(f"length policy {text!r}: too many numbers")
        return cls(kind, *values)  # type: ignore[arg-type]

    def __str__(self) -> str:
        # repr, because a detector file and the store's keys hold this text for the numbers.
        numbers = [
            repr(float(x)).removesuffix(".0")
            for x in (self.seconds, self.hop_seconds)
            if x is not None
        ]
        return ":".join([self.kind, *numbers])

    def apply(self, waveform: Waveform, sample_rate: int) -> list[Waveform]:
        """Return the pieces of the waveform (samples,) that are encoded, each (samples,)."""
        if self.kind == "native" or self.seconds is None:
            return [waveform]
        length = round(self.seconds * sample_rate)
        if self.kind == "fixed":
            return [np.pad(waveform[:length], (0, max(0, length - len(waveform))))]
        starts = self.starts(len(waveform), sample_rate)
        return [waveform[start : start + length] for start in starts]

    def starts(self, samples: int, sample_rate: int) -> list[int]:
        """Return the first sample of each piece of a clip of that many samples."""
        if self.kind != "windows" or self.seconds is None:
            return [0]
        # A clip shorter than one window is heard as it is: padding is what "fixed" is for.
        last = max(0, samples - round(self.seconds * sample_rate))
        hop = round((self.hop_seconds or self.seconds) * sample_rate)
        return [*range(0, last, hop), last]
