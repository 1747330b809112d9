"""A large detector file whose arrays are mapped, not read, and how a change of it is noticed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from firstshot.errors import DetectorFileError

MAPPED_FROM = 1 << 26
"""Files from this size in bytes on are mapped; a smaller one is read, which is quick."""


def is_mapped(size: int) -> bool:
    """Tell whether a file of that many bytes is mapped; Windows cannot replace a mapped file."""
    return size >= MAPPED_FROM and os.name != "nt"


@dataclass(frozen=True)
class MappedFile:
    """A file that arrays are mapped from: its identity and state before it was verified."""

    path: Path
    identity: tuple[int, int]
    state: tuple[int, int]

    @classmethod
    def of(cls, path: Path) -> MappedFile | None:
        """Return the state of a file that is mapped, None for one that is read."""
        try:
            found = path.stat()
        except OSError:
            return None  # reading it then says why
        if not is_mapped(found.st_size):
            return None
        return cls(path, (found.st_dev, found.st_ino), (found.st_size, found.st_mtime_ns))


def check_unwritten(mapped: MappedFile | None) -> None:
    """Raise DetectorFileError where a mapped file was written to since; it may be replaced."""
    if mapped is None:
        return
    try:
        found = mapped.path.stat()
    except OSError:
        return  # removed: the mapping keeps what it was
    same = (found.st_dev, found.st_ino) == mapped.identity
    if same and (found.st_size, found.st_mtime_ns) != mapped.state:
        raise DetectorFileError(
            f"{mapped.path}: was written to while its detector is in use, so the bank may have "
            "changed; load it again, and replace such a file by a rename"
        )
