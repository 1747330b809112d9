"""The folder of a finished run becomes a record again: its system, sections and results.

Input: a folder that `firstshot dcase run` wrote, with `run.json` and `results.json`. Output: a
`StoredRun`, with the score and decision tables read strictly when they are asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firstshot.dcase.run_folder import IDENTITY, RESULTS
from firstshot.dcase.submission import (
    DECISIONS,
    SCORES,
    ClipTable,
    file_name,
    read_decisions,
    read_scores,
)
from firstshot.errors import DatasetError
from firstshot.report.table import METRIC_COLUMNS
from firstshot.results import Interval


@dataclass(frozen=True)
class StoredSection:
    """One section's results: `metrics` are fractions of 1 and empty where there are no labels."""

    machine: str
    section: str
    clips: int
    metrics: dict[str, float]
    intervals: dict[str, Interval]

    @property
    def name(self) -> str:
        """The evaluator's name of the section, as `fan_section_00`."""
        return f"{self.machine}_section_{self.section}"


@dataclass(frozen=True)
class StoredRun:
    """A finished run: `asked` names every section that it was to run, `sections` those it did."""

    folder: Path
    system: dict[str, Any]
    data: str
    asked: tuple[str, ...]
    sections: tuple[StoredSection, ...]

    @property
    def name(self) -> str:
        """The system's name."""
        return str(self.system.get("name", self.folder.name))

    @property
    def missing(self) -> tuple[str, ...]:
        """Sections that stopped with an error and have no result."""
        done = {section.name for section in self.sections}
        return tuple(name for name in self.asked if name not in done)

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
        sections = tuple(_section(name, entry) for name, entry in results["machines"].items())
        settings = dict(results["settings"])
        data = str(settings.pop("data", identity.get("data", "")))
        asked = tuple(str(name) for name in identity.get("machines", ()))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DatasetError(
            f"{folder / RESULTS}: not as a run writes it ({type(error).__name__}: {error}); start "
            "the same `firstshot dcase run` again"
        ) from error
    if not sections:
        raise DatasetError(f"{folder / RESULTS}: no machine has a result; start the run again")
    return StoredRun(folder, settings, data, asked or tuple(s.name for s in sections), sections)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DatasetError(
            f"{path}: is missing; name a folder that `firstshot dcase run` wrote, and let the run "
            "end first"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); start the run again") from error
    if not isinstance(content, dict):
        raise DatasetError(f"{path}: not as a run writes it; start the run again")
    return content


def _section(name: str, entry: Mapping[str, Any]) -> StoredSection:
    machine, _, section = name.rpartition("_section_")
    if not machine:
        raise ValueError(f"{name!r} names no section")
    return StoredSection(
        machine=machine,
        section=section,
        clips=int(entry["clips"]),
        metrics={
            metric: float(entry[metric])
            for metric in METRIC_COLUMNS.values()
            if entry.get(metric) is not None
        },
        intervals={
            metric: Interval(float(i["low"]), float(i["high"]), float(i["level"]))
            for metric, i in entry.get("intervals", {}).items()
        },
    )
