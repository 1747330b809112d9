"""System 4 from files to scores, beside the reference style: every step of a cold run.

    OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2 python benchmarks/end_to_end.py [--threads 2]
        [--clips 64] [--members 1000] [--rounds 5] [--workers 1 2]

Decoding, front-end, CED tiny up to layer 10, and the local-density scores of layers 7 and 10
against a bank, for 10 s clips: cold, from files, with nothing in the store. All ways run in turn in
the same process; printed are the median time a clip, the processor time a clip of all threads
together, and the median over the rounds of the ratio to the reference style. Weights and bank are
made up. `--workers` are the clips worked on at once; they share the threads.

On a machine that does other work, take one thread: where a program has a core now and then, threads
that wait for each other make torch tens of times slower, which says nothing of its style.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import reference_style
import row_loop
import soundfile
import torch
from numpy.typing import NDArray

from firstshot import Detector
from firstshot.detector.embedding import EmbeddedClip
from firstshot.encoders.loading import random_encoder
from firstshot.encoders.logmel import LogMel
from firstshot.encoders.runtimes.openvino import openvino_precisions
from firstshot.encoders.runtimes.processor import describe_processor
from firstshot.encoders.runtimes.with_runtime import with_runtime
from firstshot.errors import FirstshotWarning

LAYERS = (7, 10)
RATE = 16000


def main() -> None:
    arguments = parse_arguments()
    warnings.simplefilter("ignore", FirstshotWarning)
    versions = ", ".join(f"{p} {version(p)}" for p in ("torch", "openvino", "onnxruntime"))
    print(f"{describe_processor()}; {versions}")
    print(
        f"{arguments.clips} clips of 10 s, {arguments.members} members, {arguments.threads} threads"
    )
    print()
    torch.set_num_threads(arguments.threads)
    encoder: Any = random_encoder("ced_tiny")
    banks = made_up_banks(encoder, arguments.members)
    with tempfile.TemporaryDirectory() as folder:
        files = write_clips(Path(folder), arguments.clips)
        ways: dict[str, Callable[[], object]] = {
            "reference": partial(run_reference, encoder, files, banks)
        }
        runtimes = [("torch", "fp32"), ("onnx", "fp32")]
        for runtime, precision in [*runtimes, *(("openvino", p) for p in openvino_precisions())]:
            for workers in arguments.workers:
                run_by = with_runtime(
                    encoder, runtime, precision, LAYERS, threads=arguments.threads, workers=workers
                )
                detector = fit(run_by, banks)
                way = f"{runtime} {precision}, {workers} worker{'s' if workers > 1 else ''}"
                ways[way] = partial(detector.score, files, workers=workers)
        report(ways, arguments.rounds, arguments.clips)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for option, default in [("clips", 64), ("members", 1000), ("rounds", 5), ("threads", 2)]:
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    return parser.parse_args()


def write_clips(folder: Path, count: int) -> list[Path]:
    draws = np.random.default_rng(0)
    files = [folder / f"clip_{i:04d}.wav" for i in range(count)]
    for file in files:
        soundfile.write(file, 0.1 * draws.standard_normal(10 * RATE), RATE, subtype="PCM_16")
    return files


def made_up_banks(encoder: Any, members: int) -> list[NDArray[np.float32]]:
    """Return one bank (members, values) a layer: embeddings of one clip, jittered."""
    draws = np.random.default_rng(1)
    noise = 0.1 * draws.standard_normal((1, 10 * RATE))
    return [
        (base + 0.1 * base.std() * draws.standard_normal((members, base.shape[1]))).astype("f4")
        for base in encoder.embed(noise.astype(np.float32), RATE, LAYERS)
    ]


def fit(encoder: Any, banks: list[NDArray[np.float32]]) -> Detector:
    detector = Detector(encoder, layers=LAYERS, normalizer="local_density")
    values = LogMel().embed(np.zeros((1, RATE), np.float32))[0].shape[1]
    spectrum = np.zeros((1, values), np.float32)
    clips = [
        EmbeddedClip(f"{i}.wav", str(i), (0.0,), tuple(bank[i : i + 1] for bank in banks), spectrum)
        for i in range(len(banks[0]))
    ]
    return detector.fit_embedded(clips)


def run_reference(
    encoder: Any, files: list[Path], banks: list[NDArray[np.float32]]
) -> NDArray[np.float64]:
    waveforms = [soundfile.read(file, dtype="float32")[0] for file in files]
    layers = reference_style.embed(encoder, waveforms, LAYERS)
    scores = [
        row_loop.score(queries, bank, _density(bank))
        for queries, bank in zip(layers, banks, strict=True)
    ]
    mean: NDArray[np.float64] = np.mean(scores, axis=0)
    return mean


_DENSITIES: dict[int, NDArray[np.float64]] = {}


def _density(bank: NDArray[np.float32]) -> NDArray[np.float64]:
    """Fit once: the runs that are timed find it here."""
    if id(bank) not in _DENSITIES:
        _DENSITIES[id(bank)] = row_loop.densities(bank)
    return _DENSITIES[id(bank)]


def report(ways: dict[str, Callable[[], object]], rounds: int, clips: int) -> None:
    taken: dict[str, list[float]] = {way: [] for way in ways}
    computed: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds + 1):
        for way, run in ways.items():
            start, before = time.perf_counter(), time.process_time()
            run()
            taken[way].append(1e3 * (time.perf_counter() - start) / clips)
            computed[way].append(1e3 * (time.process_time() - before) / clips)
    print("| way | ms a clip | processor ms a clip | times as fast as the reference |")
    print("|---|---|---|---|")
    for way, times in taken.items():
        # The first round warms up.
        ratios = [r / t for r, t in zip(taken["reference"][1:], times[1:], strict=True)]
        medians = statistics.median(times[1:]), statistics.median(computed[way][1:])
        print(f"| {way} | {medians[0]:.1f} | {medians[1]:.1f} | {statistics.median(ratios):.2f} |")


if __name__ == "__main__":
    main()
