"""Locks on files and folders, which end with the process that holds them, however it ends.

The operating system keeps them (flock, or byte locks on Windows), so a killed process leaves no
lock behind, and a process number that is used again cannot be mistaken for its first owner.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from firstshot.errors import OutputError, cannot_write, warn

LOCK = ".firstshot.lock"
"""In a folder of results: who is writing to it. Without its process it means nothing."""
_TRIES = 100


if sys.platform == "win32":
    import msvcrt

    def try_lock(handle: int, wait: bool = False) -> bool:
        """Lock an open file or folder; False where another process holds it.

        With `wait`, returns later than without, but may still return False. Raises the `OSError`
        of a file system that has no locks.
        """
        # A locked byte cannot be read by others; this one lies behind all that a file says.
        os.lseek(handle, 1 << 30, os.SEEK_SET)
        try:  # LK_LOCK waits for ten seconds
            msvcrt.locking(handle, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK):
                return False
            raise
        finally:
            os.lseek(handle, 0, os.SEEK_SET)
        return True
else:
    import fcntl

    def try_lock(handle: int, wait: bool = False) -> bool:
        """Lock an open file or folder; False where another process holds it.

        With `wait`, returns later than without, but may still return False. Raises the `OSError`
        of a file system that has no locks.
        """
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Keep a folder of results to this process.

    It is made where it does not exist, and then removed again if nothing came into it.

    Raises
    ------
    OutputError
        Another process is writing to it, or it cannot be made or written to.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> place = Path(mkdtemp()) / "new"
    >>> with hold_folder(place):
    ...     [path.name for path in place.iterdir()]
    ['.firstshot.lock']
    >>> place.exists()
    False
    """
    try:
        handle, made = _open_lock(folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        yield
    finally:
        if sys.platform == "win32":  # an open file cannot be removed there
            os.close(handle)
        with suppress(OSError):
            (folder / LOCK).unlink()
            if made:
                folder.rmdir()
        if sys.platform != "win32":
            os.close(handle)


def _open_lock(folder: Path) -> tuple[int, bool]:
    """Return the locked and open lock file of a folder, and whether the folder was made for it."""
    path, made = folder / LOCK, False
    for _ in range(_TRIES):
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            made = True
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except FileNotFoundError:
            continue  # whoever held the folder removed it, empty, in this moment
        if _lock_or_refuse(handle, folder) and is_at(handle, path):
            _write_holder(handle)
            return handle, made
        os.close(handle)  # whoever held it removed the file between the two steps
    raise OSError(errno.EBUSY, "its lock is taken again and again")


def _lock_or_refuse(handle: int, folder: Path) -> bool:
    try:
        if try_lock(handle):
            return True
    except OSError as error:
        warn(
            f"{folder}: its file system has no locks ({error.strerror}); start no second run "
            "into this folder"
        )
        return True
    holder = os.read(handle, 300).decode("utf-8", "replace").strip()
    os.close(handle)
    raise OutputError(
        f"{folder}: another firstshot is writing to it ({holder or 'it has just begun'}); wait "
        "until that has ended, or choose another folder"
    )


def _write_holder(handle: int) -> None:
    """Say in the lock file who holds it, for the message to others."""
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    text = f"process {os.getpid()} on {socket.gethostname()}, since {since}\n"
    with suppress(OSError):  # a full disk takes nothing from the lock itself
        os.ftruncate(handle, 0)
        os.write(handle, text.encode("utf-8", "replace"))


def is_at(handle: int, path: Path) -> bool:
    """Tell whether an open file or folder still lies at a path."""
    try:
        there = path.lstat()
    except OSError:
        return False
    opened = os.fstat(handle)
    same = (there.st_dev, there.st_ino) == (opened.st_dev, opened.st_ino)
    return same and not stat.S_ISLNK(there.st_mode)
