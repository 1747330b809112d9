"""A clip becomes a window that no epoch sees twice, and changed sounds become classes.

Input: a waveform (samples,) and a random generator. Output: a window (samples,) of RMS 1. A window
begins anywhere in the clip and is rolled in a circle. The five `TRANSFORMS` are faint changes of
the sound; where a recipe uses them, a network must tell them apart, so it learns what is usual.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firstshot.encoders.specs.base import SAMPLE_RATE
from firstshot.encoders.specs.trained import repeated, with_level

Waveform = NDArray[np.float32]
TRANSFORMS = ("none", "faster", "slower", "band", "modulated")
SPEED = (1.04, 1.12)
BAND_HZ, BAND_OCTAVES, BAND_DB = (200.0, 6000.0), 0.35, (6.0, 12.0)
MODULATION_HZ, MODULATION_DEPTH = (3.0, 25.0), (0.5, 0.9)


def draw_window(
    clip: Waveform, samples: int, draw: np.random.Generator, transform: str = "none"
) -> Waveform:
    """Return a random window of a clip, changed by one of `TRANSFORMS`, its level removed.

    >>> clip = np.sin(np.arange(40000, dtype=np.float32) * 0.3)
    >>> draw_window(clip, 16000, np.random.default_rng(0), "faster").shape
    (16000,)
    """
    clip = repeated(clip, samples)
    start = int(draw.integers(len(clip) - samples + 1))
    if transform in ("faster", "slower"):
        factor = draw.uniform(*SPEED)
        window = _at_speed(clip, start, samples, factor if transform == "faster" else 1 / factor)
    else:
        window = clip[start : start + samples]
    window = np.roll(window, draw.integers(samples))
    if transform == "band":
        window = _with_band(window, draw)
    elif transform == "modulated":
        window = _modulated(window, draw)
    return with_level(window)


def _at_speed(clip: Waveform, start: int, samples: int, factor: float) -> Waveform:
    """Return samples that are read at that speed, the clip going on at its start."""
    places = (start + np.arange(samples) * factor) % len(clip)
    padded = np.append(clip, clip[:1])
    read: Waveform = np.interp(places, np.arange(len(padded)), padded).astype(np.float32)
    return read


def _with_band(window: Waveform, draw: np.random.Generator) -> Waveform:
    """Return a window with a band raised or lowered, Gaussian over octaves."""
    from scipy import fft

    centre = np.exp(draw.uniform(*np.log(BAND_HZ)))
    decibels = draw.uniform(*BAND_DB) * draw.choice((-1.0, 1.0))
    frequencies = np.maximum(np.fft.rfftfreq(len(window), 1 / SAMPLE_RATE), 1.0)
    shape = np.exp(-0.5 * (np.log2(frequencies / centre) / BAND_OCTAVES) ** 2)
    gains = (10 ** (decibels / 20 * shape)).astype(np.float32)
    changed: Waveform = fft.irfft(fft.rfft(window) * gains, len(window)).astype(np.float32)
    return changed


def _modulated(window: Waveform, draw: np.random.Generator) -> Waveform:
    """Return a window whose level rises and falls some times a second."""
    angle = 2 * np.pi * draw.uniform(*MODULATION_HZ) / SAMPLE_RATE * np.arange(len(window))
    swing = draw.uniform(*MODULATION_DEPTH) * np.sin(angle + draw.uniform(0, 2 * np.pi))
    changed: Waveform = (window * (1 + swing)).astype(np.float32)
    return changed
