"""Settings are tried on labelled data and ranked: to understand them, not to choose them.

Input: a data set in the challenge's layout with labels, and a `Grid`. Output: `Sweep`, and in the
output folder `sweep.csv`, best first. The ranking uses the labels of the test clips, so the score
of the best row is too high; the challenge forbids to choose a submission's settings by it.

Each encoder is loaded once and embeds each clip once. Finished scores of a killed sweep are read
from `scored/`, and a wider grid in the same folder computes only what is new.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from firstshot.dcase.data.layout import MachineSection, read_layout
from firstshot.dcase.running.run_folder import FolderKind, claimed, identity_text
from firstshot.dcase.sweeping.grid import Combination, Grid
from firstshot.dcase.sweeping.section import Outcome
from firstshot.dcase.sweeping.table import TABLE, Row, Sweep, ranked_sections, write_sweep_csv
from firstshot.dcase.sweeping.tried import OfLayers, OfPreset
from firstshot.disk.files import without_links, write_result
from firstshot.errors import DatasetError, FirstshotError, OutputError
from firstshot.ordered_threads import count_workers
from firstshot.progress import Bars
from firstshot.scoring.metrics import OFFICIAL_METRICS, harmonic_mean
from firstshot.store import EmbeddingStore

SCORED = "scored"
SWEEP = FolderKind(
    "sweep",
    "sweep.json",
    frozenset({"data", "sections", "grid"}),
    (TABLE, f"{SCORED}/*.json"),
)


def run_sweep(
    root: Path,
    grid: Grid,
    out: Path,
    *,
    machines: Sequence[str] | None = None,
    store: EmbeddingStore | None = None,
    overwrite: bool = False,
    progress: Bars | None = None,
    workers: int | None = None,
) -> Sweep:
    """Try every combination of a grid on every section under `root` and rank them.

    Parameters
    ----------
    root, machines
        The data set, and the machines of it (None: all).
    grid : Grid
        The settings to try.
    out : Path
        A folder for the table and the finished scores.
    store : EmbeddingStore, optional
        Where embeddings are stored.
    overwrite : bool
        Replace the table of another sweep; scores in the folder that are still valid are used.
    progress : callable, optional
        Given a title, returns what is called with (done, in all).
    workers : int, optional
        Clips embedded at a time; None means one per core, 8 at most. No number depends on it.

    Raises
    ------
    DatasetError
        No labels, or no section could be scored, or a section of the earlier table could not. The
        earlier table stays.
    ParameterError, OutputError
        A setting that cannot be used; `out` belongs to another sweep, or another process uses it.
    """
    grid.check()
    sections, notes = _labelled(root, read_layout(root, machines))
    workers = count_workers(workers)
    identity = {
        "data": str(without_links(root)),
        "sections": [section.name for section in sections],
        "grid": grid.to_json(),
    }
    with claimed(out, identity, overwrite, SWEEP):
        found, failures = _try_all(sections, grid, out / SCORED, store, progress, workers, notes)
        kept = [section.name for section in sections if section.name not in failures]
        if not kept:
            raise DatasetError("; ".join(dict.fromkeys(failures.values())))
        rows = _rank(dict.fromkeys(grid.encoders + grid.presets), kept, found, notes)
        sweep = Sweep(tuple(rows), tuple(kept), failures, tuple(dict.fromkeys(notes)))
        _check_better(out, sweep, overwrite)
        write_result(out / SWEEP.identity, identity_text(identity))
        write_sweep_csv(out, sweep)
    return sweep


def _try_all(
    sections: Sequence[MachineSection],
    grid: Grid,
    folder: Path,
    store: EmbeddingStore | None,
    progress: Bars | None,
    workers: int | None,
    notes: list[str],
) -> tuple[dict[tuple[str, str], dict[Combination, Outcome]], dict[str, str]]:
    """Return the outcomes by encoder (or preset) and section, and why a section stopped."""
    found: dict[tuple[str, str], dict[Combination, Outcome]] = {}
    failures: dict[str, str] = {}
    for name in dict.fromkeys(grid.encoders + grid.presets):
        make = OfPreset.of if name in grid.presets else OfLayers.of
        tried = make(name, grid, store, progress, workers)
        for section in sections:
            if section.name not in failures:
                try:
                    found[name, section.name] = tried.outcomes(section, folder, notes)
                except OutputError:
                    raise
                except FirstshotError as error:
                    failures[section.name] = str(error)
    return found, failures


def _labelled(
    root: Path, sections: Sequence[MachineSection]
) -> tuple[list[MachineSection], list[str]]:
    """Return the sections with normal clips of both domains and anomalous ones, all labelled."""
    kept, notes = [], []
    for section in sections:
        groups = {(clip.domain, clip.label) for clip in section.test}
        known = all(clip.label is not None and clip.domain for clip in section.test)
        if known and {("source", 0), ("target", 0)} <= groups and any(y for _, y in groups):
            kept.append(section)
        else:
            notes.append(f"{section.name}: lacks labels, domains or a class of clips; left out")
    if not kept:
        raise DatasetError(
            f"{root}: a sweep ranks by labels and domains, and no section's test clips have both; "
            "name a development set"
        )
    return kept, notes


def _check_better(out: Path, sweep: Sweep, overwrite: bool) -> None:
    """Refuse, without `overwrite`, to replace a table with sections that cannot be read now."""
    lost = [name for name in ranked_sections(out) if name in sweep.failures]
    if lost and not overwrite:
        raise DatasetError(
            f"{lost[0]}: {sweep.failures[lost[0]]}; the earlier table in {out} stays as it is; "
            "mend the clips, or add --overwrite to rank without them"
        )


def _rank(
    encoders: Iterable[str],
    sections: Sequence[str],
    outcomes: Mapping[tuple[str, str], Mapping[Combination, Outcome]],
    notes: list[str],
) -> list[Row]:
    """Return a row per encoder and combination, best first; the same sections in every row."""
    rows = []
    for encoder in encoders:
        for combination in outcomes[encoder, sections[0]]:
            found = {name: outcomes[encoder, name][combination] for name in sections}
            faults = [f"{name}: {o}" for name, o in found.items() if isinstance(o, str)]
            if faults:
                notes.append(f"{encoder} {combination} is left out: {faults[0]}")
                continue
            rows.append(_row(encoder, combination, found))
    if not rows:
        raise DatasetError(f"no combination could be scored: {notes[-1]}")
    return sorted(rows, key=lambda row: -row.official_score)


def _row(encoder: str, combination: Combination, found: dict[str, Any]) -> Row:
    means = {name: harmonic_mean(o[name] for o in found.values()) for name in OFFICIAL_METRICS}
    return Row(
        encoder=encoder,
        combination=combination,
        official_score=harmonic_mean(o[n] for o in found.values() for n in OFFICIAL_METRICS),
        sections={name: harmonic_mean(o[n] for n in OFFICIAL_METRICS) for name, o in found.items()},
        **means,
    )
