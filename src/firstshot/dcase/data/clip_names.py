"""A clip's name, or its row of attributes_<SS>.csv, becomes section, domain, label and attributes.

Input: names of DCASE Task 2, 2020 to 2026. The number of a clip carries no information: it starts
at 0 or 1 and can continue over several classes, so neither domain nor label is taken from it. The
attributes are one string that is not parsed: keys repeat, contain underscores, or touch their
values.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from firstshot.disk.listing import check_file
from firstshot.domains import DOMAINS
from firstshot.errors import DatasetError, ParameterError

GRAMMAR = (
    "section_<SS>_<source|target>_<train|test>_<normal|anomaly>_<NNNN>[_<attributes>], "
    "section_<SS>[_<source|target>_test]_<NNNN> without labels, "
    "or of 2020 [<normal|anomaly>_]id_<II>_<NNNNNNNN>"
)
_SINCE_2021 = re.compile(
    r"section_(?P<section>\d+)"
    r"(?:_(?P<domain>source|target))?"
    r"(?:_(?P<split>train|test))?"
    r"(?:_(?P<label>normal|anomaly))?"
    r"_(?P<number>\d+)(?:_(?P<attributes>.*))?",
    re.DOTALL,
)
_OF_2020 = re.compile(r"(?:(?P<label>normal|anomaly)_)?id_(?P<section>\d+)_(?P<number>\d+)")
_SECTION = re.compile(r"(?:section|id)_(\d+)(?:_|$)")
_PARAMETER = re.compile(r"d(\d+)p")
_MACHINE = re.compile(r"[^\s/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


@dataclass(frozen=True)
class ClipName:
    """What a clip's name says; None for what it does not say. `label` is 1 for an anomaly."""

    section: str
    domain: str | None
    split: str | None
    label: int | None
    attributes: str


def parse_clip_name(stem: str) -> ClipName | None:
    """Read a name without its suffix, or None where it is outside the challenge's grammar.

    >>> parse_clip_name("section_00_target_test_anomaly_0007_volt_3.0_mic_1")
    ClipName(section='00', domain='target', split='test', label=1, attributes='volt_3.0_mic_1')
    >>> parse_clip_name("id_05_00000012").section, parse_clip_name("monday")
    ('05', None)
    """
    match = _SINCE_2021.fullmatch(stem) or _OF_2020.fullmatch(stem)
    if match is None:
        return None
    found = match.groupdict()
    label = {"normal": 0, "anomaly": 1}.get(found["label"] or "")
    return ClipName(
        section=found["section"],
        domain=found.get("domain"),
        split=found.get("split"),
        label=label,
        attributes=found.get("attributes") or "",
    )


def why_not_scored(name: str) -> str | None:
    r"""Return why a score file cannot contain a clip's name, or None if it can.

    A score file has one row per line, and other programs that read it know no escapes.

    >>> why_not_scored("section_00_0000.wav"), why_not_scored("a\rb.wav")
    (None, "a name with '\\r' in it, which score files cannot hold; rename it")
    """
    odd = next((c for c in name if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")), None)
    return odd and f"a name with {odd!r} in it, which score files cannot hold; rename it"


def check_machine(name: str) -> None:
    """Raise ParameterError if the names of result files cannot contain a machine's name.

    >>> check_machine("ToyCar")
    """
    if not _MACHINE.fullmatch(name):
        raise ParameterError(
            f"machine {name!r} must be a name without spaces, slashes and "
            "control characters, in UTF-8"
        )


@dataclass(frozen=True)
class SupplementalName:
    """What a supplemental clip's name says; `kind` is "noise", "clean", or None (not said)."""

    section: str | None
    domain: str | None
    kind: str | None


def parse_supplemental_name(stem: str) -> SupplementalName:
    """Read a supplemental clip's name: every name is accepted, its words decide.

    >>> parse_supplemental_name("section_00_noise_supplemental_normal_0000")
    SupplementalName(section='00', domain=None, kind='noise')
    >>> parse_supplemental_name("section_00_machine_0001_").kind
    'clean'
    """
    words = stem.lower().split("_")
    section = _SECTION.match(stem)
    domain = next((word for word in words if word in DOMAINS), None)
    clean = "machine" in words or "clean" in words
    kind = "noise" if "noise" in words else "clean" if clean else None
    return SupplementalName(section.group(1) if section else None, domain, kind)


def read_attributes(path: Path) -> dict[str, str]:
    """Read attributes_<SS>.csv: clip name without folder and suffix -> attributes.

    Columns d1p, d1v, d2p, ... become "p_v_p_v"; if they are absent or empty (hidden attributes),
    the string is empty. Raises what `read_attribute_values` raises.
    """
    return {name: "_".join(values) for name, values in read_attribute_values(path).items()}


def read_attribute_values(path: Path) -> dict[str, tuple[str, ...]]:
    """Read attributes_<SS>.csv: clip name without folder and suffix -> ("p_v", "p_v", ...).

    A name can have a path and .wav, or neither; lines can end in CRLF; a byte-order mark can come
    first.

    Raises
    ------
    DatasetError
        The file cannot be read as a table with a column file_name.
    """
    try:
        check_file(path)
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if "file_name" not in (reader.fieldnames or ()):
                raise DatasetError(
                    f"{path}: its first line lacks the column file_name "
                    "(expected file_name,d1p,d1v,...); correct it"
                )
            pairs = sorted(
                (int(match.group(1)), name)
                for name in reader.fieldnames or ()
                if (match := _PARAMETER.fullmatch(name or ""))
            )
            columns = [(name, f"{name[:-1]}v") for _, name in pairs]
            return {_stem(row["file_name"]): _values(row, columns) for row in reader}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: not a readable CSV file ({error}); replace it") from error


def _stem(file_name: str | None) -> str:
    """Name without folders (of either slash) and without an audio suffix; dots in values stay."""
    name = PureWindowsPath((file_name or "").strip()).name
    return re.sub(r"\.(wav|flac)$", "", name, flags=re.IGNORECASE)


def _values(row: Mapping[str, str | None], columns: list[tuple[str, str]]) -> tuple[str, ...]:
    """Join each parameter of a row that has a name with its value."""
    return tuple(
        f"{(row[parameter] or '').strip()}_{(row.get(value) or '').strip()}"
        for parameter, value in columns
        if (row[parameter] or "").strip()
    )
