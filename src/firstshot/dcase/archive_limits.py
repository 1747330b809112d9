"""An archive that was downloaded holds no more than the recordings of one machine can be.

Input: a zip; output: nothing, or a `DatasetError` before anything of it is unpacked. The length of
its list of entries is checked before zipfile reads the list into memory.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

from firstshot.errors import DatasetError
from firstshot.web import shown

# Published machines have some thousand clips; sixty recordings, deflated, shrank to 1/1.5 at most.
MOST_ENTRIES = 100_000
MOST_BYTES = 1 << 37
"""What an archive may unpack to."""
MOST_RATIO = 20
"""What it may unpack to, as a multiple of its own size, beyond the first `FREE_BYTES`."""
FREE_BYTES = 1 << 27
_BYTES_PER_ENTRY = 256
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others unpack without a bound on memory
_END, _END_64, _LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_END_BYTES, _LOCATOR_BYTES, _END_64_BYTES = 22, 20, 56
_LONGEST_COMMENT = 1 << 16


def check_directory(path: Path) -> None:
    """Refuse a list of entries that is too long; what is no zip is left to zipfile.

    The list's length stands in the last record of the file, which a comment may follow, or in the
    Zip64 record that the bytes before it point to (APPNOTE.TXT 4.3.14 to 4.3.16).

    Raises
    ------
    DatasetError
        More entries than `MOST_ENTRIES`, or a list that is longer than so many need.
    OSError
        The file cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _LONGEST_COMMENT - _END_BYTES - _LOCATOR_BYTES))
        tail = file.read()
        # As zipfile looks for it, so that both find the same record.
        plain = tail[-_END_BYTES:].startswith(_END) and tail.endswith(b"\0\0")
        place = len(tail) - _END_BYTES if plain else tail.rfind(_END)
        if place < 0 or len(tail) < place + _END_BYTES:
            return
        entries, length = struct.unpack_from("<HI", tail, place + 10)
        if place >= _LOCATOR_BYTES and tail.startswith(_LOCATOR_64, place - _LOCATOR_BYTES):
            (offset,) = struct.unpack_from("<Q", tail, place - _LOCATOR_BYTES + 8)
            file.seek(min(offset, size))
            record = file.read(_END_64_BYTES)
            if record.startswith(_END_64) and len(record) == _END_64_BYTES:
                entries, length = struct.unpack_from("<QQ", record, 32)
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
