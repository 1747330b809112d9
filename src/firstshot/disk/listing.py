"""What lies at a path and below a folder: every file once, and what cannot be looked at named."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

_Identity: TypeAlias = tuple[int, int]
_KINDS = {
    stat.S_IFDIR: "is a folder",
    stat.S_IFIFO: "is a FIFO (a named pipe), not a file",
    stat.S_IFCHR: "is a device, not a file",
    stat.S_IFBLK: "is a device, not a file",
    stat.S_IFSOCK: "is a socket, not a file",
}
MISSING = "does not exist"
_NEVER_SOUND = "lost+found"
"""What a disk's file system keeps for itself; only root can list it."""


@dataclass(frozen=True)
class Unlisted:
    """A folder that cannot be listed, or a link that leads nowhere, and why."""

    path: Path
    why: str


@dataclass(frozen=True)
class Listing:
    """All that is no folder below a folder, sorted, and what could not be looked into."""

    files: tuple[Path, ...]
    unlisted: tuple[Unlisted, ...]


def is_folder(path: Path) -> bool:
    """Tell whether a path is a folder; one that cannot be looked at is none."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def why_no_file(path: Path) -> str | None:
    """Say why a path is no plain file ("is a FIFO ...", `MISSING`), or None where it is one.

    >>> why_no_file(Path("no.wav")), why_no_file(Path("/"))
    ('does not exist', 'is a folder')
    """
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return MISSING
    except (OSError, ValueError) as error:
        return f"cannot be opened ({reason(error)})"
    return None if kind == stat.S_IFREG else _KINDS.get(kind, "is no plain file")


def check_file(path: Path) -> None:
    """Raise `OSError` for what exists and is no plain file: a pipe would be waited for forever."""
    why = why_no_file(path)
    if why not in (None, MISSING):
        raise OSError(errno.EINVAL, why, str(path))


def why_closed(folder: Path) -> str | None:
    """Say why a folder cannot be listed or entered; None where it can be, or is no folder."""
    try:
        os.stat(os.path.join(folder, "."))  # noqa: PTH116, PTH118  a Path would lose the dot
        with os.scandir(folder):
            return None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return f"cannot be listed ({reason(error)})"


def same_place(path: Path) -> tuple[int, int]:
    """Return what two paths to one file or folder have in common."""
    return _identity(path.stat())


def is_private(path: Path) -> bool:
    """Tell whether a folder is hidden or the file system's own, which holds no recordings."""
    return path.name[:1] == "." or path.name == _NEVER_SOUND


def reason(error: Exception) -> str:
    """Return what the system says of an error, without number and path."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def list_files(folder: Path) -> Listing:
    """List what lies in a folder and in its sub-folders, also where links lead to them.

    Hidden sub-folders are left out; the folder itself may be one.

    A folder or file that links lead to again is listed once, under its own path rather than a
    link's; a link to a folder that it lies in is not followed.
    """
    walk = _Walk()
    walk.enter(folder)
    while walk.links:
        links, walk.links = sorted(walk.links), []
        for link in links:
            walk.follow(link)
    return Listing(tuple(sorted(walk.files)), tuple(walk.unlisted))


class _Walk:
    """What a walk has found so far; links are kept until the folders themselves are done."""

    def __init__(self) -> None:
        self.files: list[Path] = []
        self.unlisted: list[Unlisted] = []
        self.links: list[Path] = []
        self._folders: set[_Identity] = set()
        self._identities: set[_Identity] = set()
        self._identified = 0

    def enter(self, top: Path) -> None:
        """List a folder and all that lies in it but for links."""
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            try:
                identity = _identity(folder.stat())
                if identity in self._folders:
                    continue
                self._folders.add(identity)
                with os.scandir(folder) as entries:
                    for entry in entries:
                        path = folder / entry.name
                        if entry.is_symlink():
                            self.links.append(path)
                        elif not entry.is_dir(follow_symlinks=False):
                            self.files.append(path)
                        elif entry.name[:1] != ".":
                            waiting.append(path)
            except OSError as error:
                self._tell(folder, f"cannot be listed ({reason(error)})")

    def follow(self, link: Path) -> None:
        """Enter the folder, or list the file, that a link leads to, unless it was met before."""
        try:
            found = link.stat()
        except OSError as error:
            if link.suffix:
                self.files.append(link)  # reading it says what is the matter
            else:
                self._tell(link, f"a link that leads nowhere ({reason(error)})")
            return
        if stat.S_ISDIR(found.st_mode):
            if link.name[:1] != "." and not _real(link.parent).is_relative_to(_real(link)):
                self.enter(link)
        elif _identity(found) not in self._known():
            self.files.append(link)

    def _tell(self, path: Path, why: str) -> None:
        if not is_private(path):
            self.unlisted.append(Unlisted(path, why))

    def _known(self) -> set[_Identity]:
        """Return the identities of the files so far: looked up only where there are links."""
        for path in self.files[self._identified :]:
            try:
                self._identities.add(_identity(path.stat()))
            except OSError:
                continue
        self._identified = len(self.files)
        return self._identities


def _identity(found: os.stat_result) -> _Identity:
    return found.st_dev, found.st_ino


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
