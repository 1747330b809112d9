"""How long each encoder's front-end takes for a 10 s clip, beside a straightforward numpy version.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/frontend.py

BEATs' and EAT's (Kaldi's log-mel), CED's and M2D's. Both versions run in turn in the same process,
so that their ratio means something on a busy machine, and with them the Fourier transforms alone,
which no version does without; medians of many runs are printed, in milliseconds of processor time.
Clips are taken one by one: a batch of them would not stay in the processor's cache.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import reference_style
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from firstshot.sound.mel import CED_MEL, M2D_MEL, M2D_OFFSET, ced_decibels, m2d_logmel
from firstshot.sound.mel import mel_bank as librosa_bank
from firstshot.sound.mel_product import FRAMES_AT_ONCE
from firstshot.sound.spectrogram import LOG_FLOOR, KaldiMel, kaldi_log_mel, mel_bank

RUNS = 200
KALDI = KaldiMel("povey", scale=32768.0)
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class FrontEnd:
    """A front-end, its straightforward version, and its frames and samples of a transform."""

    name: str
    own: Callable[[Floats], Floats]
    straightforward: Callable[[Floats], Floats]
    frames: int
    transform: int


def kaldi(waveform: Floats) -> Floats:
    """Take Kaldi's steps one after another over all frames, in float32."""
    frames = sliding_window_view(waveform, KALDI.frame)[:: KALDI.hop]
    frames = frames * np.float32(KALDI.scale)
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    frames = frames - np.float32(0.97) * before
    phase = 2.0 * np.pi * np.arange(KALDI.frame) / (KALDI.frame - 1)
    frames = frames * ((0.5 - 0.5 * np.cos(phase)) ** 0.85).astype(np.float32)
    power = np.abs(scipy.fft.rfft(frames, n=KALDI.fft, axis=1)) ** 2
    energies = power @ mel_bank(KALDI).astype(np.float32)
    return np.asarray(np.log(np.maximum(energies, np.float32(LOG_FLOOR))), dtype=np.float32)


def m2d(waveform: Floats) -> Floats:
    """Take M2D's steps one after another over all frames, in float32."""
    half = M2D_MEL.window // 2
    frames = sliding_window_view(np.pad(waveform, half, mode="reflect"), M2D_MEL.window)
    window = np.hanning(M2D_MEL.window + 1)[:-1].astype(np.float32)
    power = np.abs(scipy.fft.rfft(frames[:: M2D_MEL.hop] * window, axis=1)) ** 2
    return np.asarray(np.log(power @ librosa_bank(M2D_MEL) + M2D_OFFSET), dtype=np.float32)


FRONT_ENDS = (
    FrontEnd("BEATs, EAT", partial(kaldi_log_mel, constants=KALDI), kaldi, 998, KALDI.fft),
    FrontEnd("CED", ced_decibels, reference_style.decibels, 1001, CED_MEL.window),
    FrontEnd("M2D", m2d_logmel, m2d, 1001, M2D_MEL.window),
)


def transforms(frames: int, samples: int) -> None:
    """Transform that many frames, a few at a time as the front-ends do, and nothing else."""
    block = np.zeros((FRAMES_AT_ONCE, samples), np.float32)
    for start in range(0, frames, FRAMES_AT_ONCE):
        scipy.fft.rfft(block[: min(FRAMES_AT_ONCE, frames - start)], axis=1)


def milliseconds(run: Callable[[], object]) -> float:
    """Return how much processor time one run takes."""
    start = time.process_time()
    run()
    return 1e3 * (time.process_time() - start)


def main() -> None:
    """Time each front-end and print what it takes, and how far apart the versions' numbers are."""
    rng = np.random.default_rng(0)
    waveform = (0.1 * rng.standard_normal(160000)).astype(np.float32)
    print("| front-end | ms | straightforward, ms | ratio | transforms alone, ms | apart |")
    print("|---|---|---|---|---|---|")
    for end in FRONT_ENDS:
        ways: tuple[Callable[[], object], ...] = (
            partial(end.own, waveform),
            partial(end.straightforward, waveform),
            partial(transforms, end.frames, end.transform),
        )
        times = np.array([[milliseconds(way) for way in ways] for _ in range(RUNS)])
        own, straightforward, alone = np.median(times, axis=0)
        ratio = statistics.median((times[:, 0] / times[:, 1]).tolist())
        apart = np.abs(end.own(waveform) - end.straightforward(waveform)).max()
        print(
            f"| {end.name} | {own:.2f} | {straightforward:.2f} | {ratio:.2f} | {alone:.2f} | "
            f"{apart:.0e} |"
        )


if __name__ == "__main__":
    main()
