"""An archive of one machine becomes clips in the official layout: <machine>/train/*.wav, ...

Input: a zip whose entries lie under <machine>/, under dev_data/raw/<machine>/ and the like, or
start at train/ or test/. Output: the files in the machine's folder. The files lie in a temporary
folder beside it until all are unpacked, so that a kill leaves nothing that looks like a data set.
An archive with more in it than recordings of one machine is refused (`Limits`).
"""

from __future__ import annotations

import errno
import filecmp
import os
import re
import shutil
import stat
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from firstshot.dcase.data.machine_folder import AUDIO_SUFFIXES
from firstshot.disk.archives import DAMAGED, size_of_directory
from firstshot.disk.resumable import refuse_link
from firstshot.errors import DatasetError, OutputError, warn
from firstshot.messages import shown
from firstshot.progress import Progress

SPLIT_FOLDERS = ("train", "test", "source_test", "target_test", "supplemental")
_OUTER_FOLDERS = re.compile(r"data|raw|dev_data|eval_data|dcase20\d\dt2")
_CLUTTER = re.compile(r"__MACOSX/.*|(.*/)?(\.DS_Store|Thumbs\.db|desktop\.ini|\._[^/]*)")
_CHUNK = 1 << 20
_LONGEST_NAME = 255
_MOST_FOLDERS = 16
_BYTES_PER_ENTRY = 256
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others unpack without a bound on memory

Members = dict[str, zipfile.ZipInfo]
"""Entries of an archive by their place in the machine's folder, as `train/clip.wav`."""


@dataclass(frozen=True)
class Limits:
    """The most that an archive can contain.

    A published machine has some thousand clips; sixty recordings shrank by deflate to 1/1.5 of
    their size at most. `unpacked` is in bytes; beyond its first `free` bytes an archive unpacks to
    `ratio` times its own size.
    """

    entries: int = 100_000
    unpacked: int = 1 << 37
    free: int = 1 << 27
    ratio: int = 20

    def check_directory(self, path: Path) -> None:
        """Refuse a list of entries that is too long, before zipfile reads it into memory.

        Raises
        ------
        DatasetError
            More entries than `entries`, or a list that is longer than so many entries need.
        OSError
            The file cannot be read.
        """
        entries, length = size_of_directory(path)
        if entries > self.entries or length > self.entries * _BYTES_PER_ENTRY:
            raise _too_much(path, f"lists {entries} files in {length} bytes")

    def check_sizes(self, path: Path, entries: Sequence[zipfile.ZipInfo]) -> None:
        """Refuse more entries or more bytes than recordings have, and unbounded compression.

        The sizes are the declared ones: zipfile reads no more of an entry than that.
        """
        packed = path.stat().st_size
        unpacked = sum(entry.file_size for entry in entries)
        if len(entries) > self.entries:
            raise _too_much(path, f"lists {len(entries)} files")
        if unpacked > self.unpacked or unpacked > self.free + self.ratio * packed:
            size = f"has {packed / 1e6:.3g} MB and unpacks to {unpacked / 1e9:.3g} GB"
            raise _too_much(path, size)
        for entry in entries:
            if entry.compress_type not in _METHODS:
                raise DatasetError(
                    f"{path}: {shown(entry.filename)} is packed by method {entry.compress_type}, "
                    "expected stored or deflated; not as published, remove it"
                )


def _too_much(path: Path, what: str) -> DatasetError:
    return DatasetError(
        f"{path}: {what}, more than recordings of a machine; it may be made to fill the disk, "
        "nothing was unpacked, remove it"
    )


