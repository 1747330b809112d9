"""Runs become one submission: a zip with every system's scores, decisions and meta file.

Input: up to four folders that `firstshot dcase run` wrote, all of the same data. Output: a zip of
``teams/<team>/<label>/`` for each, the layout that the official evaluator reads, with the
challenge's CSV files and ``<label>.meta.yaml``. The zip is read back and compared with the runs
before it gets its name.
"""

from __future__ import annotations

import io
import re
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from firstshot.dcase.evaluation.score_files import (
    DECISIONS,
    SCORES,
    ClipTable,
    read_decisions,
    read_scores,
)
from firstshot.dcase.running.stored_run import StoredRun, read_run
from firstshot.dcase.submitting.meta_yaml import check_team, meta_text
from firstshot.disk.files import check_replaceable, write_result
from firstshot.disk.listing import check_file
from firstshot.errors import DatasetError, ParameterError, warn
from firstshot.results import normalizers_of

MOST_SYSTEMS = 4
MOST_BYTES = 1 << 28
"""The largest unpacked size of a submission; its tables have some MB."""
_CSV = re.compile(rf"(?P<kind>{SCORES}|{DECISIONS})_(?P<section>.+_section_\d{{2}})_test\.csv")
_DATE = (1980, 1, 1, 0, 0, 0)  # the same runs give the same bytes


@dataclass(frozen=True)
class SubmittedSystem:
    """One system of a submission: its tables of scores and of decisions, by section."""

    label: str
    scores: dict[str, ClipTable]
    decisions: dict[str, ClipTable]

    @property
    def clips(self) -> int:
        """Number of clips over all sections."""
        return sum(len(table.clips) for table in self.scores.values())


def write_submission(
    folders: Sequence[Path],
    out: Path,
    team: str = "Lastname_Institute",
    authors: Sequence[str] = (),
    development: Sequence[Path] = (),
    overwrite: bool = False,
) -> tuple[SubmittedSystem, ...]:
    """Write the runs in `folders` as one submission and return it as read back.

    Parameters
    ----------
    folders : sequence of Path
        One to four runs of the same data; their order numbers the systems.
    out : Path
        The zip to write.
    team : str
        ``Lastname_Institute`` of the corresponding author; labels are ``<team>_task2_<number>``.
    authors : sequence of str
        "Firstname Lastname" each, the corresponding author first.
    development : sequence of Path
        Runs of the same systems on labelled data, whose results go into the meta files.
    overwrite : bool
        Replace `out` where it is a submission; other files are never replaced.

    Raises
    ------
    DatasetError
        A run is not finished or faulty, or two runs are not of the same clips.
    ParameterError, OutputError
        Too many runs, a team's name that a label cannot hold; `out` exists or cannot be written.
    """
    _check_arguments(len(folders), out, team, overwrite)
    runs = [read_run(folder) for folder in folders]
    known = _development_runs(runs, [read_run(folder) for folder in development])
    for run in runs:
        _check_run(run)
    content = _pack(runs, known, team, authors)
    with tempfile.TemporaryDirectory() as scratch:
        packed = Path(scratch) / "submission.zip"
        packed.write_bytes(content)
        found = check_submission(packed)
    _compare(found, runs)
    write_result(out, content, overwrite)
    return found


def _check_arguments(count: int, out: Path, team: str, overwrite: bool) -> None:
    if not 1 <= count <= MOST_SYSTEMS:
        raise ParameterError(
            f"{count} runs: the challenge takes 1 to {MOST_SYSTEMS} systems; name as many"
        )
    check_team(team)
    check_replaceable(out, overwrite, "submission", "submission.zip", _is_submission)


def _is_submission(path: Path) -> bool:
    """Return whether a file has the layout of a submission; nothing is checked."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return False
    return bool(names) and all(name.startswith("teams/") for name in names)


def _development_runs(
    runs: Sequence[StoredRun], development: Sequence[StoredRun]
) -> list[StoredRun | None]:
    """Return for every run the run with labels of the same system, or None."""
    for candidate in development:
        if not any(section.metrics for section in candidate.sections):
            raise DatasetError(
                f"{candidate.folder}: has no labels; --development takes runs on the development "
                "set"
            )
        if not any(run.system == candidate.system for run in runs):
            raise DatasetError(
                f"{candidate.folder}: its system {candidate.name!r} has the settings of none of "
                "the submitted runs; run the same system on the development set"
            )
    candidates = [*development, *(r for r in runs if any(s.metrics for s in r.sections))]
    return [next((c for c in candidates if c.system == run.system), None) for run in runs]


def _check_run(run: StoredRun) -> None:
    if run.missing:
        raise DatasetError(
            f"{run.folder}: has no result for {', '.join(run.missing)}; a submission holds every "
            "machine, start the run again"
        )
    if "test_zscore" in normalizers_of(run.system):
        warn(
            f"{run.folder}: its normaliser test_zscore uses the test clips' statistics, which the "
            "challenge's rules forbid",
        )
    if any(section.metrics for section in run.sections):
        warn(
            f"{run.folder}: these clips have labels, so they are not the evaluation set that the "
            "challenge asks for",
        )


def _pack(
    runs: Sequence[StoredRun],
    development: Sequence[StoredRun | None],
    team: str,
    authors: Sequence[str],
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (run, known) in enumerate(zip(runs, development, strict=True), start=1):
            label = f"{team}_task2_{number}"
            files = {f"{label}.meta.yaml": meta_text(label, run, authors, known).encode()}
            for section in run.sections:
                for table in run.tables(section):
                    files[table.path.name] = table.path.read_bytes()
            for name, data in sorted(files.items()):
                entry = zipfile.ZipInfo(f"teams/{team}/{label}/{name}", _DATE)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, data)
    return buffer.getvalue()


def _compare(found: Sequence[SubmittedSystem], runs: Sequence[StoredRun]) -> None:
    """Compare what was read back with the runs: every section, every row, every value."""
    for system, run in zip(found, runs, strict=True):
        for section in run.sections:
            packed = system.scores.get(section.name), system.decisions.get(section.name)
            for table, own in zip(packed, run.tables(section), strict=True):
                if table is None or len(table.clips) != section.clips:
                    rows = 0 if table is None else len(table.clips)
                    raise DatasetError(
                        f"{own.path}: {rows} rows, but the run scored {section.clips} clips; start "
                        "the same `firstshot dcase run` again"
                    )
                if table.clips != own.clips or not np.array_equal(table.values, own.values):
                    raise DatasetError(f"{own.path}: changed while it was packed; submit again")


def check_submission(path: Path, most_bytes: int = MOST_BYTES) -> tuple[SubmittedSystem, ...]:
    """Read a submission strictly and return its systems, sorted by label.

    A zip that unpacks to more than `most_bytes` is refused.

    Raises
    ------
    DatasetError
        The first fault: not a zip, an unexpected file, a score or decision that cannot be read, a
        section without one of its two files, systems of different clips.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folders = _unpack(path, Path(scratch), most_bytes)
        systems = tuple(_read_system(path, folder) for folder in folders)
    for system in systems[1:]:
        _check_same(path, systems[0], system)
    return systems


