"""One section of a machine under one system: fit on its normal clips, score its test clips.

Input: the clips of a section and the system's encoders, one after the other. Output: per encoder
the scores of the test clips and the held-out scores of the training clips; their mean over the
encoders, a threshold, decisions, metrics, and examples of the most anomalous clips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from firstshot.anomaly_map import MapBank
from firstshot.dcase.data.check import read_clip_header
from firstshot.dcase.data.layout import MachineSection
from firstshot.dcase.data.machine_folder import ClipRecord
from firstshot.dcase.running.section_map import compare_clips, map_section
from firstshot.dcase.running.system import System
from firstshot.detector import Detector
from firstshot.detector.embedding import Clip, EmbeddedClip, embed_clips
from firstshot.detector.explanation import compare_spectra, difference_db, place_of, words_of_views
from firstshot.detector.view_scores import view_names
from firstshot.errors import keep_warnings, warn
from firstshot.progress import Progress
from firstshot.report.examples import EXAMPLE_RATE
from firstshot.results import Example, Interval, Result, SectionResult
from firstshot.scoring.bootstrap import bootstrap_intervals
from firstshot.scoring.details import Details, attribute_results, part_metrics
from firstshot.scoring.metrics import section_metrics
from firstshot.scoring.threshold import Threshold, fit_threshold, p_value
from firstshot.sound.audio import Channel, load_waveform
from firstshot.sound.audio_file import subtracts_far
from firstshot.store import EmbeddingStore

EXPLAINED = 12
"""How many of the most anomalous clips the views are told of; a page shows fewer."""


@dataclass(frozen=True)
class Outcome:
    """A section's result, and the result of each trial by its seed if the system is trained."""

    result: SectionResult
    trials: dict[int, SectionResult] = field(default_factory=dict)


@dataclass(frozen=True)
class SectionScores:
    """Scores of one encoder's detector on a section, with what its examples and map need.

    `test` are the test clips without their layers, which would take much memory. `part_names` are
    the views with their encoders, by their labels; empty without views. `views` say of
    the most anomalous clips, by their numbers, what each view found.
    """

    results: tuple[Result, ...]
    training_scores: NDArray[np.float64]
    test: tuple[EmbeddedClip, ...]
    normal_spectra: NDArray[np.float32]
    normal_levels: NDArray[np.float32]
    normal_names: tuple[tuple[str, str], ...]
    part_names: Mapping[str, str]
    views: Mapping[int, tuple[str, ...]]
    products: NDArray[np.float64]
    anomaly_map: MapBank | None
    notes: tuple[str, ...]
    normal_clips: tuple[str, ...]
    encoder: str
    fingerprint: str
    channel: Channel


def score_section(
    section: MachineSection,
    detector: Detector,
    store: EmbeddingStore | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
    far_noise: Literal["supplemental"] | None = None,
) -> SectionScores:
    """Fit a detector on a section's training clips and score its test clips.

    With `far_noise` the detector subtracts the far channel as the section's noise-only clips say.
    """
    clips = list_clips(section)
    with keep_warnings() as caught:
        if far_noise:
            detector.far_noise = far_noise_of(section)
        settings = detector.embedding_settings()
        _note_channels(section, settings.channel)
        embedded = list(
            embed_clips(clips, settings, store=store, progress=progress, workers=workers)
        )
        normal, test = embedded[: len(section.train)], embedded[len(section.train) :]
        sources = len(section.source)
        detector.fit_embedded(normal[:sources], normal[sources:])
        results = detector.predict_embedded(test, expect_faults=True)
    return SectionScores(
        results=tuple(results),
        training_scores=detector.training_scores_,
        test=tuple(replace(clip, layers=()) for clip in test),
        normal_spectra=detector.fitted_.normal_clips.spectra,
        normal_levels=detector.fitted_.normal_clips.levels,
        part_names=view_names(detector.fitted_) if detector.fitted_.settings["views"] else {},
        views=words_of_views(detector.fitted_, test, results, EXPLAINED),
        normal_names=tuple((row.clip, row.domain) for row in detector.fitted_.normal_clips.rows),
        products=compare_clips(normal, test),
        anomaly_map=detector.fitted_.anomaly_map,
        notes=tuple(dict.fromkeys(caught)),
        normal_clips=tuple(detector.inspect().words),
        encoder=detector.embedding_settings().encoder.name,
        fingerprint=detector.embedding_settings().encoder.fingerprint,
        channel=detector.embedding_settings().channel,
    )


def far_noise_of(section: MachineSection) -> list[Clip] | None:
    """Return a section's supplemental clips of noise alone with two channels; None if none."""
    records = [clip for clip in section.supplemental if clip.kind == "noise"]
    headers = [read_clip_header(clip.path) for clip in records]
    found = [
        Clip(clip.path.name, clip.path)
        for clip, header in zip(records, headers, strict=True)
        if not isinstance(header, str) and header[1] > 1
    ]
    if not found:
        warn(
            f"{section.name}: no two-channel clips of noise alone in supplemental/; near minus far "
            "is fitted on each clip"
        )
    return found or None


