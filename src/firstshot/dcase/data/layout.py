"""A folder in the challenge's layout becomes records of clips, section by section.

Input: a data root of any year (DCASE Task 2, 2020 to 2026) or of one machine; output: a frozen
record per clip. Labels, domains and attributes come from names, folders and attributes_<SS>.csv.
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
    read_attributes,
    why_not_scored,
)
from firstshot.dcase.evaluation.score_files import SCORES, file_name
from firstshot.disk.files import without_links
from firstshot.disk.listing import (
    MISSING,
    is_folder,
    is_private,
    same_place,
    why_closed,
    why_no_file,
)
from firstshot.errors import DatasetError, ParameterError, warn
from firstshot.sound.audio_kinds import AUDIO_SUFFIXES as SOUND_SUFFIXES
from firstshot.sound.audio_kinds import UNREAD_SUFFIXES, skipped_kinds

AUDIO_SUFFIXES = (".wav", ".flac")
_OTHER_SOUND = (SOUND_SUFFIXES | UNREAD_SUFFIXES) - set(AUDIO_SUFFIXES)
_TEST_FOLDERS = ("test", "source_test", "target_test", "test_rename")
_CLIP_FOLDERS = ("train", *_TEST_FOLDERS, "supplemental")
_SECTION = re.compile(r"[0-9]{2}")
_WAY_OUT = "make it readable, or move it elsewhere"
_PARTS = ("", "raw", "dev_data", "dev_data/raw", "eval_data", "eval_data/raw")


@dataclass(frozen=True)
class ClipRecord:
    """One clip: where it lies and what the challenge tells of it.

    `split` is "train", "test" or "supplemental"; `domain` "source", "target" or None (not told);
    `label` 1 anomalous, 0 normal, None not told; `kind` "noise" or "clean", for supplemental only.
    """

    path: Path
    machine: str
    section: str
    split: str
    domain: str | None
    label: int | None
    attributes: str = ""
    kind: str | None = None


@dataclass(frozen=True)
class MachineSection:
    """One section of a machine: the unit that is fitted, scored and evaluated on its own."""

    machine: str
    section: str
    train: tuple[ClipRecord, ...]
    test: tuple[ClipRecord, ...]
    supplemental: tuple[ClipRecord, ...] = ()

    @property
    def name(self) -> str:
        """The evaluator's name of the section, as `fan_section_00`."""
        return f"{self.machine}_section_{self.section}"


@dataclass(frozen=True)
class Stranger:
    """A file or folder that is not used, and why; a strict reader refuses it if `refused`."""

    path: Path
    why: str
    refused: bool = True


@dataclass(frozen=True)
class Layout:
    """All under a root: sections (complete or not), what is not used, folders without a clip."""

    sections: tuple[MachineSection, ...]
    strangers: tuple[Stranger, ...]
    empty: tuple[Path, ...]


def read_layout(
    root: Path, machines: Sequence[str] | None = None, strict: bool = True
) -> tuple[MachineSection, ...]:
    """Read every section under `root`, sorted by machine and section, clips by name.

    Parameters
    ----------
    root : Path
        Folder with machines in it, or with raw/, dev_data/ or eval_data/ above them, or one
        machine's own folder.
    machines : sequence of str or None
        Read these machines only.
    strict : bool
        Refuse clips outside the challenge's grammar and attribute tables that cannot be read;
        otherwise they are left out with a warning.

    Raises
    ------
    DatasetError
        Nothing of the layout is there, a machine asked for is not, a section lacks training or
        test clips, or (`strict`) a file is outside the grammar. Target clips may be missing.

    Examples
    --------
    >>> read_layout(Path("no/such/folder"))
    Traceback (most recent call last):
        ...
    firstshot.errors.DatasetError: no/such/folder: no such folder; give the root of a data set
    """
    layout = scan_layout(root, machines)
    refused = [stranger for stranger in layout.strangers if stranger.refused]
    if refused:
        message = _tell(refused, "files")
        if strict:
            raise DatasetError(f"{message}; correct or remove what `firstshot dcase check` lists")
        warn(f"{message}; left out")
    _warn_of_unused(root, [stranger for stranger in layout.strangers if not stranger.refused])
    if layout.empty:
        raise DatasetError(f"{layout.empty[0]}: no clips in this machine's folders; {_WANTED}")
    for section in layout.sections:
        for split, clips in (("training", section.train), ("test", section.test)):
            if not clips:
                raise DatasetError(
                    f"{root}: {section.machine} section {section.section} has no {split} clips; "
                    f"put them into {section.machine}/{'train' if split == 'training' else 'test'}"
                )
    return layout.sections


