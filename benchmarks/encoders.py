"""How fast every runtime runs an encoder beside the reference style, one clip at a time.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/encoders.py [--threads 1]
        [--encoders ced_tiny eat beats_ft1] [--rounds 7]
    OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2 python benchmarks/encoders.py --latency --threads 2
        [--encoders ced_tiny] [--rounds 200]

The first prints the network alone, and what share it reaches of numpy's float32 matrix product,
measured in the same run with as many threads (which OPENBLAS_NUM_THREADS says): the work counted is
that of the layers asked for, attention included, so the reference style, which computes all layers,
cannot reach it all. The second prints the wait for one clip, from waveform to embedding.

All ways run in turn in the same process, so that their ratios mean something on a busy machine;
printed are medians, and the median over the rounds of the ratio to the reference style. Weights are
made up: speed does not depend on them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import reference_style
import torch

from firstshot.deploy.timing import matrix_peak
from firstshot.encoders.loading import random_encoder
from firstshot.encoders.runtimes.compile import compile_graph
from firstshot.encoders.runtimes.openvino import openvino_precisions
from firstshot.encoders.runtimes.processor import describe_processor
from firstshot.encoders.runtimes.torch import torch_network
from firstshot.encoders.runtimes.with_runtime import with_runtime
from firstshot.errors import ParameterError

SAMPLES, RATE = 160000, 16000
ENCODERS = ("ced_tiny", "eat", "beats_ft1")

Ways = dict[str, Callable[[], object]]


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    versions = ", ".join(f"{p} {version(p)}" for p in ("torch", "openvino", "onnxruntime"))
    print(f"{describe_processor()}; {versions}; {arguments.threads} threads; 10 s clip\n")
    if arguments.latency:
        for name in arguments.encoders or ["ced_tiny"]:
            print_latency(name, arguments.threads, arguments.rounds or 200)
        return
    print("| encoder | way | ms | share of the peak | times as fast as the reference |")
    print("|---|---|---|---|---|")
    for name in arguments.encoders or ENCODERS:
        print_networks(name, arguments.threads, arguments.rounds or 7)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoders", nargs="+")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--latency", action="store_true")
    return parser.parse_args()


def runtimes() -> list[tuple[str, str]]:
    return [("onnx", "fp32"), *(("openvino", p) for p in openvino_precisions())]


def noise() -> Any:
    draws = np.random.default_rng(0).standard_normal(SAMPLES)
    return (0.1 * draws).astype(np.float32)


def print_networks(name: str, threads: int, rounds: int) -> None:
    """Print a row for every way to run one encoder's network."""
    encoder: Any = random_encoder(name)
    spectrogram = encoder.spec.front_end(noise())[None]
    layers = encoder.default_layers
    ways: Ways = {
        "reference": partial(reference_style.every_layer, encoder, spectrogram),
        "torch fp32": partial(encoder.network.tokens, spectrogram, layers),
    }
    for runtime, precision in runtimes():
        network = compile_graph(torch_network(encoder), layers, runtime, precision, threads)
        ways[f"{runtime} {precision}"] = partial(network.run, spectrogram)
    taken = in_turn(ways, rounds)
    peak = matrix_peak()
    print(f"| {name} | matrix product, {peak:.0f} GFLOP/s | | 1.00 | |")
    for way, times in taken.items():
        middle = statistics.median(times)
        share = useful_gflop(encoder) / middle * 1e3 / peak
        ratio = against_reference(taken, times)
        print(f"| {name} | {way} | {middle:.1f} | {share:.2f} | {ratio:.2f} |", flush=True)


def print_latency(name: str, threads: int, rounds: int) -> None:
    """Print median and 99th percentile of the wait for one clip, waveform to embedding."""
    encoder: Any = random_encoder(name)
    waveform, layers = noise(), encoder.default_layers
    ways: Ways = {"torch fp32": partial(encoder.embed, waveform[None], RATE, layers)}
    if name.startswith("ced"):  # the style's front-end is CED's
        ways = {"reference": partial(reference_style.embed, encoder, [waveform], layers), **ways}
    for runtime, precision in runtimes():
        try:
            run_by = with_runtime(encoder, runtime, precision, layers, threads=threads)
        except ParameterError as error:
            print(error)  # a precision that the network does not bear
            continue
        ways[f"{runtime} {precision}"] = partial(run_by.embed, waveform[None], RATE, layers)
    print("| encoder | way | p50, ms | p99, ms | times as fast as the reference |")
    print("|---|---|---|---|---|")
    taken = in_turn(ways, rounds)
    for way, times in taken.items():
        p50, p99 = np.quantile(times, [0.5, 0.99])
        ratio = f"{against_reference(taken, times):.2f}" if "reference" in taken else ""
        print(f"| {name} | {way} | {p50:.1f} | {p99:.1f} | {ratio} |")


def in_turn(ways: Ways, rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of every way in each round; a round more warms up."""
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        for way, run in ways.items():
            start = time.perf_counter()
            run()
            if number:
                taken[way].append(1e3 * (time.perf_counter() - start))
    return taken


def against_reference(taken: dict[str, list[float]], times: list[float]) -> float:
    """Return how many times as fast as the reference, the median over the rounds."""
    pairs = zip(taken["reference"], times, strict=True)
    return statistics.median(reference / own for reference, own in pairs)


def useful_gflop(encoder: Any) -> float:
    """Return the GFLOP of one clip up to the deepest layer asked for, the tagging head left out."""
    samples = SAMPLES * encoder.sample_rate // RATE
    return 2e-9 * float(encoder.spec.geometry.macs_up_to(max(encoder.default_layers), samples))


if __name__ == "__main__":
    main()
