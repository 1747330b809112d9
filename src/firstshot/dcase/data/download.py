"""A year's archives become the official layout: data/dcase<YEAR>t2/{dev_data,eval_data}/raw/...

Input: year, parts, machines; output: the machines' folders, and a marker per archive in
downloads/ that lists what the archive brought, so that a second run knows without asking anyone
that all is there. One archive after the other is fetched, checked, unpacked and removed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from firstshot.dcase.data.archives import Archive, select_archives
from firstshot.dcase.data.resume import Step, fetch
from firstshot.dcase.data.unpack import unpack
from firstshot.dcase.data.zenodo import Connection, RecordFile, Tell, choose_file, list_files
from firstshot.disk.documents import Table, read_json
from firstshot.disk.files import write_result
from firstshot.disk.locks import try_lock
from firstshot.disk.resumable import open_resumable, refuse_link
from firstshot.errors import OutputError

_SCHEMA = 1
# Deflate shrank 60 recordings of four machines to between 1/1.08 and 1/1.52 of their size; what an
# archive really unpacks to is known when it is there, and checked again then.
_UNPACKED = 1.5

Progress = Callable[[str], Step]


@dataclass(frozen=True)
class Download:
    """What a download did: the year's root, archives fetched, archives that were there before."""

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
    progress: Progress | None = None,
    tell: Tell | None = None,
) -> Download:
    """Bring a year's data into `out`/dcase<year>t2; what is there already is left alone.

    Parameters
    ----------
    year : int
        2020 to 2026.
    out : Path
        Folder that holds the years' roots.
    parts, machines : sequence of str or None
        Only these; None for all.
    keep_archives : bool
        Leave the zip files in <root>/downloads when they are unpacked.
    connection : Connection or None
        The service and how patient to be with it; None for zenodo.org.
    progress : callable or None
        Called with a title, gives what is called with (bytes done, total).
    tell : callable or None
        Called with a line for people: how much there is to bring, what is waited for.

    Raises
    ------
    ParameterError, DatasetError, OutputError
        No such year, part or machine; the service cannot be reached or has not what its record
        lists; not enough free space, or the folder cannot be written to.
    """
    connection, tell = connection or Connection(), tell or _say_nothing
    archives = select_archives(year, parts, machines)
    root = out / f"dcase{year}t2"
    wanted = [archive for archive in archives if not _is_whole(root, archive, tell)]
    if not wanted:
        return Download(root, (), tuple(a.name for a in archives))
    files = _look_up(wanted, connection, tell)
    _make_folder(root / "downloads")
    _check_space(root, list(files.values()), keep_archives)
    size = sum(file.size for file in files.values())
    tell(f"{root}: archives to bring: {len(files)}, {size / 1e9:.3g} GB")
    fetched = _bring_all(root, files, keep_archives, connection, progress, tell)
    return Download(root, fetched, tuple(a.name for a in archives if a.name not in fetched))


def _bring_all(
    root: Path,
    files: Mapping[Archive, RecordFile],
    keep_archives: bool,
    connection: Connection,
    progress: Progress | None,
    tell: Tell,
) -> tuple[str, ...]:
    """Bring archive after archive; returns the names of those that this process brought."""
    fetched = []
    for number, (archive, file) in enumerate(files.items(), start=1):
        start = _number_titles(progress, f" ({number} of {len(files)})")
        with _lock(root, archive.folder, tell):
            # Another process may have brought it while this one waited for its turn.
            if not _is_whole(root, archive, _say_nothing):
                _bring(root, archive, file, keep_archives, connection, start, tell)
                fetched.append(archive.name)
    return tuple(fetched)


def _number_titles(progress: Progress | None, number: str) -> Progress | None:
    return None if progress is None else lambda title: progress(title + number)


