"""What the recommended detectors cost beside the one of plain log-mel statistics.

    python benchmarks/recommended.py

Printed for each: ten-second clips scored a second from decoded arrays (embedding and scores, a bank
of 110 clips), its time beside `Detector("logmel")` measured in turn in the same process, and the
seconds to fit 1,000 clips whose embeddings are given (refits without each clip's neighbours
included). `recommended_fusion` joins where the weights of efficientat_mn04 are found.
"""

from __future__ import annotations

import statistics
import time
import warnings

import numpy as np

from firstshot import Detector
from firstshot.detector.embedding import EmbeddedClip
from firstshot.detector.views import default_preset
from firstshot.errors import FirstshotWarning

RATE, SECONDS, CLIPS, BANK, RUNS = 16000, 10, 64, 110, 5
NORMAL = 1000


def clips_of(count: int, rng: np.random.Generator) -> list[tuple[np.ndarray, int]]:
    """Return clips of noise."""
    noise = 0.1 * rng.standard_normal((count, RATE * SECONDS))
    return [(clip.astype(np.float32), RATE) for clip in noise]


def seconds_to_fit(detector: Detector, like: EmbeddedClip, rng: np.random.Generator) -> float:
    """Return the time of a fit on `NORMAL` clips with embeddings of the shapes of `like`."""
    clips = [
        EmbeddedClip(
            f"clip_{number}",
            str(number),
            (0.0,),
            tuple(rng.standard_normal(layer.shape).astype(np.float32) for layer in like.layers),
            like.spectrum,
            like.levels,
            like.seconds,
        )
        for number in range(NORMAL)
    ]
    began = time.perf_counter()
    detector.unfitted().fit_embedded(clips[:-10], clips[-10:])
    return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore", FirstshotWarning)
    rng = np.random.default_rng(0)
    normal, judged = clips_of(BANK, rng), clips_of(CLIPS, rng)
    presets = dict.fromkeys(["recommended_small", "recommended", default_preset()[0]])
    detectors = {"logmel": Detector("logmel"), **{p: Detector(views=p) for p in presets}}
    taken: dict[str, list[float]] = {name: [] for name in detectors}
    for detector in detectors.values():
        detector.fit(normal[:-10], normal[-10:])
    for _ in range(RUNS):
        for name, detector in detectors.items():
            began = time.perf_counter()
            detector.score(judged)
            taken[name].append(time.perf_counter() - began)
    print("| detector | clips/s | time beside logmel | fit of 1,000 embedded clips, s |")
    print("|---|---|---|---|")
    for name, detector in detectors.items():
        beside = statistics.median(
            own / plain for own, plain in zip(taken[name], taken["logmel"], strict=True)
        )
        (like,) = detector.embed([judged[0]])
        fit = seconds_to_fit(detector, like, rng)
        rate = CLIPS / statistics.median(taken[name])
        print(f"| {name} | {rate:.0f} | {beside:.2f} | {fit:.1f} |", flush=True)


if __name__ == "__main__":
    main()
