"""The results of runs and the published tables: differences in points, bootstrap intervals.

Input: folders that `firstshot dcase run` wrote, on clips with labels. Output: a `Comparison` per
run, for tables and the page. All values are percent. A run is compared with the published system
of its own name machine by machine, and with all published systems over the machines that both
have; a mean is taken over those machines only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from firstshot.dcase.comparing.assumptions import Assumption, assumptions_of, changed_settings
from firstshot.dcase.comparing.published import (
    BASELINES,
    DATA_SET,
    SECTION,
    TEST_CLIPS,
    PublishedResult,
    published_machines,
    published_overall,
    published_result,
    published_source,
    published_systems,
)
from firstshot.dcase.data.clip_names import parse_clip_name
from firstshot.dcase.running.stored_run import StoredRun, StoredSection, read_run
from firstshot.errors import DatasetError
from firstshot.results import Interval, normalizers_of
from firstshot.scoring.bootstrap import LabelledScores, bootstrap_official_interval
from firstshot.scoring.metrics import OFFICIAL_METRICS, harmonic_mean

METRICS = {
    "auc_source": "AUC source",
    "auc_target": "AUC target",
    "pauc": "pAUC",
    "official_score": "Official",
}


@dataclass(frozen=True)
class Cell:
    """One metric of the run with its bootstrap interval, and the published one; percent."""

    here: float | None
    interval: Interval | None = None
    published: float | None = None
    deviation: float | None = None

    @property
    def difference(self) -> float | None:
        """The run's value minus the published one, in points."""
        if self.here is None or self.published is None:
            return None
        return self.here - self.published

    @property
    def within(self) -> bool | None:
        """Whether the interval contains the published value."""
        if self.interval is None or self.published is None:
            return None
        return self.interval.low <= self.published <= self.interval.high


@dataclass(frozen=True)
class Line:
    """One section, or all sections that the published tables contain (`machine` is "all")."""

    machine: str
    section: str
    cells: dict[str, Cell]


@dataclass(frozen=True)
class Standing:
    """A published official score over the machines compared; `difference` is this run minus it."""

    name: str
    source: str
    official_score: float
    difference: float


@dataclass(frozen=True)
class Comparison:
    """A run and the published tables.

    `published` names the published system of `lines`, None if there is none. `lines` has one line
    per section, `overall` the harmonic means over the matching sections (over all sections if none
    matches); `standings` are all published systems, best first.
    """

    run: str
    system: str
    published: str | None
    lines: tuple[Line, ...]
    overall: Line
    standings: tuple[Standing, ...]
    notes: tuple[str, ...]
    assumptions: tuple[Assumption, ...]
    changed_settings: tuple[str, ...]

    @property
    def source(self) -> str:
        """The source of the published values of `lines`."""
        return published_source(self.published) if self.published else ""


def compare_runs(folders: Iterable[Path], against: str | None = None) -> tuple[Comparison, ...]:
    """Compare each run; see `compare_run`."""
    return tuple(compare_run(read_run(folder), against) for folder in folders)


def compare_run(run: StoredRun, against: str | None = None) -> Comparison:
    """Compare a run with the published tables.

    Parameters
    ----------
    run : StoredRun
        A finished run on clips with labels.
    against : str, optional
        A published system; None takes the one with the name of the run's system.

    Raises
    ------
    DatasetError
        Nothing of the run has labels.
    ParameterError
        Nothing is published of `against`.
    """
    if against is not None:
        published_source(against)  # refuses a system without published results
    scored = [section for section in run.sections if section.metrics]
    if not scored:
        raise DatasetError(
            f"{run.folder}: its clips have no labels, so there is nothing to compare"
        )
    matching = [section for section in scored if _is_published(section)]
    named = against or (run.name if run.name in published_systems() else None)
    published = named if matching else None
    lines = tuple(_line(section, published) for section in scored)
    overall = _overall(run, matching or scored, published)
    return Comparison(
        run=str(run.folder),
        system=run.name,
        published=published,
        lines=lines,
        overall=overall,
        standings=_standings(overall, [section.machine for section in matching]),
        notes=tuple(_notes(run, scored, matching, published)),
        assumptions=assumptions_of(published) if published else (),
        changed_settings=changed_settings(run.system, published) if published else (),
    )


