"""A pre-trained encoder: a spec and a network give layers and embeddings.

Input: clips of any lengths at any rate. Output: layer outputs (clips, time, freq, dim) or pooled
embeddings (clips, values), float32. The spec does the numpy part of a clip (front-end, grid), the
network the rest. What is the same for all encoders is here: resampling, batches of clips of one
length, choice of layers, pooling. Nothing here needs torch.

Clips of one length are run a micro-batch at a time. A clip's numbers do not depend on the other
clips; to the last bit this holds where a micro-batch is one clip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from firstshot.encoders.clips import check_length, prepare_waveforms
from firstshot.encoders.pooling import (
    pool_layers,
    pooling_per_layer,
    resolve_layer,
    resolve_layers,
)
from firstshot.encoders.protocol import Waveforms
from firstshot.encoders.specs.base import SAMPLE_RATE, Spec
from firstshot.errors import SoundError
from firstshot.numbers import check_at_once
from firstshot.ordered_threads import in_order

Layers = tuple[int, ...]
Batch = tuple[list[int], list[NDArray[np.float32]]]


class Network(Protocol):
    """What computes an encoder's layers: torch, or a compiled graph."""

    @property
    def runtime(self) -> str: ...  # noqa: D102
    @property
    def precision(self) -> str: ...  # noqa: D102

    def tokens(
        self, spectrograms: NDArray[np.float32], layers: Layers
    ) -> list[NDArray[np.float32]]:
        """Map spectrograms (clips, frames, mels) to tokens (clips, time, freq, dim) per layer.

        Layers are counted from 1 and come in the order of `layers`; nothing runs beyond the
        deepest.
        """
        ...

    def compile(self, layers: Layers) -> None:
        """Get ready for these layers now, not at their first use."""
        ...

    def share(self, workers: int, clips: int) -> AbstractContextManager[Callable[[], object]]:
        """Let `workers` threads call `tokens`; see `firstshot.encoders.protocol.Shareable`."""
        ...