_WANTED = "expected <machine>/train and <machine>/test with .wav or .flac files"


def _tell(strangers: Sequence[Stranger], what: str) -> str:
    more = f" (and {len(strangers) - 1} more {what})" if len(strangers) > 1 else ""
    return f"{strangers[0].path}{more}: {strangers[0].why}"


def _warn_of_unused(root: Path, unused: Sequence[Stranger]) -> None:
    """Say which sound is not used: other formats, and folders where clips should lie."""
    skipped = skipped_kinds([s.path for s in unused], _OTHER_SOUND)
    if skipped:
        what = f"{root}: left out what is neither .wav nor .flac, {skipped}"
        warn(what)
    folders = [stranger for stranger in unused if is_folder(stranger.path)]
    if folders:
        what = f"{_tell(folders, 'folders')}; left out"
        warn(what)


def scan_layout(root: Path, machines: Sequence[str] | None = None) -> Layout:
    """Read what is there without judging it; raises DatasetError only where nothing can be read."""
    folders, closed = _find_folders(root)
    available = sorted({folder.name for folder in folders})
    known = {*available, *(stranger.path.name for stranger in closed)}
    missing = [name for name in machines or () if name not in known]
    if missing:
        raise DatasetError(f"{root}: no machine {missing[0]!r}; there are {', '.join(available)}")
    chosen = [folder for folder in folders if machines is None or folder.name in machines]
    clips: list[ClipRecord] = []
    strangers = [s for s in closed if machines is None or s.path.name in machines]
    empty: list[Path] = []
    homes: dict[tuple[str, str], Path] = {}
    for folder in chosen:
        try:
            file_name(SCORES, folder.name, "00")
        except ParameterError as error:
            strangers.append(Stranger(folder, f"{error}; rename it"))
            continue
        found, unused = _read_machine(folder)
        for section in sorted({clip.section for clip in found}):
            home = homes.setdefault((folder.name, section), folder)
            if home != folder:
                raise DatasetError(
                    f"{folder}: section {section} of {folder.name} lies in {home} as well; "
                    "give the root of one of them"
                )
        clips += found
        if not found:
            empty.append(folder)
        strangers += unused
    return Layout(_group(clips), tuple(strangers), tuple(empty))


def _find_folders(root: Path) -> tuple[list[Path], list[Stranger]]:
    """Find the machine folders, and those that may be some but cannot be used."""
    if not is_folder(root):
        kind = why_no_file(root) or "not a folder"
        kind = "no such folder" if kind == MISSING else kind
        raise DatasetError(f"{root}: {kind}; give the root of a data set")
    if _is_machine(root):
        return [root if root.name not in ("", "..") else without_links(root)], []
    found: dict[tuple[int, int], Path] = {}
    unused: list[Stranger] = []
    for part in _PARTS:
        for folder in _children(root / part):
            if not is_folder(folder):
                continue
            why = why_closed(folder)
            if why and not is_private(folder):
                unused.append(Stranger(folder, f"{why}; {_WAY_OUT}"))
            elif not why and _is_machine(folder):
                first = found.setdefault(same_place(folder), folder)
                if first.name != folder.name:
                    unused.append(Stranger(folder, f"the same folder as {first}; keep one of them"))
    if not found and not unused:
        raise DatasetError(f"{root}: no machine in it; {_WANTED}")
    return list(found.values()), unused


def _children(folder: Path) -> list[Path]:
    """List a folder, sorted; one that is not there is empty."""
    why = why_closed(folder)
    if why:
        raise DatasetError(f"{folder}: {why}; {_WAY_OUT}")
    return sorted(folder.iterdir()) if is_folder(folder) else []


def _is_machine(folder: Path) -> bool:
    return any(is_folder(folder / name) for name in ("train", *_TEST_FOLDERS))


def _is_audio(path: Path) -> bool:
    return path.suffix.lower() in AUDIO_SUFFIXES


