"""What all pre-trained encoders have in common, apart from their weights: shapes, counts, checks.

Input: a clip's length in samples at the encoder's rate, or the clip. Output: each layer's token
grid (time, freq), multiply-accumulates (MACs) and parameters as exact integers, and the spectrogram
(frames, mels) that the network takes. No torch, no weights. Each encoder has its own file beside
this one.
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
    """The sizes of a network, layer by layer (counted from 1), and what follows from them."""

    @property
    @abstractmethod
    def depth(self) -> int:
        """Number of layers."""

    @property
    @abstractmethod
    def mels(self) -> int:
        """Rows of the spectrogram."""

    @property
    @abstractmethod
    def minimum_samples(self) -> int:
        """The shortest clip that gives one token."""

    @abstractmethod
    def dim_of(self, layer: int) -> int:
        """Return the numbers per token of a layer."""

    @abstractmethod
    def grid(self, samples: int, layer: int) -> tuple[int, int]:
        """Return the token grid (time, freq) of a layer for a clip of that many samples."""

    @abstractmethod
    def macs(self, samples: int, attention: bool = False) -> int:
        """Return the MACs of one clip; `attention` adds the two products inside attention."""

    @abstractmethod
    def macs_up_to(self, layer: int, samples: int) -> int:
        """Return the MACs of one clip up to a layer, with attention's products, without a head."""

    @abstractmethod
    def counted_parameters(self) -> int:
        """Return the parameters as thop counts them."""

    @abstractmethod
    def learned_parameters(self) -> int:
        """Return how many learned values reach an embedding."""

    @abstractmethod
    def working_values(self, samples: int) -> int:
        """Return about how many float32 values are held at once while a clip is encoded."""


@dataclass(frozen=True)
class Spec(ABC):
    """An encoder without its weights: its sizes, its front-end and what a detector needs to know.

    Attributes
    ----------
    family : str
        Which network it is: `beats`, `ced`, `eat`, `efficientat`, `m2d`, or
        `trained_` and a recipe.
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
    def sample_rate(self) -> int:
        """The rate in Hz of the clips that the front-end takes."""
        rate: int = self.mel.sample_rate
        return rate

    def dim(self, layer: int) -> int:
        """Return the numbers per token of a layer (1 to depth)."""
        return self.geometry.dim_of(layer)

    @property
    def minimum_samples(self) -> int:
        """The shortest clip that gives one token."""
        return self.least_padded if self.fixed_samples else self.geometry.minimum_samples

    def front_end(
        self, waveform: NDArray[np.float32], sample_rate: int | None = None
    ) -> NDArray[np.float32]:
        """Return the spectrogram (frames, mels) of a clip (samples,), as the network takes it.

        `sample_rate` None means that the clip is at the encoder's rate.
        """
        if sample_rate not in (None, self.sample_rate):
            raise ParameterError(
                f"sample_rate {sample_rate}: {self.name} needs {self.sample_rate} Hz; "
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
    def frequency_bands(self, layer: int) -> tuple[tuple[float, float], ...]:
        """Return the lowest and highest frequency in Hz of each row of a layer's grid."""

    def grid(self, samples: int, layer: int) -> tuple[int, int]:
        """Return the token grid (time, freq) of a layer for a clip of that many samples."""
        return self.geometry.grid(self.fixed_samples or samples, layer)

    def pooled_time(self, samples: int, layer: int) -> int:
        """Return how many time steps of a layer's grid pooling averages over."""
        return self.grid(samples, layer)[0]

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
