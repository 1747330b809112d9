"""A recording's samples are checked while they are read: rate, length, finite values, level.

Input: blocks of samples, at the rate they were recorded at. Output: an error for what cannot be
used, and notes in words on what the user must know.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import SoundError
from firstshot.numbers import check_number
from firstshot.sound.audio_file import Channel, Waveform
from firstshot.sound.levels import LevelCheck, integer_scale

SHORTEST_SECONDS = 0.1
LOUDEST_SAMPLE = 1e6
"""Samples are about +-1; 16-bit integers as floats are accepted, far larger values overflow."""
HIGHEST_RATE = 1e9
"""The highest sample rate in Hz that may be requested."""
USUAL_RATE = 16000
"""The rate in Hz that the challenge, and most recordings of machines, have."""
LARGEST_RATIO = 1000
"""A rate further from the encoder's than this factor comes from a damaged header or no sound."""


def check_rate(rate: int, sample_rate: int, label: str) -> None:
    """Raise `SoundError` for a rate in Hz that cannot be that of a recording."""
    check_number("sample_rate", sample_rate, 1.0, HIGHEST_RATE)
    if not rate > 0:
        raise SoundError(f"{label}: a sample rate of {rate} Hz; expected a positive one")
    lowest, highest = ceil(sample_rate / LARGEST_RATIO), sample_rate * LARGEST_RATIO
    if not lowest <= rate <= highest:
        raise SoundError(
            f"{label}: a sample rate of {rate} Hz; expected {lowest} to {highest} Hz: its header "
            "is damaged or it is no sound, write it again with its true rate or leave it out"
        )


@dataclass
class SampleChecks:
    """The checks of one recording, block by block.

    Parameters
    ----------
    label : str
        The recording's name in messages.
    rate, sample_rate : int
        The recording's rate and the encoder's rate, in Hz.
    bits : int or None
        As `LevelCheck` takes it.
    channel : int, "mean", "near-far" or Transfer
        The channels that are used.
    """

    label: str
    rate: int
    sample_rate: int
    bits: int | None
    channel: Channel
    count: int = field(default=0, init=False)
    silent: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        self.levels = LevelCheck(self.bits, self.channel == "mean")

    def add(self, block: NDArray[np.float32], used: Waveform) -> None:
        """Check a block (samples, channels) and what is used of it, (samples,) or (samples, 2)."""
        finite = np.isfinite(used)
        if not finite.all():
            first = int(np.argmin(finite.reshape(len(used), -1).all(axis=1)))
            odd = used[first] if used.ndim == 1 else used[first][~finite[first]][0]
            raise SoundError(
                f"{self.label}: sample {self.count + first} is {odd}; every sample must be "
                "finite, repair the recording or leave it out"
            )
        loudest = float(np.abs(used).max()) if len(used) else 0.0
        if loudest > LOUDEST_SAMPLE:
            raise SoundError(
                f"{self.label}: holds a sample of size {loudest:.3g}; expected about +-1, at most "
                f"{LOUDEST_SAMPLE:.0e}: {integer_scale(loudest)}, or leave it out"
            )
        if self.channel == "mean":
            self.levels.add(block, used)
        else:
            self.levels.add(used.reshape(len(used), -1))
        self.count += len(used)
        self.silent = self.silent and loudest == 0.0

    def finish(self) -> list[str]:
        """Return the warnings, or raise for a recording that is too short."""
        if self.count == 0:
            raise SoundError(f"{self.label}: has no samples; record it again or leave it out")
        seconds = self.count / self.rate
        if seconds < SHORTEST_SECONDS:
            raise SoundError(
                f"{self.label}: {seconds:.3f} s long; at least {SHORTEST_SECONDS} s of sound is "
                "needed, record longer or leave it out"
            )
        notes = self.levels.notes()
        if self.silent and not self.levels.cancelled:
            notes.append(
                "digital silence, every sample is 0; its score says nothing about a machine"
            )
        # A network that takes 32 kHz is used on recordings at 16 kHz as a rule.
        if self.rate < min(self.sample_rate, USUAL_RATE):
            notes.append(
                f"recorded at {self.rate} Hz, below the encoder's {self.sample_rate} Hz; its upper "
                "bands are empty, so its score is too high beside clips of a higher rate"
            )
        return [f"{self.label}: {note}" for note in notes]
