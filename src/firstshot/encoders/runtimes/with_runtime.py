"""One encoder, three runtimes: torch, OpenVINO or ONNX Runtime behind the same call.

Input: a `TorchEncoder` and what should run it. Output: an `Encoder` with the same numbers, as far
as the precision carries: embeddings differ from torch's in fp32 by a relative L2 of at most 1e-6
in fp32, 1e-3 in fp16 and 1e-2 in bf16. One clip is compared before anything is used, see
`firstshot.encoders.runtimes.check`. Runtime and precision are part of the fingerprint, so that
no bank made at one precision is silently asked at another.

`auto` takes what is fastest here, by a probe of a second: see `firstshot.encoders.runtimes.auto`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from firstshot.encoders.pooling import resolve_layers
from firstshot.encoders.runtimes.check import check_runtime, layers_to_compare
from firstshot.encoders.runtimes.processor import PRECISIONS
from firstshot.errors import ParameterError
from firstshot.ordered_threads import count_threads

if TYPE_CHECKING:
    from firstshot.encoders.protocol import Encoder
    from firstshot.encoders.runtime_encoder import Layers, Network
    from firstshot.encoders.torch_encoder import TorchEncoder

RUNTIMES = ("torch", "openvino", "onnx")
TORCH_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


def with_runtime(
    encoder: TorchEncoder,
    runtime: str = "auto",
    precision: str = "auto",
    layers: Sequence[int] | None = None,
    *,
    threads: int | None = None,
    workers: int = 1,
    micro_batch: int | None = None,
) -> Encoder:
    """Return the same encoder, run by another runtime.

    Parameters
    ----------
    encoder : TorchEncoder
        The encoder in float32; its weights are what the others run.
    runtime : str
        `torch`, `openvino`, `onnx`, or `auto`: the fastest of those that are installed.
    precision : str
        `fp32`, `fp16`, `bf16`, or `auto`: the fastest that the processor computes in by itself; on
        torch that is fp32.
    layers : sequence of int, optional
        The layers that will be asked for, compiled at once; None compiles them when they are.
    threads : int, optional
        Threads to compute with; None means OMP_NUM_THREADS, else all cores. torch keeps its own.
    workers : int
        Clips worked on at once, each by `threads` divided by `workers`: more clips a second, and
        a longer wait for each. torch takes one at a time.
    micro_batch : int, optional
        Clips that are run as one; None keeps the encoder's.

    Raises
    ------
    ParameterError
        A runtime or precision that is not known, that does not go with the encoder's device, or
        that this processor lacks or in which the runtime computes something else.
    WeightsError
        The runtime is not installed.
    """
    _check(encoder, runtime, precision)
    count = count_threads(threads)
    asked = None if layers is None else resolve_layers(layers, encoder.depth, encoder.name)
    compared = asked or layers_to_compare(encoder)
    reason = ""
    if "auto" in (runtime, precision) and encoder.device.type == "cpu":
        from firstshot.encoders.runtimes.auto import choose

        choice = choose(encoder, runtime, precision, count, compared)
        runtime, precision, reason = choice.runtime, choice.precision, choice.reason
    elif runtime in ("auto", "torch"):
        runtime, precision = "torch", _own_precision(encoder, precision)
    if runtime == "torch":
        return _by_torch(encoder, precision, micro_batch, compared)
    from firstshot.encoders.runtime_encoder import RuntimeEncoder

    def compile_layers(wanted: Layers, runs: int) -> Network:
        network = compile_network(encoder, wanted, runtime, precision, count, runs)
        check_runtime(encoder, wanted, runtime, precision, network.run)
        return network

    wrapped = RuntimeEncoder(
        encoder.spec,
        compile_layers,
        made_of=encoder.fingerprint,
        runtime=runtime,
        precision=precision,
        parameters=encoder.parameters,
        micro_batch=micro_batch or encoder.micro_batch,
        workers=workers,
        reason=reason,
        source=encoder,
    )
    if asked is not None:
        wrapped.compile(asked)
    return wrapped


def compile_network(
    encoder: TorchEncoder,
    layers: Layers,
    runtime: str,
    precision: str,
    threads: int = 1,
    runs: int = 1,
) -> Network:
    """Return the encoder's network up to the deepest of ascending `layers`, ready to run."""

    def model() -> bytes:
        return encoder_graph(encoder, layers)

    if runtime == "openvino":
        from firstshot.encoders.runtimes.openvino import OpenVinoNetwork

        return OpenVinoNetwork(model, precision, threads, runs)
    from firstshot.encoders.runtimes.onnx import OnnxNetwork

    return OnnxNetwork(model, precision, threads, runs)


