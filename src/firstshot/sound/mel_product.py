"""Frames become mel energies, a block of frames and a few neighbouring triangles at a time.

Input: a view of frames (frames, samples), a window, a mel bank (bins, mels). Output: float32
energies (frames, mels). It is faster than one product of whole matrices for two reasons. A block of
frames and its spectrum stay in the processor's cache. Sixteen neighbouring triangles use an eighth
of the bins, so many small products cost a quarter of one large one. A linear-algebra library starts
no threads for products this small, so each clip can have one core.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FRAMES_AT_ONCE = 128
MELS_PER_PRODUCT = 16

Bands: TypeAlias = tuple[tuple[slice, slice, NDArray[np.float32]], ...]
"""(mels, bins, weights (bins, mels)) of each group of neighbouring triangles."""


def cut_bank(bank: NDArray[np.floating]) -> Bands:
    """Cut a mel bank (bins, mels) into groups of triangles, without bins of weight 0.

    >>> bank = np.eye(40, 32)
    >>> [(mels.start, bins.start, weights.shape) for mels, bins, weights in cut_bank(bank)]
    [(0, 0, (16, 16)), (16, 16, (16, 16))]
    """
    pieces = []
    for start in range(0, bank.shape[1], MELS_PER_PRODUCT):
        mels = slice(start, min(start + MELS_PER_PRODUCT, bank.shape[1]))
        touched = np.flatnonzero(bank[:, mels].any(axis=1))
        bins = slice(int(touched[0]), int(touched[-1]) + 1) if len(touched) else slice(0, 1)
        pieces.append((mels, bins, np.ascontiguousarray(bank[bins, mels], dtype=np.float32)))
    return tuple(pieces)


def weigh(power: NDArray[np.float32], bands: Bands, out: NDArray[np.float32]) -> None:
    """Write the mel energies of a power spectrum (frames, bins) to `out` (frames, mels).

    >>> out = np.empty((1, 32), dtype=np.float32)
    >>> weigh(np.ones((1, 40), dtype=np.float32), cut_bank(np.eye(40, 32)), out)
    >>> float(out.sum())
    32.0
    """
    for mels, bins, weights in bands:
        np.matmul(power[:, bins], weights, out=out[:, mels])


def power_spectrum(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return |X|^2 (frames, samples//2 + 1) of windowed frames (frames, samples), both float32.

    >>> power_spectrum(np.ones((1, 4), dtype=np.float32)).tolist()
    [[16.0, 0.0, 0.0]]
    """
    # numpy's own transform of float32 rows is six times slower.
    from scipy import fft  # here, because whoever only counts what encoders cost needs none

    spectrum = fft.rfft(frames, axis=1)
    power: NDArray[np.float32] = np.square(spectrum.real)
    power += np.square(spectrum.imag)
    return power


def energies_of_frames(
    frames: NDArray[np.float32], window: NDArray[np.float32], bands: Bands
) -> NDArray[np.float32]:
    """Return the mel energies (frames, mels) of a view of frames (frames, samples).

    >>> energies_of_frames(np.zeros((3, 8)), np.ones(8), cut_bank(np.eye(5, 2))).tolist()
    [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """
    energies = np.empty((len(frames), bands[-1][0].stop), dtype=np.float32)
    for start in range(0, len(frames), FRAMES_AT_ONCE):
        block = slice(start, start + FRAMES_AT_ONCE)
        weigh(power_spectrum(frames[block] * window), bands, energies[block])
    return energies
