"""A data set in the challenge's layout and a system become scores, decisions, tables and a page.

Every encoder is loaded once and let go before the next, so a system's encoders are never in memory
together. Embeddings go through the store: a run that was killed goes on where it was, and gives the
same numbers. A clip that cannot be read stops its own machine only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from firstshot.dcase.layout import read_layout
from firstshot.dcase.outcomes import outcomes
from firstshot.dcase.run_folder import TRIALS, claimed, remove_outputs, remove_section
from firstshot.dcase.submission import (
    DECISIONS,
    SCORES,
    file_name,
    write_decisions,
    write_scores,
)
from firstshot.dcase.system import AnySystem
from firstshot.detector.embedding import Progress
from firstshot.encoders.pipeline import count_workers
from firstshot.errors import DatasetError, FirstshotError
from firstshot.files import sha256_of
from firstshot.report.page import write_page
from firstshot.report.table import write_results_csv, write_results_json
from firstshot.results import Interval, SectionResult
from firstshot.scoring.bootstrap import LabelledScores, bootstrap_official_interval
from firstshot.store import EmbeddingStore


@dataclass(frozen=True)
class Run:
    """What a run found: a result per section, and what stopped the others."""

    results: tuple[SectionResult, ...]
    failures: dict[str, str] = field(default_factory=dict)

    def warnings(self) -> dict[str, list[str]]:
        """Return what is odd though it did not stop a section, and the sections it is true of."""
        found: dict[str, list[str]] = {}
        for result in self.results:
            for note in result.notes[1:]:  # the first one is the threshold's promise
                found.setdefault(note, []).append(result.name)
        return found


def run_system(
    root: Path,
    system: AnySystem,
    out: Path,
    *,
    machines: Sequence[str] | None = None,
    store: EmbeddingStore | None = None,
    overwrite: bool = False,
    progress: Callable[[str], Progress] | None = None,
    workers: int | None = None,
) -> Run:
    """Run a system on every section under `root` and write all results to `out`.

    Parameters
    ----------
    root : Path
        A folder in the challenge's layout.
    machines : sequence of str, optional
        Names of the machines to run; None means all.
    store : EmbeddingStore, optional
        Where embeddings are kept.
    overwrite : bool
        Replace the results of another run in `out`.
    progress : callable, optional
        Given a title, returns what is called with (clips done, clips in all).
    workers : int, optional
        Clips listened to at once; None means one a core, 8 at most. No result depends on it.

    Raises
    ------
    DatasetError
        The root is not laid out as expected, or not one machine could be run.
    OutputError
        `out` belongs to another run, or cannot be written.
    """
    sections = read_layout(root, machines)
    identity = {
        "data": str(root.resolve()),
        "machines": [section.name for section in sections],
        "system": system.model_dump(mode="json"),
    }
    workers = count_workers(workers)
    with claimed(out, identity, overwrite):
        results, failures = [], {}
        for name, outcome in outcomes(sections, system, store, progress, workers):
            if isinstance(outcome, FirstshotError):
                failures[name] = str(outcome)
                continue
            results.append(outcome.result)
            write_section(out, outcome.result)
            for seed, trial in outcome.trials.items():
                write_section(out / TRIALS / str(seed), trial)
        if not results:
            remove_outputs(out)
            raise DatasetError(_tell(failures))
    _write_reports(out, results, system, root, failures)
    for section in sections:
        if section.name in failures:
            remove_section(out, section.machine, section.section)
    return Run(tuple(results), failures)


def write_section(folder: Path, result: SectionResult) -> None:
    """Write the challenge's two files of a section."""
    write_scores(folder, result.machine, result.section, result.clips, result.scores)
    write_decisions(folder, result.machine, result.section, result.clips, result.decisions)


def _tell(failures: dict[str, str]) -> str:
    """Name the first fault in one line, and how many sections have another."""
    name, fault = next(iter(failures.items()))
    others = len(failures) - 1
    return f"{name}: {fault}" + (f" (and {others} more could not be run)" if others else "")


def _write_reports(
    out: Path,
    results: Sequence[SectionResult],
    system: AnySystem,
    root: Path,
    failures: dict[str, str],
) -> None:
    fingerprints = results[0].fingerprints
    settings = {"data": str(root), **system.model_dump(mode="json"), "fingerprints": fingerprints}
    write_results_csv(out / "results.csv", results)
    names = [
        file_name(kind, result.machine, result.section)
        for result in results
        for kind in (SCORES, DECISIONS)
    ]
    files = {name: sha256_of(out / name) for name in names}
    write_results_json(out / "results.json", results, settings, failures, files)
    # The intervals are over clips; where there are trials, their deviations are told instead.
    labelled = [
        LabelledScores(result.labels, result.scores, result.domains)
        for result in results
        if result.labels is not None and "official_score" in result.intervals
    ]
    interval = None
    if labelled and len(labelled) == len(results):
        interval = Interval(*bootstrap_official_interval(labelled), 0.95)
    write_page(
        out / "report.html",
        results,
        title=f"{root.resolve().name}: {system.name}",
        settings=settings,
        overall_interval=interval,
        failures=failures,
    )
