"""A file of the Hugging Face hub becomes a local file: resumed, checked, whole.

Input: repository, file name, and the revision and SHA-256 where they are known. Output: the file
and the commit it is of. The hub's protocol: HEAD of ``/{repo}/resolve/{revision}/{file}`` announces
commit, size and, for large files, SHA-256; GET gives the content, from any byte on.

Bytes arrive in a `.part` file under the name of what was announced, so that an interrupted download
goes on where it stopped, in this process or a later one. The environment is honoured as by the
hub's own client: HF_ENDPOINT (a mirror), HF_HUB_OFFLINE, HF_TOKEN, HF_HOME and HF_HUB_CACHE (files
that are there already are taken), and the usual proxy variables.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from io import FileIO
from pathlib import Path
from typing import TypeAlias

from firstshot import web
from firstshot.disk.cache_folder import user_cache_folder
from firstshot.disk.resumable import open_resumable
from firstshot.encoders.weights.cache import cannot_write
from firstshot.encoders.weights.catalog import HubFile
from firstshot.encoders.weights.files import sha256_of_file
from firstshot.errors import OutputError, WeightsError
from firstshot.messages import HF_TOKEN, shown

ENDPOINT = "https://huggingface.co"
TIMEOUT_SECONDS = 30.0
PAUSE_SECONDS = 1.0
ATTEMPTS = 5
"""Attempts without a new byte before giving up."""
CHUNK = 1 << 20
LARGEST = 1 << 33
"""Bytes of a weights file; the largest published ones, with an optimiser in them, have half."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_ETAG = re.compile(r"[A-Za-z0-9_.-]{1,128}")  # becomes a file's name

Progress: TypeAlias = Callable[[int, int | None], None]
"""Called with (bytes there, bytes in all or None)."""


@dataclass(frozen=True)
class Announced:
    """What the hub says of a file before it is downloaded."""

    commit: str | None
    etag: str
    size: int | None

    @property
    def sha256(self) -> str | None:
        """The file's SHA-256: large files have it as their tag."""
        return self.etag if _SHA256.fullmatch(self.etag) else None


@dataclass(frozen=True)
class Fetched:
    """A whole, checked file, its address with the commit, and whether it may be deleted."""

    path: Path
    source: str
    ours: bool


def is_offline() -> bool:
    """Return whether the environment forbids the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def fetch_file(
    file: HubFile, folder: Path, advice: str, progress: Progress | None = None
) -> Fetched:
    """Return a whole copy of a file: one that the hub's own client keeps, or a download.

    Parameters
    ----------
    file : HubFile
        What to fetch.
    folder : Path
        Where downloads lie.
    advice : str
        What the user can do instead; the end of the messages.
    progress : callable, optional
        Called as bytes arrive.

    Raises
    ------
    WeightsError
        No network, offline mode, no such file, or a content that is not the announced one.
    ParameterError
        HF_ENDPOINT is no address, or HF_TOKEN no token.
    OutputError
        The disk is full, or the folder cannot be written.
    """
    kept = find_in_hub_cache(file)
    if kept is not None:
        return kept
    endpoint = web.check_address(os.environ.get("HF_ENDPOINT") or ENDPOINT, "HF_ENDPOINT", ENDPOINT)
    url = f"{endpoint}/{file.repo}/resolve/{file.revision or 'main'}/{file.file}"
    if is_offline():
        raise WeightsError(
            f"{file.repo}/{file.file} is not on this machine and HF_HUB_OFFLINE forbids to fetch "
            f"it; unset that, or {advice}"
        )
    announced = announce(url, advice)
    if file.revision and announced.commit and announced.commit != file.revision:
        raise WeightsError(
            f"{_shown(url)}: the server has commit {announced.commit}, expected {file.revision}; "
            f"{advice}"
        )
    path = _download(url, announced, folder, advice, progress)
    check_content(path, url, file, announced)
    return Fetched(path, f"{_shown(url)} at commit {announced.commit or 'unknown'}", ours=True)


def find_in_hub_cache(file: HubFile) -> Fetched | None:
    """Return a file that the hub's own client downloaded, of the revision asked for."""
    home = os.environ.get("HF_HOME") or (user_cache_folder() or Path(os.devnull)) / "huggingface"
    hub = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")
    kept = hub / f"models--{file.repo.replace('/', '--')}"
    try:
        commit = file.revision or (kept / "refs" / "main").read_text("utf-8").strip()
        path = kept / "snapshots" / commit / file.file
        if not (_COMMIT.fullmatch(commit) and path.is_file()):
            return None
        if file.sha256 and sha256_of_file(path) != file.sha256:
            return None
    except (OSError, ValueError):
        return None
    return Fetched(path, f"{file.repo}/{file.file} at commit {commit}", ours=False)


def announce(url: str, advice: str) -> Announced:
    """Ask the hub what a file is; redirects to where its content lies are not followed."""
    for _ in range(ATTEMPTS):
        with _answer(url, advice, method="HEAD") as answer:
            headers, moved = answer.headers, answer.status in web.MOVED
            target = web.redirect_target(url, headers) if moved else url
            size = web.read_size(headers, "X-Linked-Size")
            if size is None and not moved:
                size = web.read_size(headers, "Content-Length")
        if not moved or headers.get("X-Linked-ETag") or not web.is_same_server(url, target):
            break
        url = target
    else:
        raise WeightsError(
            f"{_shown(url)}: redirects {ATTEMPTS} times; check HF_ENDPOINT, or {advice}"
        )
    etag = str(headers.get("X-Linked-ETag") or headers.get("ETag") or "")
    etag = etag.strip().removeprefix("W/").strip('"')
    if not _ETAG.fullmatch(etag):
        raise WeightsError(
            f"{_shown(url)}: the answer has no ETag, so it is not from a model hub (a login page "
            f"or a firewall?); check HF_ENDPOINT and the network, or {advice}"
        )
    if size is not None and size > LARGEST:
        raise WeightsError(
            f"{_shown(url)}: announces {size} bytes, more than weights have; check HF_ENDPOINT, or "
            f"{advice}"
        )
    commit = headers.get("X-Repo-Commit")
    return Announced(commit and shown(commit), etag, size)


