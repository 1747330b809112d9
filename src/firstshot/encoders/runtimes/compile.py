"""A torch network becomes a graph that OpenVINO or ONNX Runtime runs.

Input: spectrograms (clips, frames, mels). Output: tokens (clips, time, freq, dim) of each layer. A
graph gives the layers that it was made for and stops at the deepest. A call for other layers makes
another graph, if there is a network to make it of. `CompiledNetwork` needs no torch.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from firstshot.encoders.pretrained_encoder import Layers, PretrainedEncoder
from firstshot.encoders.specs.base import Spec
from firstshot.encoders.specs.m2d import M2dGeometry

if TYPE_CHECKING:
    from firstshot.encoders.runtimes.torch import TorchNetwork

WORTH_COMPILING = 100
"""For fewer clips, a graph is not compiled anew so that more of them are run at once."""


class CompiledGraph(Protocol):
    """A graph that a runtime runs."""

    def run(self, spectrograms: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Map spectrograms (clips, frames, mels) to every output (clips, time, freq, dim)."""
        ...

    def close(self) -> None:
        """Give the memory back."""
        ...


class CompiledNetwork:
    """A compiled graph as a `firstshot.encoders.pretrained_encoder.Network`.

    Parameters
    ----------
    spec : Spec
        What network it is.
    compile_layers : callable
        Given ascending layers and a number of runs, returns the graph with these outputs for so
        many runs at once. It is called at the first use of layers; one graph is kept at a time.
    runtime, precision : str
        What runs the graph, and what it computes in.
    runs : int
        Runs at once to begin with.
    source : TorchNetwork, optional
        The network that the graph is made of, for export.
    """

    def __init__(
        self,
        spec: Spec,
        compile_layers: Callable[[Layers, int], CompiledGraph],
        *,
        runtime: str,
        precision: str,
        runs: int = 1,
        source: TorchNetwork | None = None,
    ) -> None:
        self.spec, self.source = spec, source
        self.runtime, self.precision = runtime, precision
        self._compile_layers = compile_layers
        self._compiled: tuple[Layers, CompiledGraph] | None = None
        self._runs, self._runs_compiled, self._free = runs, 0, threading.Semaphore(runs)
        self._one_compiles = threading.Lock()

    def tokens(
        self, spectrograms: NDArray[np.float32], layers: Layers
    ) -> list[NDArray[np.float32]]:
        """Map spectrograms (clips, frames, mels) to tokens (clips, time, freq, dim) per layer."""
        made, graph = self._graph(layers)
        with self._free:  # more runs than the graph was compiled for would compete for the cores
            by_piece = [graph.run(piece) for piece in _cut(spectrograms, self.spec)]
        joined = [np.concatenate(parts, axis=1) for parts in zip(*by_piece, strict=True)]
        return [joined[made.index(layer)] for layer in layers]

    def compile(self, layers: Layers) -> None:
        """Make the graph for these layers now, not at their first use."""
        self._graph(layers)

    def share(self, workers: int, clips: int) -> AbstractContextManager[Callable[[], object]]:
        """Let several threads call at once; each run gets its share of the graph's threads.

        For enough clips the graph is compiled anew for so many runs. For fewer, one run waits for
        the other, and only the front-end and the pooling go on at once.
        """
        if clips >= WORTH_COMPILING:
            self._runs = max(self._runs, workers)
        return nullcontext(lambda: None)

    def _graph(self, layers: Layers) -> tuple[Layers, CompiledGraph]:
        wanted = tuple(sorted(set(layers)))
        with self._one_compiles:
            before = self._compiled
            if before is not None and set(wanted) <= set(before[0]):
                if self._runs_compiled >= self._runs:
                    return before
                wanted = before[0]
            self._compiled = wanted, self._compile_layers(wanted, self._runs)
            self._runs_compiled, self._free = self._runs, threading.Semaphore(self._runs)
            if before is not None:
                before[1].close()
            return self._compiled


def compiled_encoder(
    network: CompiledNetwork, *, made_of: str, parameters: int, **settings: Any
) -> PretrainedEncoder:
    """Return the encoder of a compiled network; `settings` are those of `PretrainedEncoder`.

    `made_of` is the fingerprint of the encoder in torch; runtime and precision join it, so that no
    bank made at one precision is used at another.
    """
    decides = json.dumps([made_of, network.runtime, network.precision])
    fingerprint = hashlib.sha256(decides.encode()).hexdigest()
    return PretrainedEncoder(
        network.spec, network, fingerprint=fingerprint, parameters=parameters, **settings
    )


def compile_graph(
    network: TorchNetwork,
    layers: Layers,
    runtime: str,
    precision: str,
    threads: int = 1,
    runs: int = 1,
) -> CompiledGraph:
    """Return a network up to the deepest of ascending `layers`, ready to run."""

    def model() -> bytes:
        return encoder_graph(network, layers)

    if runtime == "openvino":
        from firstshot.encoders.runtimes.openvino import OpenVinoGraph

        return OpenVinoGraph(model, precision, threads, runs)
    from firstshot.encoders.runtimes.onnx import OnnxGraph

    return OnnxGraph(model, precision, threads, runs)


def encoder_graph(network: TorchNetwork, layers: Layers) -> bytes:
    """Return a network as an ONNX model that stops at the deepest of `layers`."""
    from firstshot.encoders.runtimes.onnx_graphs import build_graph

    state: dict[str, Any] = network.module.state_dict()
    weights = {name: tensor.float().cpu().numpy() for name, tensor in state.items()}
    return build_graph(network.spec, weights, layers, network.last_layer)


def _cut(spectrograms: NDArray[np.float32], spec: Spec) -> Iterable[NDArray[np.float32]]:
    """Cut what a graph takes one piece at a time: M2D's, whose last piece is shorter."""
    if not isinstance(spec.geometry, M2dGeometry):
        return [spectrograms]
    longest = spec.geometry.piece_frames
    starts = range(0, spectrograms.shape[1], longest)
    return [np.ascontiguousarray(spectrograms[:, at : at + longest]) for at in starts]
