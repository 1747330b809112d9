"""One section under an autoencoder baseline: its trials become one result.

Input: a section and a baseline system. Output: a `SectionResult` whose metrics are means over the
trials with their deviations, as in the challenge's tables; scores, decisions, threshold and plots
are those of the first trial. The nearest normal clips of the examples come from the embedded
encoder, because a reconstruction error has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from firstshot.dcase.data.layout import MachineSection
from firstshot.dcase.running.baseline import (
    score_section_with_autoencoder,
)
from firstshot.dcase.running.section import Outcome, judge_section, score_section, show_examples
from firstshot.dcase.running.section_map import map_section
from firstshot.dcase.running.system import BaselineSystem
from firstshot.detector import Detector
from firstshot.progress import Bars
from firstshot.store import EmbeddingStore, default_store_folder


def run_baseline_section(
    section: MachineSection,
    system: BaselineSystem,
    store: EmbeddingStore | None = None,
    progress: Bars | None = None,
    examples: int = 3,
    workers: int | None = None,
) -> Outcome:
    """Train every trial and decide by it; return the joint result, and each trial's by its seed.

    With a store, the last epoch of every trial is stored in its folder `autoencoder` (that of the
    default store lies beside it, in the cache): a killed run continues there.
    """
    scored = score_section_with_autoencoder(
        section, system, checkpoints=_checkpoints(store), progress=progress, workers=workers
    )
    trials = {
        trial.seed: judge_section(
            section,
            trial.scores,
            trial.training_scores,
            trial.threshold(system.threshold, system.false_alarm_rate),
            scored.notes,
        )
        for trial in scored.trials
    }
    means, deviations = average_trials([trial.metrics for trial in trials.values()])
    first = next(iter(trials.values()))
    embedded = Detector(channel=system.channel, threshold="gamma")
    scores = score_section(section, embedded, store, workers=workers)
    seeds = ", ".join(str(seed) for seed in trials)
    joint = replace(
        first,
        metrics=means,
        deviations=deviations,
        intervals={},
        clip_map=map_section(section, [scores.products], first),
        examples=show_examples(section, scores, first, examples),
        notes=(
            f"metrics are means over {len(trials)} trials with the seeds {seeds}; scores, "
            f"decisions, threshold and plots are the first one's; {first.notes[0]}",
            *first.notes[1:],
        ),
    )
    return Outcome(joint, trials)


def average_trials(
    metrics: Sequence[Mapping[str, float]],
) -> tuple[dict[str, float], dict[str, float]]:
    """Return mean and sample deviation (n - 1) of every metric that all trials have.

    >>> average_trials([{"pauc": 0.5}, {"pauc": 0.75}])[0]
    {'pauc': 0.625}
    """
    names = [name for name in metrics[0] if all(name in trial for trial in metrics)]
    values = {name: [trial[name] for trial in metrics] for name in names}
    return (
        {name: float(np.mean(v)) for name, v in values.items()},
        {name: float(np.std(v, ddof=1)) if len(v) > 1 else 0.0 for name, v in values.items()},
    )


def _checkpoints(store: EmbeddingStore | None) -> Path | None:
    if store is None:
        return None
    # Nothing is written beside a folder that the user named; the cache belongs to firstshot.
    cached = store.folder == default_store_folder()
    return (store.folder.parent if cached else store.folder) / "autoencoder"
