"""Scores and decisions of a section's clips become the challenge's CSV files, and are read back.

``anomaly_score_<machine>_section_<SS>_test.csv`` has a clip name and a score per row,
``decision_result_<machine>_section_<SS>_test.csv`` a clip name and 0 (normal) or 1 (anomalous);
neither has a header. Scores have as many digits as a float64 needs to be read back bit for bit. A
clip whose name has a control character, a line break or bytes that are not UTF-8 is refused.

Reading is strict: the first fault is an error with the file, the row (counted from 1) and the
fault. `lenient` accepts what the official evaluator accepts: further columns, decisions such as
1.0, and a clip name that comes twice.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstshot.dcase.data.clip_names import check_machine, why_not_scored
from firstshot.disk.files import write_result
from firstshot.disk.listing import check_file
from firstshot.disk.names import csv_text
from firstshot.errors import DatasetError, ParameterError

SCORES = "anomaly_score"
DECISIONS = "decision_result"
_SECTION = re.compile(r"[0-9]{2}")


@dataclass(frozen=True)
class ClipTable:
    """A CSV of clips and values: `clips` with the `texts` of their values, and the `values`."""

    path: Path
    clips: tuple[str, ...]
    texts: tuple[str, ...]
    values: NDArray[np.float64]


def file_name(kind: str, machine: str, section: str) -> str:
    """Name of a section's file; `kind` is "anomaly_score" or "decision_result".

    >>> file_name("anomaly_score", "fan", "00")
    'anomaly_score_fan_section_00_test.csv'
    """
    if kind not in (SCORES, DECISIONS):
        raise ParameterError(f"kind {kind!r} is not known; use {SCORES!r} or {DECISIONS!r}")
    if not _SECTION.fullmatch(section):
        raise ParameterError(f"section {section!r} must be two digits, as '00'")
    check_machine(machine)
    return f"{kind}_{machine}_section_{section}_test.csv"


def write_scores(
    folder: Path, machine: str, section: str, clips: Sequence[str], scores: ArrayLike
) -> Path:
    """Write a section's anomaly scores (clips,) and return the file's path.

    The file appears whole or not at all and replaces one of the same name. Raises ParameterError
    for scores that are not finite or not one per clip, and for a clip that comes twice; OutputError
    when the file cannot be written.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as name:
    ...     path = write_scores(Path(name), "fan", "00", ["section_00_0000.wav"], [0.25])
    ...     print(path.name, "holds", path.read_text().strip())
    anomaly_score_fan_section_00_test.csv holds section_00_0000.wav,0.25
    """
    values = np.asarray(scores, dtype=np.float64)
    _check_shape(values.shape, clips, "scores")
    unusable = np.flatnonzero(~np.isfinite(values))
    if unusable.size:
        place = int(unusable[0])
        raise ParameterError(f"score {values[place]} of clip {clips[place]!r} is not finite")
    texts = [repr(float(value)) for value in values]
    return _write(folder / file_name(SCORES, machine, section), clips, texts)


def write_decisions(
    folder: Path, machine: str, section: str, clips: Sequence[str], decisions: ArrayLike
) -> Path:
    """Write a section's decisions (clips,), 0 or 1, and return the file's path.

    As `write_scores`; a decision other than 0 and 1 raises ParameterError.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as name:
    ...     path = write_decisions(Path(name), "fan", "00", ["section_00_0000.wav"], [1])
    ...     print(path.name, "holds", path.read_text().strip())
    decision_result_fan_section_00_test.csv holds section_00_0000.wav,1
    """
    values = np.asarray(decisions)
    _check_shape(values.shape, clips, "decisions")
    wrong = np.flatnonzero(~np.isin(values, (0, 1)))
    if wrong.size:
        place = int(wrong[0])
        raise ParameterError(f"decision {values[place]} of clip {clips[place]!r} is not 0 or 1")
    texts = [str(int(value)) for value in values]
    return _write(folder / file_name(DECISIONS, machine, section), clips, texts)


def _check_shape(shape: tuple[int, ...], clips: Sequence[str], what: str) -> None:
    if shape != (len(clips),):
        raise ParameterError(f"{len(clips)} clips but {what} of shape {shape}; give one per clip")


def _write(path: Path, clips: Sequence[str], texts: Sequence[str]) -> Path:
    seen: set[str] = set()
    for clip in clips:
        if clip in seen:
            raise ParameterError(f"clip {clip!r} comes twice in {path.name}; name every clip once")
        seen.add(clip)
        why = why_not_scored(clip)
        if why:
            raise ParameterError(f"clip {clip!r}: {why}")
    return write_result(path, csv_text(zip(clips, texts, strict=True)))


def read_rows(path: Path) -> list[list[str]]:
    """Read the rows of a CSV file; unreadable ones raise DatasetError with the fault."""
    try:
        check_file(path)
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.reader(file, strict=True))
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not a text file in UTF-8: {error.reason}") from error
    except csv.Error as error:
        raise DatasetError(f"{path} is not a CSV file: {error}") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from error


def read_scores(path: Path, lenient: bool = False) -> ClipTable:
    """Read an anomaly-score file; a fault raises DatasetError naming file, row and fault.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as name:
    ...     path = write_scores(Path(name), "fan", "00", ["a.wav", "b.wav"], [0.1, 1 / 3])
    ...     read_scores(path).values.tolist() == [0.1, 1 / 3]
    True
    """
    return _read(path, lenient, decisions=False)


def read_decisions(path: Path, lenient: bool = False) -> ClipTable:
    """Read a decision file; a fault raises DatasetError naming file, row and fault.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as name:
    ...     path = write_decisions(Path(name), "fan", "00", ["a.wav"], [1])
    ...     read_decisions(path).values.tolist()
    [1.0]
    """
    return _read(path, lenient, decisions=True)


def _read(path: Path, lenient: bool, decisions: bool) -> ClipTable:
    rows = read_rows(path)
    if not rows:
        raise DatasetError(f"{path} is empty; one row per clip is expected")
    clips: dict[str, int] = {}
    values = []
    for number, row in enumerate(rows, start=1):
        where = f"{path}, row {number}"
        if len(row) < 2 or (len(row) > 2 and not lenient):
            raise DatasetError(f"{where}: {len(row)} columns; expected 2, clip name and value")
        clip, text = row[0], row[1]
        if not clip.strip():
            raise DatasetError(f"{where}: the clip name is empty")
        if clip in clips and not lenient:
            raise DatasetError(
                f"{where}: clip {clip!r} is there already, in row {clips[clip]}; "
                "one row per clip is expected"
            )
        clips.setdefault(clip, number)
        values.append(_parse(text, where, number, lenient, decisions))
    return ClipTable(
        path=path,
        clips=tuple(row[0] for row in rows),
        texts=tuple(row[1] for row in rows),
        values=np.asarray(values, dtype=np.float64),
    )


def _parse(text: str, where: str, number: int, lenient: bool, decisions: bool) -> float:
    """Return the value of a cell, or raise an error with its fault."""
    what = "decision" if decisions else "score"
    try:
        if "_" in text:  # Python reads 1_0 as 10; no CSV means that
            raise ValueError(text)
        value = float(text)
    except ValueError:
        header = "; the file must have no header" if number == 1 else ""
        expected = "0 or 1" if decisions else "a number"
        raise DatasetError(f"{where}: {what} {text!r} is not {expected}{header}") from None
    if not math.isfinite(value):
        raise DatasetError(f"{where}: {what} {text!r} is not finite")
    if decisions and (value not in (0.0, 1.0) or (text.strip() not in ("0", "1") and not lenient)):
        raise DatasetError(f"{where}: decision {text!r} is not 0 or 1")
    return value
