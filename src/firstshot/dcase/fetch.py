"""A file of a record becomes a file on disk, whole and with the record's checksum.

What has come so far lies in <name>.part; a second run, or another try after a cut, asks for the
rest of it only (HTTP Range). Nothing bears the file's own name until its checksum is right.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from firstshot.dcase.record_api import (
    Connection,
    RangeRefused,
    RecordFile,
    Setback,
    Tell,
    persevere,
    request,
)
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
        The disk is full or the folder cannot be written to.
    """
    try:
        if target.is_file():
            if measure_checksum(target, file) == file.checksum:
                return
            tell(f"{target}: not the file that the record lists; fetching it again")
            target.unlink()
        part = target.with_name(f"{target.name}.part")
        persevere(lambda: _receive(file, part, connection, progress), file.url, connection, tell)
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


def _receive(file: RecordFile, part: Path, connection: Connection, progress: Step | None) -> None:
    """Make one request for what is missing of `part` and append it."""
    there = part.stat().st_size if part.exists() else 0
    if there > file.size:
        part.unlink()
        there = 0
    if there == file.size:
        part.touch()  # a file of no bytes
        return
    try:
        answer = request(file.url, connection, first_byte=there)
    except RangeRefused:
        part.unlink(missing_ok=True)
        raise
    with answer:
        start = _read_start(answer, file)
        if start not in (0, there):
            raise Setback(f"the server sent bytes from {start} on instead of {there}")
        done = _append(answer, part, start, file.size, progress)
    if done > file.size:
        part.unlink()
        raise DatasetError(_wrong_size(file, f"more than {file.size}"))
    if done < file.size:
        cut = f"the connection was cut after {done} of {file.size} bytes"
        raise Setback(cut, advanced=done - start >= _ADVANCE)


def _read_start(answer: HTTPResponse, file: RecordFile) -> int:
    """Byte that an answer starts with: 0 for a server that sends the whole file regardless."""
    start, total = 0, answer.headers.get("Content-Length")
    if answer.status == 206:
        told = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if told is None:
            raise Setback("the server does not say which bytes it sends")
        start, total = int(told[1]), told[2]
    if total is not None and total.isdigit() and int(total) != file.size:
        raise DatasetError(_wrong_size(file, total))
    return start


def _append(answer: HTTPResponse, part: Path, start: int, size: int, progress: Step | None) -> int:
    """Write what comes behind the first `start` bytes; returns how many are there then."""
    done = start
    with part.open("ab" if start else "wb") as output:
        while done <= size:
            try:
                chunk = answer.read(_CHUNK)
            except (OSError, HTTPException):
                break  # what has come is kept, the rest is asked for again
            if not chunk:
                break
            output.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(min(done, size), size)
    return done


def _wrong_size(file: RecordFile, found: str) -> str:
    return (
        f"{file.url}: the server has {found} bytes, but the record says {file.size}; "
        "not the file that the record lists, check --api and the proxy"
    )
