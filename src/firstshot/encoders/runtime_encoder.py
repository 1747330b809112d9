"""A pre-trained encoder run by OpenVINO or ONNX Runtime: the `Encoder` of a spec and a graph.

Input: clips of any lengths at any rate. Output: layer outputs (clips, time, freq, dim) or pooled
embeddings (clips, values), float32. Nothing here needs torch: the spec does the numpy part of a
clip, a compiled graph the rest. A graph gives the layers that it was made for and stops at the
deepest; where other layers are asked for, another one is made, if there is something to make it of.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from firstshot.encoders.clips import check_length, heard
from firstshot.encoders.pooling import check_pooling, pool, resolve_layers
from firstshot.encoders.protocol import Waveforms
from firstshot.encoders.specs.base import PoolsFewer, TokenSpec
from firstshot.encoders.specs.geometry import M2dGeometry
from firstshot.errors import SoundError
from firstshot.numbers import check_at_once
from firstshot.ordered_threads import in_order

Layers = tuple[int, ...]
Batch = tuple[list[int], list[NDArray[np.float32]]]
SAMPLE_RATE = 16000
WORTH_COMPILING = 100
"""For fewer clips, a graph is not compiled anew so that more of them are run at once."""


class Network(Protocol):
    """A compiled graph."""

    @property
    def runtime(self) -> str: ...  # noqa: D102
    @property
    def precision(self) -> str: ...  # noqa: D102

    def run(self, spectrograms: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Map spectrograms (clips, frames, mels) to every output (clips, time, freq, dim)."""
        ...

    def close(self) -> None:
        """Give the memory back."""
        ...


