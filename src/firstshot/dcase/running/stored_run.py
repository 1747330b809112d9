"""The folder of a finished run becomes a record again: its system, sections and results.

Input: a folder that `firstshot dcase run` wrote, with `run.json` and `results.json`. Output: a
`StoredRun`; the score and decision tables are read strictly on request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from firstshot.dcase.evaluation.score_files import (
    DECISIONS,
    SCORES,
    ClipTable,
    file_name,
    read_decisions,
    read_scores,
)
from firstshot.dcase.running.run_folder import IDENTITY, RESULTS
from firstshot.dcase.running.system import make_system
from firstshot.disk.caches import digest_of_json
from firstshot.disk.documents import Table, read_json
from firstshot.disk.files import sha256_of
from firstshot.disk.names import read_name
from firstshot.errors import DatasetError
from firstshot.messages import shown_value
from firstshot.report.table import METRIC_COLUMNS
from firstshot.results import Interval
from firstshot.scoring.details import PART_METRICS, AttributeResult, Details


@dataclass(frozen=True)
class StoredSection:
    """One section's results: `metrics` are fractions of 1, empty without labels.

    `details` are empty where the run is from before details were stored.
    """

    machine: str
    section: str
    clips: int
    metrics: dict[str, float]
    intervals: dict[str, Interval]
    details: Details = field(default_factory=Details)

    @property
    def name(self) -> str:
        """The evaluator's name of the section, as `fan_section_00`."""
        return f"{self.machine}_section_{self.section}"


@dataclass(frozen=True)
class StoredRun:
    """A finished run: `requested` names all sections it started with, `sections` have results.

    `files` has the SHA-256 of the score and decision files by name, if the run stores them.
    """

    folder: Path
    system: dict[str, Any]
    data: str
    requested: tuple[str, ...]
    sections: tuple[StoredSection, ...]
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The system's name."""
        return str(self.system.get("name", self.folder.name))

    @property
    def missing(self) -> tuple[str, ...]:
        """Sections that stopped with an error and have no result."""
        done = {section.name for section in self.sections}
        return tuple(name for name in self.requested if name not in done)

    def tables(self, section: StoredSection) -> tuple[ClipTable, ClipTable]:
        """Read a section's scores and decisions; a fault raises DatasetError naming the row."""
        paths = [
            self.folder / file_name(kind, section.machine, section.section)
            for kind in (SCORES, DECISIONS)
        ]
        for path in paths:
            if not path.is_file():
                raise DatasetError(
                    f"{path}: is missing; start the same `firstshot dcase run` again"
                )
            if self.files.get(path.name, "") not in ("", sha256_of(path)):
                raise DatasetError(
                    f"{path}: was altered after the run; start the same `firstshot dcase run` again"
                )
        return read_scores(paths[0]), read_decisions(paths[1])


def read_run(folder: Path) -> StoredRun:
    """Read a run's folder.

    Raises
    ------
    DatasetError
        The folder holds no finished run, or its files are not as a run writes them.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; name one that `firstshot dcase run` wrote")
    identity, results = _read_json(folder / IDENTITY), _read_json(folder / RESULTS)
    try:
        _check_digest(results)
        sections = tuple(
            _section(name, entry) for name, entry in results.table("machines").tables().items()
        )
        system = _system(results.table("settings"))
        data = str(system.pop("data", identity.values.get("data", "")))
        requested = tuple(map(str, identity.items("machines") if "machines" in identity else ()))
        digests = results.table("files") if "files" in results else Table({})
        files = {name: digests.line(name) for name in digests.values}
    except ValueError as error:
        raise DatasetError(
            f"{folder / RESULTS}: not as a run writes it ({error}); start the same "
            "`firstshot dcase run` again"
        ) from error
    if not sections:
        raise DatasetError(f"{folder / RESULTS}: no machine has a result; start the run again")
    requested = requested or tuple(s.name for s in sections)
    return StoredRun(folder, system, data, requested, sections, files)


def finished_run(folder: Path, identity: Mapping[str, Any]) -> StoredRun | None:
    """Return the run in a folder if it is the one of this identity and every section is done.

    A folder that holds anything else, or nothing, gives None: what is wrong with it is said by the
    run that is started there.
    """
    try:
        found = read_run(folder)
        same = Table.of(read_json(folder / IDENTITY)).values == json.loads(json.dumps(identity))
        for section in found.sections:
            found.tables(section)
    except (DatasetError, OSError, ValueError):
        return None
    return found if same and not found.missing else None


def _read_json(path: Path) -> Table:
    if not path.is_file():
        raise DatasetError(
            f"{path}: is missing; name a folder that `firstshot dcase run` wrote, and let the run "
            "end first"
        )
    try:
        return Table.of(read_json(path))
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{path}: cannot be read ({error}); start the run again with --overwrite"
        ) from error


def _check_digest(results: Table) -> None:
    """Raise ValueError if the file was altered; older files have no digest."""
    others = {name: value for name, value in results.values.items() if name != "sha256"}
    if "sha256" in results and results.values["sha256"] != digest_of_json(others):
        raise ValueError("it was altered after the run: its digest differs")


def _section(name: str, entry: Table) -> StoredSection:
    machine, _, section = name.rpartition("_section_")
    if not machine or not name.isprintable() or {"/", "\\"} & set(name):
        raise ValueError(f"{shown_value(name)} names no section")
    intervals = entry.table("intervals").tables() if "intervals" in entry else {}
    return StoredSection(
        machine=machine,
        section=section,
        clips=entry.whole("clips"),
        metrics={
            metric: entry.number(metric, 0.0, 1.0)
            for metric in METRIC_COLUMNS.values()
            if metric in entry
        },
        intervals={
            metric: Interval(*(i.number(end, 0.0, 1.0) for end in ("low", "high", "level")))
            for metric, i in intervals.items()
        },
        details=_details(entry.table("details")) if "details" in entry else Details(),
    )


def _details(table: Table) -> Details:
    attributes = [Table.of(one, "attributes") for one in table.items("attributes")]
    encoders, parts = (
        {
            read_name(name): one.only(PART_METRICS).numbers(0.0, 1.0)
            for name, one in table.table(group).tables().items()
        }
        for group in ("encoders", "parts")
    )
    return Details(tuple(map(_attribute, attributes)), encoders, parts)


def _attribute(table: Table) -> AttributeResult:
    clips = table.whole("clips")
    normal, alarms = (
        table.whole(name, high=clips) if name in table else None
        for name in ("normal_clips", "false_alarms")
    )
    return AttributeResult(
        value=read_name(table.text("value")),
        clips=clips,
        called_anomalous=table.whole("called_anomalous", high=clips),
        normal_clips=normal,
        false_alarms=alarms,
        auc=table.number("auc", 0.0, 1.0) if "auc" in table else None,
    )


def _system(table: Table) -> dict[str, Any]:
    """Return the settings of a system, checked as those of a system file are."""
    settings = dict(table.values)
    if {"encoders", "autoencoder"} & settings.keys():
        make_system({k: v for k, v in settings.items() if k not in ("data", "fingerprints")})
    elif "name" in table:
        table.line("name")
    return settings
