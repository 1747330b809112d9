"""Random numbers become noise, shaft phases tones, event times ring-downs.

Input: a `Dice` (reproducible random numbers) and numbers of samples at 16 kHz; output: float64
waveforms. Ring-down of a struck structure: sum of exponentially damped sines (Randall & Antoni,
"Rolling element bearing diagnostics", MSSP 25, 2011); harmonics by repeated rotation of
exp(i*phase). Only raw integers of a bit generator whose stream numpy keeps (NEP 19) are random.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Signal = NDArray[np.float64]
SAMPLE_RATE = 16000
Option = TypeVar("Option")


class Dice:
    """Random numbers that depend on a key alone: not on numpy's version, nor on other draws.

    >>> Dice("fan", 3).uniform(0, 1) == Dice("fan", 3).uniform(0, 1)
    True
    """

    def __init__(self, *key: object) -> None:
        digest = hashlib.sha256("|".join(map(str, key)).encode()).digest()
        self._bits = np.random.PCG64(int.from_bytes(digest[:16], "little"))

    def uniforms(self, count: int) -> Signal:
        """`count` numbers of [0, 1)."""
        raw = np.asarray(self._bits.random_raw(count), dtype=np.uint64)
        return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def uniform(self, low: float, high: float) -> float:
        """One number of [low, high)."""
        return low + (high - low) * float(self.uniforms(1)[0])

    def choice(self, options: Sequence[Option]) -> Option:
        """One of the options, all equally likely."""
        return options[int(self.uniform(0, len(options)))]

    def normals(self, count: int) -> Signal:
        """`count` nearly Gaussian numbers of deviation 1: sums of four 16-bit integers, exact."""
        raw = np.asarray(self._bits.random_raw(count), dtype=np.uint64)
        quarters = raw.view(np.int16).astype(np.int32)
        total: NDArray[np.int32] = quarters[0::4] + quarters[1::4] + quarters[2::4] + quarters[3::4]
        return np.asarray(total.astype(np.float64) * (3.0**0.5 / 65536.0))


@dataclass(frozen=True)
class Mode:
    """One resonance of a structure: frequency in Hz, decay time (1/e) in s, relative weight."""

    hz: float
    decay: float
    weight: float = 1.0


def band_noise(
    dice: Dice, samples: int, low_hz: float, high_hz: float, tilt_db: float = 0.0
) -> Signal:
    """Noise of RMS 1 between two frequencies, `tilt_db` per octave, soft (12 dB/octave) edges."""
    length = _fast_length(samples)
    gain = _band_gain(length, low_hz, high_hz, tilt_db)
    noise = np.fft.irfft(np.fft.rfft(dice.normals(length)) * gain, length)[:samples]
    return np.asarray(noise / np.sqrt(np.mean(noise * noise)))


@lru_cache(maxsize=64)
def _band_gain(length: int, low_hz: float, high_hz: float, tilt_db: float) -> Signal:
    """Gain per bin of a real transform of this length."""
    hz = np.fft.rfftfreq(length, 1.0 / SAMPLE_RATE)
    hz[0] = hz[1]
    gain = (hz / 1000.0) ** (tilt_db / 6.0206)
    gain /= (1.0 + (low_hz / hz) ** 2) * (1.0 + (hz / high_hz) ** 2)
    gain[0] = 0.0
    return np.asarray(gain)


def _fast_length(samples: int) -> int:
    """Round up to three quarters of a power of two, or one: such transforms are quick."""
    power = 1 << max(3, samples - 1).bit_length()
    return power * 3 // 4 if samples <= power * 3 // 4 else power


def angle(hz: float, samples: int) -> Signal:
    """Angle in radians of a rotation at exactly `hz`, from 0."""
    return np.arange(samples, dtype=np.float64) * (2 * np.pi * hz / SAMPLE_RATE)


def shaft_phase(dice: Dice, samples: int, hz: float, wander: float = 0.002) -> Signal:
    """Angle in radians of a shaft at `hz` whose speed wanders slowly by a share `wander`."""
    time = np.arange(samples) / SAMPLE_RATE
    speed = np.ones(samples)
    for _ in range(2):
        turn = 2 * np.pi * (dice.uniform(0.2, 2.5) * time + dice.uniform(0, 1))
        speed += wander * np.sin(turn)
    start = 2 * np.pi * dice.uniform(0, 1)
    return np.asarray(start + 2 * np.pi * hz / SAMPLE_RATE * np.cumsum(speed))


def harmonics(dice: Dice, phase: Signal, amplitudes: Sequence[float]) -> Signal:
    """Sum of amplitude_k * cos(k*phase + angle_k), k = 1, 2, ..., with angles of the dice."""
    rotation = np.exp(1j * phase)
    angles = 2 * np.pi * dice.uniforms(len(amplitudes))
    total = np.zeros_like(rotation)
    for amplitude, angle in zip(reversed(amplitudes), angles[::-1], strict=True):
        total += amplitude * complex(np.cos(angle), np.sin(angle))
        total *= rotation  # Horner's rule: one rotation per harmonic
    return np.ascontiguousarray(total.real)


def passages(phase: Signal, per_turn: float) -> Signal:
    """Sample positions (with fraction) at which `phase` passes a multiple of 2*pi/per_turn.

    >>> passages(2 * np.pi * np.arange(8) / 4.0, per_turn=1.0).tolist()
    [0.0, 4.0]
    """
    turns = phase * (per_turn / (2 * np.pi))
    events = np.arange(np.ceil(turns[0]), np.floor(turns[-1]) + 1)
    return np.asarray(np.interp(events, turns, np.arange(len(turns), dtype=np.float64)))


def impacts(samples: int, positions: Signal, strengths: ArrayLike, modes: Sequence[Mode]) -> Signal:
    """Strikes at sample positions (fractions allowed) on a structure with these resonances."""
    tail = int(SAMPLE_RATE * 6 * max(mode.decay for mode in modes)) + 1
    length = _fast_length(samples + tail)
    train = np.zeros(length)
    strength = np.broadcast_to(np.asarray(strengths, dtype=np.float64), positions.shape)
    if not np.any(strength):
        return np.zeros(samples)
    inside = (positions >= 0) & (positions < samples - 1)
    whole = np.floor(positions[inside]).astype(np.int64)
    part = positions[inside] - whole
    np.add.at(train, whole, strength[inside] * (1 - part))
    np.add.at(train, whole + 1, strength[inside] * part)
    time = np.arange(tail) / SAMPLE_RATE
    ring = np.zeros(tail)
    for mode in modes:
        ring += mode.weight * np.exp(-time / mode.decay) * np.sin(2 * np.pi * mode.hz * time)
    struck = np.fft.irfft(np.fft.rfft(train) * np.fft.rfft(ring, length), length)
    return np.asarray(struck[:samples])
