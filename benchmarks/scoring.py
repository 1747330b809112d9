"""How long a score takes beside one plain float32 matrix product, or beside a loop over rows.

Prints, for every normaliser, the time of score() and that of the reference in the same process, the
two run in turn, and the median over the rounds of their ratio: score / product, or with `--loop`
loop / score. Fitting is timed once and not in the ratio.

    python benchmarks/scoring.py [--queries 2000] [--members 20000] [--values 1536] [--rounds 7]
    python benchmarks/scoring.py --loop --queries 200 --members 1000
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import row_loop
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
    reference = partial(row_loop.score, density=np.ones(len(X))) if arguments.loop else product
    told = ("row loop", "times as fast") if arguments.loop else ("Q @ X.T", "ratio")
    print(f"| normaliser | fit, s | score, ms | {told[0]}, ms | {told[1]} |\n|---|---|---|---|---|")
    warnings.simplefilter("ignore", FirstshotWarning)
    for name in NORMALIZERS:
        start = time.perf_counter()
        normalizer = make_normalizer(name, arguments.metric).fit(banks)
        fit = time.perf_counter() - start
        normalizer.score(Q)
        ways = (partial(normalizer.score, Q), partial(reference, Q, X))
        rounds = [[milliseconds(way) for way in ways] for _ in range(arguments.rounds)]
        score, other = (statistics.median(column) for column in zip(*rounds, strict=True))
        ratio = statistics.median(r / s if arguments.loop else s / r for s, r in rounds)
        print(f"| {name} | {fit:.1f} | {score:.1f} | {other:.1f} | {ratio:.2f} |", flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for option, default in [("queries", 2000), ("members", 20000), ("values", 1536)]:
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--target", type=int, default=10, help="members that are target clips")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--loop", action="store_true", help="beside a loop over the rows")
    parser.add_argument("--metric", default="sqeuclidean")
    return parser.parse_args()


def product(Q: NDArray[np.float32], X: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = Q @ X.T
    return found


def milliseconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()