def unpack(
    path: Path,
    folder: Path,
    progress: Progress | None = None,
    limits: Limits | None = None,
) -> dict[str, int]:
    """Unpack one machine's archive into its folder; files of the same name are replaced.

    Parameters
    ----------
    path : Path
        The zip archive.
    folder : Path
        The machine's folder, named as the machine; it is made if it does not exist.
    progress : callable or None
        Called with the bytes written and their total.
    limits : Limits or None
        The most that the archive can contain; None for the default.

    Returns
    -------
    dict of str to int
        Size in bytes of every file by its place in the folder, as `train/clip.wav`.

    Raises
    ------
    DatasetError
        Not a readable zip, an entry outside the folder, another machine's clips, no clips, or more
        than `limits`.
    OutputError
        The disk is full or the folder cannot be written to.
    """
    limits = limits or Limits()
    temporary = folder.parent / f".unpacking-{path.stem}"
    try:
        limits.check_directory(path)
        with zipfile.ZipFile(path) as archive:
            members = _read_members(archive, path, folder.name)
            limits.check_sizes(path, archive.infolist())
            folder.parent.mkdir(parents=True, exist_ok=True)
            refuse_link(temporary)
            shutil.rmtree(temporary, ignore_errors=True)  # left by a killed run
            _check_space(path, members, folder.parent)
            _extract(archive, members, temporary / folder.name, progress)
        inside = len(folder.name) + 1
        return {
            place[inside:]: size for place, size in _move_in(temporary, folder.parent, path.stem)
        }
    except DAMAGED as error:
        raise _damaged(path, error) from error
    except OSError as error:
        if error.errno == errno.EINVAL and error.filename is None:  # an offset before the beginning
            raise _damaged(path, error) from error
        raise OutputError(
            f"{error.filename or folder}: cannot be read or written ({error.strerror}); make room "
            "or mend its permissions, then run the same command again"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _damaged(path: Path, error: Exception) -> DatasetError:
    return DatasetError(f"{path}: not a zip that can be unpacked ({shown(error)}); remove it")


def _read_members(archive: zipfile.ZipFile, path: Path, machine: str) -> Members:
    """Find the place of each file in the machine's folder; refuse a file without a place."""
    members: Members = {}
    for entry in archive.infolist():
        name = entry.filename.replace("\\", "/")
        parts = _split_safely(name, entry, path)
        if entry.is_dir() or name.endswith("/") or _CLUTTER.fullmatch(name) or not parts:
            continue
        place = "/".join((*_strip(parts[:-1], path, machine), parts[-1]))
        if place in members:
            raise DatasetError(f"{path}: holds {place} twice; not as published, remove it")
        members[place] = entry
    for place in members:
        above = next((str(p) for p in PurePosixPath(place).parents if str(p) in members), None)
        if above is not None:
            raise DatasetError(
                f"{path}: holds {above} as a file and as a folder; not as published, remove it"
            )
    clips = [place for place in members if place.lower().endswith(AUDIO_SUFFIXES)]
    if not any(place.split("/")[0] in SPLIT_FOLDERS for place in clips):
        raise DatasetError(
            f"{path}: no clips of {machine} in it, expected {machine}/train or {machine}/test; "
            "not the archive it should be, remove it"
        )
    return members


def _split_safely(name: str, entry: zipfile.ZipInfo, path: Path) -> list[str]:
    """Return folders and name of an entry; refuse a path that leads outside the folder."""
    parts = name.split("/")
    link = stat.S_ISLNK(entry.external_attr >> 16)
    if link or name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in parts:
        kind = "a link" if link else "a path that leads out of its folder"
        raise DatasetError(
            f"{path}: the entry {shown(name)!r} is {kind}; nothing was unpacked, remove it"
        )
    parts = [part for part in parts if part not in ("", ".")]
    if (
        len(parts) > _MOST_FOLDERS
        or any(len(os.fsencode(part)) > _LONGEST_NAME for part in parts)
        or not name.isprintable()
    ):
        raise DatasetError(
            f"{path}: the entry {shown(name)!r} has a name that is too long or holds control "
            "characters; nothing was unpacked, remove it"
        )
    return parts


def _strip(folders: list[str], path: Path, machine: str) -> list[str]:
    """Remove the folders above the machine's own: `dev_data/raw/fan/train` -> `train`."""
    inside = False
    while folders and folders[0] not in SPLIT_FOLDERS:
        named = folders[0].casefold() == machine.casefold()
        if not (named or folders[0] == path.stem or _OUTER_FOLDERS.fullmatch(folders[0])):
            break
        inside = inside or named
        folders = folders[1:]
    if folders and not inside and folders[0] not in SPLIT_FOLDERS:
        raise DatasetError(
            f"{path}: holds a folder {shown(folders[0])!r} where {machine!r} was expected; "
            "not the archive it should be, remove it"
        )
    return folders


def _check_space(path: Path, members: Members, folder: Path) -> None:
    needed = sum(entry.file_size for entry in members.values())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"{folder}: {path.name} unpacks to {needed / 1e9:.3g} GB and {free / 1e9:.3g} GB are "
            "free; make room, then run the same command again"
        )


def _extract(
    archive: zipfile.ZipFile,
    members: Members,
    folder: Path,
    progress: Progress | None,
) -> None:
    total, done = sum(entry.file_size for entry in members.values()), 0
    folder.mkdir(parents=True)
    for place, entry in members.items():
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as packed, target.open("wb") as file:
            shutil.copyfileobj(packed, file, _CHUNK)
        done += entry.file_size
        if progress is not None:
            progress(done, total)


def _move_in(
    source: Path, folder: Path, archive: str, above: str = ""
) -> Iterator[tuple[str, int]]:
    """Move the unpacked files into place; a new folder is moved as a whole."""
    for path in sorted(source.iterdir()):
        goal = folder / path.name
        if path.is_dir() and goal.is_dir():
            yield from _move_in(path, goal, archive, f"{above}{path.name}/")
            continue
        directly = above.count("/") == 1  # in the machine's own folder, where the tables lie
        if directly and goal.is_file() and not filecmp.cmp(path, goal, shallow=False):
            # Two archives of a machine have a table of the same name: readers take both.
            goal = folder / f"{path.stem}_{archive}{path.suffix}"
            what = f"{folder / path.name}: another one is in {archive}.zip; kept as {goal.name}"
            warn(what)
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        sizes = [
            (file.relative_to(path).as_posix(), file.stat().st_size)
            for file in files
            if file.is_file()
        ]
        path.replace(goal)
        for place, size in sizes:
            yield above + goal.name + ("" if place == "." else f"/{place}"), size
