"""How fast every runtime runs an encoder beside the reference style, one clip on one core.

    python benchmarks/encoders.py [--encoders ced_tiny eat beats_ft1] [--threads 1] [--rounds 7]

Front-end left out. All ways run in turn in the same process, so that their ratios mean something on
a busy machine; printed are the median time, and the median over the rounds of the ratio to the
reference style. Weights are made up: speed does not depend on them.
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
import torch
from reference_style import every_layer

from firstshot.bench import made_up_encoder
from firstshot.encoders.precision import describe_processor
from firstshot.encoders.runtime import compile_network
from firstshot.encoders.runtime_openvino import openvino_precisions


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    versions = ", ".join(f"{p} {version(p)}" for p in ("torch", "openvino", "onnxruntime"))
    print(f"{describe_processor()}; {versions}; {arguments.threads} threads; 10 s clip\n")
    print("| encoder | way | ms | times as fast as the reference |\n|---|---|---|---|")
    for name in arguments.encoders:
        measure(name, arguments.threads, arguments.rounds)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoders", nargs="+", default=["ced_tiny", "eat", "beats_ft1"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    return parser.parse_args()


def measure(name: str, threads: int, rounds: int) -> None:
    """Print a row for every way to run one encoder."""
    encoder: Any = made_up_encoder(name)
    noise = 0.1 * np.random.default_rng(0).standard_normal(160000)
    spectrogram = encoder.spec.front_end(noise.astype(np.float32))[None]
    layers = encoder.default_layers
    ways: dict[str, Callable[[], object]] = {
        "reference": partial(every_layer, encoder, spectrogram),
        "torch fp32": partial(encoder.tokens, spectrogram, layers),
    }
    runtimes = [("onnx", "fp32"), *(("openvino", p) for p in openvino_precisions())]
    for runtime, precision in runtimes:
        network = compile_network(encoder, layers, runtime, precision, threads)
        ways[f"{runtime} {precision}"] = partial(network.run, spectrogram)
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds + 1):
        for way, run in ways.items():
            start = time.perf_counter()
            run()
            taken[way].append(1e3 * (time.perf_counter() - start))
    for way, times in taken.items():
        # The first round warms up.
        ratio = statistics.median(
            r / t for r, t in zip(taken["reference"][1:], times[1:], strict=True)
        )
        print(f"| {name} | {way} | {statistics.median(times[1:]):.1f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
