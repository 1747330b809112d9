"""One encoder, three runtimes: torch, OpenVINO or ONNX Runtime behind the same call.

Input: an encoder that torch runs, and what is to run it. Output: the encoder with the same numbers
as far as the precision carries: embeddings differ from torch's in fp32 by a relative L2 of at most
1e-5 in fp32 (1e-6 for Transformers), 1e-3 in fp16 and 1e-2 in bf16. One clip is compared before
anything is used, see `firstshot.encoders.runtimes.check`. Runtime and precision are part of the
fingerprint, so that no bank made at one precision is used at another.

`auto` takes what is fastest here, by a probe of a second: see `firstshot.encoders.runtimes.auto`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from firstshot.encoders.pooling import resolve_layers
from firstshot.encoders.pretrained_encoder import Layers, PretrainedEncoder
from firstshot.encoders.runtimes.auto import choose
from firstshot.encoders.runtimes.check import check_runtime, layers_to_compare
from firstshot.encoders.runtimes.compile import (
    CompiledGraph,
    CompiledNetwork,
    compile_graph,
    compiled_encoder,
)
from firstshot.encoders.runtimes.processor import PRECISIONS
from firstshot.errors import ParameterError
from firstshot.messages import choose_one_of
from firstshot.numbers import check_at_once
from firstshot.ordered_threads import count_threads

if TYPE_CHECKING:
    from firstshot.encoders.runtimes.torch import TorchNetwork

RUNTIMES = ("torch", "openvino", "onnx")


def with_runtime(
    encoder: PretrainedEncoder,
    runtime: str = "auto",
    precision: str = "auto",
    layers: Sequence[int] | None = None,
    *,
    threads: int | None = None,
    workers: int = 1,
    micro_batch: int | None = None,
) -> PretrainedEncoder:
    """Return the same encoder, run by another runtime.

    Parameters
    ----------
    encoder : PretrainedEncoder
        The encoder, run by torch in float32; its weights are what the others run.
    runtime : str
        `torch`, `openvino`, `onnx`, or `auto`: the fastest of those that are installed.
    precision : str
        `fp32`, `fp16`, `bf16`, or `auto`: the fastest that the processor has instructions for;
        on torch that is fp32.
    layers : sequence of int, optional
        The layers to compile now; None compiles layers at their first use.
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
    from firstshot.encoders.runtimes.torch import torch_network

    network = torch_network(encoder)
    _check(network, runtime, precision)
    count = count_threads(threads)
    chosen = None if layers is None else resolve_layers(layers, encoder.depth, encoder.name)
    compared = chosen or layers_to_compare(encoder)
    reason = ""
    if "auto" in (runtime, precision) and network.device.type == "cpu":
        choice = choose(encoder, runtime, precision, count, compared)
        runtime, precision, reason = choice.runtime, choice.precision, choice.reason
    elif runtime in ("auto", "torch"):
        runtime = "torch"
        precision = network.precision if precision == "auto" else precision
    if runtime == "torch":
        return _by_torch(encoder, precision, micro_batch, compared)

    def compile_layers(wanted: Layers, runs: int) -> CompiledGraph:
        graph = compile_graph(network, wanted, runtime, precision, count, runs)
        check_runtime(encoder, wanted, runtime, precision, graph.run)
        return graph

    compiled = CompiledNetwork(
        encoder.spec,
        compile_layers,
        runtime=runtime,
        precision=precision,
        runs=check_at_once("workers", workers),
        source=network,
    )
    wrapped = compiled_encoder(
        compiled,
        made_of=encoder.fingerprint,
        parameters=encoder.parameters,
        micro_batch=micro_batch or encoder.micro_batch,
        workers=workers,
        reason=reason,
    )
    if chosen is not None:
        wrapped.compile(chosen)
    return wrapped


def check_names(runtime: str, precision: str) -> None:
    """Raise ParameterError for a runtime or a precision that is not known."""
    if runtime not in ("auto", *RUNTIMES):
        raise ParameterError(
            f"runtime {runtime!r} is not known; {choose_one_of(runtime, ('auto', *RUNTIMES))}"
        )
    if precision not in ("auto", *PRECISIONS):
        raise ParameterError(
            f"precision {precision!r} is not known; "
            f"{choose_one_of(precision, ('auto', *PRECISIONS))}"
        )


def _check(network: TorchNetwork, runtime: str, precision: str) -> None:
    check_names(runtime, precision)
    if runtime not in ("auto", "torch") and network.device.type != "cpu":
        raise ParameterError(
            f"runtime {runtime!r} runs on the processor and the encoder is on {network.device}; "
            "choose torch, or the device cpu"
        )
    if runtime not in ("auto", "torch") and network.precision != "fp32":
        raise ParameterError(
            f"runtime {runtime!r} needs the weights as they were published and the encoder holds "
            f"{network.dtype}; load it as float32, and choose the precision here"
        )


def _by_torch(
    encoder: PretrainedEncoder, precision: str, micro_batch: int | None, layers: tuple[int, ...]
) -> PretrainedEncoder:
    batch, own = micro_batch or encoder.micro_batch, encoder.precision
    if precision == own and batch == encoder.micro_batch:
        return encoder
    from firstshot.encoders.runtimes.torch import with_precision

    copied = with_precision(encoder, precision, batch)
    if precision != own and own == "fp32":
        wanted = tuple(sorted(layers))
        run = partial(copied.network.tokens, layers=wanted)
        check_runtime(encoder, wanted, "torch", precision, run)
    return copied