def _note_channels(section: MachineSection, channel: Channel) -> None:
    """Say what is used of clips of several channels, and what else there is."""
    header = read_clip_header(section.train[0].path)
    if not isinstance(header, str) and header[1] > 1 and not subtracts_far(channel):
        used = "the mean of all" if channel == "mean" else f"channel {channel}"
        warn(
            f"clips of {header[1]} channels, of which {used} is used; where 0 is near the machine "
            "and 1 far, as in 2026, --channel near-far subtracts the far one (docs/two_channels.md)"
        )


def list_clips(section: MachineSection) -> list[Clip]:
    """Return a section's clips: normal clips of the source, of the target, then test clips."""
    records = (*section.source, *section.target, *section.test)
    return [Clip(record.path.name, record.path) for record in records]


def join_section(
    section: MachineSection, system: System, by_encoder: Sequence[SectionScores], examples: int = 3
) -> SectionResult:
    """Average the encoders' scores of a section, and decide on the clips."""
    scores = np.mean([[r.score for r in s.results] for s in by_encoder], axis=0)
    training = np.mean([s.training_scores for s in by_encoder], axis=0)
    notes = [note for s in by_encoder for note in s.notes]
    if {clip.domain for clip in section.train} == {"source"}:
        notes.insert(0, "no target training clips; every clip is judged by the source ones")
    labels = {clip.label for clip in section.test}
    if None in labels:
        unknown = sum(clip.label is None for clip in section.test)
        notes.append(f"{unknown} of {len(section.test)} test clips have no label: no metrics")
    with keep_warnings() as caught:
        threshold = fit_threshold(training, system.threshold, system.false_alarm_rate)
    notes += caught
    result = judge_section(section, scores, training, threshold, notes)
    return replace(
        result,
        details=add_parts(result, by_encoder),
        clip_map=map_section(section, [scores.products for scores in by_encoder], result),
        fingerprints={scores.encoder: scores.fingerprint for scores in by_encoder},
        normal_clips=by_encoder[0].normal_clips,
        examples=show_examples(
            section,
            by_encoder[0],
            result,
            examples,
            by_encoder[0].views if len(by_encoder) == 1 else {},
        ),
    )


def judge_section(
    section: MachineSection,
    scores: NDArray[np.float64],
    training: NDArray[np.float64],
    threshold: Threshold,
    notes: Sequence[str],
) -> SectionResult:
    """Decide on the test clips' scores (clips,) by a threshold; measure them if labels exist."""
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
        details=Details(
            attribute_results([clip.values for clip in section.test], labels, scores, decisions)
        ),
    )


def add_parts(result: SectionResult, by_encoder: Sequence[SectionScores]) -> Details:
    """Add the metrics of each encoder's scores, and of each of its parts', to the details."""
    names = [scores.encoder for scores in by_encoder]
    if len(set(names)) < len(names):
        names = [f"{number} {name}" for number, name in enumerate(names, start=1)]
    encoders, parts = {}, {}
    for name, scored in zip(names, by_encoder, strict=True):
        encoders[name] = np.array([one.score for one in scored.results])
        for label in scored.results[0].parts:
            part = scored.part_names.get(label, label)
            whole = part if len(names) == 1 else f"{name}: {part}"
            parts[whole] = np.array([one.parts[label] for one in scored.results])
    known = result.labels, result.domains
    return replace(
        result.details,
        encoders=part_metrics(encoders, *known),
        parts=part_metrics(parts, *known),
    )


def show_examples(
    section: MachineSection,
    scored: SectionScores,
    judged: SectionResult,
    count: int,
    views: Mapping[int, tuple[str, ...]] = MappingProxyType({}),
) -> tuple[Example, ...]:
    """Show the most anomalous clips beside their nearest normal clips.

    `views` say of some clips, by their numbers, which views made the score.
    """
    normal = {(clip.path.name, clip.domain or "source"): clip for clip in section.train}
    found = []
    for i in np.argsort(-judged.scores, kind="stable")[:count]:
        clip, embedded = section.test[i], scored.test[i]
        result = replace(scored.results[i], is_anomaly=bool(judged.decisions[i]))
        window = embedded.starts.index(result.start_seconds)
        nearest = result.nearest[0]
        row = scored.normal_names.index((nearest.clip, nearest.domain))
        bands, words = compare_spectra(
            embedded.spectrum[window],
            scored.normal_spectra[row],
            scored.normal_spectra,
            difference_db(embedded.levels[window : window + 1], scored.normal_levels[row]),
        )
        neighbor = normal.get((nearest.clip, nearest.domain))
        if neighbor is None:  # a window: its name ends with its start
            neighbor = normal[(nearest.clip.rpartition("@")[0], nearest.domain)]
        found.append(
            Example(
                clip=clip.path.name,
                domain=clip.domain or "",
                label=clip.label,
                score=float(judged.scores[i]),
                p_value=float(judged.p_values[i]),
                waveform=_read_waveform(clip, scored.channel),
                sample_rate=EXAMPLE_RATE,
                nearest=nearest.clip,
                nearest_domain=nearest.domain,
                nearest_waveform=_read_waveform(neighbor, scored.channel),
                bands=bands,
                words=words,
                place=place_of(scored.anomaly_map, embedded, result),
                views=views.get(int(i), ()),
            )
        )
    return tuple(found)


def _read_waveform(clip: ClipRecord, channel: Channel) -> NDArray[np.float32]:
    return load_waveform(clip.path, EXAMPLE_RATE, channel=channel)
