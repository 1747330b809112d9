"""How many ten-second clips a second the embedded encoder takes, from decoded arrays.

    python benchmarks/logmel.py

Beside it, in turn in the same process, the Fourier transforms alone (scipy.fft, one thread), which
no log-mel can do without; their ratio means something on a busy machine.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import scipy.fft

from firstshot.encoders.logmel import LogMel

CLIPS, RUNS = 100, 9


def main() -> None:
    encoder = LogMel()
    clips = 0.1 * np.random.default_rng(0).standard_normal((CLIPS, 160000)).astype(np.float32)
    frames = np.zeros((998, encoder.window), dtype=np.float32)
    encoder.embed(clips[:4])
    encoded, transformed = [], []
    for _ in range(RUNS):
        began = time.perf_counter()
        encoder.embed(clips)
        between = time.perf_counter()
        for _ in range(CLIPS):
            scipy.fft.rfft(frames, axis=1)
        encoded.append(between - began)
        transformed.append(time.perf_counter() - between)
    seconds = statistics.median(encoded)
    ratio = statistics.median(a / b for a, b in zip(encoded, transformed, strict=True))
    print(f"logmel: {CLIPS / seconds:.0f} clips/s, best run {CLIPS / min(encoded):.0f} clips/s")
    print(f"time beside the Fourier transforms alone on one thread: {ratio:.2f}")


if __name__ == "__main__":
    main()
