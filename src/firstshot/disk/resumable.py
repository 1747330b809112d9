"""Files that a later run goes on with, in folders that firstshot makes: parts of downloads, locks.

Their names are known beforehand, so whoever can write to the folder can put a link there. What is
added to such a file would land in whatever the link leads to.
"""

from __future__ import annotations

import errno
import os
import stat
from io import FileIO
from pathlib import Path

from firstshot.errors import OutputError


def open_resumable(path: Path) -> FileIO:
    """Open a file to read it and to add to its end, unbuffered; it is made if it is not there.

    Raises
    ------
    OutputError
        The file or its folder is a link, or the file is not a plain file of one name.
    OSError
        The file cannot be opened or made.
    """
    for place in (path.parent, path):
        refuse_link(place)
    try:
        # Not blocking, because opening a named pipe would wait for its other end.
        file = open(  # noqa: SIM115
            path,
            "a+b",
            buffering=0,
            opener=lambda name, flags: os.open(name, flags | _FLAGS, 0o666),
        )
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise _not_plain(path) from error
        raise
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        file.close()
        raise _not_plain(path)
    return file


_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def refuse_link(path: Path) -> None:
    """Raise `OutputError` where a link lies in the place of a file or folder of firstshot's own."""
    if path.is_symlink():
        raise OutputError(
            f"{path}: a link, expected a file or folder that firstshot made; look where it leads, "
            "remove the link and run the same command again"
        )


def _not_plain(path: Path) -> OutputError:
    return OutputError(
        f"{path}: not a plain file of one name, expected one that firstshot made; remove it and "
        "run the same command again"
    )
