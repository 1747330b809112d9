"""torch runs an encoder's network: the reference, on a processor or a GPU, in any precision.

Input: spectrograms (clips, frames, mels). Output: tokens (clips, time, freq, dim) of each layer.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import asdict
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from firstshot.encoders.pretrained_encoder import Layers, PretrainedEncoder
from firstshot.encoders.specs.base import Spec
from firstshot.errors import ParameterError
from firstshot.messages import choose_one_of

LastLayer = Literal["raw", "normed"]
DTYPES = {
    "fp32": torch.float32,
    "fp64": torch.float64,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}
GPU_BATCH = 8
"""Clips that a GPU runs as one. On a CPU more than one gain nothing."""


class TorchNetwork:
    """A torch module as a `firstshot.encoders.pretrained_encoder.Network`.

    Parameters
    ----------
    module : torch.nn.Module with `tokens_by_layer`
        The network with its weights; it is moved to `device` and `dtype` and set to evaluate.
    spec : Spec
        What network it is.
    weights_hash : str
        Hex digest of the weights.
    device : str or torch.device
        Where the network runs.
    dtype : torch.dtype or str
        What the network computes in; outputs are float32 always.
    last_layer : "raw" or "normed"
        Output of the last block as it is, or after the norm that follows it (CED and M2D).

    Raises
    ------
    ParameterError
        A setting has a value that cannot be used with this network.
    """

    runtime = "torch"

    def __init__(
        self,
        spec: Spec,
        module: nn.Module,
        *,
        weights_hash: str,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | str = torch.float32,
        last_layer: LastLayer = "raw",
    ) -> None:
        if last_layer not in get_args(LastLayer):
            raise ParameterError(f"last_layer {last_layer!r} is not known; choose raw or normed")
        if last_layer == "normed" and not hasattr(module, "final_norm"):
            raise ParameterError(
                f"last_layer 'normed': {spec.name} has no norm after its last block; choose raw"
            )
        self.spec, self.weights_hash, self.last_layer = spec, weights_hash, last_layer
        self.dtype = _as_dtype(dtype)
        self.precision = next(name for name, known in DTYPES.items() if known == self.dtype)
        self.module = module.to(device=device, dtype=self.dtype).eval().requires_grad_(False)
        self.device = next(self.module.parameters()).device
        # One batch at a time on a GPU, while other threads make spectrograms for it.
        self._one_at_a_time = nullcontext() if self.device.type == "cpu" else threading.Lock()

    def tokens(
        self, spectrograms: NDArray[np.float32], layers: Layers
    ) -> list[NDArray[np.float32]]:
        """Map spectrograms (clips, frames, mels) to tokens (clips, time, freq, dim) per layer."""
        module: Any = self.module
        depths = tuple(sorted(set(layers)))
        with self._one_at_a_time, torch.inference_mode(), _exact_convolutions(self.device):
            batch = torch.from_numpy(spectrograms).to(device=self.device, dtype=self.dtype)
            found = dict(zip(depths, module.tokens_by_layer(batch, depths), strict=True))
            if self.last_layer == "normed" and self.spec.depth in found:
                found[self.spec.depth] = module.final_norm(found[self.spec.depth])
            arrays = {depth: out.float().cpu().numpy() for depth, out in found.items()}
        return [arrays[layer] for layer in layers]

    @property
    def fingerprint(self) -> str:
        """Hex digest of everything that decides the output: weights, constants, settings."""
        spec: Any = self.spec
        decides = [asdict(spec), self.weights_hash, self.last_layer, str(self.dtype)]
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    @property
    def parameters(self) -> int:
        """Number of learned values."""
        return sum(values.numel() for values in self.module.parameters())

    def compile(self, layers: Layers) -> None:
        """Do nothing: torch needs no preparation."""

    @contextmanager
    def share(self, workers: int, clips: int) -> Iterator[Callable[[], object]]:
        """Let several threads call at once, each with its share of the threads that torch has.

        How many threads torch computes with is a thread's own setting. A thread that begins later
        starts with what was set last, so that is set back.
        """
        before = torch.get_num_threads()
        if workers == 1:
            yield torch.get_num_threads
            return
        try:
            yield partial(torch.set_num_threads, max(1, before // workers))
        finally:
            torch.set_num_threads(before)


def torch_encoder(
    spec: Spec, module: nn.Module, *, micro_batch: int | None = None, **settings: Any
) -> PretrainedEncoder:
    """Return the encoder of a spec and a torch module; `settings` are those of `TorchNetwork`.

    `micro_batch` None means 8, but 1 on a CPU, where more gain nothing and a clip's numbers are
    then, to the last bit, those it has alone.
    """
    network = TorchNetwork(spec, module, **settings)
    if micro_batch is None:
        micro_batch = 1 if network.device.type == "cpu" else GPU_BATCH
    return PretrainedEncoder(
        spec,
        network,
        fingerprint=network.fingerprint,
        parameters=network.parameters,
        micro_batch=micro_batch,
    )


def torch_network(encoder: PretrainedEncoder) -> TorchNetwork:
    """Return an encoder's torch network; raises `ParameterError` where torch does not run it."""
    network = encoder.network
    if not isinstance(network, TorchNetwork):
        raise ParameterError(
            f"encoder {encoder.name!r} is run by {encoder.runtime} already; load it with the "
            "runtime torch first"
        )
    return network


def with_precision(
    encoder: PretrainedEncoder, precision: str, micro_batch: int | None
) -> PretrainedEncoder:
    """Return a copy of an encoder that torch runs in that precision."""
    network = torch_network(encoder)
    return torch_encoder(
        encoder.spec,
        deepcopy(network.module),  # the copy's dtype is changed in place
        weights_hash=network.weights_hash,
        device=network.device,
        dtype=DTYPES[precision],
        last_layer=network.last_layer,
        micro_batch=micro_batch,
    )


def _exact_convolutions(device: torch.device) -> AbstractContextManager[object]:
    """Keep a GPU from rounding the inputs of convolutions to 10 bits; products are exact."""
    if device.type != "cuda":
        return nullcontext()
    flags: AbstractContextManager[object] = torch.backends.cudnn.flags(
        enabled=True, deterministic=True, allow_tf32=False
    )
    return flags


def _as_dtype(dtype: torch.dtype | str) -> torch.dtype:
    names = {str(known).removeprefix("torch."): known for known in DTYPES.values()}
    found = names.get(str(dtype).removeprefix("torch."))
    if found is None:
        raise ParameterError(
            f"dtype {dtype!r} cannot be computed in; {choose_one_of(dtype, list(names))}"
        )
    return found
