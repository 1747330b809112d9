"""How long a score takes beside one plain float32 matrix product of the same size.

Prints, for every normaliser, the time of score() divided by that of Q @ X.T in the same process,
the two run in turn, and the median over the rounds. Fitting is timed once and not in the ratio.

    python benchmarks/scoring.py [--queries 2000] [--members 20000] [--values 1536] [--rounds 7]
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import FirstshotWarning
from firstshot.scoring import make_normalizer
from firstshot.scoring.normalizers import NORMALIZERS


def main() -> None:
    arguments = parse_arguments()
    rng = np.random.default_rng(0)
    shape = (arguments.members, arguments.values)
    X = rng.standard_normal(shape, dtype=np.float32)
    Q = rng.standard_normal((arguments.queries, arguments.values), dtype=np.float32)
    banks = {"source": X[: -arguments.target], "target": X[-arguments.target :]}
    print(f"{len(Q)} queries, {shape[0]} members x {shape[1]} values, metric {arguments.metric}")
    print(f"numpy {np.__version__}, Python {platform.python_version()}, {platform.machine()}\n")
    print("| normaliser | fit, s | score, s | Q @ X.T, s | ratio |\n|---|---|---|---|---|")
    warnings.simplefilter("ignore", FirstshotWarning)
    for name in NORMALIZERS:
        start = time.perf_counter()
        normalizer = make_normalizer(name, arguments.metric).fit(banks)
        fit = time.perf_counter() - start
        normalizer.score(Q)
        rounds = [time_round(normalizer.score, Q, X) for _ in range(arguments.rounds)]
        score, product = (statistics.median(column) for column in zip(*rounds, strict=True))
        ratio = statistics.median(s / p for s, p in rounds)
        print(
            f"| {name} | {fit:.1f} | {score:.2f} | {product:.2f} | {ratio:.2f} |",
            flush=True,
        )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for option, default in [("queries", 2000), ("members", 20000), ("values", 1536)]:
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--target", type=int, default=10, help="members that are target clips")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--metric", default="sqeuclidean")
    return parser.parse_args()


def time_round(
    score: Callable[[NDArray[np.float32]], object], Q: NDArray[np.float32], X: NDArray[np.float32]
) -> tuple[float, float]:
    start = time.perf_counter()
    score(Q)
    middle = time.perf_counter()
    Q @ X.T
    return middle - start, time.perf_counter() - middle


if __name__ == "__main__":
    main()
