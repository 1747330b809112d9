"""Near minus far: a machine's sound without that of the room, which a second microphone records.

Input: blocks (samples, 2) of a recording, channel 0 near (at the machine), channel 1 far (in the
room), at one rate. Output: near minus what the far channel explains of it, in blocks (samples,). At
each frequency the far channel F explains H F of the near channel N, where

    H_f = sum_t N conj(F) / (sum_t |F|^2 + 1e-12)

is the least-squares solution over the frames of short-time spectra (windows of 64 ms, which is 1024
samples at 16 kHz, periodic Hann, every 32 ms, centred), the peak of both channels scaled to 0.9.
H is fitted on the recording itself, which also cancels the machine where it leaks into the far
channel, or once on recordings of noise alone, the machine off, which does not.

A recording may have any length: frames are worked on 64 at a time, whatever the blocks are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from firstshot.errors import ParameterError, SoundError

HOP_SECONDS = 0.032
FRAMES_AT_ONCE = 64
PEAK = 0.9
LEAST_POWER = 1e-12
NEAR_FAR: Final = "near-far"
LARGEST_VALUE = 1e9
"""Far would have to be 180 dB below near: a larger H is damaged."""
NOTHING_LEFT = 1e-4
"""Far explains all but this share of near's power only where both channels hold one sound."""


@dataclass(frozen=True)
class Transfer:
    """What the far channel explains of the near one, at each frequency.

    Attributes
    ----------
    values : tuple of complex
        H at the frequencies from 0 to half the rate, `count_bins(sample_rate)` of them.
    sample_rate : int
        Rate in Hz of the recordings that it fits.
    """

    values: tuple[complex, ...] = field(repr=False)
    sample_rate: int

    @classmethod
    def from_array(cls, parts: NDArray[np.float64], sample_rate: int) -> Transfer:
        """Return H of its real and imaginary parts (2, bins); ValueError where they cannot be H."""
        if parts.shape != (2, count_bins(sample_rate)) or not np.abs(parts).max() <= LARGEST_VALUE:
            raise ValueError(
                f"the array transfer has the shape {parts.shape}, expected "
                f"{(2, count_bins(sample_rate))} and values of at most {LARGEST_VALUE:.0e}"
            )
        return cls(tuple((parts[0] + 1j * parts[1]).tolist()), sample_rate)

    def to_array(self) -> NDArray[np.float64]:
        """Return the real and the imaginary parts of H (2, bins)."""
        values = np.array(self.values, dtype=np.complex128)
        return np.stack([values.real, values.imag])

    def at(self, sample_rate: int) -> Transfer:
        """Return H for recordings of a lower rate: its lower frequencies.

        Raises
        ------
        ParameterError
            The rate is higher; nothing is known of the frequencies above half the own one.
        """
        if sample_rate > self.sample_rate:
            raise ParameterError(
                f"far_noise: fitted at {self.sample_rate} Hz, needed at {sample_rate} Hz; fit it "
                f"at {sample_rate} Hz"
            )
        return Transfer(self.values[: count_bins(sample_rate)], sample_rate)

    def __str__(self) -> str:
        digest = hashlib.sha256(np.array(self.values, dtype="<c16").tobytes()).hexdigest()
        return f"near-far:{self.sample_rate}:{digest}"


def count_bins(sample_rate: int) -> int:
    """Return at how many frequencies H is fitted.

    >>> count_bins(16000)
    513
    """
    return _hop(sample_rate) + 1


def fit_transfer(recordings: Iterable[Iterable[NDArray[np.float32]]], sample_rate: int) -> Transfer:
    """Return H fitted on recordings, each as blocks (samples, 2) at `sample_rate` Hz.

    Raises
    ------
    SoundError
        There is no recording, or one is shorter than a window of 64 ms.

    Examples
    --------
    >>> far = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    >>> transfer = fit_transfer([[np.stack([0.5 * far, far], axis=1)]], 16000)
    >>> round(abs(transfer.values[100]), 3)
    0.5
    """
    bins = count_bins(sample_rate)
    cross, power, peak = np.zeros(bins, dtype=np.complex128), np.zeros(bins), 0.0
    frames = None
    for blocks in recordings:
        for frames in _frames(blocks, _hop(sample_rate)):
            near, far = _spectra(frames)
            cross += np.einsum("tf,tf->f", near, far.conj(), dtype=np.complex128)
            power += np.einsum("tf,tf->f", far, far.conj(), dtype=np.complex128).real
            peak = max(peak, float(np.abs(frames).max()))
    if frames is None:
        raise SoundError("no recordings of noise alone were given; give at least one")
    # Scaling both channels to PEAK is the same as scaling the constant.
    least = max(LEAST_POWER * (peak / PEAK) ** 2, np.finfo(np.float64).tiny)
    return Transfer(tuple((cross / (power + least)).tolist()), sample_rate)


