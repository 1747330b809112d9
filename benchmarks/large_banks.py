"""A bank of a million members: queried from the disk, and how long a large one takes to fit.

    python benchmarks/large_banks.py [--members 1000000] [--values 768] [--decays 0.75 0.5 0]
        [--queries 200] [--rounds 3] [--fit 100000]

The bank is made up, stored as float16 and memory-mapped; the deviation of its i-th principal
direction is i^-decay (0 is noise that is the same in all directions). The reference is the plain
way: blocks of members become float32, one product gives their distances to all queries, the
smallest distance / density is kept. Both run in turn; printed are medians, and the median of the
ratios. Queries are like the members, or far off: moved by the members' norm in a random direction,
as anomalies may be. A few scores are held to a float64 evaluation of every member.

With `--fit N`, local density is then measured on N members, with what it adds to the memory. With
`--recordings FOLDER` nothing is timed: printed is what share of the variance their leading
directions hold, of real embeddings (CED tiny, made-up weights, layer 10, seconds of sound) and of
made-up ones. It needs `firstshot[encoders]`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.encoders.runtimes.processor import describe_processor
from firstshot.scoring import make_normalizer, report_progress
from firstshot.scoring.search.exact import distances

BLOCK = 8192
CHECKED = 2


def main() -> None:
    arguments = parse_arguments()
    if arguments.recordings:
        print_shares(arguments.recordings, arguments.decays)
        return
    print(f"{describe_processor()}; numpy {np.__version__}")
    print(f"{arguments.members} members x {arguments.values} values, {arguments.queries} queries\n")
    print("| decay | open, s | memory, MB | queries | ms a query | reference | times as fast |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for decay in arguments.decays:
            bank = make_bank(Path(folder), arguments.members, arguments.values, decay)
            measure_queries(bank, decay, arguments.queries, arguments.rounds)
        if arguments.fit:
            bank = make_bank(Path(folder), arguments.fit, arguments.values, arguments.decays[0])
            measure_fit(bank)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=1_000_000)
    parser.add_argument("--values", type=int, default=768)
    parser.add_argument("--decays", type=float, nargs="+", default=[0.75, 0.5, 0.0])
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fit", type=int, default=0)
    parser.add_argument("--recordings", type=Path)
    return parser.parse_args()


def embeddings(seed: int, count: int, values: int, decay: float) -> NDArray[np.float32]:
    """Return made-up embeddings whose deviations fall along fixed directions."""
    rotation, _ = np.linalg.qr(np.random.default_rng(5).standard_normal((values, values)))
    draws = np.random.default_rng(seed).standard_normal((count, values), dtype=np.float32)
    draws *= (np.arange(1, values + 1.0) ** -decay).astype(np.float32)
    return draws @ rotation.astype(np.float32)


def make_bank(folder: Path, members: int, values: int, decay: float) -> NDArray[np.float16]:
    """Write a bank a block at a time, and return it mapped, read-only."""
    path = folder / "bank.npy"
    path.unlink(missing_ok=True)
    written = np.lib.format.open_memmap(path, "w+", np.float16, (members, values))
    for start in range(0, members, BLOCK):
        count = min(BLOCK, members - start)
        written[start : start + count] = embeddings(10 + start, count, values, decay)
    written.flush()
    mapped: NDArray[np.float16] = np.load(path, mmap_mode="r")
    return mapped


def measure_queries(bank: NDArray[np.float16], decay: float, queries: int, rounds: int) -> None:
    """Print a row for a batch of queries and one for a single query."""
    density = np.random.default_rng(1).uniform(0.7, 1.5, len(bank))
    state = {"first": np.arange(len(bank)), "density": density}
    with memory_added() as added:
        began = time.perf_counter()
        normalizer: Any = make_normalizer("local_density")
        normalizer.restore({"source": bank}, state)
        opened = time.perf_counter() - began
    near = embeddings(2, queries, bank.shape[1], decay)
    for kind, Q in (("like members", near), ("far off", far_off(near))):
        for count in (queries, 1):
            few = Q[:count]
            check(normalizer.score(few[:CHECKED]), few, bank, density)
            ours, plain = in_turn(
                partial(normalizer.score, few), partial(reference, few, bank, density), rounds
            )
            ratio = statistics.median(p / o for o, p in zip(ours, plain, strict=True))
            print(
                f"| {decay:g} | {opened:.1f} | {added[0]:.0f} | {count}, {kind} "
                f"| {1e3 * statistics.median(ours) / count:.1f} "
                f"| {1e3 * statistics.median(plain) / count:.1f} | {ratio:.1f} |",
                flush=True,
            )


def far_off(queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the queries moved by their norm, each in a direction of its own."""
    moves = np.random.default_rng(3).standard_normal(queries.shape, dtype=np.float32)
    lengths = np.linalg.norm(queries, axis=1) / np.linalg.norm(moves, axis=1)
    moved: NDArray[np.float32] = queries + moves * lengths[:, None]
    return moved


