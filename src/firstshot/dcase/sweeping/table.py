"""A sweep becomes a CSV with its warning on top, and rows for the terminal; percent.

Input: a `Sweep`. Output: text. The first lines of the table say that labels decide the ranking.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path

from firstshot.dcase.sweeping.grid import Combination, show_layers, weights_of
from firstshot.disk.files import write_result
from firstshot.disk.names import Cell, cell_name, csv_text

TABLE = "sweep.csv"
_SECTION_COLUMN = "official score "
TERMINAL_COLUMNS = (
    "Encoder or preset",
    "Layers",
    "Normaliser",
    "Metric",
    "Official",
    "Src",
    "Tgt",
    "pAUC",
)


@dataclass(frozen=True)
class Row:
    """One combination over all sections: harmonic means and the official score, fractions of 1.

    `encoder` is the preset's name where the combination has no layers. `sections` holds the
    official score of each.
    """

    encoder: str
    combination: Combination
    auc_source: float
    auc_target: float
    pauc: float
    official_score: float
    sections: dict[str, float]


@dataclass(frozen=True)
class Sweep:
    """All combinations, best first, and what was left out with the reason."""

    rows: tuple[Row, ...]
    sections: tuple[str, ...]
    failures: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def warning_lines(sweep: Sweep) -> tuple[str, ...]:
    """Return the limits of a ranking by labels.

    >>> warning_lines(Sweep((), ("fan_section_00",)))[0]
    'Ranked by the labels of the test clips of fan_section_00: to understand, not to choose.'
    """
    tried = len(sweep.rows)
    return (
        f"Ranked by the labels of the test clips of {', '.join(sweep.sections)}: to understand, "
        "not to choose.",
        f"The best of {tried} combinations is partly the best by chance, so its score is too high; "
        "other data will not reach it.",
        "The challenge forbids to set a submission by test labels, and a machine in the field has "
        "none.",
    )


def sweep_csv(sweep: Sweep) -> str:
    """Return the whole ranking as CSV; the lines in front begin with #."""
    warning = "".join(f"# {line}\n" for line in warning_lines(sweep))
    columns = ("rank", "encoder", "layers", "normalizer", "metric", "transductive")
    means = ("official score", "AUC (source)", "AUC (target)", "pAUC")
    table: list[list[Cell]] = []
    table.append([*columns, *means, *(f"{_SECTION_COLUMN}{name}" for name in sweep.sections)])
    for rank, row in enumerate(sweep.rows, start=1):
        c = row.combination
        values = (row.official_score, row.auc_source, row.auc_target, row.pauc)
        numbers = [f"{100 * v:.4f}" for v in (*values, *row.sections.values())]
        transductive = "yes" if c.normalizer == "test_zscore" else "no"
        ways = (row.encoder, show_layers(c.layers), c.normalizer, c.metric, transductive)
        table.append([rank, *map(cell_name, ways), *numbers])
    return warning + csv_text(table)


def write_sweep_csv(folder: Path, sweep: Sweep) -> Path:
    """Write the ranking to the sweep's folder and return its path."""
    return write_result(folder / TABLE, sweep_csv(sweep))


def ranked_sections(folder: Path) -> list[str]:
    """Return the sections that the table in a sweep's folder ranks; none without a table."""
    try:
        lines = (folder / TABLE).read_text(encoding="utf-8").splitlines()
        header = next(csv.reader(line for line in lines if not line.startswith("#")), [])
    except (OSError, ValueError, csv.Error):
        return []
    return [c.removeprefix(_SECTION_COLUMN) for c in header if c.startswith(_SECTION_COLUMN)]


def sweep_rows(sweep: Sweep, top: int) -> list[list[str]]:
    """Return the best `top` rows under `TERMINAL_COLUMNS`.

    An encoder's weights file is left out if its name is unique.
    """
    tried = {row.encoder for row in sweep.rows}
    names = [weights_of(encoder)[0] for encoder in tried]
    short = {e: n if names.count(n) == 1 else e for e, n in zip(tried, names, strict=True)}
    return [
        [
            short[row.encoder],
            show_layers(row.combination.layers),
            row.combination.normalizer,
            row.combination.metric,
            *(
                f"{100 * value:.2f}"
                for value in (row.official_score, row.auc_source, row.auc_target, row.pauc)
            ),
        ]
        for row in sweep.rows[:top]
    ]
