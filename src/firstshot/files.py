"""Writing files so that a kill, a full disk or a second process leaves whole files only."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeAlias

from firstshot.errors import OutputError
from firstshot.locks import is_at, try_lock

Content: TypeAlias = bytes | str | Callable[[BinaryIO], object]
"""What a file is to hold: bytes, text (written as UTF-8), or what writes it to an open file."""

DRAFT, ASIDE = ".part", ".old"
"""Ends of the hidden names of what is being written, and of a folder about to be replaced."""
OLD_SECONDS = 86400.0
"""Where a file system has no locks, what a day has not touched counts as left by a kill."""
LARGE_FOLDER = 2000
"""A folder of more files is searched for leftovers once in a process, not at every write."""
_large: set[Path] = set()
_RANDOM = re.compile(r"[a-z0-9_]{8}")
_ADVICE = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free some space or choose another place"
    ),
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.ELOOP), "check the path"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "check its rights or choose another place"),
    **dict.fromkeys(
        (errno.EROFS, errno.EBUSY, errno.EEXIST, errno.ENOTEMPTY), "choose another place"
    ),
    errno.ENAMETOOLONG: "choose a shorter name",
}


def advice_on(error: OSError) -> str:
    """Say what to do about a fault of the file system, be it in reading or in writing.

    >>> advice_on(FileNotFoundError(2, "No such file or directory"))
    'check the path'
    """
    return _ADVICE.get(error.errno or 0, "check the disk or choose another place")


def without_links(path: Path) -> Path:
    """Return the absolute path that links lead to; links that lead in a circle stay in it."""
    return Path(os.path.realpath(path))


def write_atomically(path: Path, content: Content) -> None:
    """Write a file so that readers see the old content or the new, never a part.

    A new file has the rights that the umask leaves, a replaced one keeps its own, and one that is
    marked read-only is refused. Whoever has mapped the old content keeps it. What a killed writer
    of the same file left behind is removed. Raises the `OSError` of the file system; see
    `write_result` for the form that users see.
    """
    path = without_links(path)  # a link stays, and what it leads to is replaced
    mode = _mode_to_keep(path)
    with draft_of(path, _create) as draft:
        with draft.open("wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content.encode("utf-8") if isinstance(content, str) else content)
        if mode is not None:
            draft.chmod(mode)
        draft.replace(path)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the name of a hidden file, which replaces `path` at the end of the block.

    For libraries that open the file themselves. Whatever they create beside it is removed too.
    Rights and errors are as `write_atomically` says; an error in the block leaves `path` as it is.
    """
    path = without_links(path)
    mode = _mode_to_keep(path)
    with draft_of(path, Path.mkdir) as folder:
        draft = folder / path.name
        _create(draft)
        if mode is None:
            mode = stat.S_IMODE(draft.stat().st_mode)
        yield draft
        draft.chmod(mode)  # a library may have put a file of its own there
        draft.replace(path)


def _create(path: Path) -> None:
    path.touch(exist_ok=False)


def write_result(path: Path, content: Content) -> Path:
    """Write a result file atomically, its folder made first, and return its path.

    Raises
    ------
    OutputError
        The folder cannot be made or written to, the file is read-only, or the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> write_result(Path(folder) / "new" / "note.txt", "quiet").read_text()
    'quiet'
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def cannot_write(path: Path, error: OSError) -> OutputError:
    """Return the error for a file or folder that could not be written."""
    reason = error.strerror or type(error).__name__
    return OutputError(f"{path}: cannot be written ({reason}); {advice_on(error)}")


def check_replaceable(
    path: Path, overwrite: bool, kind: str, example: str, is_ours: Callable[[Path], bool]
) -> None:
    """Refuse an output file that cannot or must not be written, before any work is done.

    Parameters
    ----------
    path : Path
        The file to write.
    overwrite : bool
        Whether a file of this kind may be replaced.
    kind, example : str
        What the command writes, and a name for it, for the messages.
    is_ours : callable
        Tells whether an existing file is of this kind; all others stay. May raise `OSError`.

    Raises
    ------
    OutputError
        The path is a folder or a device, or a file that is not to be replaced.
    """
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file, such as {path / example}")
    if not path.exists():
        return
    if not path.is_file():
        raise OutputError(f"{path}: is no plain file; name a file, such as {example}")
    if not overwrite:
        raise OutputError(f"{path}: is there already; choose another name, or add --overwrite")
    ours = False
    with suppress(OSError):
        ours = path.stat().st_size == 0 or is_ours(path)
    if not ours:
        raise OutputError(f"{path}: is no {kind} and is not replaced; choose another name")
    check_not_read_only(path)


def check_not_read_only(path: Path) -> None:
    """Raise `OutputError` for a file or folder that its mode protects, from root too.

    What is not there is not protected.
    """
    try:
        _mode_to_keep(path)
    except OSError as error:
        raise cannot_write(path, error) from error


def _mode_to_keep(path: Path) -> int | None:
    """Return the mode of what is to be replaced, None where nothing is there."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        # A rename would put a plain file in the place of a device.
        raise OSError(errno.EINVAL, "not a plain file")
    if not mode & 0o222:
        # A rename, and root, would pass over the mark.
        raise PermissionError(errno.EACCES, "it is marked read-only")
    return stat.S_IMODE(mode)


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
        handle = _open_to_hold(draft)
        if handle is None:
            return draft, None
        if _locks(handle) and is_at(handle, draft):
            return draft, handle
        os.close(handle)  # another process has cleaned up between the two steps
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
