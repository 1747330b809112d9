"""EfficientAT `mn04` and `mn10`: their stages, their front-end at 32 kHz and their costs.

Input: a waveform (samples,) at 32 kHz. Output of the front-end: log-mel (frames, 128). Source:
EfficientAT (Schmid et al. 2023), MobileNetV3 (Howard et al. 2019), as the published code has it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from firstshot.encoders.specs.base import CLASSES, Geometry, Spec, check_choice
from firstshot.sound.mel_product import Bands, cut_bank, energies_of_frames
from firstshot.sound.spectrogram import KaldiMel, mel_bank, row_bands

RATE, FFT, WINDOW, HOP, MELS = 32000, 1024, 800, 320, 128
PREEMPHASIS = np.float32(0.97)
FLOOR, OFFSET, DIVISOR = np.float32(1e-5), np.float32(4.5), np.float32(5.0)
MEL = KaldiMel("hanning", mels=MELS, low=0.0, high=15000.0, fft=FFT, hop=HOP, sample_rate=RATE)

_STAGES = (
    # kernel, expanded, out, squeeze-excitation, hard-swish, stride
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)
_FIRST, _LAST_TIMES, _SQUEEZE = 16, 6, 4
LEVELS = ("kept", "rms")
NORM_EPS = 1e-3
"""Added to the variances of the network's batch norms."""
RMS, SILENCE = 0.1, 1e-9
"""The RMS that `level="rms"` scales a clip to, and the least that a clip is taken to have."""
COPIES = 3
"""Of a stage's values: a convolution's input, its output, and the output normalised."""


def round_to_8(value: float) -> int:
    """Return the nearest multiple of 8, at least 8, one step up where 10 % would be lost.

    >>> [round_to_8(value) for value in (6.4, 9.6, 16.0, 44.8, 268.8)]
    [8, 16, 16, 48, 272]
    """
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


@dataclass(frozen=True)
class Stage:
    """A stage: an inverted residual, or for the first and the last one a plain convolution.

    `squeezed` are the hidden values of the squeeze-excitation, 0 where there is none; `hard` says
    hard-swish instead of ReLU.
    """

    kernel: int
    inputs: int
    expanded: int
    outputs: int
    squeezed: int
    hard: bool
    stride: int

    @property
    def plain(self) -> bool:
        """Whether the stage is a plain convolution: the first, from one channel, and the last."""
        return self.kernel == 1 or self.inputs == 1

    @property
    def expands(self) -> bool:
        """Whether the stage begins with a convolution to more channels."""
        return not self.plain and self.expanded != self.inputs

    @property
    def residual(self) -> bool:
        """Whether the stage adds its input to its output."""
        return not self.plain and self.stride == 1 and self.inputs == self.outputs

    def macs(self, before: int, after: int) -> int:
        """Return the multiply-accumulates for grids of that many places before and after."""
        if self.plain:
            return after * self.inputs * self.outputs * self.kernel**2
        expansion = before * self.inputs * self.expanded if self.expands else 0
        filters = after * self.expanded * (self.kernel**2 + self.outputs)
        return expansion + filters + 2 * self.expanded * self.squeezed

    @property
    def parameters(self) -> int:
        """Number of learned values, those of the norms too."""
        if self.plain:
            return self.outputs * (self.inputs * self.kernel**2 + 2)
        expansion = self.expanded * (self.inputs + 2) if self.expands else 0
        filters = self.expanded * (self.kernel**2 + 2) + self.outputs * (self.expanded + 2)
        squeeze = 2 * self.expanded * self.squeezed + self.expanded + self.squeezed
        return expansion + filters + (squeeze if self.squeezed else 0)