def _bring(
    root: Path,
    archive: Archive,
    file: RecordFile,
    keep_archive: bool,
    connection: Connection,
    progress: Progress | None,
    tell: Tell,
) -> None:
    """Fetch and unpack one archive; the marker comes last, so that a kill leaves none."""
    zipped = root / "downloads" / file.name
    refuse_link(_marker(root, archive))
    step = progress(file.name) if progress else None
    fetch(file, zipped, connection, tell, step)
    step = progress(f"unpacking {file.name}") if progress else None
    sizes = unpack(zipped, root / archive.folder, step)
    marker = {
        "schema": _SCHEMA,
        "record": archive.record,
        "archive": file.name,
        "size": file.size,
        "checksum": file.checksum,
        "folder": archive.folder,
        "files": sizes,
    }
    write_result(_marker(root, archive), json.dumps(marker, indent=1))
    if not keep_archive:
        zipped.unlink(missing_ok=True)


def _marker(root: Path, archive: Archive) -> Path:
    return root / "downloads" / f"{archive.name}.json"


def _is_whole(root: Path, archive: Archive, tell: Tell) -> bool:
    """Whether every file that the archive brought is there, in its size."""
    try:
        marker = Table.of(read_json(_marker(root, archive)))
        known = (marker.whole("schema"), marker.values.get("record")) == (_SCHEMA, archive.record)
        files = marker.table("files")
        sizes = {place: files.whole(place) for place in files.values}
    except (OSError, ValueError):
        return False  # none yet, or not one of ours: the archive is fetched
    folder = root / archive.folder
    missing = sum(_size(folder / place) != size for place, size in sizes.items())
    if missing:
        tell(f"{folder}: {missing} of {len(sizes)} files of {archive.name} are gone or changed")
    return known and bool(sizes) and not missing


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except (OSError, ValueError):  # a name that no file can have
        return None


def _look_up(
    archives: Sequence[Archive], connection: Connection, tell: Tell
) -> dict[Archive, RecordFile]:
    """Ask each record once for its listing and find the archives in it."""
    listings = {
        record: list_files(record, connection, tell)
        for record in dict.fromkeys(archive.record for archive in archives)
    }
    return {
        archive: choose_file(
            listings[archive.record], archive.names, connection.record_url(archive.record)
        )
        for archive in archives
    }


def _check_space(root: Path, files: Sequence[RecordFile], keep_archives: bool) -> None:
    """Refuse to start what the disk cannot hold; without archives kept, one lies there at a time.

    What has come already is counted as free space, as it is part of what is needed.
    """
    sizes = [file.size for file in files]
    archives = sum(sizes) if keep_archives else max(sizes)
    unpacked = int(sum(sizes) * _UNPACKED)
    folder = root / "downloads"
    names = [name for file in files for name in (file.name, f"{file.name}.part")]
    there = sum(_size(folder / name) or 0 for name in names)
    free = shutil.disk_usage(root).free
    if archives + unpacked > free + there:
        raise OutputError(
            f"{root}: {free / 1e9:.3g} GB are free, but what is to be fetched needs about "
            f"{(archives + unpacked - there) / 1e9:.3g} GB (archives {archives / 1e9:.3g}, unpacked"
            f" about {unpacked / 1e9:.3g}); make room, or choose --machine, --part or another --out"
        )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be made ({error.strerror}); choose another --out"
        ) from error


@contextmanager
def _lock(root: Path, folder: str, tell: Tell) -> Iterator[None]:
    """Let one process at a time work on a machine's folder; one that is killed lets go of it."""
    path = root / "downloads" / f".{folder.replace('/', '-')}.lock"
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open_resumable(path))
            if not try_lock(file.fileno()):
                tell(f"{root / folder}: another process is at work on it; waiting for it to finish")
                while not try_lock(file.fileno(), wait=True):
                    pass
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be locked ({error.strerror}); choose an --out on a local disk"
            ) from error
        yield


def _say_nothing(line: str) -> None:
    """Take a line meant for people where nobody listens."""
