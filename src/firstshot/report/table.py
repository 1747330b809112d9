"""Section results become the result tables, CSV and JSON.

Input: `SectionResult` records. Output: rows with the official evaluator's columns and their means,
and a dictionary for JSON. Every value is raised to at least 2.2e-16 before a mean. The overall
official score is the harmonic mean of every AUC source, AUC target and pAUC over machines and
sections, as the evaluator of DCASE 2022 to 2025 Task 2 computes it. A metric that a section lacks
(no labels, or no clip of one domain) is empty in its row and does not count in the means.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from firstshot.disk.caches import digest_of_json
from firstshot.disk.files import write_result
from firstshot.disk.names import cell_name, csv_text, write_name
from firstshot.results import Interval, SectionResult
from firstshot.scoring.metrics import EPSILON, OFFICIAL_METRICS, harmonic_mean

METRIC_COLUMNS = {
    "AUC (all)": "auc_all",
    "AUC (source)": "auc_source",
    "AUC (target)": "auc_target",
    "pAUC": "pauc",
    "precision (source)": "precision_source",
    "precision (target)": "precision_target",
    "recall (source)": "recall_source",
    "recall (target)": "recall_target",
    "F1 score (source)": "f1_source",
    "F1 score (target)": "f1_target",
    "official score": "official_score",
}
COUNT_COLUMNS = ("clips", "called anomalous", "threshold")


class HasMetrics(Protocol):
    """A section with its metrics: of a run, or of one that is read back."""

    @property
    def metrics(self) -> dict[str, float]: ...  # noqa: D102


def overall_metrics(sections: Sequence[HasMetrics]) -> dict[str, float]:
    """Compute the `all` row: harmonic means over sections, and the overall official score.

    Parameters
    ----------
    sections : sequence of sections with their metrics
        The sections of all machines of a run.

    Returns
    -------
    dict
        Fractions of 1 under the names of `SectionResult.metrics`; a metric that no section has is
        missing. `official_score` is taken over every AUC source, AUC target and pAUC, and is
        missing where a labelled section lacks one of the three (2020 has no domains).

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> fan = SimpleNamespace(metrics={"auc_source": 1.0, "auc_target": 0.5, "pauc": 0.5})
    >>> round(overall_metrics([fan])["official_score"], 12)
    0.6
    """
    overall = {}
    for name in METRIC_COLUMNS.values():
        values = _values(sections, (name,))
        if values and name != "official_score":
            overall[name] = float(harmonic_mean(values))
    labelled = [section.metrics for section in sections if section.metrics]
    if labelled and all(name in metrics for metrics in labelled for name in OFFICIAL_METRICS):
        overall["official_score"] = float(harmonic_mean(_values(sections, OFFICIAL_METRICS)))
    return overall


def results_rows(sections: Sequence[SectionResult]) -> list[dict[str, str | int | float | None]]:
    """Return the results as one flat table: a row per machine and section, then the mean rows.

    Returns
    -------
    list of dict
        Columns `machine`, `section`, the official evaluator's metric columns, `official score`,
        `clips`, `called anomalous` and `threshold`. None where a metric cannot be computed. The
        last two rows, `arithmetic mean` and `harmonic mean`, are over all sections and are left
        out when no section has a metric.
    """
    rows: list[dict[str, str | int | float | None]] = []
    for section in sections:
        row: dict[str, str | int | float | None] = {
            "machine": section.machine,
            "section": section.section,
        }
        row |= {column: section.metrics.get(name) for column, name in METRIC_COLUMNS.items()}
        row |= {
            "clips": len(section.clips),
            "called anomalous": called_anomalous(section),
            "threshold": section.threshold,
        }
        rows.append(row)
    if any(section.metrics for section in sections):
        rows += [_mean_row("arithmetic mean", sections), _mean_row("harmonic mean", sections)]
    return rows


def write_results_csv(path: Path | str, sections: Sequence[SectionResult]) -> Path:
    """Write `results_rows` as a CSV file with a header, in one step.

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    columns = ["machine", "section", *METRIC_COLUMNS, *COUNT_COLUMNS]
    rows = [[_cell(row[column]) for column in columns] for row in results_rows(sections)]
    return write_result(Path(path), csv_text([columns, *rows]))


def _cell(value: str | int | float | None) -> str | int | float | None:
    return cell_name(value) if isinstance(value, str) else value


