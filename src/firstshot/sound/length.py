"""A length policy cuts or pads clips to the length that the encoder gets.

Input: a waveform (samples,) and its rate. Output: the pieces that are encoded, each (samples,).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from firstshot.errors import ParameterError
from firstshot.numbers import read_decimal
from firstshot.sound.audio_file import Waveform
from firstshot.sound.checks import SHORTEST_SECONDS

LONGEST_PIECE = 3600.0
"""Seconds of the longest window, which is held and encoded in one piece."""


@dataclass(frozen=True)
class LengthPolicy:
    """The part of a clip that an encoder gets.

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
        if any(not SHORTEST_SECONDS <= x <= LONGEST_PIECE for x in lengths):
            raise ParameterError(
                f"length policy {self.kind}: {lengths} s; lengths must lie between "
                f"{SHORTEST_SECONDS} and {LONGEST_PIECE:.0f} s"
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
        values = [read_decimal(number) for number in numbers]
        if None in values:
            raise ParameterError(
                f"length policy {text!r}: expected native, fixed:SECONDS or windows:SECONDS[:HOP]"
            )
        if len(values) > {"native": 0, "fixed": 1}.get(kind, 2):
            raise ParameterError(f"length policy {text!r}: too many numbers")
        return cls(kind, *values)  # type: ignore[arg-type]

    def __str__(self) -> str:
        # repr: detector files and the store's keys hold this text, which must be exact.
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

    def piece_samples(self, samples: int, sample_rate: int) -> int:
        """Return how many samples each piece of a clip of that many samples has.

        >>> LengthPolicy("windows", 1.0).piece_samples(40000, 16000)
        16000
        """
        if self.kind == "native" or self.seconds is None:
            return samples
        length = round(self.seconds * sample_rate)
        return length if self.kind == "fixed" else min(length, samples)

    def starts(self, samples: int, sample_rate: int) -> list[int]:
        """Return the first sample of each piece of a clip of that many samples."""
        if self.kind != "windows" or self.seconds is None:
            return [0]
        # A clip shorter than one window stays as it is; only "fixed" pads.
        last = max(0, samples - round(self.seconds * sample_rate))
        hop = round((self.hop_seconds or self.seconds) * sample_rate)
        return [*range(0, last, hop), last]
