"""A finished text becomes a file, or nothing does.

Input: a path and its whole text. Output: the file. The text is written under a temporary name in
the same folder and then renamed, so that a reader never sees half a file and a killed run leaves
the old one as it was.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from firstshot.errors import OutputError


def write_text(path: Path | str, text: str) -> Path:
    r"""Write `text` to `path` in UTF-8, in one step; folders on the way are made.

    Returns
    -------
    Path
        The path written.

    Raises
    ------
    OutputError
        When the folder cannot be made or written, or the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> write_text(Path(folder) / "new" / "note.txt", "quiet\n").read_text()
    'quiet\n'
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.name[:40]}.", suffix=".part", dir=path.parent
        )
        temporary = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as fault:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise OutputError(
            f"{path}: cannot be written ({fault.strerror or fault}); "
            "choose a folder that can be written and has room left"
        ) from fault
    return path


def _umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
