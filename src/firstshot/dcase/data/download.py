"""A year's archives become the official layout: data/dcase<YEAR>t2/{dev_data,eval_data}/raw/...

Input: year, parts, machines. Output: the machines' folders, and a marker per archive in downloads/
that lists the files of the archive, so that a second run knows without a request that all files
exist. The archives are fetched, verified, unpacked and removed one after the other.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from logging import DEBUG, INFO
from pathlib import Path

from firstshot.dcase.data.archives import Archive, select_archives
from firstshot.dcase.data.resume import fetch
from firstshot.dcase.data.unpack import unpack
from firstshot.dcase.data.zenodo import Connection, RecordFile, choose_file, list_files
from firstshot.disk.documents import Table, read_json
from firstshot.disk.files import write_result
from firstshot.disk.locks import try_lock
from firstshot.disk.resumable import open_resumable, refuse_link
from firstshot.errors import OutputError
from firstshot.log import logger
from firstshot.progress import Bars, Progress

_SCHEMA = 1
# Deflate shrank 60 recordings of four machines to between 1/1.08 and 1/1.52 of their size. The
# exact size is known, and checked again, when the archive has arrived.
UNPACKED = 1.5


@dataclass(frozen=True)
class Download:
    """Result of a download: the year's root, and the names of new and of existing archives."""

    root: Path
    fetched: tuple[str, ...]
    present: tuple[str, ...]


def download(
    year: int,
    out: Path,
    *,
    parts: Sequence[str] | None = None,
    machines: Sequence[str] | None = None,
    keep_archives: bool = False,
    connection: Connection | None = None,
    progress: Bars | None = None,
) -> Download:
    """Fetch a year's data into `out`/dcase<year>t2; existing files are left alone.

    Parameters
    ----------
    year : int
        2020 to 2026.
    out : Path
        Folder for the years' roots.
    parts, machines : sequence of str or None
        Only these; None for all.
    keep_archives : bool
        Keep the zip files in <root>/downloads.
    connection : Connection or None
        The service and the limits of retries; None for zenodo.org.
    progress : callable or None
        Called with a title; returns what is called with (bytes done, total).

    Raises
    ------
    ParameterError, DatasetError, OutputError
        No such year, part or machine; the service cannot be reached or lacks what its record
        lists; not enough free space, or the folder cannot be written to.
    """
    archives = select_archives(year, parts, machines)
    root = root_of(year, out)
    task = _Task(root, keep_archives, connection or Connection(), progress)
    wanted = missing_archives(root, archives)
    fetched = task.fetch_all(wanted) if wanted else ()
    return Download(root, fetched, tuple(a.name for a in archives if a.name not in fetched))


def root_of(year: int, out: Path) -> Path:
    """Return the root of a year's data in the folder of all data.

    >>> root_of(2025, Path("data")).as_posix()
    'data/dcase2025t2'
    """
    return out / f"dcase{year}t2"


def missing_archives(root: Path, archives: Sequence[Archive]) -> tuple[Archive, ...]:
    """Return the archives whose files are not all under a year's root; no request is sent."""
    return tuple(archive for archive in archives if not _is_complete(root, archive))


def look_up(archives: Sequence[Archive], connection: Connection) -> Mapping[Archive, RecordFile]:
    """Request each record's listing once and find the archives in it.

    Raises
    ------
    DownloadError
        The service cannot be reached, or does not list an archive.
    """
    listings = {
        record: list_files(record, connection)
        for record in dict.fromkeys(archive.record for archive in archives)
    }
    return {
        archive: choose_file(
            listings[archive.record], archive.names, connection.record_url(archive.record)
        )
        for archive in archives
    }


