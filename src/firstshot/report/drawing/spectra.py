"""A waveform becomes levels of its spectrum in mel-spaced bands, in dB, for pictures.

Input: a waveform and its rate. Output: dB levels (bands, frames). They are for pictures only; the
encoders' front-ends are in `firstshot.sound`. A band's level is the mean power density between its
edges. It is computed from the running sum of the power spectrum, so bands narrower than a bin of
the transform have a level too. The mel scale is HTK's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstshot.sound.mel import hertz_to_mel, mel_to_hertz

LOWEST_LEVEL = 1e-12  # power of digital silence, -120 dB


def mel(frequency: ArrayLike) -> NDArray[np.float64]:
    """Convert Hz to mel.

    Examples
    --------
    >>> float(mel(1000.0).round())
    1000.0
    """
    return hertz_to_mel(np.asarray(frequency, np.float64), "htk")


def mel_edges(sample_rate: int, bands: int) -> NDArray[np.float64]:
    """Return the `bands + 1` edges, in Hz, of bands equally wide in mel from 0 to half the rate."""
    top = float(mel(sample_rate / 2))
    return mel_to_hertz(np.linspace(0.0, top, bands + 1), "htk")


def mel_levels(
    waveform: NDArray[np.float32], sample_rate: int, frame: int, hop: int, bands: int = 96
) -> NDArray[np.float64]:
    """Compute levels in dB, (bands, frames), with a Hann window of `frame` samples every `hop`.

    A clip shorter than one frame is padded with zeros to one.

    Examples
    --------
    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32)
    >>> levels = mel_levels(tone, 16000, frame=1024, hop=512, bands=32)
    >>> edges = mel_edges(16000, 32); loudest = int(levels.mean(axis=1).argmax())
    >>> bool(edges[loudest] <= 1000 <= edges[loudest + 1])
    True
    """
    padded = np.pad(waveform, (0, max(0, frame - waveform.size)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, frame)[::hop]
    window = np.hanning(frame).astype(np.float32)
    power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2 / np.sum(window) ** 2
    running = np.concatenate(
        [np.zeros((power.shape[0], 1)), np.cumsum(power, axis=1, dtype=np.float64)], axis=1
    )
    # Bin k covers the frequencies half a bin to both sides of k.
    places = np.clip(mel_edges(sample_rate, bands) * frame / sample_rate + 0.5, 0, power.shape[1])
    below = np.minimum(places.astype(int), power.shape[1] - 1)
    sums = running[:, below] + (places - below) * (running[:, below + 1] - running[:, below])
    density = np.diff(sums, axis=1) / np.diff(places)
    return np.asarray(10.0 * np.log10(np.maximum(density.T, LOWEST_LEVEL)))
