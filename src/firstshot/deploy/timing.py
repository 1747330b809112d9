"""What a benchmark measures with: latencies, a machine's peak, a process's memory.

Input: functions, or programs for a fresh Python. Output: seconds, GFLOP a second, MB.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from firstshot.errors import WeightsError

PEAK_SIZE = 1536
PEAK_SECONDS = 1.0
LEAST_LATENCIES = 100
"""Of fewer latencies, the 99th percentile is little else than the longest one."""
LATENCY_SECONDS = 20.0
"""The time for repetitions: slow encoders are timed once per clip, fast ones more often."""
MEGA, GIGA = 1e6, 1e9

_LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def seconds(run: Callable[[], object]) -> float:
    """Return how long one run takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def latencies(
    runs: Sequence[Callable[[], object]],
    progress: Callable[[int, int], None],
    least: int = LEAST_LATENCIES,
    budget: float = LATENCY_SECONDS,
) -> list[float]:
    """Time every run once, then all of them in turn up to `least` times or `budget` seconds.

    `progress` is called with (runs done, runs planned).
    """
    taken: list[float] = []
    planned, began = max(least, len(runs)), time.perf_counter()
    while len(taken) < planned:
        if len(taken) >= len(runs) and time.perf_counter() - began > budget:
            break
        taken.append(seconds(runs[len(taken) % len(runs)]))
        progress(len(taken), planned)
    return taken


def matrix_peak(budget: float = PEAK_SECONDS) -> float:
    """Return the GFLOP a second of numpy's float32 matrix product, the best of `budget` seconds."""
    draws = np.random.default_rng(0)
    a, b = draws.standard_normal((2, PEAK_SIZE, PEAK_SIZE), dtype=np.float32)
    out = a @ b
    best, began = np.inf, time.perf_counter()
    while time.perf_counter() - began < budget or not np.isfinite(best):
        best = min(best, seconds(lambda: np.matmul(a, b, out=out)))
    return float(2 * PEAK_SIZE**3 / best / GIGA)


def matrix_peak_of(threads: int) -> float:
    """Return `matrix_peak` with that many threads, in a new process that starts with them.

    Raises `WeightsError` where the process fails.
    """
    program = "from firstshot.deploy.timing import matrix_peak; print(matrix_peak())"
    environment = dict.fromkeys(_LIBRARIES, str(threads))
    return float(run_fresh(program, "measure the matrix product", env=environment))


def run_fresh(program: str, purpose: str, *arguments: str, env: Any = None) -> str:
    """Run a program in a fresh Python and return the last line it printed.

    Raises `WeightsError` with the process's last words where it failed.
    """
    command = [sys.executable, "-c", program, *arguments]
    whole = {**os.environ, **(env or {})}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=whole)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise WeightsError(f"a new process could not {purpose} ({last})")
    return done.stdout.splitlines()[-1]


def peak_memory() -> float | None:
    """Return the most memory that this process ever held, in MB; None where it is not known.

    Linux' getrusage may give what the parent held when it started this process, so /proc is read
    first.
    """
    with suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        if found:
            return int(found[1]) * 1024 / MEGA
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1.0 if platform.system() == "Darwin" else 1024.0) / MEGA