def _is_published(section: StoredSection) -> bool:
    return section.machine in published_machines() and section.section == SECTION


def _line(section: StoredSection, published: str | None) -> Line:
    found = None
    if published and _is_published(section):
        found = published_result(published, section.machine)
    cells = {
        metric: _cell(metric, section.metrics.get(metric), section.intervals.get(metric), found)
        for metric in METRICS
    }
    return Line(section.machine, section.section, cells)


def _cell(
    metric: str, value: float | None, interval: Interval | None, found: PublishedResult | None
) -> Cell:
    """Return fractions of 1 as percent, with the published values."""
    return Cell(
        here=None if value is None else 100 * value,
        interval=interval and Interval(100 * interval.low, 100 * interval.high, interval.level),
        published=getattr(found, metric) if found else None,
        deviation=found.deviation(metric) if found else None,
    )


def _overall(run: StoredRun, sections: Sequence[StoredSection], published: str | None) -> Line:
    """Return harmonic means over the sections; the official score over all three metrics."""
    found = None
    if published:
        found = published_overall(published, [section.machine for section in sections])
    cells = {}
    for metric in METRICS:
        names = OFFICIAL_METRICS if metric == "official_score" else (metric,)
        values = [s.metrics[n] for s in sections for n in names if n in s.metrics]
        whole = len(values) == len(names) * len(sections)
        interval = _official_interval(run, sections) if metric == "official_score" else None
        cells[metric] = _cell(metric, harmonic_mean(values) if whole else None, interval, found)
    return Line("all", "", cells)


def _official_interval(run: StoredRun, sections: Sequence[StoredSection]) -> Interval | None:
    """Bootstrap the official score over sections whose clips' names have label and domain."""
    labelled = []
    for section in sections:
        table, _ = run.tables(section)
        names = [parse_clip_name(Path(clip).stem) for clip in table.clips]
        labels = [name.label for name in names if name and name.label is not None]
        domains = [name.domain for name in names if name and name.domain is not None]
        if not len(labels) == len(domains) == len(table.clips):
            return None
        if "official_score" not in section.intervals:
            return None  # a metric is missing, or it is a mean over trials
        labelled.append(LabelledScores(labels, table.values, domains))
    return Interval(*bootstrap_official_interval(labelled), 0.95)


def _standings(overall: Line, machines: Sequence[str]) -> tuple[Standing, ...]:
    """Return all published systems over these machines, best first."""
    here = overall.cells["official_score"].here
    if not machines or here is None:
        return ()
    found = []
    for system in published_systems():
        score = published_overall(system, machines).official_score
        found.append(Standing(system, published_source(system), score, here - score))
    return tuple(sorted(found, key=lambda standing: -standing.official_score))


def _notes(
    run: StoredRun,
    scored: Sequence[StoredSection],
    matching: Sequence[StoredSection],
    published: str | None,
) -> Iterable[str]:
    """Yield the limits of the comparison."""
    if not matching:
        yield (
            f"no machine of this run ({', '.join(s.name for s in scored)}) is in the published "
            f"tables, which hold section {SECTION} of {', '.join(published_machines())}"
        )
    else:
        yield f"machines are matched by name; the published values are of {DATA_SET}"
        others = [s.name for s in scored if s not in matching]
        if others:
            yield f"{', '.join(others)}: not in the published tables, and not in the row 'all'"
        absent = [m for m in published_machines() if m not in {s.machine for s in matching}]
        if absent:
            yield f"{', '.join(absent)}: not in this run, and left out of the published means"
        for section in matching:
            if section.clips != TEST_CLIPS:
                yield (
                    f"{section.machine}: {section.clips} test clips here, {TEST_CLIPS} in the "
                    f"published tables: not the same data"
                )
        if published in BASELINES:
            yield "published baseline values are means and standard deviations of five trainings"
        if published is None:
            yield f"nothing is published of a system named {run.name!r}"
    unlabelled = [s.name for s in run.sections if not s.metrics]
    if unlabelled:
        yield f"{', '.join(unlabelled)}: no labels, left out"
    if run.missing:
        yield f"{', '.join(run.missing)}: stopped with an error, no result"
    if "test_zscore" in normalizers_of(run.system):
        yield "test_zscore uses the test clips' statistics, which the challenge's rules forbid"
