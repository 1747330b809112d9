"""A folder in the challenge's layout becomes records of clips, section by section.

Input: a data root of any year (DCASE Task 2, 2020 to 2026) or of one machine. Output: a frozen
record per clip. Labels, domains and attributes come from names, folders and attributes_<SS>.csv.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from firstshot.dcase.data.clip_names import check_machine
from firstshot.dcase.data.machine_folder import (
    ADVICE,
    AUDIO_SUFFIXES,
    ClipRecord,
    UnusedFile,
    children,
    is_machine,
    read_machine,
)
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

_OTHER_SOUND = (SOUND_SUFFIXES | UNREAD_SUFFIXES) - set(AUDIO_SUFFIXES)
_EXPECTED = "expected <machine>/train and <machine>/test with .wav or .flac files"
_PARTS = ("", "raw", "dev_data", "dev_data/raw", "eval_data", "eval_data/raw")


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

    @property
    def clips(self) -> tuple[ClipRecord, ...]:
        """All clips: train, test, supplemental."""
        return (*self.train, *self.test, *self.supplemental)

    @property
    def source(self) -> tuple[ClipRecord, ...]:
        """Training clips of the source domain; a clip of an unknown domain counts as source."""
        return tuple(clip for clip in self.train if clip.domain != "target")

    @property
    def target(self) -> tuple[ClipRecord, ...]:
        """Training clips of the target domain."""
        return tuple(clip for clip in self.train if clip.domain == "target")


@dataclass(frozen=True)
class Layout:
    """All under a root: sections (complete or not), unused files, folders without a clip."""

    sections: tuple[MachineSection, ...]
    unused: tuple[UnusedFile, ...]
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
        Nothing of the layout is there, a requested machine is not, a section lacks training or
        test clips, or (`strict`) a file is outside the grammar. Target clips can be missing.

    Examples
    --------
    >>> read_layout(Path("no/such/folder"))
    Traceback (most recent call last):
        ...
    firstshot.errors.DatasetError: no/such/folder: no such folder; give the root of a data set
    """
    layout = scan_layout(root, machines)
    check_unused(root, layout, strict)
    for section in layout.sections:
        for split, clips in (("train", section.train), ("test", section.test)):
            if not clips:
                kind = "training" if split == "train" else split
                raise DatasetError(
                    f"{root}: {section.machine} section {section.section} has no {kind} clips; "
                    f"put them into {section.machine}/{split}"
                )
    return layout.sections


def check_unused(root: Path, layout: Layout, strict: bool) -> None:
    """Refuse files outside the grammar, or warn of them; refuse a machine without clips.

    Raises DatasetError as `read_layout` says.
    """
    refused = [file for file in layout.unused if file.refused]
    if refused:
        message = _first_of(refused, "files")
        if strict:
            raise DatasetError(f"{message}; correct or remove what `firstshot dcase check` lists")
        warn(f"{message}; left out")
    _warn_of_unused(root, [file for file in layout.unused if not file.refused])
    if layout.empty:
        raise DatasetError(f"{layout.empty[0]}: no clips in this machine's folders; {_EXPECTED}")


def _first_of(unused: Sequence[UnusedFile], kind: str) -> str:
    more = f" (and {len(unused) - 1} more {kind})" if len(unused) > 1 else ""
    return f"{unused[0].path}{more}: {unused[0].why}"


def _warn_of_unused(root: Path, unused: Sequence[UnusedFile]) -> None:
    """Warn of sound that is not used: other formats, and folders in the place of clips."""
    skipped = skipped_kinds([file.path for file in unused], _OTHER_SOUND)
    if skipped:
        what = f"{root}: left out what is neither .wav nor .flac, {skipped}"
        warn(what)
    folders = [file for file in unused if is_folder(file.path)]
    if folders:
        what = f"{_first_of(folders, 'folders')}; left out"
        warn(what)


def scan_layout(root: Path, machines: Sequence[str] | None = None) -> Layout:
    """Read what is there without a judgement; raise DatasetError only if nothing can be read."""
    folders, closed = _find_folders(root)
    available = sorted({folder.name for folder in folders})
    known = {*available, *(file.path.name for file in closed)}
    missing = [name for name in machines or () if name not in known]
    if missing:
        raise DatasetError(f"{root}: no machine {missing[0]!r}; there are {', '.join(available)}")
    clips: list[ClipRecord] = []
    unused = [file for file in closed if machines is None or file.path.name in machines]
    empty: list[Path] = []
    folder_of: dict[tuple[str, str], Path] = {}
    for folder in folders:
        if machines is not None and folder.name not in machines:
            continue
        try:
            check_machine(folder.name)
        except ParameterError as error:
            unused.append(UnusedFile(folder, f"{error}; rename it"))
            continue
        found, unused_here = read_machine(folder)
        for section in sorted({clip.section for clip in found}):
            other = folder_of.setdefault((folder.name, section), folder)
            if other != folder:
                raise DatasetError(
                    f"{folder}: section {section} of {folder.name} lies in {other} as well; "
                    "give the root of one of them"
                )
        clips += found
        unused += unused_here
        if not found:
            empty.append(folder)
    return Layout(_group(clips), tuple(unused), tuple(empty))


def _find_folders(root: Path) -> tuple[list[Path], list[UnusedFile]]:
    """Find the machine folders, and the folders that could be one but cannot be used."""
    if not is_folder(root):
        kind = why_no_file(root) or "not a folder"
        kind = "no such folder" if kind == MISSING else kind
        raise DatasetError(f"{root}: {kind}; give the root of a data set")
    if is_machine(root):
        return [root if root.name not in ("", "..") else without_links(root)], []
    found: dict[tuple[int, int], Path] = {}
    unused: list[UnusedFile] = []
    for part in _PARTS:
        for folder in children(root / part):
            if not is_folder(folder):
                continue
            why = why_closed(folder)
            if why and not is_private(folder):
                unused.append(UnusedFile(folder, f"{why}; {ADVICE}"))
            elif not why and is_machine(folder):
                first = found.setdefault(same_place(folder), folder)
                if first.name != folder.name:
                    why = f"the same folder as {first}; keep one of them"
                    unused.append(UnusedFile(folder, why))
    if not found and not unused:
        raise DatasetError(f"{root}: no machine in it; {_EXPECTED}")
    return list(found.values()), unused


def _group(clips: Sequence[ClipRecord]) -> tuple[MachineSection, ...]:
    """Sort clips into sections, by machine and section."""
    groups: dict[tuple[str, str], dict[str, list[ClipRecord]]] = {}
    for clip in clips:
        splits = groups.setdefault((clip.machine, clip.section), {})
        splits.setdefault(clip.split, []).append(clip)
    return tuple(
        MachineSection(
            machine, section, *(tuple(splits.get(s, ())) for s in ("train", "test", "supplemental"))
        )
        for (machine, section), splits in sorted(groups.items())
    )