class RuntimeEncoder:
    """A pre-trained encoder that a compiled graph runs; see `firstshot.encoders.protocol.Encoder`.

    Parameters
    ----------
    spec : TokenSpec
        The encoder's constants and its numpy part.
    compile_layers : callable
        Given ascending layers and a number of runs, returns the network with these outputs that is
        run so often at once; called when they are first asked for. Networks are kept one at a time.
    made_of : str
        Hex digest of weights, front-end constants and settings; runtime and precision join it in
        the fingerprint.
    runtime, precision : str
        What runs the graph, and what it computes in.
    parameters : int
        Number of learned values that the encoder uses.
    micro_batch : int
        Number of clips that are run at once. With 1, a clip's numbers do not depend on others.
    workers : int
        Micro-batches that are worked on at once, each in a thread from front-end to embedding.
    reason : str
        Why this runtime and precision were picked, where `auto` was asked for.
    source : TorchEncoder, optional
        The encoder that the graph is made of, for whoever exports it.
    """

    def __init__(
        self,
        spec: TokenSpec,
        compile_layers: Callable[[Layers, int], Network],
        *,
        made_of: str,
        runtime: str,
        precision: str,
        parameters: int,
        micro_batch: int = 1,
        workers: int = 1,
        reason: str = "",
        source: Any = None,
    ) -> None:
        for setting, value in (("micro_batch", micro_batch), ("workers", workers)):
            check_at_once(setting, value)
        self.spec = spec
        self.made_of = made_of
        self.runtime, self.precision = runtime, precision
        self.parameters = parameters
        self.micro_batch, self.workers = micro_batch, workers
        self.reason = reason
        self.source = source
        self._compile_layers = compile_layers
        self._compiled: tuple[Layers, Network] | None = None
        self._runs, self._runs_compiled, self._turns = workers, 0, threading.Semaphore(workers)
        self._one_compiles = threading.Lock()

    def __repr__(self) -> str:
        return f"RuntimeEncoder({self.name!r}, {self.runtime!r}, {self.precision!r})"

    @property
    def name(self) -> str:
        """The name under which `firstshot.load_encoder` finds it."""
        return self.spec.name

    @property
    def sample_rate(self) -> int:
        """The rate in Hz that the encoder hears at."""
        return SAMPLE_RATE

    @property
    def depth(self) -> int:
        """Number of layers."""
        return self.spec.depth

    @property
    def dim(self) -> int:
        """Numbers per token."""
        return self.spec.dim

    @property
    def default_layers(self) -> tuple[int, ...]:
        """The layers a detector uses when none are named."""
        return self.spec.default_layers

    @property
    def minimum_samples(self) -> int:
        """The shortest clip, at `sample_rate`, that gives one token."""
        return self.spec.minimum_samples

    @property
    def frequency_bands(self) -> tuple[tuple[float, float], ...]:
        """Lowest and highest frequency in Hz of each row of the grid, lowest row first."""
        return self.spec.frequency_bands()

    @property
    def fingerprint(self) -> str:
        """Hex digest of everything that decides the output, runtime and precision included."""
        decides = json.dumps([self.made_of, self.runtime, self.precision])
        return hashlib.sha256(decides.encode()).hexdigest()

    def grid(self, samples: int) -> tuple[int, int]:
        """Return (time, freq), the token grid of a clip of that many samples at `sample_rate`."""
        check_length(samples, self.sample_rate, self.minimum_samples, self.name)
        return self.spec.grid(samples)

    def macs(self, samples: int) -> int:
        """Return the multiply-accumulates that encode one clip, counted as the report does."""
        return self.spec.macs(samples)

    def layers(
        self,
        waveforms: Waveforms,
        sample_rate: int = SAMPLE_RATE,
        layers: Sequence[int] | None = None,
    ) -> list[NDArray[np.float32]]:
        """Return one float32 array (clips, time, freq, dim) per layer asked for; None means all.

        Raises
        ------
        SoundError
            A clip is too short or has NaN, or the clips do not share one grid (use `embed`).
        ParameterError
            A layer that does not exist, or that the graph was not made for.
        """
        every = range(1, self.depth + 1)
        asked = resolve_layers(every if layers is None else layers, self.depth, self.name)
        clips = heard(waveforms, sample_rate, SAMPLE_RATE, self.minimum_samples, self.name)
        grids = sorted({self.spec.grid(len(clip)) for clip in clips})
        if len(grids) > 1:
            raise SoundError(
                f"clips of different lengths, grids {grids}: layer outputs of one call must share "
                "a grid; call embed, or layers once for each length"
            )
        outputs = [np.empty((len(clips), *grids[0], self.dim), np.float32) for _ in asked]
        for batch in _batches(clips, self.micro_batch):
            for output, values in zip(outputs, self._tokens_of(batch, asked), strict=True):
                output[batch[0]] = values
        return outputs

    def embed(
        self,
        waveforms: Waveforms,
        sample_rate: int = SAMPLE_RATE,
        layers: Sequence[int] | None = None,
        pooling: str = "temporal",
    ) -> list[NDArray[np.float32]]:
        """Return one float32 array (clips, values) per layer asked for; None means the defaults.

        Raises
        ------
        SoundError
            A clip is too short or has NaN, or `spectral` pooling of clips of different lengths.
        ParameterError
            A layer or a pooling that does not exist, or a layer that the graph was not made for.
        """
        check_pooling(pooling)
        layers = self.default_layers if layers is None else layers
        asked = resolve_layers(layers, self.depth, self.name)
        clips = heard(waveforms, sample_rate, SAMPLE_RATE, self.minimum_samples, self.name)
        self.compile(asked)

        def embed_batch(batch: Batch) -> list[NDArray[np.float32]]:
            kept = self._pooled_time(len(batch[1][0]))
            return [pool(x[:, :kept], pooling) for x in self._tokens_of(batch, asked)]

        rows: list[dict[int, NDArray[np.float32]]] = [{} for _ in asked]
        batches = list(_batches(clips, self.micro_batch))
        for outcome in in_order(embed_batch, batches, min(self.workers, len(batches))):
            for row, vectors in zip(rows, outcome.get(), strict=True):
                row.update(zip(outcome.item[0], vectors, strict=True))
        if len({len(vector) for vector in rows[0].values()}) > 1:
            raise SoundError(
                f"pooling {pooling!r} of clips of different lengths gives embeddings of different "
                "lengths; use temporal pooling, or a fixed length policy"
            )
        return [np.stack([row[clip] for clip in range(len(clips))]) for row in rows]

    def tokens(
        self, spectrograms: NDArray[np.float32], layers: Layers
    ) -> list[NDArray[np.float32]]:
        """Run the network on spectrograms (clips, frames, mels), up to the deepest of `layers`.

        Returns one float32 array (clips, time, freq, dim) per 1-based layer, in the order asked.
        """
        made, network = self._network(layers)
        with self._turns:  # more runs than a graph was compiled for would only crowd the cores
            by_piece = [network.run(piece) for piece in _cut(spectrograms, self.spec)]
        joined = [np.concatenate(parts, axis=1) for parts in zip(*by_piece, strict=True)]
        return [joined[made.index(layer)] for layer in layers]

    def compile(self, layers: Layers) -> None:
        """Make the network for these layers now, not when they are first asked for."""
        self._network(layers)

    def _tokens_of(self, batch: Batch, layers: Layers) -> list[NDArray[np.float32]]:
        spectrograms = [self.spec.front_end(clip, SAMPLE_RATE) for clip in batch[1]]
        return self.tokens(np.stack(spectrograms), layers)

    def _pooled_time(self, samples: int) -> int:
        if isinstance(self.spec, PoolsFewer):
            return self.spec.pooled_time(samples)
        return self.spec.grid(samples)[0]

    def share(self, workers: int, clips: int) -> AbstractContextManager[Callable[[], object]]:
        """Let several threads ask at once, each run by its share of the network's threads.

        The graph is compiled anew for that where so many clips are worth the seconds; where not,
        runs wait for each other, and only what is around them goes on at once.
        """
        if clips >= WORTH_COMPILING:
            self._runs = max(self._runs, workers)
        return nullcontext(lambda: None)

    def _network(self, layers: Layers) -> tuple[Layers, Network]:
        wanted = tuple(sorted(set(layers)))
        with self._one_compiles:
            before = self._compiled
            if before is not None and set(wanted) <= set(before[0]):
                if self._runs_compiled >= self._runs:
                    return before
                wanted = before[0]
            self._compiled = wanted, self._compile_layers(wanted, self._runs)
            self._runs_compiled, self._turns = self._runs, threading.Semaphore(self._runs)
            if before is not None:
                before[1].close()
            return self._compiled


def _batches(clips: Sequence[NDArray[np.float32]], most: int) -> Iterator[Batch]:
    """Yield micro-batches of clips of one length: which they are, and their samples."""
    lengths: dict[int, list[int]] = {}
    for index, clip in enumerate(clips):
        lengths.setdefault(len(clip), []).append(index)
    for indices in lengths.values():
        for start in range(0, len(indices), most):
            members = indices[start : start + most]
            yield members, [clips[i] for i in members]


def _cut(spectrograms: NDArray[np.float32], spec: TokenSpec) -> Iterable[NDArray[np.float32]]:
    """Cut what a graph takes one piece at a time: M2D's, whose last piece is shorter."""
    geometry = getattr(spec, "geometry", None)
    if not isinstance(geometry, M2dGeometry):
        return [spectrograms]
    longest = geometry.piece_frames
    starts = range(0, spectrograms.shape[1], longest)
    return [np.ascontiguousarray(spectrograms[:, at : at + longest]) for at in starts]
