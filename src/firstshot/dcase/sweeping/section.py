"""One section under one encoder, scored in every combination of layers, normaliser and metric.

Or under a preset, which is scored by the `Detector` itself.

Input: a section with labels, embedding settings and combinations. Output: metrics per combination.
The embeddings of all layers are read or computed once. Each layer has its own scores, and the score
of several layers is the mean of theirs, without further work. The numbers are those of a `Detector`
with the same settings.

In memory at once: clips x layers x values x 4 bytes (1,200 clips, 12 layers of 6,144: 0.35 GB).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from firstshot.dcase.data.layout import MachineSection
from firstshot.dcase.running.section import list_clips
from firstshot.dcase.sweeping.grid import Combination
from firstshot.detector import Detector
from firstshot.detector.embedding import EmbeddingSettings, embed_clips
from firstshot.errors import FirstshotError, keep_warnings
from firstshot.progress import Progress
from firstshot.scoring.metrics import OFFICIAL_METRICS, section_metrics
from firstshot.scoring.normalizers import make_normalizer
from firstshot.scoring.transform import make_transform
from firstshot.store import EmbeddingStore
from firstshot.version import __version__

Outcome: TypeAlias = dict[str, float] | str
"""AUC source, AUC target and pAUC as fractions of 1, or the error of the combination."""

_Key: TypeAlias = tuple[int, str, str]  # layer, normaliser, metric


@dataclass(frozen=True)
class EmbeddedSection:
    """Embeddings of a section: per layer (windows, values), normal ones first, source first.

    `names` are the windows' names by domain, `starts` where each test clip's windows begin.
    """

    layers: dict[int, NDArray[np.float32]]
    names: dict[str, list[str]]
    starts: NDArray[np.int64]


def section_key(section: MachineSection, settings: EmbeddingSettings, transform: str) -> str:
    """Return a digest of everything that determines a section's outcomes except the combination."""
    clips = []
    for clip in (*section.train, *section.test):
        file = clip.path.stat()
        clips.append((clip.path.name, clip.domain, clip.label, file.st_size, file.st_mtime_ns))
    text = json.dumps([__version__, settings.recipe(), str(settings.channel), transform, clips])
    return hashlib.sha256(text.encode()).hexdigest()


def embed_section(
    section: MachineSection,
    settings: EmbeddingSettings,
    store: EmbeddingStore | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> EmbeddedSection:
    """Read or compute the embeddings of a section's clips at the layers of `settings`."""
    clips = list_clips(section)
    columns: list[list[NDArray[np.float32]]] = [[] for _ in settings.layers]
    names: list[tuple[str, ...]] = []
    for clip in embed_clips(
        clips, settings, store=store, progress=progress, workers=workers, spectra=False
    ):
        names.append(clip.window_names)
        for column, rows in zip(columns, clip.layers, strict=True):
            column.append(rows)
    layers = {}
    for layer, column in zip(settings.layers, columns, strict=True):
        layers[layer] = np.concatenate(column)
        column.clear()
    first_target, first_test = len(section.source), len(section.train)
    counts = [len(of_clip) for of_clip in names[first_test:]]
    return EmbeddedSection(
        layers=layers,
        names={
            "source": [name for of_clip in names[:first_target] for name in of_clip],
            "target": [name for of_clip in names[first_target:first_test] for name in of_clip],
        },
        starts=np.cumsum([0, *counts[:-1]]),
    )


def score_combinations(
    section: MachineSection,
    embedded: EmbeddedSection,
    combinations: Iterable[Combination],
    transform: str,
    notes: Callable[[str], None],
) -> Iterator[dict[Combination, Outcome]]:
    """Yield the outcomes that each further layer completes; call `notes` with every warning."""
    waiting = list(combinations)
    scores: dict[_Key, NDArray[np.float64] | str] = {}
    for layer in list(embedded.layers):
        wanted = {(c.normalizer, c.metric) for c in waiting if layer in c.layers}
        with keep_warnings() as caught:
            found = _score_layer(embedded, embedded.layers.pop(layer), sorted(wanted), transform)
        scores |= {(layer, *way): value for way, value in found.items()}
        for message in dict.fromkeys(caught):
            notes(message)
        ready = [c for c in waiting if not any(left in c.layers for left in embedded.layers)]
        waiting = [c for c in waiting if c not in ready]
        yield {c: _judge(section, embedded, c, scores) for c in ready}


def _score_layer(
    embedded: EmbeddedSection,
    embeddings: NDArray[np.float32],
    ways: Sequence[tuple[str, str]],
    transform: str,
) -> dict[tuple[str, str], NDArray[np.float64] | str]:
    """Return the test windows' scores (windows,) of every way, or the error of a way."""
    source, target = len(embedded.names["source"]), len(embedded.names["target"])
    normal = embeddings[: source + target]
    try:
        transformed = make_transform(transform).fit(normal)(embeddings)
    except FirstshotError as error:
        return {way: str(error) for way in ways}
    banks = {"source": transformed[:source], "target": transformed[source : source + target]}
    found: dict[tuple[str, str], NDArray[np.float64] | str] = {}
    for normalizer, metric in ways:
        try:
            fitted = make_normalizer(normalizer, metric=metric).fit(banks, embedded.names)
            found[normalizer, metric] = fitted.score(transformed[source + target :])
        except FirstshotError as error:
            found[normalizer, metric] = str(error)
    return found


def _judge(
    section: MachineSection,
    embedded: EmbeddedSection,
    combination: Combination,
    scores: dict[_Key, NDArray[np.float64] | str],
) -> Outcome:
    """Average the layers' scores, take the highest window of each clip, and measure."""
    parts = []
    for layer in combination.layers:
        part = scores[layer, combination.normalizer, combination.metric]
        if isinstance(part, str):
            return part
        parts.append(part)
    windows = np.mean(parts, axis=0)
    return _measure(section, np.maximum.reduceat(windows, embedded.starts))


def score_preset(
    section: MachineSection,
    detector: Detector,
    notes: Callable[[str], None],
    store: EmbeddingStore | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Outcome:
    """Fit a detector of views on a section's normal clips, and measure its scores."""
    settings = detector.embedding_settings()
    clips = list_clips(section)
    embedded = list(embed_clips(clips, settings, store=store, progress=progress, workers=workers))
    first_target, first_test = len(section.source), len(section.train)
    with keep_warnings() as caught:
        try:
            detector.fit_embedded(embedded[:first_target], embedded[first_target:first_test])
            results = detector.predict_embedded(embedded[first_test:], 0, expect_faults=True)
        except FirstshotError as error:
            return str(error)
    for message in dict.fromkeys(caught):
        notes(message)
    return _measure(section, np.array([result.score for result in results]))


def _measure(section: MachineSection, clips: NDArray[np.float64]) -> dict[str, float]:
    labels = [int(clip.label or 0) for clip in section.test]
    domains = [clip.domain or "" for clip in section.test]
    metrics = section_metrics(labels, clips, domains)
    return {name: metrics[name] for name in OFFICIAL_METRICS}
