"""The networks that `firstshot train` makes: windows of a clip, features of a window, counts.

Input: a waveform (samples,) of any length at 16 kHz. Output of the front-end: (windows, values).
A clip of L samples has ceil(L / window) windows, evenly spaced; one shorter than a window is
repeated until it fills it. Of a window the mean is removed, and its RMS is scaled to 1 (`fmlp`:
0.1), because the level must not name the machine. One layer has one unit vector per window, whose
mean is the clip's embedding.

| recipe | features of a window of n samples | network |
|---|---|---|
| `spec` | abs(rfft), bins 1 to n/2, / sqrt(n) | convolutions along frequency, products |
| `fmlp` | `log_spectra`: shape, fine shape, lines (592 values) | two products |
| `tiny` | 64 log-mel bands, 1024/512, relative to the mean power | depthwise convolutions |
| `cnn` | `spec`'s, and the magnitudes of an STFT, 1024/512 | `spec` beside a residual network |
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from firstshot.encoders.specs.base import SAMPLE_RATE, Geometry, Spec
from firstshot.encoders.specs.log_spectra import fine_of, lines_of, shape_of
from firstshot.sound.mel import MelSpec, mel_energies

EMBEDDING = 128
WINDOW_SECONDS = (0.5, 30.0)
"""The shortest and the longest window: below, the convolutions of `spec` have nothing left."""
SHORTEST_CLIP = 1024
FRAME, STEP = 1024, 512
SILENCE = 1e-9
"""The least RMS that a window is taken to have."""
BANDS = MelSpec(FRAME, 64, 50.0, 7800.0, scale="htk", area=False, hop=STEP)
TINY_FLOOR, FMLP_FLOOR = np.float32(1e-5), np.float32(1e-7)
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


def repeated(waveform: NDArray[np.float32], samples: int) -> NDArray[np.float32]:
    """Return a waveform of at least that many samples: itself, or repeated until it is as long.

    >>> repeated(np.arange(3, dtype=np.float32), 4).tolist()
    [0.0, 1.0, 2.0, 0.0]
    """
    return waveform if len(waveform) >= samples else np.resize(waveform, samples)


def with_level(window: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a window whose mean is 0 and whose RMS is 1; silence stays silent.

    >>> with_level(np.array([1.0, 3.0], dtype=np.float32)).tolist()
    [-1.0, 1.0]
    """
    centred = window - window.mean(dtype=np.float64).astype(np.float32)
    rms = float(np.sqrt(np.mean(np.square(centred, dtype=np.float64))))
    level: NDArray[np.float32] = centred * np.float32(1.0 / max(rms, SILENCE))
    return level


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


@dataclass(frozen=True)
class Windows:
    """What a trained network takes instead of a mel spectrogram: windows by values."""

    mels: int
    sample_rate: int = SAMPLE_RATE


@dataclass(frozen=True)
class TrainedSpec(Spec):
    """A trained network without its weights; a subclass per recipe has its features."""

    mel: Any = None
    default_layers: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mel", Windows(self.geometry.mels))
        super().__post_init__()

    @property
    def window(self) -> int:
        """Samples of a window."""
        geometry = self.geometry
        assert isinstance(geometry, TrainedGeometry)
        return geometry.window

    def spectrogram(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the features (windows, values) of a clip's windows."""
        clip = repeated(waveform, self.window)
        starts = window_starts(len(clip), self.window)
        return np.stack([self.features(clip[at : at + self.window]) for at in starts])

    def features(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the features (values,) of one window (samples,)."""
        return self._features_of(with_level(window))

    @abstractmethod
    def _features_of(self, level: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the features of a window whose mean is 0 and whose RMS is 1."""

    def front_end_constants(self) -> dict[str, Any]:
        """Return what decides a window's features besides its length."""
        return {"sample_rate": SAMPLE_RATE, "frame": FRAME, "step": STEP, "silence": SILENCE}

    def frequency_bands(self, layer: int) -> tuple[tuple[float, float], ...]:
        """Return one row, of all frequencies."""
        return ((0.0, SAMPLE_RATE / 2),)


class SpecSpec(TrainedSpec):
    """The magnitudes of a window's spectrum."""

    family: ClassVar[str] = "trained_spec"

    def _features_of(self, level: NDArray[np.float32]) -> NDArray[np.float32]:
        return _spectrum(level)


class FmlpSpec(TrainedSpec):
    """Shape, fine shape and lines of a window's log spectra, at an RMS of 0.1."""

    family: ClassVar[str] = "trained_fmlp"

    def _features_of(self, level: NDArray[np.float32]) -> NDArray[np.float32]:
        quiet = level * np.float32(0.1)
        parts = [shape_of(quiet, FMLP_FLOOR, 1), fine_of(quiet, FMLP_FLOOR, 1)]
        return np.concatenate([part.reshape(-1) for part in (*parts, lines_of(quiet, FMLP_FLOOR))])

    def front_end_constants(self) -> dict[str, Any]:
        """Return what decides a window's features besides its length."""
        return {**super().front_end_constants(), "rms": 0.1, "floor": float(FMLP_FLOOR)}


class TinySpec(TrainedSpec):
    """Log-mel bands of a window, relative to their mean power."""

    family: ClassVar[str] = "trained_tiny"

    def _features_of(self, level: NDArray[np.float32]) -> NDArray[np.float32]:
        power = mel_energies(level, BANDS, centred=False)
        mean = np.float32(max(power.mean(dtype=np.float64), SILENCE))
        logarithms: NDArray[np.float32] = np.log(power / mean + TINY_FLOOR).reshape(-1)
        return logarithms

    def front_end_constants(self) -> dict[str, Any]:
        """Return what decides a window's features besides its length."""
        bands = {"low": BANDS.low, "high": BANDS.high, "floor": float(TINY_FLOOR)}
        return {**super().front_end_constants(), **bands}


class CnnSpec(TrainedSpec):
    """A window's spectrum, then its short-time magnitudes, whose means over time are removed."""

    family: ClassVar[str] = "trained_cnn"

    def _features_of(self, level: NDArray[np.float32]) -> NDArray[np.float32]:
        from scipy import fft

        window = np.hanning(FRAME + 1)[:-1].astype(np.float32)
        frames = sliding_window_view(level, FRAME)[::STEP] * window
        magnitudes = np.abs(fft.rfft(frames, axis=1))
        changes = magnitudes - magnitudes.mean(axis=0)
        return np.concatenate([_spectrum(level), changes.reshape(-1)])


def _spectrum(level: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return abs(rfft) of bins 1 to n/2 of n samples, / sqrt(n)."""
    from scipy import fft  # here, because whoever only counts what encoders cost needs none

    spectrum: NDArray[np.float32] = np.abs(fft.rfft(level))[1:] / np.float32(np.sqrt(len(level)))
    return spectrum


RECIPES: dict[str, tuple[type[TrainedSpec], type[TrainedGeometry]]] = {
    "spec": (SpecSpec, SpecGeometry),
    "fmlp": (FmlpSpec, FmlpGeometry),
    "tiny": (TinySpec, TinyGeometry),
    "cnn": (CnnSpec, CnnGeometry),
}
"""What `firstshot train --recipe` knows."""


def trained_spec(recipe: str, window: int = SAMPLE_RATE, name: str = "") -> TrainedSpec:
    """Return the spec of a recipe's network for windows of that many samples.

    >>> trained_spec("fmlp").front_end(np.ones(40000, dtype=np.float32)).shape
    (3, 592)
    """
    kind, geometry = RECIPES[recipe]
    return kind(name or f"trained_{recipe}", geometry(window))
