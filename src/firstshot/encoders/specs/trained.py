"""The networks that `firstshot train` makes: windows of a clip, features of a window.

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

from firstshot.encoders.specs.base import SAMPLE_RATE, Spec
from firstshot.encoders.specs.log_spectra import fine_of, lines_of, shape_of
from firstshot.encoders.specs.trained_sizes import (
    BANDS,
    FRAME,
    STEP,
    CnnGeometry,
    FmlpGeometry,
    SpecGeometry,
    TinyGeometry,
    TrainedGeometry,
    window_starts,
)
from firstshot.sound.mel import mel_energies

WINDOW_SECONDS = (0.5, 30.0)
"""The shortest and the longest window: below, the convolutions of `spec` have nothing left."""
SILENCE = 1e-9
"""The least RMS that a window is taken to have."""
TINY_FLOOR, FMLP_FLOOR = np.float32(1e-5), np.float32(1e-7)


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
