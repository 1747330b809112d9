"""The weights files that were named on this machine, by a user and not by a file from elsewhere.

A detector file keeps the path of its encoder's weights. Whoever wrote it could put any path there,
so loading it opens only what was named here before: in a call, an option, or a system. Each such
path is an empty file in the cache's folder `named_weights`, called by the path's hash.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from firstshot.encoders.weight_cache import weights_folder


def remember_path(path: str | Path) -> None:
    """Note that a user named this file; without a cache that can be written, nothing is noted."""
    note = _note(path)
    with contextlib.suppress(OSError):
        if not note.exists():
            note.parent.mkdir(parents=True, exist_ok=True)
            note.touch()


def was_named(path: str | Path) -> bool:
    """Tell whether a user named this file before."""
    try:
        return _note(path).is_file()
    except OSError:
        return False


def _note(path: str | Path) -> Path:
    full = Path(path).expanduser().absolute()
    digest = hashlib.sha256(str(full).encode("utf-8", "surrogateescape")).hexdigest()
    return weights_folder().parent / "named_weights" / digest
