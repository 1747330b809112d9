"""Signs that a recording was saved at a wrong scale, or that its channels cancel each other.

Input: blocks of samples (samples, channels) as they are read, before channels are averaged. Output:
notes in words. A level that is wrong by a power of two comes from values of one width in samples of
another: 16-bit values in 32-bit samples are 96 dB too quiet, floats at the scale of 16-bit integers
90 dB too loud. For an encoder both sound like another machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

WIDTHS = (16, 24, 32)
LOUD_FLOAT = 64.0
"""Larger floats are at the scale of integers, even where they are not whole numbers."""
CANCELLED = 10.0
"""The mean of unrelated channels has 1/channels of their power; a tenth of that is no accident."""
CHECKED_SAMPLES = 4096
"""Samples of a block that are checked for their number of bits."""


@dataclass
class LevelCheck:
    """The level checks of one recording, block by block.

    Parameters
    ----------
    bits : int or None
        Bits of the integer samples; None for floats, 0 where the values cannot have fewer bits.
    averaged : bool
        Whether the channels' mean is used.

    Examples
    --------
    >>> check = LevelCheck(bits=None)
    >>> check.add(np.array([[0.0], [-300.0], [25000.0]], dtype=np.float32))
    >>> check.notes()[0].split(";")[0]
    'samples up to 25000 where about +-1 is expected: floats at the scale of 16-bit integers'
    """

    bits: int | None
    averaged: bool = True
    peak: float = field(default=0.0, init=False)
    _whole: bool = field(default=True, init=False)
    _fine: bool = field(default=False, init=False)
    _power: float = field(default=0.0, init=False)
    _mean_power: float = field(default=0.0, init=False)
    _channels: int = field(default=1, init=False)

    def add(self, block: NDArray[np.float32], mean: NDArray[np.float32] | None = None) -> None:
        """Check one block (samples, channels), and its mean over channels (samples,)."""
        if block.size == 0:
            return
        self.peak = max(self.peak, float(block.max()), -float(block.min()))
        some = block[:CHECKED_SAMPLES]
        if self.bits is None and self._whole:
            self._whole = bool((some == np.rint(some)).all())
        elif self.bits and not self._fine and self.peak <= 2.0**-8:
            steps = some * np.float32(2**23)
            self._fine = bool((steps != np.rint(steps)).any())
        self._channels = block.shape[1]
        if self.averaged and self._channels > 1 and mean is not None:
            with np.errstate(over="ignore"):
                self._power += float(np.einsum("ij,ij->", block, block)) / self._channels
                self._mean_power += float(np.einsum("i,i->", mean, mean))

    @property
    def cancelled(self) -> bool:
        """Whether the channels' mean has almost none of their power."""
        return 0.0 < self._power < math.inf and (
            self._mean_power * self._channels * CANCELLED < self._power
        )

    def notes(self) -> list[str]:
        """Return what is unusual, in words, with the likely reason and what to do."""
        found = [self._quiet(), self._loud(), self._opposite()]
        return [note for note in found if note is not None]

    def _quiet(self) -> str | None:
        if not self.bits or self.peak == 0.0:
            return None
        for width in (w for w in WIDTHS if w < self.bits):
            factor = 2 ** (self.bits - width)
            # A quiet 24-bit recording has zeros in its lowest bits; right-aligned values do not.
            sure = width == 16 or self.bits > 32 or self._fine
            if self.peak * factor <= 1.0 and sure:
                return (
                    f"no sample is above 1/{factor} of full scale: {width}-bit values in "
                    f"{self.bits}-bit samples are too quiet by {_decibels(factor)} dB; multiply by "
                    f"{factor} (ffmpeg -i FILE -af volume={factor} -c:a pcm_s32le NEW.wav)"
                )
        return None

    def _loud(self) -> str | None:
        at_scale = self.peak >= LOUD_FLOAT or (self._whole and self.peak >= 2.0)
        if self.bits is not None or not at_scale:
            return None
        return (
            f"samples up to {self.peak:.6g} where about +-1 is expected: {integer_scale(self.peak)}"
        )

    def _opposite(self) -> str | None:
        if not self.cancelled:
            return None
        below = "nothing is left of them in their mean"
        if self._mean_power > 0.0:
            lost = 10.0 * math.log10(self._power / self._mean_power)
            below = f"their mean is {lost:.0f} dB below them"
        return (
            f"its channels cancel each other, {below}: one has opposite phase (wired or saved with "
            "reversed polarity); fit with --channel 0 to use one channel"
        )


def integer_scale(peak: float) -> str:
    """Say which integers floats of that size look like, and how to scale them.

    >>> integer_scale(3e12)
    'scale the recording'
    """
    width = next((w for w in WIDTHS if peak <= 2.0 ** (w - 1)), None)
    if width is None:
        return "scale the recording"
    factor = 2 ** (width - 1)
    return (
        f"floats at the scale of {width}-bit integers; divide by {factor} "
        f"(ffmpeg -i FILE -af volume=1/{factor} NEW.wav)"
    )


def _decibels(factor: int) -> int:
    return round(20.0 * math.log10(factor))
