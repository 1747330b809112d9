"""What all pre-trained encoders have in common, apart from their weights: shapes, counts, checks.

Input: a clip's length in samples at 16 kHz, or the clip. Output: the token grid (time, freq),
multiply-accumulates (MACs) and parameters as exact integers, and the spectrogram (frames, mels)
that the network takes. No torch, no weights. Each encoder has its own file beside this one.

MACs and parameters follow thop 0.1.1, as the report's Table 4 does: Linear and Conv count one MAC
per weight and position (biases are free), a LayerNorm 4 per element; GELU, softmax and the two
products inside attention count only on request. Parameters outside a layer (CLS,
positions, a table of biases) are not counted, nor is the front-end.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import ParameterError
from firstshot.messages import choose_one_of
from firstshot.sound.mel import fixed_length

SAMPLE_RATE = 16000
HOP = 160
PATCH = 16
CLASSES = 527
POOLED = ("all", "real")
"""Whether pooling averages over padding too, or only over time steps whose frames are a clip's."""


@dataclass(frozen=True)
class Geometry(ABC):
    """The sizes of a network, and what follows from them.

    Attributes
    ----------
    dim, heads, depth : int
        Numbers per token, attention heads per layer, and layers.
    mels : int
        Rows of the spectrogram; 16 of them make a frequency row of the token grid.
    minimum_samples : int
        The shortest clip that fills one patch.
    """

    dim: int = 768
    heads: int = 12
    depth: int = 12
    mels: int = 128
    minimum_samples: int = 400

    @property
    def hidden(self) -> int:
        """Units of an MLP."""
        return 4 * self.dim

    @property
    def rows(self) -> int:
        """Frequency rows of the token grid."""
        return self.mels // PATCH

    @abstractmethod
    def steps(self, samples: int) -> tuple[int, ...]:
        """Return the time steps of each piece that a clip is encoded in."""

    def grid(self, samples: int) -> tuple[int, int]:
        """Return the token grid (time, freq) of a clip."""
        return sum(self.steps(samples)), self.rows

    def macs(self, samples: int, attention: bool = False) -> int:
        """Return the MACs of one clip; here with one CLS token a piece, and without a head."""
        total = 0
        for steps in self.steps(samples):
            patches = steps * self.rows
            total += patches * self.dim * PATCH**2 + self.stack_macs(patches + 1, attention)
        return total

    def counted_parameters(self) -> int:
        """Return the parameters as thop counts them: without CLS and positions."""
        return self.dim * (PATCH**2 + 1) + self.stack_parameters()

    def learned_parameters(self) -> int:
        """Return how many learned values reach an embedding: a position table here is fixed."""
        return self.counted_parameters() + self.dim

    def stack_macs(self, tokens: int, attention: bool = False) -> int:
        """Return the MACs of all blocks and one more LayerNorm over the tokens of one piece.

        `attention` adds query times key and weights times value, which grow with tokens squared.
        """
        linears = self.depth * (4 * self.dim * self.dim + 2 * self.dim * self.hidden)
        norms = 4 * (2 * self.depth + 1) * self.dim
        products = 2 * self.depth * tokens * self.dim if attention else 0
        return tokens * (linears + norms + products)

    def stack_parameters(self) -> int:
        """Return the parameters of all blocks (attention, MLP, two norms) and one LayerNorm."""
        attention = 4 * self.dim * (self.dim + 1)
        mlp = self.hidden * (self.dim + 1) + self.dim * (self.hidden + 1)
        return self.depth * (attention + mlp + 4 * self.dim) + 2 * self.dim


@dataclass(frozen=True)
class Spec(ABC):
    """An encoder without its weights: its sizes, its front-end and what a detector needs to know.

    Attributes
    ----------
    family : str
        `beats`, `ced`, `eat` or `m2d`: which network it is.
    name : str
        The name that `firstshot.load_encoder` knows.
    geometry : Geometry
        The sizes of the network.
    mel : MelSpec or KaldiMel
        The constants of the spectrogram.
    fixed_samples : int
        Make every waveform that long first, by zeros behind it or by keeping its start; 0 leaves it
        as it is. GenRep's code uses 160000.
    default_layers : tuple of int
        The layers that a detector uses when none are named.
    """

    family: ClassVar[str]
    least_padded: ClassVar[int] = 1
    """The shortest clip, in samples, where `fixed_samples` pads it."""

    name: str
    geometry: Geometry
    mel: Any
    fixed_samples: int = 0
    default_layers: tuple[int, ...] = (7, 10)

    def __post_init__(self) -> None:
        if self.fixed_samples and self.fixed_samples < self.geometry.minimum_samples:
            raise ParameterError(
                f"fixed_samples {self.fixed_samples}: {self.name} needs at least "
                f"{self.geometry.minimum_samples}, or 0 to use clips as they are"
            )

    @property
    def depth(self) -> int:
        """Number of layers."""
        return self.geometry.depth

    @property
    def dim(self) -> int:
        """Numbers per token."""
        return self.geometry.dim

    @property
    def minimum_samples(self) -> int:
        """The shortest clip that gives one token."""
        return self.least_padded if self.fixed_samples else self.geometry.minimum_samples

    def front_end(
        self, waveform: NDArray[np.float32], sample_rate: int = SAMPLE_RATE
    ) -> NDArray[np.float32]:
        """Return the spectrogram (frames, mels) of a clip (samples,), as the network takes it."""
        if sample_rate != self.mel.sample_rate:
            raise ParameterError(
                f"sample_rate {sample_rate}: {self.name} needs {self.mel.sample_rate} Hz; "
                "resample the clip first"
            )
        if self.fixed_samples:
            waveform = fixed_length(waveform, self.fixed_samples)
        return self.spectrogram(waveform)

    @abstractmethod
    def spectrogram(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the spectrogram (frames, mels) of a waveform (samples,) of the final length."""

    @abstractmethod
    def front_end_constants(self) -> dict[str, Any]:
        """Return every constant that decides a spectrogram, as JSON values."""

    @abstractmethod
    def frequency_bands(self) -> tuple[tuple[float, float], ...]:
        """Return the lowest and highest frequency in Hz of each row of the grid."""

    def grid(self, samples: int) -> tuple[int, int]:
        """Return the token grid (time, freq) of a clip of that many samples."""
        return self.geometry.grid(self.fixed_samples or samples)

    def pooled_time(self, samples: int) -> int:
        """Return how many time steps of the grid pooling averages over."""
        return self.grid(samples)[0]

    def macs(self, samples: int) -> int:
        """Return the MACs of one clip, as Table 4 of the report counts them."""
        return self.geometry.macs(self.fixed_samples or samples)


def centred_frames(samples: int, hop: int = HOP) -> int:
    """Return the frames of an STFT whose frame k is centred on sample k*hop.

    >>> centred_frames(160000)
    1001
    """
    return 1 + samples // hop


def check_choice(setting: str, value: str, known: Collection[str]) -> None:
    """Raise `ParameterError` for a value of a setting that is not among the known ones."""
    if value not in known:
        raise ParameterError(
            f"{setting} {value!r} is not known; {choose_one_of(value, tuple(known))}"
        )
