"""Writing files so that a kill, a full disk or a second process leaves whole files only."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeAlias

from firstshot.errors import OutputError

Content: TypeAlias = bytes | str | Callable[[BinaryIO], object]
"""What a file is to hold: bytes, text (written as UTF-8), or what writes it to an open file."""


def write_atomically(path: Path, content: Content) -> None:
    """Write a file so that readers see the old content or the new, never a part.

    Whoever has mapped the old content keeps it. Raises the `OSError` of the file system; see
    `write_result` for the form that users see.
    """
    path = path.resolve()  # a link stays, and what it leads to is replaced
    if path.exists() and not path.is_file():
        # A rename would put a plain file in the place of a folder's entry or a device.
        raise OSError(errno.EINVAL, "not a plain file")
    handle, temporary = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".part"
    )
    try:
        with os.fdopen(handle, "wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content.encode("utf-8") if isinstance(content, str) else content)
        # mkstemp makes files that only their owner can read; results are for sharing.
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def sha256_of(path: Path) -> str:
    """Return the hex SHA-256 of a file; raises the `OSError` of the file system."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_result(path: Path, content: Content) -> Path:
    """Write a result file atomically, its folder made first, and return its path.

    Raises
    ------
    OutputError
        The folder cannot be made or written to, or the disk is full.

    Examples
    --------
    >>> folder = tempfile.mkdtemp()
    >>> write_result(Path(folder) / "new" / "note.txt", "quiet").read_text()
    'quiet'
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputError(
            f"{path}: cannot be written ({reason}); free some space or choose another place"
        ) from error
    return path
