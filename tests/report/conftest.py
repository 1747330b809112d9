"""Realistic results of invented machines: all hum, some knock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from firstshot.results import BandDifference, Example, Interval, SectionResult
from firstshot.scoring.details import Details, attribute_results
from firstshot.scoring.metrics import section_metrics
from firstshot.scoring.plane import ClipMap, MappedClip

RATE = 16000


def hum(seed: int, seconds: float = 10.0, rate: int = RATE) -> NDArray[np.float32]:
    """A shaft's harmonics in noise that falls with frequency."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * rate)) / rate
    tones = sum(np.sin(2 * np.pi * 48.7 * k * times + k) / k for k in range(1, 14))
    noise = np.convolve(rng.normal(size=times.size), np.exp(-np.arange(12) / 3), mode="same")
    return np.asarray(0.03 * tones + 0.03 * noise, np.float32)


def knocking(seed: int, seconds: float = 10.0, rate: int = RATE) -> NDArray[np.float32]:
    """The same machine with a bearing that rings at 3.2 kHz, from the fifth second on."""
    times = np.arange(round(seconds * rate)) / rate
    ring = np.sin(2 * np.pi * 3200 * times) * np.exp(-((times * 7.3) % 1.0) * 14)
    return np.asarray(hum(seed, seconds, rate) + 0.12 * ring * (times > 4.2), np.float32)


def example(number: int, label: int | None = 1, score: float = 9.3) -> Example:
    edges = np.geomspace(60, 8000, 17)
    levels = np.random.default_rng(number).normal(0, 1.0, 16)
    levels[11:14] += (5.0, 9.5, 4.0)
    shares = levels**2 / np.sum(levels**2)
    return Example(
        clip=f"section_00_target_test_anomaly_{number:04d}_car_A2_spd_28V.wav",
        domain="target",
        label=label,
        score=score,
        p_value=0.0099,
        waveform=knocking(number),
        sample_rate=RATE,
        nearest=f"section_00_source_train_normal_{3 * number:04d}_car_A1_spd_31V.wav",
        nearest_domain="source",
        nearest_waveform=hum(1000 + number),
        bands=tuple(
            BandDifference(float(low), float(high), float(share), float(level))
            for low, high, share, level in zip(edges, edges[1:], shares, levels, strict=False)
        ),
        words="Much louder than normal between 2.4 and 3.2 kHz; also louder just below and above.",
    )


def clip_map(section: SectionResult, learned: int = 30) -> ClipMap:
    """All test clips of a section, and normal clips, as points of random places."""
    rng = np.random.default_rng(len(section.clips))
    labels = section.labels
    domains = section.domains or ("",) * len(section.clips)
    clips = [
        MappedClip(f"normal_{k:04d}.wav", True, "source", 0, attributes=(f"rpm_{100 * (k % 9)}",))
        for k in range(learned)
    ]
    clips += [
        MappedClip(
            name,
            False,
            domains[k],
            None if labels is None else int(labels[k]),
            float(section.scores[k]),
            bool(section.decisions[k]),
            (f"rpm_{100 * (k % 9)}", f"load_{k % 2}"),
        )
        for k, name in enumerate(section.clips)
    ]
    return ClipMap(tuple(clips), rng.normal(size=(len(clips), 2)), (0.6, 0.2))


def section(
    machine: str = "BearingRig",
    seed: int = 0,
    clips: int = 100,
    examples: int = 2,
    labelled: bool = True,
) -> SectionResult:
    rng = np.random.default_rng(seed)
    labels = np.arange(clips) % 2
    domains = tuple("source" if k < clips // 2 else "target" for k in range(clips))
    scores = rng.gamma(9.0, 0.25, clips) + labels * rng.gamma(2.0, 0.9, clips)
    training = rng.gamma(9.0, 0.24, 99)
    threshold = float(np.quantile(training, 0.95))
    decisions = (scores > threshold).astype(np.int64)
    metrics = section_metrics(labels, scores, domains, decisions) if labelled else {}
    intervals = {
        name: Interval(max(0.0, value - 0.071), min(1.0, value + 0.064), 0.95)
        for name, value in metrics.items()
        if name in ("auc_source", "auc_target", "pauc", "official_score")
    }
    shown = tuple(example(10 * seed + k, 1 if labelled else None, 9.3 - k) for k in range(examples))
    result = SectionResult(
        machine=machine,
        section="00",
        clips=tuple(f"section_00_{k:04d}.wav" for k in range(clips)),
        scores=scores,
        p_values=np.full(clips, 0.2),
        threshold=threshold,
        decisions=decisions,
        labels=labels if labelled else None,
        domains=domains if labelled else None,
        training_scores=training,
        metrics=metrics,
        intervals=intervals,
        examples=shown,
        notes=(
            "Threshold: conformal, from 99 normal clips; it can promise a 5 % false alarm rate.",
        ),
    )
    # The clips that have players are on the map too.
    shown_on_map = replace(result, clips=tuple(e.clip for e in shown) + result.clips[len(shown) :])
    values = [(f"rpm_{100 * (k % 9)}",) for k in range(clips)]
    return replace(
        result,
        clip_map=clip_map(shown_on_map),
        details=Details(attribute_results(values, result.labels, scores, decisions)),
    )


@pytest.fixture(scope="session")
def make_section() -> Callable[..., SectionResult]:
    return section


@pytest.fixture(scope="session")
def make_example() -> Callable[..., Example]:
    return example


SETTINGS = {
    "system": "embedded",
    "encoder": "logmel",
    "normalizer": "domain_zscore",
    "metric": "sqeuclidean",
    "K": 1,
    "threshold": {"method": "conformal", "false_alarm_rate": 0.05},
    "seed": 0,
}


@pytest.fixture(scope="session")
def settings() -> dict[str, object]:
    return dict(SETTINGS)
