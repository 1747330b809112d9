"""An encoder of one's own: the level of each octave band, and how much it moves.

Input: waveforms at 16 kHz. Output: two layers on a grid of one time step by seven octaves; layer 1
is the mean level of a band in dB, layer 2 its standard deviation over frames of 32 ms.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from firstshot.encoders.clips import check_length, prepare_waveforms
from firstshot.encoders.pooling import pool_layers, resolve_layers
from firstshot.encoders.protocol import Waveforms

CENTRES_HZ = (62.5, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0)


class OctaveBands:
    """Octave band levels behind the `Encoder` protocol; `floor_db` is the least level it hears."""

    name = "octave_bands"
    sample_rate = 16000
    depth = 2
    default_layers = (1, 2)
    parameters = 0
    minimum_samples = 512

    def __init__(self, floor_db: float = -120.0) -> None:
        self.floor_db = floor_db

    @property
    def fingerprint(self) -> str:
        """Hex digest of everything that decides the output."""
        # Whatever changes the numbers changes this: a detector refuses another encoder's bank.
        return hashlib.sha256(f"octave bands 1, floor {self.floor_db}".encode()).hexdigest()

    def frequency_bands(self, layer: int) -> tuple[tuple[float, float], ...]:
        """Return the lowest and highest frequency of each band in Hz; both layers have the same."""
        return tuple((centre / 2**0.5, centre * 2**0.5) for centre in CENTRES_HZ)

    def dim(self, layer: int) -> int:
        """Return the numbers per band."""
        return 1

    def grid(self, samples: int, layer: int) -> tuple[int, int]:
        """Return (time, freq): the levels are of the whole clip."""
        check_length(samples, self.sample_rate, self.minimum_samples, self.name)
        return 1, len(CENTRES_HZ)

    def macs(self, samples: int) -> int:
        """Return the multiply-accumulates of the band sums."""
        return samples // 512 * 257 * len(CENTRES_HZ)

    def layers(
        self,
        waveforms: Waveforms,
        sample_rate: int = 16000,
        layers: Sequence[int] | None = None,
    ) -> list[NDArray[np.float32]]:
        """Return one array (clips, 1, 7, 1) per layer asked for; None means both."""
        wanted = resolve_layers((1, 2) if layers is None else layers, self.depth, self.name)
        clips = prepare_waveforms(
            waveforms, sample_rate, self.sample_rate, self.minimum_samples, self.name
        )
        # Each clip by itself, so that its numbers do not depend on the others.
        levels = [self._levels(clip) for clip in clips]
        values = {
            1: np.stack([level.mean(axis=0) for level in levels]),
            2: np.stack([level.std(axis=0) for level in levels]),
        }
        return [values[layer][:, None, :, None] for layer in wanted]

    def embed(
        self,
        waveforms: Waveforms,
        sample_rate: int = 16000,
        layers: Sequence[int] | None = None,
        pooling: str | Sequence[str] = "temporal",
    ) -> list[NDArray[np.float32]]:
        """Return one array (clips, 7) per layer asked for; None means the defaults."""
        wanted = self.default_layers if layers is None else layers
        return pool_layers(self.layers(waveforms, sample_rate, wanted), pooling)

    def _levels(self, clip: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the level (frames, octaves) in dB."""
        frames = clip[: len(clip) // 512 * 512].reshape(-1, 512)
        power = np.abs(np.fft.rfft(frames * np.hanning(512), axis=1)) ** 2
        hertz = np.fft.rfftfreq(512, 1 / self.sample_rate)
        bands = [power[:, (hertz >= low) & (hertz < high)] for low, high in self.frequency_bands(1)]
        energy = np.stack([band.sum(axis=1) for band in bands], axis=1)
        decibels = 10.0 * np.log10(np.maximum(energy, 10.0 ** (self.floor_db / 10.0)))
        return decibels.astype(np.float32)
