"""One machine's folder becomes records of its clips, and the files in it that are not used.

Input: a folder with train/, a test folder and attributes_<SS>.csv. Output: a frozen record per
clip; labels, domains and attributes come from names, folders and tables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from firstshot.dcase.data.clip_names import (
    GRAMMAR,
    parse_clip_name,
    parse_supplemental_name,
    read_attribute_values,
    why_not_scored,
)
from firstshot.disk.listing import is_folder, why_closed, why_no_file
from firstshot.errors import DatasetError

AUDIO_SUFFIXES = (".wav", ".flac")
_TEST_FOLDERS = ("test", "source_test", "target_test", "test_rename")
_CLIP_FOLDERS = ("train", *_TEST_FOLDERS, "supplemental")
_SECTION = re.compile(r"[0-9]{2}")
ADVICE = "make it readable, or move it elsewhere"


@dataclass(frozen=True)
class ClipRecord:
    """One clip: its path, and what the challenge says of it.

    `split` is "train", "test" or "supplemental"; `domain` "source", "target" or None (unknown);
    `label` 1 anomalous, 0 normal, None unknown; `kind` "noise" or "clean", for supplemental only.
    `values` are the attributes one by one where a table has them, else all of the name as one.
    """

    path: Path
    machine: str
    section: str
    split: str
    domain: str | None
    label: int | None
    attributes: str = ""
    kind: str | None = None
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class UnusedFile:
    """A file or folder that is not used, and why; a strict reader refuses it if `refused`."""

    path: Path
    why: str
    refused: bool = True


def children(folder: Path) -> list[Path]:
    """List a folder, sorted; a folder that does not exist has no children."""
    why = why_closed(folder)
    if why:
        raise DatasetError(f"{folder}: {why}; {ADVICE}")
    return sorted(folder.iterdir()) if is_folder(folder) else []


def is_machine(folder: Path) -> bool:
    """Return whether a folder holds train/ or a test folder."""
    return any(is_folder(folder / name) for name in ("train", *_TEST_FOLDERS))


def _is_audio(path: Path) -> bool:
    return path.suffix.lower() in AUDIO_SUFFIXES


def read_machine(folder: Path) -> tuple[list[ClipRecord], list[UnusedFile]]:
    """Read all clips of one machine folder with their attributes, and what is not used there."""
    attributes: dict[str, tuple[str, ...]] = {}
    clips: list[ClipRecord] = []
    unused: list[UnusedFile] = []
    listed: dict[str, list[Path]] = {name: [] for name in _CLIP_FOLDERS}
    for path in (*sorted(folder.glob("attributes_*.csv")), *(folder / name for name in listed)):
        try:
            if path.name in listed:
                listed[path.name] = [p for p in children(path) if not p.name.startswith(".")]
            else:
                attributes |= read_attribute_values(path)
        except DatasetError as error:
            unused.append(UnusedFile(path, str(error).removeprefix(f"{path}: ")))
    for name in ("train", *_choose_test_folders(listed), "supplemental"):
        seen: set[str] = set()
        for path in listed[name]:
            record = _read_clip(path, folder.name, name)
            if isinstance(record, ClipRecord) and path.stem in seen:
                record = UnusedFile(path, f"the clip {path.stem} is there under two suffixes")
            if isinstance(record, UnusedFile):
                unused.append(record)
                continue
            seen.add(path.stem)
            values = attributes.get(path.stem) or tuple(filter(None, (record.attributes,)))
            clips.append(replace(record, attributes="_".join(values), values=values))
    return clips, unused


def _choose_test_folders(listed: Mapping[str, Sequence[Path]]) -> tuple[str, ...]:
    """Choose test_rename/ if it has labels, else test/, else the two folders of 2021."""
    names = [parse_clip_name(path.stem) for path in listed["test_rename"] if _is_audio(path)]
    if any(name is not None and name.label is not None for name in names):
        return ("test_rename",)
    if any(_is_audio(path) for path in listed["test"]):
        return ("test",)
    return ("source_test", "target_test")


def _read_clip(path: Path, machine: str, folder: str) -> ClipRecord | UnusedFile:
    """Return the record of one file in a machine's `folder`, or why the file is not a clip."""
    if is_folder(path):
        return UnusedFile(path, f"a folder inside {folder}/, where clips lie directly", False)
    if not _is_audio(path):
        return UnusedFile(path, "neither .wav nor .flac", False)
    why = why_no_file(path) or why_not_scored(path.name)
    if why is not None:
        return UnusedFile(path, why)
    if folder == "supplemental":
        extra = parse_supplemental_name(path.stem)
        section = extra.section or "00"  # 2025, the only year with these clips, has no other
        return ClipRecord(path, machine, section, folder, extra.domain, None, "", extra.kind)
    name = parse_clip_name(path.stem)
    if name is None:
        return UnusedFile(path, f"a name outside the challenge's grammar, which is {GRAMMAR}")
    split = "train" if folder == "train" else "test"
    implied = folder.removesuffix("_test") if folder in ("source_test", "target_test") else None
    if not _SECTION.fullmatch(name.section):
        why = f"of section {name.section}, where two digits are expected"
    elif name.split not in (None, split):
        why = f"named a {name.split} clip but lies in {folder}/"
    elif split == "train" and name.label == 1:
        why = "named an anomaly but lies in train/, which is for normal clips"
    elif implied is not None and name.domain not in (None, implied):
        why = f"named a {name.domain} clip but lies in {folder}/"
    if why is not None:
        return UnusedFile(path, why)
    label = 0 if split == "train" else name.label
    domain = name.domain or implied
    return ClipRecord(path, machine, name.section, split, domain, label, name.attributes)
