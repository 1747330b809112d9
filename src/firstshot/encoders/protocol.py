"""What every encoder offers, pre-trained or not: waveforms in, layer outputs out.

An encoder maps a waveform to a grid of tokens, time x frequency, at each of its layers. Every layer
has its own grid and its own numbers per token. A layer is counted from 1; `layers` and `embed` take
negative numbers too, which count from the end. Anything with these members is an encoder;
plug-ins register under the entry point ``firstshot.encoders``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Waveforms: TypeAlias = NDArray[np.float32] | Sequence[NDArray[np.float32]]
"""Clips as an array (clips, samples), or a list of arrays (samples,) of any lengths; about +-1."""


@runtime_checkable
class Encoder(Protocol):
    """A frozen map from waveforms to layer outputs.

    Attributes
    ----------
    name : str
        The name under which `firstshot.load_encoder` finds it.
    sample_rate : int
        The rate in Hz of the waveforms that its layers are computed from.
    depth : int
        Number of layers; layers are numbered 1 to `depth`.
    default_layers : tuple of int
        The layers a detector uses when none are named.
    parameters : int
        Number of learned values that the encoder uses (0 where nothing is learned).
    minimum_samples : int
        The shortest clip, at `sample_rate`, that gives one token.
    fingerprint : str
        Hex digest of everything that decides its output: weights, front-end constants, settings.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def sample_rate(self) -> int: ...  # noqa: D102
    @property
    def depth(self) -> int: ...  # noqa: D102
    @property
    def default_layers(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def parameters(self) -> int: ...  # noqa: D102
    @property
    def minimum_samples(self) -> int: ...  # noqa: D102
    @property
    def fingerprint(self) -> str: ...  # noqa: D102

    def grid(self, samples: int, layer: int) -> tuple[int, int]:
        """Return (time, freq), a layer's grid for a clip of that many samples at `sample_rate`."""
        ...

    def dim(self, layer: int) -> int:
        """Return the numbers per token of a layer (1 to `depth`)."""
        ...

    def frequency_bands(self, layer: int) -> tuple[tuple[float, float], ...]:
        """Return the lowest and highest frequency in Hz of each row of a layer, lowest row first.

        There are as many as `grid` has rows.
        """
        ...

    def macs(self, samples: int) -> int:
        """Return the multiply-accumulates that encode one clip of that many samples."""
        ...

    def layers(
        self,
        waveforms: Waveforms,
        sample_rate: int = 16000,
        layers: Sequence[int] | None = None,
    ) -> list[NDArray[np.float32]]:
        """Return one float32 array (clips, time, freq, dim) per requested layer; None means all.

        Clips of one call must share a grid here; `embed` takes clips of any lengths.
        """
        ...

    def embed(
        self,
        waveforms: Waveforms,
        sample_rate: int = 16000,
        layers: Sequence[int] | None = None,
        pooling: str | Sequence[str] = "temporal",
    ) -> list[NDArray[np.float32]]:
        """Return one float32 array (clips, values) per requested layer; None means the defaults.

        `pooling` is one for all layers, or a sequence with one per layer.
        """
        ...


@runtime_checkable
class Shareable(Protocol):
    """An encoder that several threads may call at once; any other is called by one at a time.

    Attributes
    ----------
    micro_batch : int
        Number of clips that it runs as one, and that one call gives it.
    """

    @property
    def micro_batch(self) -> int: ...  # noqa: D102

    def share(self, workers: int, clips: int) -> AbstractContextManager[Callable[[], object]]:
        """Let `workers` threads encode `clips` clips while the context lasts.

        The context gives a function that sets a thread's share of the processor. Each of these
        threads calls it once. With one worker, which is the caller's own thread, nobody calls it.
        """
        ...
