"""The approximate index beside the exact search, on a made-up bank like embeddings'.

Members and queries are drawn with a standard deviation of i^-0.75 (`--decay`, 0 for a bank without
structure) along the i-th of 768 directions, randomly rotated; the densities of `local_density` are
drawn too (log-normal, as wide as measured ones). Prints the seconds and memory that the lists take,
the measured recall and that on the queries, and the milliseconds a query, in a batch and alone, of
both searches in turn: medians.

    python benchmarks/faiss_index.py [--members 100000] [--queries 200] [--rounds 5] [--decay 0.75]
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from firstshot.scoring.approximate import query, with_lists
from firstshot.scoring.index import Index
from firstshot.scoring.neighbors import search
from firstshot.scoring.points import Points, make_points

Made = TypeVar("Made")

VALUES = 768
LONE = 20
"""Queries that are timed alone."""


def main() -> None:
    arguments = parse_arguments()
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.standard_normal((VALUES, VALUES)))[0].astype(np.float32)
    deviations = np.arange(1, VALUES + 1, dtype=np.float32) ** -arguments.decay
    # Row vectors times this have those deviations along rotated directions.
    shape = (deviations[:, None] * rotation).astype(np.float32)
    rows = draw(rng, arguments.members, shape, arguments.dtype)
    rows.setflags(write=False)
    queries = make_points(draw(rng, arguments.queries, shape), "sqeuclidean")
    index, seconds = timed(lambda: Index.of(make_points(rows, "sqeuclidean")))
    sketch = 0 if index.sketch is None else len(index.sketch.directions)
    print(f"{arguments.members} members x {VALUES} values, {rows.dtype}; {len(queries)} queries")
    print(f"bank made ready for the exact search in {seconds:.1f} s, sketch of {sketch} directions")
    print(
        f"faiss {version('faiss-cpu')}, numpy {np.__version__}, {platform.machine()}, "
        f"Python {platform.python_version()}, {os.environ.get('OMP_NUM_THREADS', 'all')} threads\n"
    )
    print(
        "| value | lists, s | lists, MB | probes | recall | on queries "
        "| batch: exact, ms | faiss, ms | ratio | alone: exact, ms | faiss, ms | ratio |\n|"
        + "---|"
        * 12
    )
    spread = np.random.default_rng(1).standard_normal(arguments.members)
    scales = {"distance": None, "distance / density": np.exp(0.15 * spread)}
    for name, scale in scales.items():
        compare(name, index, queries, scale, arguments.rounds)


def compare(
    name: str, index: Index, queries: Points, scale: NDArray[np.float64] | None, rounds: int
) -> None:
    (listed, recall), seconds = timed(lambda: with_lists(index, 1, scale))
    lists: Any = listed.lists
    # A list holds float32 coordinates and an int64 number per member.
    megabytes = len(index) * (4 * lists.inverted.d + 8) / 1e6
    right = np.mean(search(queries, index, 1, scale)[0] == query(queries, listed, 1, scale)[0])
    batches, alone = [], []
    for _ in range(rounds):
        batches.append(both(queries, index, listed, scale))
        lone = [queries.take(np.array([row])) for row in range(LONE)]
        alone += [both(one, index, listed, scale) for one in lone]
    cells = [f"{seconds:.1f}", f"{megabytes:.0f}", str(lists.probes)]
    cells += [f"{recall:.3f}", f"{right:.3f}"]
    for times, count in ((batches, len(queries)), (alone, 1)):
        exact, approximate = (statistics.median(c) for c in zip(*times, strict=True))
        ratio = statistics.median(e / a for e, a in times)
        cells += [f"{1e3 * t / count:.2f}" for t in (exact, approximate)] + [f"{ratio:.1f}"]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def both(
    queries: Points, index: Index, listed: Index, scale: NDArray[np.float64] | None
) -> tuple[float, float]:
    return (
        timed(lambda: search(queries, index, 1, scale))[1],
        timed(lambda: query(queries, listed, 1, scale))[1],
    )


def draw(
    rng: np.random.Generator, count: int, shape: NDArray[np.float32], dtype: str = "float32"
) -> NDArray[Any]:
    rows = np.empty((count, VALUES), dtype=dtype)
    for start in range(0, count, 10_000):
        few = rows[start : start + 10_000]
        few[:] = rng.standard_normal(few.shape, dtype=np.float32) @ shape
    return rows


def timed(work: Callable[[], Made]) -> tuple[Made, float]:
    start = time.perf_counter()
    done = work()
    return done, time.perf_counter() - start


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for option, default in [("members", 100_000), ("queries", 200), ("rounds", 5)]:
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--decay", type=float, default=0.75, help="how fast deviations fall")
    parser.add_argument("--dtype", default="float32", help="float32, or float16 for half the bank")
    return parser.parse_args()


if __name__ == "__main__":
    main()