def check_content(path: Path, url: str, file: HubFile, announced: Announced) -> None:
    """Delete a download and raise `WeightsError` unless it is what was announced and expected."""
    found, size = sha256_of_file(path), path.stat().st_size
    for expected, who in ((file.sha256, "expected here"), (announced.sha256, "announced")):
        if expected and found != expected:
            path.unlink()
            raise WeightsError(
                f"{_shown(url)}: the content has SHA-256 {found}, {who} {expected}; it was "
                "deleted, fetch again, and if this stays so do not use that server"
            )
    if file.size is not None and size != file.size:
        path.unlink()
        raise WeightsError(
            f"{_shown(url)}: {size} bytes, expected {file.size}; deleted, fetch again"
        )


def _download(
    url: str, announced: Announced, folder: Path, advice: str, progress: Progress | None
) -> Path:
    """Bring the part file to its full size, attempt by attempt."""
    part = folder / f"{announced.etag}.part"
    left = ATTEMPTS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Unbuffered: what was received lies in the file whatever happens next.
        file = open_resumable(part)
    except OSError as error:
        raise cannot_write(folder, error) from error
    with file:
        _check_space(part, file.tell(), announced.size)
        while True:
            before = file.tell()
            reason = _receive(url, file, announced.size, advice, progress)
            if reason is None:
                return part
            left = ATTEMPTS if file.tell() > before else left - 1
            if left == 0:
                raise WeightsError(
                    f"{_shown(url)}: broke off at {file.tell()} of {announced.size or '?'} bytes "
                    f"({reason}); run the same again, it goes on from there"
                )
            time.sleep(PAUSE_SECONDS)


def _receive(
    url: str, file: FileIO, size: int | None, advice: str, progress: Progress | None
) -> str | None:
    """Append what the server gives until the end; return why it ended early, or None."""
    have = file.tell()
    if size is not None and have == size:
        return None
    # Without a size nobody can say whether the part is not the whole already.
    wanted = {"Range": f"bytes={have}-"} if size is not None and 0 < have < size else {}
    try:
        with _answer(url, advice, **wanted) as answer:
            start, total = web.read_range(answer)
            if start not in (0, have):
                return f"the server sent bytes from {start} on instead of {have}"
            if size is not None and total not in (None, size):
                raise web.BadAnswer(f"it has {total} bytes, and {size} were announced")
            size = size if size is not None else total
            file.seek(file.truncate(start))
            try:
                _append_body(answer, file, size, progress)
            except (web.BadAnswer, OutputError) as error:
                if size is None or isinstance(error, web.BadAnswer):
                    file.truncate(0)  # nothing that a later run can go on with
                raise
    except _PassingError as error:
        return str(error)
    return None if size is None or file.tell() >= size else "the connection was closed"


def _append_body(
    answer: HTTPResponse, file: FileIO, size: int | None, progress: Progress | None
) -> None:
    most = LARGEST if size is None else size
    for piece in web.read_pieces(answer, most - file.tell(), CHUNK):
        _append(file, piece)
        if progress is not None:
            progress(file.tell(), size)


def _append(file: FileIO, rest: memoryview) -> None:
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise cannot_write(Path(str(file.name)).parent, error) from error


def _check_space(part: Path, have: int, size: int | None) -> None:
    """Raise `OutputError` where the rest and its conversion would not fit on the disk."""
    free = shutil.disk_usage(part.parent).free
    needed = 2 * (size or 0) - have
    if needed > free:
        raise OutputError(
            f"{part.parent}: {free / 1e6:.0f} MB are free, expected {needed / 1e6:.0f} MB; free "
            "some space or set FIRSTSHOT_CACHE to another folder"
        )


class _PassingError(WeightsError):
    """The network or the server fails now, and may not later."""


@contextmanager
def _answer(url: str, advice: str, method: str = "GET", **headers: str) -> Iterator[HTTPResponse]:
    """Open a URL; a redirect is an answer to HEAD, and followed by GET."""
    head = method == "HEAD"
    try:
        with web.ask(
            url, TIMEOUT_SECONDS, method, headers, token=HF_TOKEN, follow=not head
        ) as answer:
            if not (answer.status in (200, 206) or (head and answer.status in web.MOVED)):
                raise _refused(url, answer.status, advice)
            yield answer
    except web.Unreachable as error:
        raise _PassingError(
            f"{_shown(url)}: cannot be reached ({error}); connect to the network, set HF_ENDPOINT "
            f"to a mirror, or {advice}"
        ) from error
    except web.BadAnswer as error:
        raise WeightsError(
            f"{_shown(url)}: {error}; check HF_ENDPOINT and the network, or {advice}"
        ) from error


def _refused(url: str, status: int, advice: str) -> WeightsError:
    if status in web.PASSING:
        return _PassingError(
            f"{_shown(url)}: the server is busy ({status}); try later, or {advice}"
        )
    return WeightsError(
        f"{_shown(url)}: not to be had there (HTTP {status}{_MEANING.get(status, '')}); check "
        f"HF_ENDPOINT, or {advice}"
    )


_MEANING = {401: ", it asks for a valid HF_TOKEN", 403: ", forbidden", 404: ", not found"}
_shown = web.shown_address