def _unpack(path: Path, scratch: Path, most_bytes: int) -> list[Path]:
    """Unpack a submission's systems, one folder each; refuse an unexpected name."""
    teams, folders = set(), dict[str, Path]()
    try:
        check_file(path)
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            if size > most_bytes:
                raise DatasetError(
                    f"{path}: unpacks to {size / 1e6:.0f} MB, expected {most_bytes / 1e6:.0f} at "
                    "most; submit again"
                )
            for entry in archive.infolist():
                parts = PurePosixPath(entry.filename).parts
                if entry.filename.endswith("/"):  # is_dir() fails on an empty name
                    continue
                if len(parts) != 4 or parts[0] != "teams" or ".." in parts:
                    raise DatasetError(
                        f"{path}: {entry.filename} has no place in a submission; expected "
                        "teams/<team>/<system>/<file>"
                    )
                teams.add(parts[1])
                folder = folders.setdefault(parts[2], scratch / parts[2])
                folder.mkdir(exist_ok=True)
                if (folder / parts[3]).exists():
                    raise DatasetError(f"{path}: {entry.filename} is there twice; keep one")
                (folder / parts[3]).write_bytes(archive.read(entry))
    except (zipfile.BadZipFile, zlib.error, RuntimeError, OSError) as error:
        raise DatasetError(f"{path}: is no zip that can be read ({error}); submit again") from error
    if len(teams) > 1:
        raise DatasetError(f"{path}: holds {len(teams)} teams; submit one")
    if not 1 <= len(folders) <= MOST_SYSTEMS:
        raise DatasetError(f"{path}: holds {len(folders)} systems; 1 to {MOST_SYSTEMS} are taken")
    return [folders[label] for label in sorted(folders)]


def _read_system(path: Path, folder: Path) -> SubmittedSystem:
    label = folder.name
    meta = folder / f"{label}.meta.yaml"
    # The rest of the file, and its encoding, is up to the team.
    text = meta.read_text(encoding="utf-8", errors="replace") if meta.is_file() else ""
    if f'label: "{label}"' not in text:
        raise DatasetError(f"{path}: {label} lacks a meta file {meta.name} that names its label")
    tables: dict[str, dict[str, ClipTable]] = {SCORES: {}, DECISIONS: {}}
    for file in sorted(set(folder.iterdir()) - {meta}):
        match = _CSV.fullmatch(file.name)
        if match is None:
            raise DatasetError(f"{path}: {label}/{file.name} has no place in a submission")
        read = read_scores if match["kind"] == SCORES else read_decisions
        try:
            tables[match["kind"]][match["section"]] = read(file)
        except DatasetError as error:
            raise DatasetError(str(error).replace(str(folder), f"{path}: {label}")) from error
    system = SubmittedSystem(label, tables[SCORES], tables[DECISIONS])
    sections = system.scores.keys() | system.decisions.keys()
    if not sections:
        raise DatasetError(f"{path}: {label} holds no scores")
    for section in sorted(sections):
        _check_pair(path, system, section)
    return system


def _check_pair(path: Path, system: SubmittedSystem, section: str) -> None:
    scores, decisions = system.scores.get(section), system.decisions.get(section)
    if scores is None or decisions is None:
        absent = f"{SCORES if scores is None else DECISIONS}_{section}_test.csv"
        raise DatasetError(f"{path}: {system.label} lacks {absent}; every section needs both")
    if set(scores.clips) != set(decisions.clips):
        raise DatasetError(
            f"{path}: {system.label}: scores and decisions of {section} are of different clips"
        )


def _check_same(path: Path, first: SubmittedSystem, other: SubmittedSystem) -> None:
    if first.scores.keys() != other.scores.keys():
        odd = sorted(first.scores.keys() ^ other.scores.keys())[0]
        raise DatasetError(
            f"{path}: only one of {first.label} and {other.label} holds {odd}; submit runs of the "
            "same data"
        )
    for section, table in first.scores.items():
        if set(table.clips) != set(other.scores[section].clips):
            raise DatasetError(
                f"{path}: {first.label} and {other.label} score different clips of {section}; "
                "submit runs of the same data"
            )
