"""A data set in the challenge's layout and a system become scores, decisions, tables and a page.

Embeddings go through the store: a killed run that is started again continues where it stopped, and
gives the same numbers. A clip that cannot be read stops its own machine only. Earlier results of
the same run are replaced when the new ones are complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from firstshot.dcase.data.layout import MachineSection, read_layout
from firstshot.dcase.evaluation.score_files import (
    DECISIONS,
    SCORES,
    file_name,
    write_decisions,
    write_scores,
)
from firstshot.dcase.running.run_folder import RESULTS, TRIALS, Claim, claimed
from firstshot.dcase.running.section import Outcome
from firstshot.dcase.running.sections import run_sections
from firstshot.dcase.running.system import AnySystem
from firstshot.disk.files import sha256_of, without_links
from firstshot.disk.names import write_name
from firstshot.errors import DatasetError, FirstshotError
from firstshot.ordered_threads import count_workers
from firstshot.progress import Progress
from firstshot.report.run_page import write_page
from firstshot.report.table import write_results_csv, write_results_json
from firstshot.results import Interval, SectionResult
from firstshot.scoring.bootstrap import LabelledScores, bootstrap_official_interval
from firstshot.store import EmbeddingStore


@dataclass(frozen=True)
class Run:
    """Result of a run: a result per section, and the error of each section that stopped."""

    results: tuple[SectionResult, ...]
    failures: dict[str, str] = field(default_factory=dict)

    def warnings(self) -> dict[str, list[str]]:
        """Return what is unusual but did not stop a section, with the names of the sections."""
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
        Where embeddings are stored.
    overwrite : bool
        Replace the results of another run in `out`, or this run's earlier results of a section
        that can no longer be run.
    progress : callable, optional
        Given a title, returns what is called with (clips done, clips in all).
    workers : int, optional
        Clips embedded at a time; None means one per core, 8 at most. No result depends on it.

    Raises
    ------
    DatasetError
        The root does not have the expected layout, or no machine could be run, or one with
        earlier results could not. The earlier results stay.
    OutputError
        `out` belongs to another run, another process writes to it, or it cannot be written.
    """
    sections = read_layout(root, machines)
    workers = count_workers(workers)
    with claimed(out, run_identity(root, sections, system), overwrite) as claim:
        outcomes = run_sections(sections, system, store, progress, workers)
        found, failures = _collect(claim, outcomes)
        _check_better(claim, sections, found, failures, overwrite)
        results = tuple(outcome.result for outcome in found)

        def write(folder: Path) -> None:
            for outcome in found:
                _write_outcome(folder, outcome)
            _write_reports(folder, results, system, root, failures)

        claim.replace_results(write)
    return Run(results, failures)


def run_identity(
    root: Path, sections: Sequence[MachineSection], system: AnySystem
) -> dict[str, Any]:
    """Return what tells a run from others: its data, its sections and its system."""
    return {
        "data": write_name(str(without_links(root))),
        "machines": [section.name for section in sections],
        "system": system.model_dump(mode="json"),
    }


def _collect(
    claim: Claim, outcomes: Iterable[tuple[str, Outcome | FirstshotError]]
) -> tuple[list[Outcome], dict[str, str]]:
    """Return the outcomes, and the error of each section that stopped.

    Without earlier results in the folder a section is written as soon as it is done, so that a
    stopped run leaves the sections that it finished.
    """
    found, failures = [], {}
    for name, outcome in outcomes:
        if isinstance(outcome, FirstshotError):
            failures[name] = str(outcome)
            continue
        found.append(outcome)
        if not claim.stands:
            _write_outcome(claim.folder, outcome)
    return found, failures


def _check_better(
    claim: Claim,
    sections: Sequence[MachineSection],
    found: Sequence[Outcome],
    failures: dict[str, str],
    overwrite: bool,
) -> None:
    """Refuse to replace earlier results by fewer without `overwrite`, or by none."""
    stay = f"; the earlier results in {claim.folder} stay as they are" if claim.stands else ""
    if not found:
        raise DatasetError(_first_of(failures) + stay)
    lost = [s.name for s in sections if claim.has_section(s.machine, s.section)]
    if not overwrite and any(name in failures for name in lost):
        raise DatasetError(
            f"{_first_of(failures)}{stay}; mend the clips, or add --overwrite to keep only "
            "what could be run now"
        )


def _write_outcome(folder: Path, outcome: Outcome) -> None:
    write_section(folder, outcome.result)
    for seed, trial in outcome.trials.items():
        write_section(folder / TRIALS / str(seed), trial)


def write_section(folder: Path, result: SectionResult) -> None:
    """Write the challenge's two files of a section."""
    write_scores(folder, result.machine, result.section, result.clips, result.scores)
    write_decisions(folder, result.machine, result.section, result.clips, result.decisions)


def _first_of(failures: dict[str, str]) -> str:
    """Name the first error in one line, and the number of the others."""
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
    write_results_json(out / RESULTS, results, settings, failures, files)
    # The intervals are over clips; a system with trials shows their deviations instead.
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
        title=f"{without_links(root).name}: {system.name}",
        settings=settings,
        overall_interval=interval,
        failures=failures,
    )
