"""Two-channel clips of a machine in a noisy room: near the machine, and far from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import fftconvolve

RATE = 16000
LEAK = 0.3
"""How much of the machine the far microphone records."""


def _path(seed: int, samples: np.ndarray) -> np.ndarray:
    """Return a sound as it arrives by one of the room's ways: echoes that fade within 10 ms."""
    echoes = np.random.default_rng(seed).standard_normal(160) * np.exp(-np.arange(160) / 30)
    return fftconvolve(samples, echoes)[: len(samples)]


def record(seed: int, running: bool = True, faulty: bool = False, seconds: float = 1.0):
    """Return a clip (samples, 2), a hum and, of a faulty machine, a faint whine at 2.5 kHz."""
    rng, t = np.random.default_rng(seed), np.arange(round(seconds * RATE)) / RATE
    room = 0.02 * 10 ** rng.uniform(-0.4, 0.4) * rng.standard_normal(len(t))
    hum = sum(0.05 / n * np.sin(2 * np.pi * 120 * n * t + rng.uniform(0, 6)) for n in range(1, 9))
    machine = running * (hum + 0.001 * rng.standard_normal(len(t)))
    machine = machine + faulty * 0.006 * np.sin(2 * np.pi * 2500 * t)
    return np.stack([machine + _path(1, room), LEAK * machine + _path(2, room)], axis=1)


def write_clips(folder: Path, names: list[str], first: int, **what) -> Path:
    """Write a clip per name to a folder; `what` is for `record`."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        soundfile.write(folder / name, record(first + number, **what), RATE, subtype="PCM_16")
    return folder
