"""One section under an autoencoder baseline: all trials are judged, and told as one result.

Input: a section and a baseline system. Output: a `SectionResult` whose metrics are means over the
trials with their deviations, as the challenge's tables give them; scores, decisions, threshold and
pictures are the first trial's. The nearest normal clips of the examples are the embedded encoder's,
since a reconstruction error has none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from firstshot.dcase.data.layout import MachineSection
from firstshot.dcase.running.baseline import (
    BaselineSettings,
    score_section_with_autoencoder,
    trial_statistics,
)
from firstshot.dcase.running.section import judge_section, score_section, show_examples
from firstshot.dcase.running.system import BaselineSystem
from firstshot.detector import Detector
from firstshot.detector.embedding import Progress
from firstshot.results import SectionResult
from firstshot.store import EmbeddingStore, default_store_folder


def run_baseline_section(
    section: MachineSection,
    system: BaselineSystem,
    store: EmbeddingStore | None = None,
    progress: Callable[[str], Progress] | None = None,
    examples: int = 3,
    workers: int | None = None,
) -> tuple[SectionResult, dict[int, SectionResult]]:
    """Train and judge every trial; return the joint result, and each trial's by its seed.

    With a store, every trial's last epoch is kept in its folder `autoencoder` (that of the default
    store lies beside it, in the cache): a run that was killed goes on there.
    """
    settings = BaselineSettings(system.autoencoder, system.seeds, system.training, system.channel)
    scored = score_section_with_autoencoder(
        section, settings, checkpoints=_checkpoints(store), progress=progress, workers=workers
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
    statistics = trial_statistics([trial.metrics for trial in trials.values()])
    first = next(iter(trials.values()))
    listener = Detector(channel=system.channel, threshold="gamma")
    heard = score_section(section, listener, store, workers=workers)
    seeds = ", ".join(str(seed) for seed in trials)
    joint = replace(
        first,
        metrics={name: found.mean for name, found in statistics.items()},
        deviations={name: found.deviation for name, found in statistics.items()},
        intervals={},
        examples=show_examples(section, system.channel, heard, first, examples),
        notes=(
            f"metrics are means over {len(trials)} trials with the seeds {seeds}; scores, "
            f"decisions, threshold and pictures are the first one's; {first.notes[0]}",
            *first.notes[1:],
        ),
    )
    return joint, trials


def _checkpoints(store: EmbeddingStore | None) -> Path | None:
    if store is None:
        return None
    # Nothing is written beside a folder that the user named; the cache is firstshot's own.
    cached = store.folder == default_store_folder()
    return (store.folder.parent if cached else store.folder) / "autoencoder"