class PretrainedEncoder:
    """A frozen pre-trained encoder; see `firstshot.encoders.protocol.Encoder`.

    Parameters
    ----------
    spec : Spec
        The encoder's constants and its numpy part.
    network : Network
        What runs its layers.
    fingerprint : str
        Hex digest of everything that decides the output: weights, constants, settings, precision.
    parameters : int
        Number of learned values that the encoder uses.
    micro_batch : int
        Number of clips that are run as one.
    workers : int
        Micro-batches that `embed` works on at once, each in a thread.
    reason : str
        Why this runtime and precision were picked, where `auto` chose them.

    Raises
    ------
    ParameterError
        `micro_batch` or `workers` is no number that can be used.
    """

    def __init__(
        self,
        spec: Spec,
        network: Network,
        *,
        fingerprint: str,
        parameters: int,
        micro_batch: int = 1,
        workers: int = 1,
        reason: str = "",
    ) -> None:
        self.spec, self.network = spec, network
        self.fingerprint, self.parameters = fingerprint, parameters
        self.micro_batch = check_at_once("micro_batch", micro_batch)
        self.workers = check_at_once("workers", workers)
        self.reason = reason
        self.file_content = b""
        """The file of a trained network, which travels in a detector file; empty for others."""

    def __repr__(self) -> str:
        return f"PretrainedEncoder({self.name!r}, {self.runtime!r}, {self.precision!r})"

    @property
    def runtime(self) -> str:
        """What runs the network: `torch`, `openvino` or `onnx`."""
        return self.network.runtime

    @property
    def precision(self) -> str:
        """What the network computes in: `fp32`, `fp16` or `bf16`."""
        return self.network.precision

    @property
    def name(self) -> str:
        """The name under which `firstshot.load_encoder` finds it."""
        return self.spec.name

    @property
    def sample_rate(self) -> int:
        """The rate in Hz of the waveforms that the encoder takes."""
        return self.spec.sample_rate

    @property
    def depth(self) -> int:
        """Number of layers."""
        return self.spec.depth

    @property
    def default_layers(self) -> tuple[int, ...]:
        """The layers a detector uses when none are named."""
        return self.spec.default_layers

    @property
    def minimum_samples(self) -> int:
        """The shortest clip, at `sample_rate`, that gives one token."""
        return self.spec.minimum_samples

    def dim(self, layer: int) -> int:
        """Return the numbers per token of a layer (1 to `depth`)."""
        return self.spec.dim(resolve_layer(layer, self.depth, self.name))

    def frequency_bands(self, layer: int) -> tuple[tuple[float, float], ...]:
        """Return the lowest and highest frequency in Hz of each row of a layer, lowest first."""
        return self.spec.frequency_bands(resolve_layer(layer, self.depth, self.name))

    def grid(self, samples: int, layer: int) -> tuple[int, int]:
        """Return (time, freq), a layer's grid for a clip of that many samples at `sample_rate`."""
        check_length(samples, self.sample_rate, self.minimum_samples, self.name)
        return self.spec.grid(samples, resolve_layer(layer, self.depth, self.name))

    def macs(self, samples: int) -> int:
        """Return the multiply-accumulates that encode one clip, counted as the report does."""
        return self.spec.macs(samples)

    def layers(
        self,
        waveforms: Waveforms,
        sample_rate: int = SAMPLE_RATE,
        layers: Sequence[int] | None = None,
    ) -> list[NDArray[np.float32]]:
        """Return one float32 array (clips, time, freq, dim) per requested layer; None means all.

        Raises
        ------
        SoundError
            A clip is too short or has NaN, or the clips do not share one grid (use `embed`).
        ParameterError
            A layer that does not exist, or that a bundle does not hold.
        """
        every = range(1, self.depth + 1)
        chosen = resolve_layers(every if layers is None else layers, self.depth, self.name)
        clips = self._prepare(waveforms, sample_rate)
        shapes = []
        for layer in chosen:
            grids = sorted({self.spec.grid(len(clip), layer) for clip in clips})
            if len(grids) > 1:
                raise SoundError(
                    f"clips of different lengths, grids {grids} at layer {layer}: outputs of one "
                    "call must share a grid; call embed, or layers once for each length"
                )
            shapes.append((len(clips), *grids[0], self.spec.dim(layer)))
        outputs = [np.empty(shape, np.float32) for shape in shapes]
        for batch in _batches(clips, self.micro_batch):
            for output, values in zip(outputs, self._tokens(batch, chosen), strict=True):
                output[batch[0]] = values
        return outputs

    def embed(
        self,
        waveforms: Waveforms,
        sample_rate: int = SAMPLE_RATE,
        layers: Sequence[int] | None = None,
        pooling: str | Sequence[str] = "temporal",
    ) -> list[NDArray[np.float32]]:
        """Return one float32 array (clips, values) per requested layer; None means the defaults.

        Raises
        ------
        SoundError
            A clip is too short or has NaN, or `spectral` pooling of clips of different lengths.
        ParameterError
            A layer or a pooling that does not exist, or a layer that a bundle does not hold.
        """
        layers = self.default_layers if layers is None else layers
        chosen = resolve_layers(layers, self.depth, self.name)
        pooling = pooling_per_layer(pooling, len(chosen))
        clips = self._prepare(waveforms, sample_rate)
        self.compile(chosen)

        def embed_batch(batch: Batch) -> list[NDArray[np.float32]]:
            samples = len(batch[1][0])
            outputs = zip(chosen, self._tokens(batch, chosen), strict=True)
            kept = [x[:, : self.spec.pooled_time(samples, layer)] for layer, x in outputs]
            return pool_layers(kept, pooling)

        rows: list[dict[int, NDArray[np.float32]]] = [{} for _ in chosen]
        batches = list(_batches(clips, self.micro_batch))
        for outcome in in_order(embed_batch, batches, min(self.workers, len(batches))):
            for row, vectors in zip(rows, outcome.get(), strict=True):
                row.update(zip(outcome.item[0], vectors, strict=True))
        for one, row in zip(pooling, rows, strict=True):
            if len({len(vector) for vector in row.values()}) > 1:
                raise SoundError(
                    f"pooling {one!r} of clips of different lengths gives embeddings of different "
                    "lengths; use temporal pooling, or a fixed length policy"
                )
        return [np.stack([row[clip] for clip in range(len(clips))]) for row in rows]

    def compile(self, layers: Layers) -> None:
        """Get the network ready for these layers now, not at their first use."""
        self.network.compile(layers)

    def share(self, workers: int, clips: int) -> AbstractContextManager[Callable[[], object]]:
        """Let several threads call at once; see `firstshot.encoders.protocol.Shareable`."""
        return self.network.share(workers, clips)

    def _prepare(self, waveforms: Waveforms, sample_rate: int) -> list[NDArray[np.float32]]:
        return prepare_waveforms(
            waveforms, sample_rate, self.sample_rate, self.minimum_samples, self.name
        )

    def _tokens(self, batch: Batch, layers: Layers) -> list[NDArray[np.float32]]:
        spectrograms = [self.spec.front_end(clip, self.sample_rate) for clip in batch[1]]
        return self.network.tokens(np.stack(spectrograms), layers)


def _batches(clips: Sequence[NDArray[np.float32]], most: int) -> Iterator[Batch]:
    """Yield micro-batches of clips of one length: their places among the clips, and the clips."""
    lengths: dict[int, list[int]] = {}
    for index, clip in enumerate(clips):
        lengths.setdefault(len(clip), []).append(index)
    for indices in lengths.values():
        for start in range(0, len(indices), most):
            members = indices[start : start + most]
            yield members, [clips[i] for i in members]
