"""A file of a record becomes a file on disk, whole and with the record's checksum.

What has come so far lies in <name>.part; a second run, or another try after a cut, asks for the
rest of it only (HTTP Range). Nothing bears the file's own name until its checksum is right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from http.client import HTTPResponse
from io import FileIO
from pathlib import Path

from firstshot import web
from firstshot.dcase.data.zenodo import (
    Connection,
    RangeRefused,
    RecordFile,
    Setback,
    Tell,
    persevere,
    request,
)
from firstshot.disk.resumable import open_resumable
from firstshot.errors import DatasetError, OutputError

_CHUNK = 1 << 16
_ADVANCE = 1 << 20  # bytes after which a cut does not count as one more failure in a row

Step = Callable[[int, int], None]


def fetch(
    file: RecordFile, target: Path, connection: Connection, tell: Tell, progress: Step | None = None
) -> None:
    """Download a file to `target`, going on with what lies in `<target>.part`.

    Parameters
    ----------
    file : RecordFile
        The file as its record lists it.
    target : Path
        Where it goes; if it is there with the right checksum, nothing is done.
    connection : Connection
        How patient to be.
    tell : callable
        Called with a line where something is tried again.
    progress : callable or None
        Called with the bytes that are there and their total.

    Raises
    ------
    DatasetError
        The server cannot be reached or has another file than the record says; a file with a wrong
        checksum is removed.
    OutputError
        The disk is full, the folder cannot be written to, or a link lies where the part should.
    """
    try:
        if target.is_file():
            if measure_checksum(target, file) == file.checksum:
                return
            tell(f"{target}: not the file that the record lists; fetching it again")
            target.unlink()
        part = target.with_name(f"{target.name}.part")
        with open_resumable(part) as output:
            persevere(
                lambda: _receive(file, output, connection, progress), file.url, connection, tell
            )
        found = measure_checksum(part, file)
        if found != file.checksum:
            part.unlink()
            raise DatasetError(
                f"{target}: checksum {found}, but the record says {file.checksum}; "
                "it was removed, run the same command again to fetch it anew"
            )
        part.replace(target)
    except OSError as error:
        raise OutputError(
            f"{error.filename or target}: cannot be written ({error.strerror}); make room or mend "
            "its permissions and run the same command again, it goes on from here"
        ) from error


def measure_checksum(path: Path, file: RecordFile) -> str:
    """Checksum of a file on disk, in the record's own kind, as `md5:<hexadecimal>`."""
    kind = file.checksum.partition(":")[0]
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, lambda: hashlib.new(kind, usedforsecurity=False))
    return f"{kind}:{digest.hexdigest()}"


def _receive(file: RecordFile, part: FileIO, connection: Connection, progress: Step | None) -> None:
    """Make one request for what is missing of the part file and append it."""
    there = part.seek(0, 2)
    if there > file.size:
        there = _cut(part, 0)
    if there == file.size:
        return
    try:
        with request(file.url, connection, first_byte=there) as answer:
            start, total = web.read_range(answer)
            if total not in (None, file.size):
                raise DatasetError(_wrong_size(file, str(total)))
            if start not in (0, there):
                raise Setback(f"the server sent bytes from {start} on instead of {there}")
            _cut(part, start)
            _append(answer, part, file.size, progress)
    except RangeRefused:
        _cut(part, 0)
        raise
    done = part.tell()
    if done < file.size:
        cut = f"the connection was cut after {done} of {file.size} bytes"
        raise Setback(cut, advanced=done - start >= _ADVANCE)


def _append(answer: HTTPResponse, part: FileIO, size: int, progress: Step | None) -> None:
    """Write what comes behind what is there; what has come stays where the connection breaks."""
    try:
        for piece in web.read_pieces(answer, size - part.tell(), _CHUNK):
            while piece:
                piece = piece[part.write(piece) :]
            if progress is not None:
                progress(part.tell(), size)
    except web.Unreachable:
        return  # the rest is asked for again
    except web.BadAnswer:
        _cut(part, 0)
        raise


def _cut(part: FileIO, size: int) -> int:
    return part.seek(part.truncate(size))


def _wrong_size(file: RecordFile, found: str) -> str:
    return (
        f"{web.shown_address(file.url)}: the server has {found} bytes, but the record says "
        f"{file.size}; not the file that the record lists, check --api and the proxy"
    )