@dataclass(frozen=True)
class EfficientAtGeometry(Geometry):
    """The stages of a network; `width` multiplies the channels of a MobileNetV3.

    >>> MN04.dim_of(7), MN04.dim_of(9), MN04.dim_of(13), MN04.dim_of(17)
    (16, 32, 48, 384)
    >>> MN04.grid(320000, 9), MN04.grid(16000, 17)
    ((63, 8), (2, 4))
    >>> MN04.macs(320000), MN04.counted_parameters()
    (110643072, 983599)
    """

    width: float = 0.4

    depth = 2 + len(_STAGES)
    mels = MELS
    minimum_samples = FFT // 2 + 2

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The 17 stages."""
        inputs = round_to_8(self.width * _FIRST)
        found = [Stage(3, 1, 1, inputs, 0, True, 2)]
        for kernel, expanded, out, squeeze, hard, stride in _STAGES:
            wide, outputs = round_to_8(self.width * expanded), round_to_8(self.width * out)
            squeezed = round_to_8(wide / _SQUEEZE) if squeeze else 0
            found.append(Stage(kernel, inputs, wide, outputs, squeezed, hard, stride))
            inputs = outputs
        found.append(Stage(1, inputs, inputs, _LAST_TIMES * inputs, 0, True, 1))
        return tuple(found)

    def dim_of(self, layer: int) -> int:
        """Return the channels of a layer."""
        return self.stages[layer - 1].outputs

    def grid(self, samples: int, layer: int) -> tuple[int, int]:
        """Return (time, freq) of a layer (1 to 17) for a clip of that many samples at 32 kHz."""
        time, freq = count_frames(samples), MELS
        for stage in self.stages[:layer]:
            time, freq = -(-time // stage.stride), -(-freq // stage.stride)
        return time, freq

    def macs(self, samples: int, attention: bool = False) -> int:
        """Return the multiply-accumulates of convolutions and linear layers, tagging head too."""
        return self.macs_up_to(self.depth, samples) + sum(a * b for a, b in self._head)

    def macs_up_to(self, layer: int, samples: int) -> int:
        """Return the multiply-accumulates of the first stages; there is no attention."""
        grids = [int(np.prod(self.grid(samples, number))) for number in range(layer + 1)]
        stages = zip(self.stages, grids, grids[1:], strict=False)
        return sum(stage.macs(before, after) for stage, before, after in stages)

    def counted_parameters(self) -> int:
        """Return the number of learned values, with the tagging head as published."""
        return self.learned_parameters() + sum((a + 1) * b for a, b in self._head)

    def learned_parameters(self) -> int:
        """Return how many learned values reach a layer: no tagging head."""
        return sum(stage.parameters for stage in self.stages)

    def working_values(self, samples: int) -> int:
        """Return about how many float32 values are held at once, in the largest stage."""
        grids = [int(np.prod(self.grid(samples, number))) for number in range(self.depth + 1)]
        stages = zip(self.stages, grids, grids[1:], strict=False)
        return COPIES * max(
            stage.expanded * (before + after) + stage.outputs * after
            for stage, before, after in stages
        )

    @property
    def _head(self) -> tuple[tuple[int, int], ...]:
        hidden = round_to_8(self.width * 1280)
        return ((self.stages[-1].outputs, hidden), (hidden, CLASSES))


MN04, MN10 = EfficientAtGeometry(0.4), EfficientAtGeometry(1.0)


@dataclass(frozen=True)
class EfficientAtSpec(Spec):
    """The constants and the front-end of an EfficientAT encoder; layer k is stage k - 1.

    Attributes
    ----------
    level : "kept" or "rms"
        `kept` takes a clip as it is. `rms` subtracts the clip's mean and scales the clip to an RMS
        of 0.1 first, so that a gain changes nothing.

    Examples
    --------
    >>> EFFICIENTAT_MN04.front_end(np.ones(32000, dtype=np.float32)).shape
    (100, 128)
    >>> EFFICIENTAT_MN04.grid(32000, 9), EFFICIENTAT_MN04.dim(9)
    ((7, 8), 32)
    """

    family: ClassVar[str] = "efficientat"

    geometry: EfficientAtGeometry = MN04
    mel: KaldiMel = MEL
    default_layers: tuple[int, ...] = (7, 9, 13)
    level: Literal["kept", "rms"] = "kept"

    def __post_init__(self) -> None:
        check_choice("level", self.level, LEVELS)
        super().__post_init__()

    def front_end(
        self, waveform: NDArray[np.float32], sample_rate: int | None = None
    ) -> NDArray[np.float32]:
        """Return the spectrogram (frames, mels) of a clip (samples,), as the network takes it."""
        levelled = waveform if self.level == "kept" else level_out(waveform)
        return super().front_end(levelled, sample_rate)

    def spectrogram(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scaled log-mel (frames, 128) of a waveform (samples,)."""
        return log_mel(waveform)

    def front_end_constants(self) -> dict[str, Any]:
        """Return every constant that decides a spectrogram, as JSON values."""
        scale = {"floor": float(FLOOR), "offset": float(OFFSET), "divisor": float(DIVISOR)}
        frames = {"window_samples": WINDOW, "preemphasis": float(PREEMPHASIS), "rms": RMS}
        return {**asdict(self.mel), **scale, **frames}

    def frequency_bands(self, layer: int) -> tuple[tuple[float, float], ...]:
        """Return the lowest and highest frequency in Hz of each row of a layer's grid."""
        return row_bands(self.mel, self.grid(self.minimum_samples, layer)[1])


EFFICIENTAT_MN04 = EfficientAtSpec("efficientat_mn04")
EFFICIENTAT_MN10 = EfficientAtSpec("efficientat_mn10", MN10)


def level_out(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a clip (samples,) without its mean, at an RMS of 0.1; silence stays silent.

    >>> level_out(np.array([3.0, 1.0], dtype=np.float32)).astype(float).round(6).tolist()
    [0.1, -0.1]
    """
    centred = waveform - waveform.mean(dtype=np.float64)
    rms = np.sqrt(np.mean(centred**2))
    levelled: NDArray[np.float32] = (centred * (RMS / max(rms, SILENCE))).astype(np.float32)
    return levelled


def count_frames(samples: int) -> int:
    """Return the frames of a clip: one sample is lost to the pre-emphasis, frames are centred.

    >>> count_frames(320000), count_frames(16000)
    (1000, 50)
    """
    return 1 + (samples - 2) // HOP


def log_mel(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the scaled log-mel (frames, 128) of a clip (samples,) at 32 kHz.

    Pre-emphasis without padding, frames of 25 ms in a Fourier transform of 1024, centred, the clip
    padded by reflection.
    """
    emphasised = waveform[1:] - PREEMPHASIS * waveform[:-1]
    padded = np.pad(emphasised, FFT // 2, mode="reflect")
    frames = sliding_window_view(padded, FFT)[::HOP]
    energies = energies_of_frames(frames, _window(), _bands())
    scaled: NDArray[np.float32] = (np.log(energies + FLOOR) + OFFSET) / DIVISOR
    return scaled


@lru_cache(maxsize=1)
def _window() -> NDArray[np.float32]:
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(WINDOW) / (WINDOW - 1))
    return np.pad(hann, (FFT - WINDOW) // 2).astype(np.float32)


@lru_cache(maxsize=1)
def _bands() -> Bands:
    return cut_bank(mel_bank(MEL))