@dataclass(frozen=True)
class _Task:
    """One download; the fields are those of `download`."""

    root: Path
    keep_archives: bool
    connection: Connection
    progress: Bars | None

    def fetch_all(self, wanted: Sequence[Archive]) -> tuple[str, ...]:
        """Fetch archive after archive; return the names of those that this process fetched."""
        files = look_up(wanted, self.connection)
        _make_folder(self.root / "downloads")
        _check_space(self.root, list(files.values()), self.keep_archives)
        size = sum(file.size for file in files.values())
        logger.info(f"{self.root}: archives to fetch: {len(files)}, {size / 1e9:.3g} GB")
        fetched = []
        for number, (archive, file) in enumerate(files.items(), start=1):
            with _lock(self.root, archive.folder):
                # Another process can have fetched it while this one waited for the lock.
                if not _is_complete(self.root, archive, DEBUG):
                    self._fetch(archive, file, f" ({number} of {len(files)})")
                    fetched.append(archive.name)
        return tuple(fetched)

    def _fetch(self, archive: Archive, file: RecordFile, number: str) -> None:
        """Fetch and unpack one archive; the marker comes last, so that a kill leaves none."""
        zipped = self.root / "downloads" / file.name
        refuse_link(_marker(self.root, archive))
        fetch(file, zipped, self.connection, self._step(file.name + number))
        step = self._step(f"unpacking {file.name}{number}")
        marker = {
            "schema": _SCHEMA,
            "record": archive.record,
            "archive": file.name,
            "size": file.size,
            "checksum": file.checksum,
            "folder": archive.folder,
            "files": unpack(zipped, self.root / archive.folder, step),
        }
        write_result(_marker(self.root, archive), json.dumps(marker, indent=1))
        if not self.keep_archives:
            zipped.unlink(missing_ok=True)

    def _step(self, title: str) -> Progress | None:
        return self.progress(title) if self.progress else None


def _marker(root: Path, archive: Archive) -> Path:
    return root / "downloads" / f"{archive.name}.json"


def _is_complete(root: Path, archive: Archive, level: int = INFO) -> bool:
    """Return whether every file of the archive exists and has its size; log what is missing."""
    try:
        marker = Table.of(read_json(_marker(root, archive)))
        known = (marker.whole("schema"), marker.values.get("record")) == (_SCHEMA, archive.record)
        files = marker.table("files")
        sizes = {place: files.whole(place) for place in files.values}
    except (OSError, ValueError):
        return False  # no marker yet, or not one of firstshot: the archive is fetched
    folder = root / archive.folder
    missing = sum(_size(folder / place) != size for place, size in sizes.items())
    if missing:
        told = f"{missing} of {len(sizes)} files of {archive.name} are gone or changed"
        logger.log(level, f"{folder}: {told}")
    return known and bool(sizes) and not missing


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except (OSError, ValueError):  # not a valid name of a file
        return None


def _check_space(root: Path, files: Sequence[RecordFile], keep_archives: bool) -> None:
    """Refuse a download that the disk cannot hold; archives that are not kept lie there in turn.

    The bytes received by an earlier run count as free space, as they are part of the need.
    """
    sizes = [file.size for file in files]
    archives = sum(sizes) if keep_archives else max(sizes)
    unpacked = int(sum(sizes) * UNPACKED)
    folder = root / "downloads"
    names = [name for file in files for name in (file.name, f"{file.name}.part")]
    received = sum(_size(folder / name) or 0 for name in names)
    free = shutil.disk_usage(root).free
    if archives + unpacked > free + received:
        raise OutputError(
            f"{root}: {free / 1e9:.3g} GB are free, but the download needs about "
            f"{(archives + unpacked - received) / 1e9:.3g} GB (archives {archives / 1e9:.3g}, "
            f"unpacked about {unpacked / 1e9:.3g}); make room, or choose --machine, "
            "--part or another --out"
        )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be made ({error.strerror}); choose another --out"
        ) from error


@contextmanager
def _lock(root: Path, folder: str) -> Iterator[None]:
    """Let one process at a time work on a machine's folder; a killed process releases the lock."""
    path = root / "downloads" / f".{folder.replace('/', '-')}.lock"
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open_resumable(path))
            if not try_lock(file.fileno()):
                logger.info(
                    f"{root / folder}: another process works on it; waiting for it to finish"
                )
                while not try_lock(file.fileno(), wait=True):
                    pass
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be locked ({error.strerror}); choose an --out on a local disk"
            ) from error
        yield
