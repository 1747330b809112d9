"""An archive that was downloaded holds no more than the recordings of one machine can be.

Input: a zip; output: nothing, or a `DatasetError` before anything of it is unpacked. The length of
its list of entries is checked before zipfile reads the list into memory.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

from firstshot.disk.archives import size_of_directory
from firstshot.errors import DatasetError
from firstshot.messages import shown

# Published machines have some thousand clips; sixty recordings, deflated, shrank to 1/1.5 at most.
MOST_ENTRIES = 100_000
MOST_BYTES = 1 << 37
"""What an archive may unpack to."""
MOST_RATIO = 20
"""What it may unpack to, as a multiple of its own size, beyond the first `FREE_BYTES`."""
FREE_BYTES = 1 << 27
_BYTES_PER_ENTRY = 256
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others unpack without a bound on memory


def check_directory(path: Path) -> None:
    """Refuse a list of entries that is too long; what is no zip is left to zipfile.

    Raises
    ------
    DatasetError
        More entries than `MOST_ENTRIES`, or a list that is longer than so many need.
    OSError
        The file cannot be read.
    """
    entries, length = size_of_directory(path)
    if entries > MOST_ENTRIES or length > MOST_ENTRIES * _BYTES_PER_ENTRY:
        raise DatasetError(_too_much(path, f"lists {entries} files in {length} bytes"))


def check_sizes(path: Path, entries: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse an archive that unpacks to more than recordings do.

    The sizes are those that it declares: zipfile reads no more of an entry than that.

    Raises
    ------
    DatasetError
        More entries, more bytes, or more bytes for its own size than recordings have; or entries
        that are packed in another way than published archives are.
    """
    packed = path.stat().st_size
    unpacked = sum(entry.file_size for entry in entries)
    if len(entries) > MOST_ENTRIES:
        raise DatasetError(_too_much(path, f"lists {len(entries)} files"))
    if unpacked > MOST_BYTES or unpacked > FREE_BYTES + MOST_RATIO * packed:
        told = f"has {packed / 1e6:.3g} MB and unpacks to {unpacked / 1e9:.3g} GB"
        raise DatasetError(_too_much(path, told))
    for entry in entries:
        if entry.compress_type not in _METHODS:
            raise DatasetError(
                f"{path}: {shown(entry.filename)} is packed by method {entry.compress_type}, "
                "expected stored or deflated; not as published, remove it"
            )


def _too_much(path: Path, what: str) -> str:
    return (
        f"{path}: {what}, more than recordings of a machine; it may be made to fill the disk, "
        "nothing was unpacked, remove it"
    )
