"""How long the Kaldi log-mel of a 10 s clip takes, beside the straightforward numpy version.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/frontend.py

Both run in turn in the same process, so that their ratio means something on a busy machine; the
fastest and the median of many runs are printed, in milliseconds of processor time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from firstshot.sound.spectrogram import LOG_FLOOR, KaldiMel, kaldi_log_mel, mel_bank

RUNS = 200


def straightforward(waveform: NDArray[np.float32], constants: KaldiMel) -> NDArray[np.float32]:
    """Take Kaldi's steps one after another over all frames, in float32."""
    frames = sliding_window_view(waveform, constants.frame)[:: constants.hop]
    frames = frames * np.float32(constants.scale)
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    frames = frames - np.float32(0.97) * before
    phase = 2.0 * np.pi * np.arange(constants.frame) / (constants.frame - 1)
    frames = frames * ((0.5 - 0.5 * np.cos(phase)) ** 0.85).astype(np.float32)
    power = np.abs(scipy.fft.rfft(frames, n=constants.fft, axis=1)) ** 2
    energies = power @ mel_bank(constants).astype(np.float32)
    return np.asarray(np.log(np.maximum(energies, np.float32(LOG_FLOOR))), dtype=np.float32)


def milliseconds(run: Callable[[], object]) -> float:
    """Return how much processor time one run takes."""
    start = time.process_time()
    run()
    return 1e3 * (time.process_time() - start)


def main() -> None:
    """Time both and print what they take, and how far apart their numbers are."""
    rng = np.random.default_rng(0)
    waveform = (0.1 * rng.standard_normal(160000)).astype(np.float32)
    constants = KaldiMel("povey", scale=32768.0)
    versions = {"straightforward": straightforward, "firstshot": kaldi_log_mel}
    times: dict[str, list[float]] = {name: [] for name in versions}
    for _ in range(RUNS):
        for name, version in versions.items():
            times[name].append(milliseconds(partial(version, waveform, constants)))
    for name, taken in times.items():
        print(f"{name:16} {min(taken):6.2f} ms fastest  {statistics.median(taken):6.2f} ms median")
    fastest = min(times["firstshot"]) / min(times["straightforward"])
    median = statistics.median(times["firstshot"]) / statistics.median(times["straightforward"])
    apart = np.abs(kaldi_log_mel(waveform, constants) - straightforward(waveform, constants))
    print(f"{'ratio':16} {fastest:6.2f}    fastest  {median:6.2f}    median")
    print(f"{'apart':16} {apart.max():.1e} at most, {apart.mean():.1e} on average")


if __name__ == "__main__":
    main()
