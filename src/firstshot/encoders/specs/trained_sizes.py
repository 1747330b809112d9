"""The sizes and the costs of the networks that `firstshot train` makes.

Input: samples of a window, and of a clip. Output: shapes, multiply-accumulates and parameters, as
exact integers. What the networks are is in `trained`.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstshot.encoders.specs.base import SAMPLE_RATE, Geometry
from firstshot.sound.mel import MelSpec

EMBEDDING = 128
SHORTEST_CLIP = 1024
FRAME, STEP = 1024, 512
BANDS = MelSpec(FRAME, 64, 50.0, 7800.0, scale="htk", area=False, hop=STEP)
SPECTRUM_KERNELS = ((1, 32, 128, 32), (32, 64, 32, 8), (64, 64, 8, 4))
"""Inputs, outputs, kernel and stride of `spec`'s convolutions."""
TINY_FIRST = 16
TINY_BLOCKS = ((16, 24, 2), (24, 32, 1), (32, 32, 1), (32, 64, 2), (64, 64, 1))
"""Inputs, outputs and stride of `tiny`'s depthwise-separable blocks."""
FMLP_HIDDEN = 256
RESIDUAL_FIRST = 8
RESIDUAL_BLOCKS = ((8, 8, 1), (8, 16, 2), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2))
"""Inputs, outputs and stride of `cnn`'s residual blocks."""


