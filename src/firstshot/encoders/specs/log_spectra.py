"""Log spectra of a waveform as numbers per band: the features of `spectra`, and of a network.

Input: float32 (samples,) at 16 kHz, its mean subtracted; one shorter than a window is padded with
zeros behind. Output: float32 (bands, numbers), free of the waveform's overall level. With E the
natural logarithm of a band's power plus a floor: `shape_of` gives mean, deviation and mean step of
E in 48 bands, `fine_of` mean and deviation in 128, `lines_of` E of the mean spectrum in 192.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firstshot.sound.mel import MelSpec, mel_energies

POWER_FLOOR = np.float32(1e-10)
SHAPE = MelSpec(512, 48, 50.0, 7800.0, scale="htk", area=False, hop=160, fill=True)
FINE = MelSpec(1024, 128, 20.0, 7900.0, scale="htk", area=False, hop=256, fill=True)
LINES = MelSpec(8192, 192, 20.0, 7900.0, scale="log", area=False, hop=2048, fill=True)


def shape_of(
    centred: NDArray[np.float32], floor: np.float32 = POWER_FLOOR, less: int = 0
) -> NDArray[np.float32]:
    """Return mean, deviation and mean step (48, 3); deviations are by frames - `less`.

    >>> shape_of(np.ones(16000, dtype=np.float32)).shape
    (48, 3)
    """
    power = _energies(centred, SHAPE) + floor
    energies = np.log(power)
    level = np.log(power.mean(dtype=np.float64)).astype(np.float32)
    steps = np.abs(np.diff(energies, axis=0)).sum(axis=0) / max(1, len(energies) - 1)
    deviations = energies.std(axis=0, ddof=less)
    return np.stack([energies.mean(axis=0) - level, deviations, steps], axis=1)


def fine_of(
    centred: NDArray[np.float32], floor: np.float32 = POWER_FLOOR, less: int = 0
) -> NDArray[np.float32]:
    """Return mean and deviation (128, 2); deviations are by frames - `less`."""
    energies = np.log(_energies(centred, FINE) + floor)
    means = energies.mean(axis=0)
    level = np.log(np.exp(means).mean(dtype=np.float64)).astype(np.float32)
    return np.stack([means - level, energies.std(axis=0, ddof=less)], axis=1)


def lines_of(centred: NDArray[np.float32], floor: np.float32 = POWER_FLOOR) -> NDArray[np.float32]:
    """Return the logarithms of the mean spectrum (192, 1), relative to their mean."""
    power = _energies(centred, LINES).mean(axis=0) + floor
    energies = np.log(power)
    lines: NDArray[np.float32] = (energies - energies.mean())[:, np.newaxis]
    return lines


def _energies(centred: NDArray[np.float32], bank: MelSpec) -> NDArray[np.float32]:
    """Return the power (frames, bands), without the floor."""
    padded = np.pad(centred, (0, max(0, bank.window - len(centred))))
    return mel_energies(padded, bank, centred=False)
