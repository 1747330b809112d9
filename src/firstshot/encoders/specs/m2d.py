"""M2D-CLAP without its weights: sizes, counts and front-end.

Input: a waveform (samples,) at 16 kHz. Output: the log-mel (frames, 80), natural logarithms, not
yet normalised: mean and deviation come with the weights. Source: M2D-CLAP (Niizumi et al. 2024),
described.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from firstshot.encoders.specs.base import PATCH, Spec, centred_frames
from firstshot.encoders.specs.transformer import TransformerGeometry
from firstshot.sound.mel import M2D_MEL, M2D_OFFSET, MelSpec, m2d_logmel, row_bands


@dataclass(frozen=True)
class M2dGeometry(TransformerGeometry):
    """M2D: 80 log-mel rows, centred frames, one CLS a piece, tokens frequency-major.

    A clip is padded at the end until what exceeds whole pieces is a multiple of 16 frames, then cut
    into pieces of `piece_frames`; the last piece stays shorter.

    >>> M2dGeometry().grid(160000, 1), M2dGeometry().steps(196800)
    ((62, 5), (62, 15))
    """

    mels: int = 80
    minimum_samples: int = 201
    piece_frames: int = 1001

    @property
    def positions(self) -> int:
        """Rows of the position table: the CLS and the patches of one whole piece."""
        return 1 + self.rows * (self.piece_frames // PATCH)

    def padding(self, frames: int) -> int:
        """Return the frames of zeros that are appended before a spectrogram is cut into pieces."""
        return -(frames % self.piece_frames) % PATCH

    def pieces(self, frames: int) -> tuple[int, ...]:
        """Return the frames of each piece, padding included as far as it fits the piece."""
        padded, longest = frames + self.padding(frames), self.piece_frames
        return tuple(min(longest, padded - start) for start in range(0, frames, longest))

    def steps(self, samples: int) -> tuple[int, ...]:
        """Return the time steps of each piece that a clip is encoded in."""
        return tuple(piece // PATCH for piece in self.pieces(centred_frames(samples)))


@dataclass(frozen=True)
class M2dSpec(Spec):
    """The constants and the front-end of an M2D encoder.

    >>> M2D_CLAP.front_end(np.zeros(16000, dtype=np.float32)).shape, M2D_CLAP.grid(16000, 1)
    ((101, 80), (7, 5))
    """

    family: ClassVar[str] = "m2d"

    geometry: M2dGeometry = M2dGeometry()
    mel: MelSpec = M2D_MEL

    def spectrogram(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the log-mel (frames, 80) of a waveform (samples,)."""
        return m2d_logmel(waveform)

    def front_end_constants(self) -> dict[str, Any]:
        """Return every constant that decides a spectrogram, as JSON values."""
        return {**asdict(self.mel), "offset": float(M2D_OFFSET)}

    def frequency_bands(self, layer: int) -> tuple[tuple[float, float], ...]:
        """Return the lowest and highest frequency in Hz of each row of a layer's grid."""
        return row_bands(self.mel, self.geometry.rows)


M2D_CLAP = M2dSpec("m2d_clap")