def encoder_graph(encoder: TorchEncoder, layers: Layers) -> bytes:
    """Return the encoder as an ONNX model that stops at the deepest of `layers`."""
    from firstshot.encoders.runtimes.onnx_graphs import build_graph

    state: dict[str, Any] = encoder.module.state_dict()
    weights = {name: tensor.float().cpu().numpy() for name, tensor in state.items()}
    return build_graph(encoder.spec, weights, layers, encoder.last_layer)


def check_names(runtime: str, precision: str) -> None:
    """Raise ParameterError for a runtime or a precision that is not known."""
    if runtime not in ("auto", *RUNTIMES):
        raise ParameterError(
            f"runtime {runtime!r} is not known; choose one of auto, {', '.join(RUNTIMES)}"
        )
    if precision not in ("auto", *PRECISIONS):
        raise ParameterError(
            f"precision {precision!r} is not known; choose one of auto, {', '.join(PRECISIONS)}"
        )


def _check(encoder: TorchEncoder, runtime: str, precision: str) -> None:
    check_names(runtime, precision)
    if runtime not in ("auto", "torch") and encoder.device.type != "cpu":
        raise ParameterError(
            f"runtime {runtime!r} runs on the processor and the encoder is on {encoder.device}; "
            "choose torch, or the device cpu"
        )
    if runtime not in ("auto", "torch") and _own_precision(encoder, "auto") != "fp32":
        raise ParameterError(
            f"runtime {runtime!r} needs the weights as they were published and the encoder holds "
            f"{encoder.dtype}; load it as float32, and choose the precision here"
        )


def _own_precision(encoder: TorchEncoder, precision: str) -> str:
    """Return what torch computes in: what was asked for, else what the encoder has."""
    if precision != "auto":
        return precision
    own = str(encoder.dtype).removeprefix("torch.")
    return {dtype: name for name, dtype in TORCH_DTYPES.items()}.get(own, own)


def _by_torch(
    encoder: TorchEncoder, precision: str, micro_batch: int | None, layers: tuple[int, ...]
) -> TorchEncoder:
    batch, own = micro_batch or encoder.micro_batch, _own_precision(encoder, "auto")
    if precision == own and batch == encoder.micro_batch:
        return encoder
    copied = torch_copy(encoder, precision, batch)
    if precision != own and own == "fp32":
        wanted = tuple(sorted(layers))
        check_runtime(encoder, wanted, "torch", precision, partial(copied.tokens, layers=wanted))
    return copied


def torch_copy(encoder: TorchEncoder, precision: str, micro_batch: int | None) -> TorchEncoder:
    """Return a copy of the encoder that torch runs in that precision."""
    from copy import deepcopy

    from firstshot.encoders.torch_encoder import TorchEncoder

    return TorchEncoder(
        encoder.spec,
        deepcopy(encoder.module),  # its dtype is changed in place, and the caller keeps his
        weights_hash=encoder.weights_hash,
        device=encoder.device,
        dtype=TORCH_DTYPES.get(precision, precision),
        last_layer=encoder.last_layer,
        micro_batch=micro_batch,
    )