def _read_machine(folder: Path) -> tuple[list[ClipRecord], list[Stranger]]:
    """All clips of one machine folder, with attributes, and what is not used there."""
    attributes: dict[str, str] = {}
    clips: list[ClipRecord] = []
    strangers: list[Stranger] = []
    for table in sorted(folder.glob("attributes_*.csv")):
        try:
            attributes |= read_attributes(table)
        except DatasetError as error:
            strangers.append(_stranger_of(error, table))
    listed: dict[str, list[Path]] = {}
    for name in _CLIP_FOLDERS:
        try:
            listed[name] = [p for p in _children(folder / name) if not p.name.startswith(".")]
        except DatasetError as error:
            strangers.append(_stranger_of(error, folder / name))
            listed[name] = []
    for name in ("train", *_choose_test_folders(listed), "supplemental"):
        seen: set[str] = set()
        for path in listed[name]:
            record = _read_clip(path, folder.name, name)
            if isinstance(record, ClipRecord) and path.stem in seen:
                record = Stranger(path, f"the clip {path.stem} is there under two suffixes")
            if isinstance(record, Stranger):
                strangers.append(record)
                continue
            seen.add(path.stem)
            told = attributes.get(path.stem) or record.attributes
            clips.append(replace(record, attributes=told))
    return clips, strangers


def _stranger_of(error: DatasetError, path: Path) -> Stranger:
    return Stranger(path, str(error).removeprefix(f"{path}: "))


def _choose_test_folders(listed: Mapping[str, Sequence[Path]]) -> tuple[str, ...]:
    """Choose test_rename/ where it has labels, else test/, else the two that 2021 ships."""
    names = [parse_clip_name(path.stem) for path in listed["test_rename"] if _is_audio(path)]
    if any(name is not None and name.label is not None for name in names):
        return ("test_rename",)
    if any(_is_audio(path) for path in listed["test"]):
        return ("test",)
    return ("source_test", "target_test")


def _read_clip(path: Path, machine: str, folder: str) -> ClipRecord | Stranger:
    """Record of one file in a machine's `folder`, or why it is none."""
    if is_folder(path):
        return Stranger(path, f"a folder inside {folder}/, where clips lie directly", False)
    if not _is_audio(path):
        return Stranger(path, "neither .wav nor .flac", False)
    why = why_no_file(path) or why_not_scored(path.name)
    if why is not None:
        return Stranger(path, why)
    if folder == "supplemental":
        extra = parse_supplemental_name(path.stem)
        section = extra.section or "00"  # 2025, the only year with these clips, has no other
        return ClipRecord(path, machine, section, folder, extra.domain, None, "", extra.kind)
    name = parse_clip_name(path.stem)
    if name is None:
        return Stranger(path, f"a name outside the challenge's grammar, which is {GRAMMAR}")
    split = "train" if folder == "train" else "test"
    if not _SECTION.fullmatch(name.section):
        return Stranger(path, f"of section {name.section}, where two digits are expected")
    if name.split not in (None, split):
        return Stranger(path, f"named a {name.split} clip but lies in {folder}/")
    if split == "train" and name.label == 1:
        return Stranger(path, "named an anomaly but lies in train/, which is for normal clips")
    implied = folder.removesuffix("_test") if folder in ("source_test", "target_test") else None
    if implied is not None and name.domain not in (None, implied):
        return Stranger(path, f"named a {name.domain} clip but lies in {folder}/")
    label = 0 if split == "train" else name.label
    domain = name.domain or implied
    return ClipRecord(path, machine, name.section, split, domain, label, name.attributes)


def _group(clips: Sequence[ClipRecord]) -> tuple[MachineSection, ...]:
    """Sort clips into sections, by machine and section."""
    groups: dict[tuple[str, str], dict[str, list[ClipRecord]]] = {}
    for clip in clips:
        splits = groups.setdefault((clip.machine, clip.section), {})
        splits.setdefault(clip.split, []).append(clip)
    return tuple(
        MachineSection(
            machine,
            section,
            train=tuple(splits.get("train", ())),
            test=tuple(splits.get("test", ())),
            supplemental=tuple(splits.get("supplemental", ())),
        )
        for (machine, section), splits in sorted(groups.items())
    )