def reference(
    Q: NDArray[np.float32], bank: NDArray[np.float16], density: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the scores by plain products over blocks of members."""
    lowest = np.full(len(Q), np.inf, dtype=np.float32)
    squares = np.einsum("ij,ij->i", Q, Q)[:, None]
    for start in range(0, len(bank), BLOCK):
        block = bank[start : start + BLOCK].astype(np.float32)
        found = squares + np.einsum("ij,ij->i", block, block) - 2 * (Q @ block.T)
        found /= density[start : start + BLOCK].astype(np.float32)
        lowest = np.minimum(lowest, found.min(axis=1))
    return lowest


def check(
    scores: NDArray[np.float64],
    Q: NDArray[np.float32],
    bank: NDArray[np.float16],
    density: NDArray[np.float64],
) -> None:
    """Stop where a score is not, to the bit, the one of a direct evaluation of all members."""
    for row, of_all in distances(Q[: len(scores)], bank):
        if scores[row] != (of_all / density).min():
            raise SystemExit(f"query {row}: {scores[row]} and {(of_all / density).min()}")


def in_turn(
    first: Callable[[], object], second: Callable[[], object], rounds: int
) -> tuple[list[float], list[float]]:
    """Return the seconds of both, run in turn, the first round left out."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for run, times in zip((first, second), taken, strict=True):
            began = time.perf_counter()
            run()
            times.append(time.perf_counter() - began)
    return taken[0][1:], taken[1][1:]


def measure_fit(bank: NDArray[np.float16]) -> None:
    """Print how long the densities of a bank take, and what they add to the memory."""
    told: list[tuple[int, int]] = []
    with memory_added() as added, report_progress(lambda *seen: told.append(seen)):
        began = time.perf_counter()
        make_normalizer("local_density").fit({"source": bank})
        taken = time.perf_counter() - began
    print(
        f"\nlocal density of {len(bank)} members x {bank.shape[1]}: {taken:.0f} s, "
        f"{added[0]:.0f} MB at most, progress told {len(told)} times, last {told[-1:]}"
    )


def print_shares(folder: Path, decays: list[float]) -> None:
    """Print the share of variance that leading directions hold, of real and of made-up banks."""
    from firstshot.encoders.loading import random_encoder
    from firstshot.sound.audio import load_waveform

    encoder, rate = random_encoder("ced_tiny"), 16000
    rows = []
    for path in sorted(folder.rglob("*.wav")):
        waveform = load_waveform(path, rate)
        seconds = [waveform[at : at + rate] for at in range(0, len(waveform) - rate + 1, rate // 4)]
        if seconds:
            rows.append(encoder.embed(seconds, rate, (10,))[0])
    real = np.concatenate(rows)
    banks = {f"{len(real)} seconds of sound": real} | {
        f"i^-{decay:g}": embeddings(10, len(real), real.shape[1], decay) for decay in decays
    }
    print("| bank | 8 directions | 64 directions | 128 directions |\n|---|---|---|---|")
    for name, bank in banks.items():
        variances = np.square(np.linalg.svd(bank - bank.mean(axis=0), compute_uv=False))
        held = [variances[:size].sum() / variances.sum() for size in (8, 64, 128)]
        print(f"| {name} | " + " | ".join(f"{share:.3f}" for share in held) + " |")


@contextmanager
def memory_added() -> Iterator[list[float]]:
    """Give a list whose one value, after the block, is the most memory it added, in MB.

    Pages of mapped files are not counted: the system takes them back when it needs them.
    """
    most, stop, began = [0.0], threading.Event(), _anonymous()

    def watch() -> None:
        while not stop.wait(0.02):
            most[0] = max(most[0], _anonymous() - began)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        stop.set()
        watcher.join()


def _anonymous() -> float:
    """Return the memory of this process that no file backs, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return float(line.split()[1]) * 1024 / 1e6
    raise SystemExit("this benchmark reads /proc/self/status, which Linux alone has")


if __name__ == "__main__":
    main()