def squeezed(channels: int) -> int:
    """Return the hidden values of a squeeze-excitation.

    >>> squeezed(64), squeezed(8)
    (4, 2)
    """
    return max(channels // 16, 2)


def halved(size: int) -> int:
    """Return the steps of a padded convolution or pooling of stride 2.

    >>> halved(64), halved(513)
    (32, 257)
    """
    return (size + 1) // 2


def window_starts(samples: int, window: int) -> NDArray[np.int64]:
    """Return where the evenly spaced windows of a clip begin.

    >>> window_starts(40000, 16000).tolist(), window_starts(9000, 16000).tolist()
    ([0, 12000, 24000], [0])
    """
    count = max(1, -(-samples // window))
    return np.linspace(0, max(0, samples - window), count).round().astype(np.int64)


@dataclass(frozen=True)
class TrainedGeometry(Geometry):
    """The sizes of a network of a recipe, for windows of `window` samples."""

    window: int = SAMPLE_RATE

    @property
    def depth(self) -> int:
        """One layer: the embeddings of the windows."""
        return 1

    @property
    @abstractmethod
    def mels(self) -> int:
        """Values of a window's features."""

    @property
    def minimum_samples(self) -> int:
        """The shortest clip; it is repeated until it fills a window."""
        return SHORTEST_CLIP

    @property
    def frames(self) -> int:
        """Frames of the short-time spectra of a window."""
        return 1 + (self.window - FRAME) // STEP

    def dim_of(self, layer: int) -> int:
        """Return the values of an embedding."""
        return EMBEDDING

    def grid(self, samples: int, layer: int) -> tuple[int, int]:
        """Return (windows, 1)."""
        return len(window_starts(samples, self.window)), 1

    @abstractmethod
    def window_macs(self) -> int:
        """Return the multiply-accumulates of the learned layers for one window."""

    def macs(self, samples: int, attention: bool = False) -> int:
        """Return the MACs of the learned layers for one clip; there is no attention."""
        return self.grid(samples, 1)[0] * self.window_macs()

    def macs_up_to(self, layer: int, samples: int) -> int:
        """Return the MACs of one clip."""
        return self.macs(samples)

    def counted_parameters(self) -> int:
        """Return the learned values, which are all there are."""
        return self.learned_parameters()

    def working_values(self, samples: int) -> int:
        """Return about how many values are held: features, and those of the widest layer."""
        return self.grid(samples, 1)[0] * 4 * max(self.mels, 32 * 250)


@dataclass(frozen=True)
class SpecGeometry(TrainedGeometry):
    """`spec`: three convolutions over the bins of a spectrum, then three products.

    >>> geometry = SpecGeometry()
    >>> geometry.learned_parameters(), round(geometry.macs(160000) / 1e9, 3)
    (177280, 0.03)
    """

    @property
    def mels(self) -> int:
        """Bins 1 to n/2."""
        return self.window // 2

    @property
    def lengths(self) -> tuple[int, ...]:
        """Steps along frequency after each convolution."""
        found, length = [], self.mels
        for *_, kernel, stride in SPECTRUM_KERNELS:
            length = (length - kernel) // stride + 1
            found.append(length)
        return tuple(found)

    @property
    def flat(self) -> int:
        """Values after the convolutions."""
        return SPECTRUM_KERNELS[-1][1] * self.lengths[-1]

    def window_macs(self) -> int:
        """Return the MACs for one window."""
        convolutions = sum(
            steps * inputs * outputs * kernel
            for steps, (inputs, outputs, kernel, _) in zip(
                self.lengths, SPECTRUM_KERNELS, strict=True
            )
        )
        return convolutions + self._products()

    def learned_parameters(self) -> int:
        """Return the learned values."""
        return sum(a * b * kernel for a, b, kernel, _ in SPECTRUM_KERNELS) + self._products()

    def _products(self) -> int:
        squeezes = sum(2 * out * squeezed(out) for _, out, *_ in SPECTRUM_KERNELS)
        return squeezes + EMBEDDING * (self.flat + 2 * EMBEDDING)


@dataclass(frozen=True)
class FmlpGeometry(TrainedGeometry):
    """`fmlp`: two products of log spectra.

    >>> FmlpGeometry().learned_parameters()
    184320
    """

    @property
    def mels(self) -> int:
        """Shape (48 x 3), fine shape (128 x 2) and lines (192)."""
        return 48 * 3 + 128 * 2 + 192

    def window_macs(self) -> int:
        """Return the MACs for one window."""
        return self.learned_parameters()

    def learned_parameters(self) -> int:
        """Return the learned values."""
        return FMLP_HIDDEN * (self.mels + EMBEDDING)


@dataclass(frozen=True)
class TinyGeometry(TrainedGeometry):
    """`tiny`: depthwise-separable convolutions of a log-mel spectrogram.

    >>> geometry = TinyGeometry()
    >>> geometry.learned_parameters(), round(geometry.macs(160000) / 1e9, 4)
    (141048, 0.0079)
    """

    @property
    def mels(self) -> int:
        """Frames by 64 bands."""
        return self.frames * BANDS.mels

    @property
    def pooled(self) -> int:
        """Values after pooling: mean and deviation over time of every channel and row."""
        rows = BANDS.mels
        for *_, stride in ((TINY_FIRST, 2), *TINY_BLOCKS):
            rows = halved(rows) if stride == 2 else rows
        return 2 * TINY_BLOCKS[-1][1] * rows

    def window_macs(self) -> int:
        """Return the MACs for one window."""
        time, rows = halved(self.frames), halved(BANDS.mels)
        total = time * rows * 9 * TINY_FIRST
        for inputs, outputs, stride in TINY_BLOCKS:
            time, rows = (halved(time), halved(rows)) if stride == 2 else (time, rows)
            total += time * rows * inputs * (9 + outputs)
        return total + self.pooled * EMBEDDING

    def learned_parameters(self) -> int:
        """Return the learned values."""
        blocks = sum(inputs * (9 + outputs) for inputs, outputs, _ in TINY_BLOCKS)
        return 9 * TINY_FIRST + blocks + self.pooled * EMBEDDING


@dataclass(frozen=True)
class CnnGeometry(TrainedGeometry):
    """`cnn`: the network of `spec` beside a residual network of a spectrogram.

    >>> geometry = CnnGeometry()
    >>> geometry.learned_parameters(), geometry.dim_of(1)
    (417320, 256)
    """

    @property
    def spectrum(self) -> SpecGeometry:
        """The first branch."""
        return SpecGeometry(self.window)

    @property
    def bins(self) -> int:
        """Rows of the spectrogram."""
        return FRAME // 2 + 1

    @property
    def mels(self) -> int:
        """The spectrum, then frames by bins."""
        return self.spectrum.mels + self.frames * self.bins

    def dim_of(self, layer: int) -> int:
        """Return the values of both branches."""
        return 2 * EMBEDDING

    @property
    def pooled(self) -> int:
        """Values after the maximum over time: every channel and row."""
        return RESIDUAL_BLOCKS[-1][1] * self._grids()[-1][1]

    def _grids(self) -> list[tuple[int, int]]:
        """Return (time, rows) after the first convolution, its pooling, and each block."""
        grids = [(halved(self.frames), halved(self.bins))]
        for stride in (2, *(stride for *_, stride in RESIDUAL_BLOCKS)):
            time, rows = grids[-1]
            grids.append((halved(time), halved(rows)) if stride == 2 else (time, rows))
        return grids

    def window_macs(self) -> int:
        """Return the MACs for one window."""
        (time, rows), _, *grids = self._grids()
        total = time * rows * 49 * RESIDUAL_FIRST + self.pooled * EMBEDDING
        for (time, rows), (inputs, outputs, stride) in zip(grids, RESIDUAL_BLOCKS, strict=True):
            total += time * rows * self._kernels(inputs, outputs, stride)
            total += 2 * outputs * squeezed(outputs)
        return total + self.spectrum.window_macs()

    def learned_parameters(self) -> int:
        """Return the learned values."""
        blocks = sum(
            self._kernels(inputs, outputs, stride) + 2 * outputs * squeezed(outputs)
            for inputs, outputs, stride in RESIDUAL_BLOCKS
        )
        own = 49 * RESIDUAL_FIRST + blocks + self.pooled * EMBEDDING
        return own + self.spectrum.learned_parameters()

    @staticmethod
    def _kernels(inputs: int, outputs: int, stride: int) -> int:
        return 9 * outputs * (inputs + outputs) + (inputs * outputs if stride == 2 else 0)
