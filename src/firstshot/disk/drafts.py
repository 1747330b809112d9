"""Drafts: hidden files and folders that are written beside what they will replace.

A draft is locked while its writer runs. A draft without a lock was left by a killed writer, and the
next write of the same file removes it. Where a file system has no locks, drafts of more than a day
are removed.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from firstshot.disk.locks import is_at, try_lock

DRAFT, ASIDE = ".part", ".old"
"""Ends of the hidden names of what is being written, and of a folder about to be replaced."""
OLD_SECONDS = 86400.0
"""Where a file system has no locks, what a day has not touched counts as left by a kill."""
LARGE_FOLDER = 2000
"""A folder of more files is searched for leftovers once in a process, not at every write."""
_large: set[Path] = set()
_RANDOM = re.compile(r"[a-z0-9_]{8}")


@contextmanager
def draft_of(path: Path, make: Callable[[Path], object]) -> Iterator[Path]:
    """Yield a new hidden file or folder beside `path`, to be filled and then renamed to it.

    It is locked, so that no other process takes it for something that a kill has left; what still
    has its hidden name at the end is removed. `make` creates it under the name that it is given.
    """
    remove_leftovers(path)
    draft, handle = _make_held(path, make)
    try:
        yield draft
    finally:
        _remove(draft)
        if handle is not None:
            os.close(handle)


def _make_held(path: Path, make: Callable[[Path], object]) -> tuple[Path, int | None]:
    while True:
        draft = hidden_beside(path, DRAFT)
        make(draft)
        try:
            handle = _open_to_hold(draft)
        except FileNotFoundError:
            continue  # another process has cleaned up between the two steps
        if handle is None:
            return draft, None
        if _locks(handle) and is_at(handle, draft):
            return draft, handle
        os.close(handle)  # the same, a moment later
        _remove(draft)


def hidden_beside(path: Path, end: str) -> Path:
    """Return a new hidden name beside `path` that tells what it belongs to."""
    return path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}{end}")


def remove_leftovers(path: Path) -> None:
    """Remove half-written drafts of `path` whose writers were killed."""
    if path.parent in _large:
        return
    for draft in hidden_of(path, DRAFT):
        with abandoned(draft) as left:
            if left:
                _remove(draft)


def clear_leftovers(folder: Path) -> None:
    """Remove every half-written draft in a folder whose writer was killed, whatever it was for."""
    for draft in folder.glob(f".*{DRAFT}"):
        middle = draft.name.removesuffix(DRAFT).rpartition(".")[2]
        with abandoned(draft) as left:
            if left and _RANDOM.fullmatch(middle):
                _remove(draft)


def hidden_of(path: Path, end: str) -> list[Path]:
    """Return what lies beside `path` under the names that `hidden_beside` gives it."""
    start = f".{path.name[:40]}."
    try:
        # Of the thousands that may lie there, hardly one becomes a Path.
        names = os.listdir(path.parent)  # noqa: PTH208
    except OSError:
        return []
    if len(names) > LARGE_FOLDER:
        _large.add(path.parent)
    found = [name for name in names if name.startswith(start) and name.endswith(end)]
    middles = [name[len(start) : -len(end)] for name in found]
    ours = [name for name, middle in zip(found, middles, strict=True) if _RANDOM.fullmatch(middle)]
    return sorted(path.with_name(name) for name in ours)


@contextmanager
def abandoned(path: Path) -> Iterator[bool]:
    """Tell whether no process holds a draft any more; meanwhile none can take it."""
    try:
        handle = _open_to_hold(path)
    except OSError:
        yield False  # gone, or not ours to open
        return
    try:
        yield _is_abandoned(path, handle)
    finally:
        if handle is not None:
            os.close(handle)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold an existing folder; raises `OSError` where another process does."""
    handle = _open_to_hold(path)
    try:
        if handle is not None and not _locks(handle):
            raise OSError(errno.EBUSY, "another process is replacing it")
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _locks(handle: int) -> bool:
    """Lock an open file or folder; True too where the file system has no locks."""
    try:
        return try_lock(handle)
    except OSError:
        return True


def _is_abandoned(path: Path, handle: int | None) -> bool:
    if handle is not None:
        with suppress(OSError):
            return try_lock(handle) and is_at(handle, path)
    with suppress(OSError):
        return time.time() - path.lstat().st_mtime > OLD_SECONDS
    return False


def _open_to_hold(path: Path) -> int | None:
    """Open a file or folder in order to lock it; None where that would keep it from a rename."""
    if sys.platform == "win32":
        return None
    access = os.O_RDONLY if path.is_dir() else os.O_RDWR
    return os.open(path, access | os.O_NOFOLLOW | os.O_NONBLOCK)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink(missing_ok=True)
