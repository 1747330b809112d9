"""A file of a record becomes a file on disk, complete and with the record's checksum.

The bytes received so far lie in <name>.part; the next run, or a retry after a cut connection,
requests only the rest (HTTP Range). The file gets its own name after its checksum is verified.
"""

from __future__ import annotations

import hashlib
from http.client import HTTPResponse
from io import FileIO
from pathlib import Path

from firstshot import web
from firstshot.dcase.data.zenodo import (
    Connection,
    RangeError,
    RecordFile,
    TransientError,
    request,
    retry,
)
from firstshot.disk.resumable import open_resumable
from firstshot.errors import DownloadError, OutputError
from firstshot.log import logger
from firstshot.progress import Progress

_CHUNK = 1 << 16
_ADVANCE = 1 << 20  # bytes after which a cut connection restarts the count of failures


def fetch(
    file: RecordFile,
    target: Path,
    connection: Connection,
    progress: Progress | None = None,
) -> None:
    """Download a file to `target`; continue the download that lies in `<target>.part`.

    Parameters
    ----------
    file : RecordFile
        The file as its record lists it.
    target : Path
        Path of the result; a file that is there with the right checksum is left alone.
    connection : Connection
        The limits of retries.
    progress : callable or None
        Called with the number of bytes received and their total.

    Raises
    ------
    DownloadError
        The server cannot be reached or has another file than the record says; a file with a wrong
        checksum is removed.
    OutputError
        The disk is full, the folder cannot be written to, or a link lies in the part's place.
    """
    try:
        if target.is_file():
            if measure_checksum(target, file) == file.checksum:
                return
            logger.info(f"{target}: not the file that the record lists; fetching it again")
            target.unlink()
        part = target.with_name(f"{target.name}.part")
        with open_resumable(part) as output:
            retry(lambda: _receive(file, output, connection, progress), file.url, connection)
        found = measure_checksum(part, file)
        if found != file.checksum:
            part.unlink()
            raise DownloadError(
                f"{target}: checksum {found}, but the record says {file.checksum}; "
                "it was removed, run the same command again to fetch it"
            )
        part.replace(target)
    except OSError as error:
        raise OutputError(
            f"{error.filename or target}: cannot be written ({error.strerror}); make room or mend "
            "its permissions and run the same command again, it continues from here"
        ) from error


def measure_checksum(path: Path, file: RecordFile) -> str:
    """Return the checksum of a file on disk, of the record's kind, as `md5:<hexadecimal>`."""
    kind = file.checksum.partition(":")[0]
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, lambda: hashlib.new(kind, usedforsecurity=False))
    return f"{kind}:{digest.hexdigest()}"


def _receive(
    file: RecordFile, part: FileIO, connection: Connection, progress: Progress | None
) -> None:
    """Make one request for the missing bytes of the part file and append them."""
    received = part.seek(0, 2)
    if received > file.size:
        received = _truncate(part, 0)
    if received == file.size:
        return
    try:
        with request(file.url, connection, first_byte=received) as answer:
            start, total = web.read_range(answer)
            if total not in (None, file.size):
                raise DownloadError(
                    f"{web.shown_address(file.url)}: the server has {total} bytes, but the record "
                    f"says {file.size}; not the file that the record lists, check --api and the "
                    "proxy"
                )
            if start not in (0, received):
                raise TransientError(f"the server sent bytes from {start} on instead of {received}")
            _truncate(part, start)
            _append(answer, part, file.size, progress)
    except RangeError:
        _truncate(part, 0)
        raise
    done = part.tell()
    if done < file.size:
        cut = f"the connection was cut after {done} of {file.size} bytes"
        raise TransientError(cut, advanced=done - start >= _ADVANCE)


def _append(answer: HTTPResponse, part: FileIO, size: int, progress: Progress | None) -> None:
    """Append the body of an answer; the bytes stay if the connection breaks."""
    try:
        for piece in web.read_pieces(answer, size - part.tell(), _CHUNK):
            while piece:
                piece = piece[part.write(piece) :]
            if progress is not None:
                progress(part.tell(), size)
    except web.Unreachable:
        return  # the next request asks for the rest
    except web.BadAnswer:
        _truncate(part, 0)
        raise


def _truncate(part: FileIO, size: int) -> int:
    return part.seek(part.truncate(size))
