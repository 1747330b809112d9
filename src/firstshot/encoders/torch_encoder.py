"""Any pre-trained encoder as an `Encoder`: spec and torch module give layers and embeddings.

Input: clips of any lengths at any rate. Output: layer outputs (clips, time, freq, dim) or pooled
embeddings (clips, values), float32. The spec does the numpy part of a clip (front-end, grid), the
module the torch part (tokens of each layer); what is the same for all encoders is here: resampling,
batches of clips of one length, choice of layers, pooling.

Clips of one length are run a micro-batch at a time; a clip's numbers do not depend on the clips
beside it.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from firstshot.encoders.clips import check_length, heard
from firstshot.encoders.pooling import check_pooling, pool, resolve_layers
from firstshot.encoders.protocol import Waveforms
from firstshot.encoders.specs.base import HasFinalNorm, PoolsFewer, TokenSpec
from firstshot.errors import ParameterError, SoundError
from firstshot.numbers import check_at_once

LastLayer = Literal["raw", "normed"]
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16)
}


class TorchEncoder:
    """A pre-trained encoder, frozen, run by torch; see `firstshot.encoders.protocol.Encoder`.

    Parameters
    ----------
    spec : TokenSpec
        The encoder's constants and its numpy part.
    module : torch.nn.Module with `tokens_by_layer`
        The network with its weights; it is moved to `device` and `dtype` and set to evaluate.
    weights_hash : str
        Hex digest of the weights, a part of the fingerprint.
    device : str or torch.device
        Where the network runs.
    dtype : torch.dtype or str
        What the network computes in; outputs are float32 always.
    last_layer : "raw" or "normed"
        Output of the last block as it is, or after the norm that follows it (CED and M2D).
    micro_batch : int, optional
        Number of clips that are run at once. None means 8, but 1 on a CPU, where more gain nothing
        and a clip's numbers are then, to the last bit, those it has alone.

    Raises
    ------
    ParameterError
        A setting has a value that cannot be used with this encoder.
    """

    def __init__(
        self,
        spec: TokenSpec,
        module: nn.Module,
        *,
        weights_hash: str,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | str = torch.float32,
        last_layer: LastLayer = "raw",
        micro_batch: int | None = None,
    ) -> None:
        if last_layer not in get_args(LastLayer):
            raise ParameterError(f"last_layer {last_layer!r} is not known; choose raw or normed")
        if last_layer == "normed" and not isinstance(module, HasFinalNorm):
            raise ParameterError(
                f"last_layer 'normed': {spec.name} has no norm after its last block; choose raw"
            )
        if micro_batch is not None:
            check_at_once("micro_batch", micro_batch)
        self.spec = spec
        self.dtype = _as_dtype(dtype)
        self.module = module.to(device=device, dtype=self.dtype).eval().requires_grad_(False)
        self.weights_hash = weights_hash
        self.last_layer = last_layer
        on_cpu = self.device.type == "cpu"
        self.micro_batch = micro_batch or (1 if on_cpu else 8)
        # One network at a time on a GPU, while other threads make spectrograms for it.
        self._turns = nullcontext() if on_cpu else threading.Lock()

    def __repr__(self) -> str:
        return f"TorchEncoder({self.name!r}, device={str(self.device)!r}, dtype={self.dtype})"

    @property
    def name(self) -> str:
        """The name under which `firstshot.load_encoder` finds it."""
        return self.spec.name

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return next(self.module.parameters()).device

    @property
    def sample_rate(self) -> int:
        """The rate in Hz that the encoder hears at."""
        return 16000

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
    def parameters(self) -> int:
        """Number of learned values that the encoder uses."""
        return sum(values.numel() for values in self.module.parameters())

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
        """Hex digest of everything that decides the output: weights, constants, settings."""
        spec: Any = self.spec
        decides = [asdict(spec), self.weights_hash, self.last_layer, str(self.dtype)]
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

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
        sample_rate: int = 16000,
        layers: Sequence[int] | None = None,
    ) -> list[NDArray[np.float32]]:
        """Return one float32 array (clips, time, freq, dim) per layer asked for; None means all.

        Raises
        ------
        SoundError
            A clip is too short or has NaN, or the clips do not share one grid (use `embed`).
        ParameterError
            A layer that does not exist.
        """
        every = range(1, self.depth + 1)
        asked = resolve_layers(every if layers is None else layers, self.depth, self.name)
        clips = self._heard(waveforms, sample_rate)
        grids = sorted({self.spec.grid(len(clip)) for clip in clips})
        if len(grids) > 1:
            raise SoundError(
                f"clips of different lengths, grids {grids}: layer outputs of one call must share "
                "a grid; call embed, or layers once for each length"
            )
        time, freq = grids[0]
        outputs = [np.empty((len(clips), time, freq, self.dim), np.float32) for _ in asked]
        for members, _, tokens in self._batches(clips, asked):
            for output, values in zip(outputs, tokens, strict=True):
                output[members] = values
        return outputs

    def embed(
        self,
        waveforms: Waveforms,
        sample_rate: int = 16000,
        layers: Sequence[int] | None = None,
        pooling: str = "temporal",
    ) -> list[NDArray[np.float32]]:
        """Return one float32 array (clips, values) per layer asked for; None means the defaults.

        Raises
        ------
        SoundError
            A clip is too short or has NaN, or `spectral` pooling of clips of different lengths.
        ParameterError
            A layer or a pooling that does not exist.
        """
        check_pooling(pooling)
        layers = self.default_layers if layers is None else layers
        asked = resolve_layers(layers, self.depth, self.name)
        clips = self._heard(waveforms, sample_rate)
        rows: list[dict[int, NDArray[np.float32]]] = [{} for _ in asked]
        for members, samples, tokens in self._batches(clips, asked):
            for row, values in zip(rows, tokens, strict=True):
                kept = values[:, : self._pooled_time(samples)]
                row.update(zip(members, pool(kept, pooling), strict=True))
        if len({len(vector) for vector in rows[0].values()}) > 1:
            raise SoundError(
                f"pooling {pooling!r} of clips of different lengths gives embeddings of different "
                "lengths; use temporal pooling, or a fixed length policy"
            )
        return [np.stack([row[clip] for clip in range(len(clips))]) for row in rows]

    @contextmanager
    def share(self, workers: int, clips: int) -> Iterator[Callable[[], object]]:
        """Let several threads ask at once, each with its share of the threads that torch has.

        How many threads torch computes with is a thread's own setting; what was set last is taken
        over by threads that begin later, and is therefore set back.
        """
        before = torch.get_num_threads()
        if workers == 1:
            yield torch.get_num_threads
            return
        try:
            yield partial(torch.set_num_threads, max(1, before // workers))
        finally:
            torch.set_num_threads(before)

    def _pooled_time(self, samples: int) -> int:
        if isinstance(self.spec, PoolsFewer):
            return self.spec.pooled_time(samples)
        return self.spec.grid(samples)[0]

    def _heard(self, waveforms: Waveforms, sample_rate: int) -> list[NDArray[np.float32]]:
        return heard(waveforms, sample_rate, self.sample_rate, self.minimum_samples, self.name)

    def _batches(
        self, clips: list[NDArray[np.float32]], layers: tuple[int, ...]
    ) -> Iterator[tuple[list[int], int, list[NDArray[np.float32]]]]:
        """Yield (which clips, their samples, their tokens of each layer), one length at a time."""
        lengths: dict[int, list[int]] = {}
        for index, clip in enumerate(clips):
            lengths.setdefault(len(clip), []).append(index)
        for samples, indices in lengths.items():
            for start in range(0, len(indices), self.micro_batch):
                members = indices[start : start + self.micro_batch]
                spectrograms = [self.spec.front_end(clips[i], self.sample_rate) for i in members]
                yield members, samples, self.tokens(np.stack(spectrograms), layers)

    def tokens(
        self, spectrograms: NDArray[np.float32], layers: tuple[int, ...]
    ) -> list[NDArray[np.float32]]:
        """Run the network on spectrograms (clips, frames, mels), up to the deepest of `layers`.

        Returns one float32 array (clips, time, freq, dim) per 1-based layer, in the order asked.
        """
        module: Any = self.module
        depths = tuple(sorted(set(layers)))
        with self._turns, torch.inference_mode(), _exact_convolutions(self.device):
            batch = torch.from_numpy(spectrograms).to(device=self.device, dtype=self.dtype)
            found = dict(zip(depths, module.tokens_by_layer(batch, depths), strict=True))
            if self.last_layer == "normed" and self.depth in found:
                found[self.depth] = module.final_norm(found[self.depth])
            arrays = {depth: out.float().cpu().numpy() for depth, out in found.items()}
        return [arrays[layer] for layer in layers]


def _exact_convolutions(device: torch.device) -> AbstractContextManager[object]:
    """Keep a GPU from rounding the inputs of convolutions to 10 bits; products are exact."""
    if device.type != "cuda":
        return nullcontext()
    flags: AbstractContextManager[object] = torch.backends.cudnn.flags(
        enabled=True, deterministic=True, allow_tf32=False
    )
    return flags


def _as_dtype(dtype: torch.dtype | str) -> torch.dtype:
    found = _DTYPES.get(str(dtype).removeprefix("torch."))
    if found is None:
        raise ParameterError(
            f"dtype {dtype!r} cannot be computed in; choose one of {list(_DTYPES)}"
        )
    return found