def results_json(
    sections: Sequence[SectionResult],
    settings: Mapping[str, Any] | None = None,
    failures: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Gather the results, the settings and the versions that gave them, ready for `json.dumps`.

    Returns
    -------
    dict
        `official_score` (a fraction of 1, None without labels), `overall`, `machines` (one entry
        per `SectionResult.name` with its metrics, counts, intervals, deviations over trials,
        details and notes), `settings` and `versions`; `failures` says why a section has no
        results. Numbers that JSON cannot hold (nan, inf) become None.
    """
    overall = overall_metrics(sections)
    machines = {section.name: _section_json(section) for section in sections}
    gathered = {
        "official_score": overall.get("official_score"),
        "overall": overall,
        "machines": machines,
        "failures": dict(failures or {}),
        "settings": dict(settings or {}),
        "versions": versions(),
    }
    plain: dict[str, Any] = _plain(gathered)
    return plain


def write_results_json(
    path: Path | str,
    sections: Sequence[SectionResult],
    settings: Mapping[str, Any] | None = None,
    failures: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
) -> Path:
    """Write `results_json` as an indented JSON file, in one step.

    `files` holds the SHA-256 of the files beside it, by name. `sha256` is that of all other
    entries: it shows a later reader whether the file is unchanged.

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    results = results_json(sections, settings, failures) | {"files": dict(files or {})}
    results["sha256"] = digest_of_json(results)
    return write_result(Path(path), json.dumps(results, indent=2, allow_nan=False) + "\n")


def shown_metrics(sections: Sequence[SectionResult]) -> tuple[tuple[str, str], ...]:
    """Return (name, heading) of the metrics that a short table shows.

    The official score and its parts; AUC and pAUC over all clips where no section has domains
    (2020); nothing where there are no labels.
    """
    known = {name for section in sections for name in section.metrics}
    if not known:
        return ()
    if not known & {"auc_source", "auc_target"}:
        return (("auc_all", "AUC"), ("pauc", "pAUC"))
    return (
        ("auc_source", "AUC source"),
        ("auc_target", "AUC target"),
        ("pauc", "pAUC"),
        ("official_score", "Official score"),
    )


def percent(value: float | None, interval: Interval | None = None) -> str:
    """Show a fraction of 1 in percent with two decimals, a missing one as a dash.

    Examples
    --------
    >>> percent(0.8125), percent(None)
    ('81.25', '–')
    >>> percent(0.8, Interval(0.75, 0.851, 0.95))
    '80.00 (75.0–85.1)'
    """
    if value is None or not np.isfinite(value):
        return "–"
    if interval is None:
        return f"{100 * value:.2f}"
    return f"{100 * value:.2f} ({100 * interval.low:.1f}–{100 * interval.high:.1f})"


def called_anomalous(section: SectionResult) -> int:
    """Count the clips of a section that the threshold calls anomalous."""
    return int(np.count_nonzero(section.decisions))


def versions() -> dict[str, str]:
    """Tell the versions of Python and of the packages that the numbers depend on."""
    import firstshot

    found = {"firstshot": firstshot.__version__, "python": platform.python_version()}
    for package in ("numpy", "scipy", "soundfile", "soxr", "torch"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _values(sections: Sequence[HasMetrics], names: Sequence[str]) -> list[float]:
    return [s.metrics[name] for s in sections for name in names if name in s.metrics]


def _mean_row(kind: str, sections: Sequence[SectionResult]) -> dict[str, str | int | float | None]:
    row: dict[str, str | int | float | None] = {"machine": kind, "section": None}
    harmonic = overall_metrics(sections)
    for column, name in METRIC_COLUMNS.items():
        values = _values(sections, (name,))
        if kind == "harmonic mean":
            row[column] = harmonic.get(name)
        else:
            clipped = np.maximum(values, EPSILON)
            row[column] = float(np.mean(clipped)) if values else None
    row |= {
        "clips": sum(len(section.clips) for section in sections),
        "called anomalous": sum(map(called_anomalous, sections)),
        "threshold": None,
    }
    return row


def _section_json(section: SectionResult) -> dict[str, Any]:
    return {
        **section.metrics,
        "clips": len(section.clips),
        "called_anomalous": called_anomalous(section),
        "threshold": section.threshold,
        "intervals": {
            name: {"low": interval.low, "high": interval.high, "level": interval.level}
            for name, interval in section.intervals.items()
        },
        "deviations": dict(section.deviations),
        "details": asdict(section.details),
        "notes": list(section.notes),
        "normal_clips": list(section.normal_clips),
    }


def _plain(value: Any) -> Any:
    """Turn numpy values, tuples and paths into what JSON knows; nan and inf into None.

    Texts may be names: they are written as `write_name` does.
    """
    if isinstance(value, Mapping):
        return {write_name(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return write_name(value)
    if isinstance(value, (bool, int, type(None))):
        return value
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, np.generic):
        return value.item()
    return write_name(str(value))
