"""EAT (base, large) and SSLAM without their weights: sizes, counts, front-end, positions.

Input: a waveform (samples,) at 16 kHz. Output: the normalised, padded Kaldi log-mel (frames, 128).
Sources: EAT (Chen et al. 2024) and SSLAM (Alex et al. 2025), whose inference code is one and the
same; SSLAM is EAT base with other weights.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from firstshot.encoders.specs.base import PATCH, POOLED, Spec, check_choice
from firstshot.encoders.specs.transformer import TransformerGeometry
from firstshot.errors import ParameterError, SoundError
from firstshot.sound.spectrogram import KaldiMel, count_frames, kaldi_log_mel, row_bands

EAT_MEL = KaldiMel("hanning")
MEAN, DEVIATION = -4.268, 4.569
"""Mean and deviation of AudioSet's log-mel; twice the deviation is divided by."""


@dataclass(frozen=True)
class EatGeometry(TransformerGeometry):
    """EAT and SSLAM: 128 Kaldi log-mel rows, one CLS, tokens time-major.

    Spectrograms are padded to `least_frames`, longer ones to a multiple of 16; with `least_frames`
    16 every clip is padded to a multiple of 16 only.

    >>> EatGeometry().grid(160000, 1), EatGeometry().macs(160000)
    ((64, 8), 43711540224)
    """

    least_frames: int = 1024
    most_steps: int = 768

    def steps(self, samples: int) -> tuple[int, ...]:
        """Return the time steps of a clip, which is one piece."""
        frames = count_frames(samples)
        return (max(self.least_frames, frames + -frames % PATCH) // PATCH,)


@dataclass(frozen=True)
class EatSpec(Spec):
    """The constants and the front-end of EAT or SSLAM.

    Attributes
    ----------
    geometry : EatGeometry
        Its `least_frames` is what short spectrograms are padded to: 1024 as published, 16 for no
        more than the last patch needs. Longer spectrograms are used whole.
    output : "block" or "ffn"
        A layer's output: the block's, or its MLP's before residual sum and norm.
    pooled : "all" or "real"
        Whether pooling averages over padding too (as the literal reading of GenRep does), or only
        over time steps all of whose frames come from the clip.

    Examples
    --------
    >>> silence = np.zeros(96000, dtype=np.float32)
    >>> EAT_BASE.front_end(silence).shape, EAT_BASE.grid(96000, 1)
    ((1024, 128), (64, 8))
    """

    family: ClassVar[str] = "eat"
    least_padded: ClassVar[int] = 400

    geometry: EatGeometry = EatGeometry()
    mel: KaldiMel = EAT_MEL
    output: Literal["block", "ffn"] = "block"
    pooled: Literal["all", "real"] = "all"

    def __post_init__(self) -> None:
        check_choice("output", self.output, ("block", "ffn"))
        check_choice("pooled", self.pooled, POOLED)
        super().__post_init__()
        if self.geometry.least_frames % PATCH or self.geometry.least_frames < PATCH:
            raise ParameterError(
                f"least_frames {self.geometry.least_frames}: expected a multiple of {PATCH}"
            )

    def spectrogram(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the normalised, padded log-mel (frames, 128) of a waveform (samples,).

        Padding is of raw zeros, before the normalisation, as in the original.
        """
        log_mel = kaldi_log_mel(waveform, self.mel)
        padded = np.zeros((self.grid(len(waveform), 1)[0] * PATCH, self.mel.mels), dtype=np.float32)
        padded[: len(log_mel)] = log_mel
        padded -= np.float32(MEAN)
        padded *= np.float32(0.5 / DEVIATION)
        return padded

    def front_end_constants(self) -> dict[str, Any]:
        """Return every constant that decides a spectrogram, as JSON values."""
        return {**asdict(self.mel), "mean": MEAN, "factor": 0.5 / DEVIATION}

    def frequency_bands(self, layer: int) -> tuple[tuple[float, float], ...]:
        """Return the lowest and highest frequency in Hz of each row of a layer's grid."""
        return row_bands(self.mel, self.geometry.rows)

    def grid(self, samples: int, layer: int) -> tuple[int, int]:
        """Return the token grid (time, freq) of a layer for a clip of that many samples."""
        time, freq = super().grid(samples, layer)
        if time > self.geometry.most_steps:
            longest = self.geometry.most_steps * PATCH * self.mel.hop / self.mel.sample_rate
            raise SoundError(
                f"a clip of {samples / self.mel.sample_rate:.1f} s is too long for {self.name}, "
                f"whose positions end at {longest:.1f} s; cut it into windows"
            )
        return time, freq

    def pooled_time(self, samples: int, layer: int) -> int:
        """Return how many time steps of a layer's grid pooling averages over."""
        every = self.grid(samples, layer)[0]
        if self.pooled == "all":
            return every
        return min(every, max(1, count_frames(samples) // PATCH))


EAT_BASE = EatSpec("eat")
EAT_LARGE = EatSpec("eat_large", EatGeometry(dim=1024, heads=16, depth=24), default_layers=(23, 24))
SSLAM = EatSpec("sslam")


@lru_cache(maxsize=16)
def position_table(time: int, rows: int, dim: int) -> NDArray[np.float32]:
    """Return the fixed positions (time * rows, dim) of a time-major grid.

    Row t*rows + f is [E(f), E(t)] with E(p) = [sin(p w), cos(p w)], w_k = 10000^(-4k/dim): in
    float32 as the original, whose phases of late time steps differ from the exact ones by 6e-5.

    >>> [round(float(value), 3) for value in position_table(2, 8, 8)[8]]
    [0.0, 0.0, 1.0, 1.0, 0.841, 0.01, 0.54, 1.0]
    """
    rates = 1.0 / 10000.0 ** (np.arange(dim // 4, dtype=np.float32) / np.float32(dim / 4))
    rates = rates.astype(np.float32)

    def encode(count: int) -> NDArray[np.float32]:
        phase = np.arange(count, dtype=np.float32)[:, None] * rates
        return np.concatenate([np.sin(phase), np.cos(phase)], axis=1)

    by_row, by_time = encode(rows), encode(time)
    return np.concatenate([np.tile(by_row, (time, 1)), np.repeat(by_time, rows, axis=0)], axis=1)