def subtract_far(
    blocks: Iterable[NDArray[np.float32]],
    transfer: Transfer,
    note: Callable[[str], object] = lambda text: None,
) -> Iterator[NDArray[np.float32]]:
    """Yield near minus H far in blocks (samples,), as many samples as `blocks` (samples, 2) have.

    `note` is called at the end where far is silent, or where nothing is left: why, and what to do.

    Raises
    ------
    SoundError
        The recording is shorter than a window of 64 ms.

    Examples
    --------
    >>> far = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    >>> clip = np.stack([0.5 * far, far], axis=1)
    >>> (cleaned,) = subtract_far([clip], fit_transfer([[clip]], 16000))
    >>> cleaned.shape, bool(np.abs(cleaned).max() < 1e-4)
    ((16000,), True)
    """
    hop, window = _hop(transfer.sample_rate), _window(_hop(transfer.sample_rate))
    weight = window[:hop] ** 2 + window[hop:] ** 2
    samples, energies, left = 0, np.zeros(2), 0.0

    def counted() -> Iterator[NDArray[np.float32]]:
        nonlocal samples, energies
        for block in blocks:
            samples += len(block)
            energies += _energy(block)
            yield block

    tail, given = None, 0
    for waves in _cleaned(_frames(counted(), hop, to_the_end=True), transfer):
        ends = waves[:, hop:]
        # The first half of the first frame is padding.
        before = ends[:-1] if tail is None else np.concatenate([tail, ends[:-1]])
        cleaned = ((before + waves[len(waves) - len(before) :, :hop]) / weight).reshape(-1)
        cleaned, tail = cleaned[: samples - given], ends[-1:]
        given, left = given + len(cleaned), left + float(_energy(cleaned))
        if len(cleaned):
            yield cleaned
    of_near, of_far = energies
    if of_far == 0.0 < of_near:
        note("its far channel (1) is silent, so nothing is subtracted; check the microphone")
    elif left < NOTHING_LEFT * of_near:
        note(
            "near minus far leaves nothing of it: both channels hold the same sound (one channel "
            "saved twice); fit with --channel 0"
        )


def _cleaned(
    batches: Iterable[NDArray[np.float32]], transfer: Transfer
) -> Iterator[NDArray[np.float32]]:
    """Yield frames (frames, window) of near minus H far, windowed to be added up."""
    from scipy import fft

    explained = np.array(transfer.values, dtype=np.complex64)
    for frames in batches:
        near, far = _spectra(frames)
        size = frames.shape[2]
        yield fft.irfft(near - explained * far, size, axis=1) * _window(size // 2)


def _hop(sample_rate: int) -> int:
    return max(1, round(HOP_SECONDS * sample_rate))


def _window(hop: int) -> NDArray[np.float32]:
    return (0.5 - 0.5 * np.cos(np.pi * np.arange(2 * hop) / hop)).astype(np.float32)


def _energy(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the sum of squares of samples (samples,), or of each channel (samples, channels)."""
    return np.asarray(np.einsum("i...,i...->...", samples, samples, dtype=np.float64))


def _spectra(frames: NDArray[np.float32]) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
    """Return the spectra (frames, bins) of near and far of frames (frames, 2, window)."""
    from scipy import fft

    spectra: NDArray[np.complex64] = fft.rfft(frames * _window(frames.shape[2] // 2), axis=2)
    return spectra[:, 0], spectra[:, 1]


def _frames(
    blocks: Iterable[NDArray[np.float32]], hop: int, to_the_end: bool = False
) -> Iterator[NDArray[np.float32]]:
    """Yield a recording's frames (frames, 2, 2 * hop), centred on multiples of the hop.

    The recording is padded by reflection. With `to_the_end` its last samples too lie in two frames,
    as all others do.
    """
    held = np.empty((0, 2), dtype=np.float32)
    samples, begun = 0, False
    for block in blocks:
        held, samples = np.concatenate([held, block]), samples + len(block)
        if not begun and samples > 2 * hop:
            held, begun = np.concatenate([held[hop:0:-1], held]), True
        while begun and len(held) > (FRAMES_AT_ONCE + 2) * hop:  # the rest can be reflected
            yield _cut(held[: (FRAMES_AT_ONCE + 1) * hop], hop)
            held = held[FRAMES_AT_ONCE * hop :]
    if not begun:
        raise SoundError(
            f"a recording of {samples} samples is too short for near minus far; expected more than "
            f"{2 * hop}"
        )
    padding = hop + (-samples % hop if to_the_end else 0)
    frames = _cut(np.concatenate([held, held[-2 : -padding - 2 : -1]]), hop)
    for first in range(0, len(frames), FRAMES_AT_ONCE):
        yield frames[first : first + FRAMES_AT_ONCE]


def _cut(samples: NDArray[np.float32], hop: int) -> NDArray[np.float32]:
    return sliding_window_view(samples, 2 * hop, axis=0)[::hop]
