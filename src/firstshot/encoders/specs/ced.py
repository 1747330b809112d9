"""CED (tiny, mini, small, base) without its weights: sizes, counts and front-end.

Input: a waveform (samples,) at 16 kHz. Output: the dB mel (frames, 64). Source: CED (Dinkel et al.
2023), the published inference code, described.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from firstshot.encoders.specs.base import (
    CLASSES,
    HOP,
    PATCH,
    POOLED,
    Spec,
    centred_frames,
    check_choice,
)
from firstshot.encoders.specs.transformer import TransformerGeometry
from firstshot.sound.mel import CED_FLOOR, CED_MEL, CED_TOP_DB, MelSpec, ced_decibels, row_bands


@dataclass(frozen=True)
class CedGeometry(TransformerGeometry):
    """CED: 64 dB-mel rows, centred frames, no CLS, tokens frequency-major.

    Clips of more than `piece_frames` frames are encoded in pieces of that many, the last padded.

    >>> tiny = CedGeometry(dim=192, heads=3)
    >>> tiny.grid(160000, 1), tiny.macs(160000)
    ((62, 4), 1333796672)
    """

    mels: int = 64
    minimum_samples: int = 15 * HOP
    piece_frames: int = 1012
    positions: int = 63
    classes: int = CLASSES

    def steps(self, samples: int) -> tuple[int, ...]:
        """Return the time steps of each piece that a clip is encoded in."""
        frames = centred_frames(samples)
        if frames <= self.piece_frames:
            return (frames // PATCH,)
        return (self.piece_frames // PATCH,) * -(-frames // self.piece_frames)

    def macs(self, samples: int, attention: bool = False) -> int:
        """Return the MACs of one clip, tagging head included (it runs once a piece)."""
        head = (4 + self.classes) * self.dim
        total = 4 * self.mels * centred_frames(samples)
        for steps in self.steps(samples):
            tokens = steps * self.rows
            total += head + tokens * self.dim * PATCH**2 + self.stack_macs(tokens, attention)
        return total

    def counted_parameters(self) -> int:
        """Return the parameters as thop counts them: with the tagging head, without positions."""
        return super().counted_parameters() + self._head() + 2 * self.mels

    def learned_parameters(self) -> int:
        """Return how many learned values reach an embedding: positions, but no tagging head."""
        return self.counted_parameters() - self._head() + self.dim * (self.positions + self.rows)

    def _head(self) -> int:
        return 2 * self.dim + self.classes * (self.dim + 1)


@dataclass(frozen=True)
class CedSpec(Spec):
    """The constants and the front-end of a CED encoder.

    Attributes
    ----------
    pooled : "all" or "real"
        Whether pooling averages over the padding of a last piece too, or only over time steps all
        of whose frames come from the clip; the same for clips of up to 1012 frames (10.1 s).

    Examples
    --------
    >>> CED_TINY.front_end(np.zeros(16000, dtype=np.float32)).shape, CED_TINY.grid(16000, 1)
    ((101, 64), (6, 4))
    """

    family: ClassVar[str] = "ced"

    geometry: CedGeometry
    mel: MelSpec = CED_MEL
    pooled: Literal["all", "real"] = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("pooled", self.pooled, POOLED)

    def spectrogram(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the dB mel (frames, 64) of a waveform (samples,)."""
        return ced_decibels(waveform)

    def front_end_constants(self) -> dict[str, Any]:
        """Return every constant that decides a spectrogram, as JSON values."""
        return {**asdict(self.mel), "floor": float(CED_FLOOR), "top_db": float(CED_TOP_DB)}

    def frequency_bands(self, layer: int) -> tuple[tuple[float, float], ...]:
        """Return the lowest and highest frequency in Hz of each row of a layer's grid."""
        return row_bands(self.mel, self.geometry.rows)

    def pooled_time(self, samples: int, layer: int) -> int:
        """Return how many time steps of a layer's grid pooling averages over."""
        every = self.grid(samples, layer)[0]
        frames, longest = centred_frames(self.fixed_samples or samples), self.geometry.piece_frames
        if self.pooled == "all" or frames % longest == 0:
            return every
        return frames // longest * (longest // PATCH) + frames % longest // PATCH


CED_TINY = CedSpec("ced_tiny", CedGeometry(dim=192, heads=3))
CED_MINI = CedSpec("ced_mini", CedGeometry(dim=256, heads=4))
CED_SMALL = CedSpec("ced_small", CedGeometry(dim=384, heads=6))
CED_BASE = CedSpec("ced_base", CedGeometry(dim=768, heads=12))
