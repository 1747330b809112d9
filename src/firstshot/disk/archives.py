"""What a zip says of itself, read before zipfile takes it into memory, and how zipfile fails.

Input: a file that may be a zip. Output: how long its list of entries is.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, EOFError),
    RuntimeError,  # encrypted, or (as NotImplementedError) of a version unknown to zipfile
    *(struct.error, ValueError, LookupError, ArithmeticError),  # fields that no writer writes
)
"""What zipfile raises for a file that is no zip or a damaged one, besides OSError with EINVAL."""
_END, _END_64, _LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_END_BYTES, _LOCATOR_BYTES, _END_64_BYTES = 22, 20, 56
_LONGEST_COMMENT = 1 << 16


def size_of_directory(path: Path) -> tuple[int, int]:
    """Return the number of entries that a zip says it has, and the bytes of their list.

    They stand in the last record of the file, which a comment may follow, or in the Zip64 record
    that the bytes before it point to (APPNOTE.TXT 4.3.14 to 4.3.16). Both are 0 where there is no
    such record. Raises the `OSError` of the file system.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _LONGEST_COMMENT - _END_BYTES - _LOCATOR_BYTES))
        tail = file.read()
        # As zipfile looks for it, so that both find the same record.
        plain = tail[-_END_BYTES:].startswith(_END) and tail.endswith(b"\0\0")
        place = len(tail) - _END_BYTES if plain else tail.rfind(_END)
        if place < 0 or len(tail) < place + _END_BYTES:
            return 0, 0
        entries, length = struct.unpack_from("<HI", tail, place + 10)
        if place >= _LOCATOR_BYTES and tail.startswith(_LOCATOR_64, place - _LOCATOR_BYTES):
            (offset,) = struct.unpack_from("<Q", tail, place - _LOCATOR_BYTES + 8)
            file.seek(min(offset, size))
            record = file.read(_END_64_BYTES)
            if record.startswith(_END_64) and len(record) == _END_64_BYTES:
                entries, length = struct.unpack_from("<QQ", record, 32)
    return entries, length
