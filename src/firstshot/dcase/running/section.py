"""One section of a machine under one system: its normal clips are learned, its test clips scored.

Input: the clips of a section and the system's encoders, one after the other. Output: per encoder
the scores of test clips and the held-out scores of training clips; joined by their plain mean, a
threshold, decisions, metrics and, for the most anomalous clips, why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from firstshot.dcase.data.layout import ClipRecord, MachineSection
from firstshot.dcase.running.system import System
from firstshot.detector import Detector
from firstshot.detector.embedding import Clip, EmbeddedClip, Progress, embed_clips
from firstshot.detector.explanation import compare_spectra, difference_db
from firstshot.errors import keep_warnings
from firstshot.results import Example, Interval, Result, SectionResult
from firstshot.scoring.bootstrap import bootstrap_intervals
from firstshot.scoring.metrics import section_metrics
from firstshot.scoring.threshold import Threshold, fit_threshold, p_value
from firstshot.sound.audio import Channel, load_waveform
from firstshot.store import EmbeddingStore

EXAMPLE_RATE = 16000


@dataclass(frozen=True)
class SectionScores:
    """What one encoder's detector says of a section."""

    results: tuple[Result, ...]
    training_scores: NDArray[np.float64]
    spectra: tuple[NDArray[np.float32], ...]
    levels: tuple[NDArray[np.float32], ...]
    normal_spectra: NDArray[np.float32]
    normal_levels: NDArray[np.float32]
    normal_names: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    encoder: str
    fingerprint: str


def score_section(
    section: MachineSection,
    detector: Detector,
    store: EmbeddingStore | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> SectionScores:
    """Fit a detector on a section's training clips and score its test clips."""
    source = [clip for clip in section.train if clip.domain != "target"]
    target = [clip for clip in section.train if clip.domain == "target"]
    clips = [Clip(record.path.name, record.path) for record in (*source, *target, *section.test)]
    with keep_warnings() as caught:
        settings = detector.embedding_settings()
        embedded = list(
            embed_clips(clips, settings, store=store, progress=progress, workers=workers)
        )
        normal, test = embedded[: len(section.train)], embedded[len(section.train) :]
        detector.fit_embedded(normal[: len(source)], normal[len(source) :])
        results = detector.predict_embedded(test)
    return SectionScores(
        results=tuple(results),
        training_scores=detector.training_scores_,
        spectra=tuple(c.spectrum[_deciding(c, r)][0] for c, r in zip(test, results, strict=True)),
        levels=tuple(c.levels[_deciding(c, r)] for c, r in zip(test, results, strict=True)),
        normal_spectra=detector.fitted_.normal_clips.spectra,
        normal_levels=detector.fitted_.normal_clips.levels,
        normal_names=tuple((row.clip, row.domain) for row in detector.fitted_.normal_clips.rows),
        notes=tuple(dict.fromkeys(caught)),
        encoder=detector.embedding_settings().encoder.name,
        fingerprint=detector.embedding_settings().encoder.fingerprint,
    )


def _deciding(clip: EmbeddedClip, result: Result) -> slice:
    window = clip.starts.index(result.start_seconds)
    return slice(window, window + 1)


def join_section(
    section: MachineSection, system: System, by_encoder: Sequence[SectionScores], examples: int = 3
) -> SectionResult:
    """Join the encoders' scores of a section by their mean, and judge them."""
    scores = np.mean([[r.score for r in s.results] for s in by_encoder], axis=0)
    training = np.mean([s.training_scores for s in by_encoder], axis=0)
    notes = [note for s in by_encoder for note in s.notes]
    if {clip.domain for clip in section.train} == {"source"}:
        notes.insert(0, "no target training clips; every clip is judged by the source ones")
    labels = {clip.label for clip in section.test}
    if None in labels:
        untold = sum(clip.label is None for clip in section.test)
        notes.append(f"{untold} of {len(section.test)} test clips tell no label: no metrics")
    with keep_warnings() as caught:
        threshold = fit_threshold(training, system.threshold, system.false_alarm_rate)
    notes += caught
    result = judge_section(section, scores, training, threshold, notes)
    return replace(
        result,
        fingerprints={heard.encoder: heard.fingerprint for heard in by_encoder},
        examples=show_examples(section, system.channel, by_encoder[0], result, examples),
    )


def judge_section(
    section: MachineSection,
    scores: NDArray[np.float64],
    training: NDArray[np.float64],
    threshold: Threshold,
    notes: Sequence[str],
) -> SectionResult:
    """Judge the test clips' scores (clips,) with a threshold, and measure them where labels are."""
    decisions = (scores > threshold.value).astype(np.int64)
    domains = tuple(clip.domain for clip in section.test)
    known = tuple(d for d in domains if d) if all(domains) else None
    labels = None
    if all(clip.label is not None for clip in section.test):
        labels = np.array([clip.label for clip in section.test], dtype=np.int64)
    metrics: dict[str, float] = {}
    intervals: dict[str, Interval] = {}
    if labels is not None and 0 < labels.sum() < len(labels):
        metrics = section_metrics(labels, scores, known, decisions)
        found = bootstrap_intervals(labels, scores, known)
        intervals = {name: Interval(low, high, 0.95) for name, (low, high) in found.items()}
    return SectionResult(
        machine=section.machine,
        section=section.section,
        clips=tuple(clip.path.name for clip in section.test),
        scores=scores,
        p_values=p_value(scores, training),
        threshold=threshold.value,
        decisions=decisions,
        labels=labels,
        domains=known,
        training_scores=training,
        metrics=metrics,
        intervals=intervals,
        notes=tuple(dict.fromkeys([threshold.promise, *notes])),
    )


def show_examples(
    section: MachineSection,
    channel: Channel,
    heard: SectionScores,
    judged: SectionResult,
    count: int,
) -> tuple[Example, ...]:
    """Show the most anomalous clips beside their nearest normal clips."""
    normal = {(clip.path.name, clip.domain or "source"): clip for clip in section.train}
    found = []
    for i in np.argsort(-judged.scores, kind="stable")[:count]:
        clip, result = section.test[i], heard.results[i]
        nearest = result.nearest[0]
        row = heard.normal_names.index((nearest.clip, nearest.domain))
        bands, words = compare_spectra(
            heard.spectra[i],
            heard.normal_spectra[row],
            heard.normal_spectra,
            difference_db(heard.levels[i], heard.normal_levels[row]),
        )
        neighbor = normal.get((nearest.clip, nearest.domain))
        if neighbor is None:  # a window, whose name says where it begins
            neighbor = normal[(nearest.clip.rpartition("@")[0], nearest.domain)]
        found.append(
            Example(
                clip=clip.path.name,
                domain=clip.domain or "",
                label=clip.label,
                score=float(judged.scores[i]),
                p_value=float(judged.p_values[i]),
                waveform=_hear(clip, channel),
                sample_rate=EXAMPLE_RATE,
                nearest=nearest.clip,
                nearest_domain=nearest.domain,
                nearest_waveform=_hear(neighbor, channel),
                bands=bands,
                words=words,
            )
        )
    return tuple(found)


def _hear(clip: ClipRecord, channel: Channel) -> NDArray[np.float32]:
    return load_waveform(clip.path, EXAMPLE_RATE, channel=channel)
