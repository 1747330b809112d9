"""Writing files so that a kill, a full disk or a second process leaves whole files only."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeAlias

from firstshot.disk.drafts import draft_of
from firstshot.errors import OutputError, cannot_write

Content: TypeAlias = bytes | str | Callable[[BinaryIO], object]
"""What a file is to hold: bytes, text (written as UTF-8), or what writes it to an open file."""


def without_links(path: Path) -> Path:
    """Return the absolute path that links lead to; links that lead in a circle stay in it."""
    return Path(os.path.realpath(path))


def write_atomically(path: Path, content: Content, overwrite: bool = True) -> None:
    """Write a file so that readers see the old content or the new, never a part.

    Without `overwrite`, a file that exists at the end is kept, and `FileExistsError` is raised: it
    may be newer than `check_replaceable`. A new file has the rights that the umask leaves, a
    replaced one keeps its own, and one that is marked read-only is refused. Whoever has mapped the
    old content keeps it. What a killed writer of the same file left behind is removed. Raises the
    `OSError` of the file system; see `write_result` for the form that users see.
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
        if overwrite:
            draft.replace(path)
        else:
            _give_free_name(draft, path)


def _give_free_name(draft: Path, path: Path) -> None:
    """Rename a file to a name that nothing has; a plain rename would replace what has it."""
    try:
        path.hardlink_to(draft)
    except OSError:
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, "another program has made it meanwhile") from None
        draft.rename(path)  # this file system has no hard links


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


def sha256_of(path: Path) -> str:
    """Return the hex SHA-256 of a file; raises the `OSError` of the file system."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_result(path: Path, content: Content, overwrite: bool = True) -> Path:
    """Write a result file atomically, its folder made first, and return its path.

    Raises
    ------
    OutputError
        The folder cannot be made or written to, the file is read-only, the disk is full, or the
        file exists by now and `overwrite` is not given.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> write_result(Path(folder) / "new" / "note.txt", "quiet").read_text()
    'quiet'
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content, overwrite)
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


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
        The path is a folder or a device, or a file that is not to be replaced; or its folder cannot
        be written to.
    """
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file, such as {path / example}")
    check_folder_writable(path)
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


def check_folder_writable(path: Path) -> None:
    """Raise `OutputError` where no file or folder can be made at `path`.

    Folders that do not exist yet are passed over: a writer makes them.
    """
    folder = without_links(path).parent
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise OutputError(f"{path}: {folder} is a file, not a folder; choose another place")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            f"{path}: the folder {folder} cannot be written to; check its rights or choose another "
            "place"
        )


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
