"""EfficientAT `mn04` and `mn10`: their stages, their front-end at 32 kHz and their costs.

Input: a waveform (samples,) at 32 kHz. Output of the front-end: log-mel (frames, 128). Source:
EfficientAT (Schmid et al. 2023), MobileNetV3 (Howard et al. 2019), as the published code has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from firstshot.sound.mel_product import Bands, cut_bank, energies_of_frames
from firstshot.sound.spectrogram import KaldiMel, mel_bank

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

    def weights(self) -> int:
        """Return the multiply-accumulates per value of the output grid, without the expansion."""
        return self.expanded * self.kernel**2 + self.expanded * self.outputs


@dataclass(frozen=True)
class EfficientAtGeometry:
    """The stages of a network of a width.

    >>> MN04.channels[6], MN04.channels[8], MN04.channels[12], MN04.channels[16]
    (16, 32, 48, 384)
    >>> MN04.grid(320000, 9), MN04.grid(16000, 17)
    ((63, 8), (2, 4))
    >>> MN04.macs(320000), MN04.parameters
    (110643072, 983599)
    """

    width: float

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

    @property
    def channels(self) -> tuple[int, ...]:
        """The channels of each stage's output."""
        return tuple(stage.outputs for stage in self.stages)

    def grid(self, samples: int, layer: int) -> tuple[int, int]:
        """Return (time, freq) of a layer (1 to 17) for a clip of that many samples at 32 kHz."""
        time, freq = count_frames(samples), MELS
        for stage in self.stages[:layer]:
            time, freq = -(-time // stage.stride), -(-freq // stage.stride)
        return time, freq

    def macs(self, samples: int) -> int:
        """Return the multiply-accumulates of convolutions and linear layers, tagging head too."""
        first, last, total = self.stages[0], self.stages[-1], 0
        for number, stage in enumerate(self.stages, start=1):
            before = int(np.prod(self.grid(samples, number - 1)))
            after = int(np.prod(self.grid(samples, number)))
            if stage is first or stage is last:
                total += after * stage.inputs * stage.outputs * stage.kernel**2
                continue
            if stage.expanded != stage.inputs:
                total += before * stage.inputs * stage.expanded
            total += after * stage.expanded * (stage.kernel**2 + stage.outputs)
            total += 2 * stage.expanded * stage.squeezed
        return total + sum(a * b for a, b in self._head)

    @property
    def parameters(self) -> int:
        """Number of learned values, with the tagging head as published."""
        first, last, total = self.stages[0], self.stages[-1], 0
        for stage in self.stages:
            if stage is first or stage is last:
                total += stage.inputs * stage.outputs * stage.kernel**2 + 2 * stage.outputs
                continue
            if stage.expanded != stage.inputs:
                total += stage.inputs * stage.expanded + 2 * stage.expanded
            total += stage.expanded * (stage.kernel**2 + 2)
            total += stage.expanded * stage.outputs + 2 * stage.outputs
            if stage.squeezed:
                total += 2 * stage.expanded * stage.squeezed + stage.expanded + stage.squeezed
        return total + sum((a + 1) * b for a, b in self._head)

    @property
    def _head(self) -> tuple[tuple[int, int], ...]:
        hidden = round_to_8(self.width * 1280)
        return ((self.stages[-1].outputs, hidden), (hidden, 527))


MN04, MN10 = EfficientAtGeometry(0.4), EfficientAtGeometry(1.0)


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
