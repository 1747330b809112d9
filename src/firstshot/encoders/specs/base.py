"""What a model file (beats.py, ced.py, ...) gives to `TorchEncoder`: a spec and a module.

The spec is a frozen dataclass with the numpy part of an encoder: a waveform (samples,) becomes a
spectrogram (frames, mels). The module is a `torch.nn.Module` with the torch part: spectrograms
(clips, frames, mels) become tokens (clips, time, freq, dim) of each layer asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


class TokenSpec(Protocol):
    """What a model file says of an encoder without torch: a frozen dataclass with these members."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def depth(self) -> int: ...  # noqa: D102
    @property
    def dim(self) -> int: ...  # noqa: D102
    @property
    def default_layers(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def minimum_samples(self) -> int: ...  # noqa: D102

    def front_end(
        self, waveform: NDArray[np.float32], sample_rate: int = 16000
    ) -> NDArray[np.float32]:
        """Return the normalised, padded spectrogram (frames, mels) of a clip (samples,)."""
        ...

    def grid(self, samples: int) -> tuple[int, int]:
        """Return the token grid (time, freq) of a clip of that many samples."""
        ...

    def macs(self, samples: int) -> int:
        """Return the multiply-accumulates of one clip of that many samples, as thop counts."""
        ...

    def frequency_bands(self) -> tuple[tuple[float, float], ...]:
        """Return lowest and highest frequency in Hz of each row of the grid."""
        ...


@runtime_checkable
class PoolsFewer(Protocol):
    """A spec that pools over the first time steps of the grid only, the rest being padding."""

    def pooled_time(self, samples: int) -> int:
        """Return the number of time steps to pool over."""
        ...


class TokenModule(Protocol):
    """What the module of a model file offers."""

    def tokens_by_layer(self, spectrogram: Tensor, layers: tuple[int, ...]) -> list[Tensor]:
        """Map (clips, frames, mels) to (clips, time, freq, dim) for each of ascending layers."""
        ...


@runtime_checkable
class HasFinalNorm(Protocol):
    """A module whose last block is followed by a norm."""

    def final_norm(self, tokens: Tensor) -> Tensor:
        """Normalise tokens (clips, time, freq, dim) of the last layer."""
        ...
