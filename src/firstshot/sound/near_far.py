"""Near minus far: a machine's sound with the room's taken off by a second microphone.

Input: two channels, near (at the machine) and far (in the room), float32 (samples,). Output: near
minus what the far channel explains of it, float32 (samples,). In each frequency the far channel F
explains H F of the near channel N, with the least-squares transfer function

    H_f = sum_t N conj(F) / (sum_t |F|^2 + 1e-12)

over the frames of short-time spectra (1024 samples, periodic Hann, every 512, centred). H is fitted
either on the clip itself (`per clip`), which also cancels the machine where it leaks into the far
channel, or once on recordings of noise alone, machine off (`fit_transfer`), which does not.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from firstshot.errors import SoundError

WINDOW, HOP = 1024, 512
BINS = WINDOW // 2 + 1
PEAK = 0.9
LEAST_POWER = 1e-12
LEAST_SAMPLES = WINDOW // 2 + 1
"""The shortest clip that can be padded by reflection."""


def subtract_far(
    near: NDArray[np.float32],
    far: NDArray[np.float32],
    transfer: NDArray[np.complex128] | None = None,
) -> NDArray[np.float32]:
    """Return near minus what far explains of it.

    Parameters
    ----------
    near, far : float32 (samples,)
        Recorded at once, at least 513 samples.
    transfer : complex128 (513,), optional
        From `fit_transfer`; None fits it on this clip.

    Raises
    ------
    SoundError
        The channels differ in length, or are too short.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    >>> cleaned = subtract_far(0.5 * noise, noise)
    >>> bool(np.abs(cleaned).max() < 1e-4)
    True
    """
    _check(near, far)
    scale = PEAK / max(float(np.abs(near).max()), float(np.abs(far).max()), 1e-30)
    of_near, of_far = _spectra(near * scale), _spectra(far * scale)
    if transfer is None:
        transfer = _least_squares(*_sums(of_near, of_far))
    return _waveform(of_near - transfer * of_far, len(near)) / np.float32(scale)


def fit_transfer(
    clips: Iterable[tuple[NDArray[np.float32], NDArray[np.float32]]],
) -> NDArray[np.complex128]:
    """Return H (513,) fitted on pairs (near, far) of noise alone, the machine off.

    Raises `SoundError` where there is no pair, or one as in `subtract_far`.
    """
    cross, power = np.zeros(BINS, dtype=np.complex128), np.zeros(BINS)
    count = 0
    for near, far in clips:
        _check(near, far)
        own_cross, own_power = _sums(_spectra(near), _spectra(far))
        cross, power, count = cross + own_cross, power + own_power, count + 1
    if not count:
        raise SoundError("no recordings of noise alone were given; give at least one")
    return _least_squares(cross, power)


def _check(near: NDArray[np.float32], far: NDArray[np.float32]) -> None:
    if near.shape != far.shape or near.ndim != 1:
        raise SoundError(
            f"near has the shape {near.shape} and far {far.shape}; expected two channels "
            "(samples,) of one recording"
        )
    if len(near) < LEAST_SAMPLES:
        raise SoundError(
            f"a recording of {len(near)} samples is too short for near minus far; "
            f"expected at least {LEAST_SAMPLES}"
        )


def _sums(
    near: NDArray[np.complex64], far: NDArray[np.complex64]
) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Return the cross spectrum and the far channel's power, summed over frames."""
    cross = np.einsum("tf,tf->f", near, far.conj(), dtype=np.complex128)
    power = np.einsum("tf,tf->f", far, far.conj(), dtype=np.complex128).real
    return cross, power


def _least_squares(
    cross: NDArray[np.complex128], power: NDArray[np.float64]
) -> NDArray[np.complex128]:
    transfer: NDArray[np.complex128] = cross / (power + LEAST_POWER)
    return transfer


def _window() -> NDArray[np.float32]:
    return (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)


def _spectra(samples: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Return the short-time spectra (frames, 513), frames centred on multiples of the hop."""
    from scipy import fft

    padded = np.pad(samples.astype(np.float32), WINDOW // 2, mode="reflect")
    frames = sliding_window_view(padded, WINDOW)[::HOP] * _window()
    spectra: NDArray[np.complex64] = fft.rfft(frames, axis=1)
    return spectra


def _waveform(spectra: NDArray[np.complex128], samples: int) -> NDArray[np.float32]:
    """Return the waveform (samples,) of short-time spectra: overlapping frames added up."""
    from scipy import fft

    window = _window()
    frames = fft.irfft(spectra.astype(np.complex64), WINDOW, axis=1) * window
    length = (len(frames) - 1) * HOP + WINDOW
    total, weight = np.zeros(length, dtype=np.float32), np.zeros(length, dtype=np.float32)
    for number, frame in enumerate(frames):
        part = slice(number * HOP, number * HOP + WINDOW)
        total[part] += frame
        weight[part] += window**2
    inside = slice(WINDOW // 2, WINDOW // 2 + samples)
    kept = np.zeros(samples, dtype=np.float32)
    ended = total[inside] / np.maximum(weight[inside], np.float32(1e-8))
    kept[: len(ended)] = ended
    return kept
