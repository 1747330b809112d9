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

import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urljoin, urlsplit

from firstshot.cache_folder import user_cache_folder
from firstshot.encoders.catalog import HubFile
from firstshot.encoders.checkpoint_files import sha256_of_file
from firstshot.encoders.weight_cache import cannot_write
from firstshot.errors import OutputError, WeightsError

ENDPOINT = "https://huggingface.co"
TIMEOUT_SECONDS = 30.0
PAUSE_SECONDS = 1.0
ATTEMPTS = 5
"""Attempts without a new byte before giving up."""
CHUNK = 1 << 20
_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (408, 429, 500, 502, 503, 504)
_SHA256 = re.compile(r"[0-9a-f]{64}")

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
    OutputError
        The disk is full, or the folder cannot be written.
    """
    kept = find_in_hub_cache(file)
    if kept is not None:
        return kept
    endpoint = (os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
    url = f"{endpoint}/{file.repo}/resolve/{file.revision or 'main'}/{file.file}"
    if is_offline():
        raise WeightsError(
            f"{file.repo}/{file.file} is not on this machine and HF_HUB_OFFLINE forbids to fetch "
            f"it; unset that, or {advice}"
        )
    announced = announce(url, advice)
    if file.revision and announced.commit and announced.commit != file.revision:
        raise WeightsError(
            f"{url}: the server has commit {announced.commit}, expected {file.revision}; {advice}"
        )
    path = _download(url, announced, folder, advice, progress)
    check_content(path, url, file, announced)
    return Fetched(path, f"{url} at commit {announced.commit or 'unknown'}", ours=True)


def find_in_hub_cache(file: HubFile) -> Fetched | None:
    """Return a file that the hub's own client downloaded, of the revision asked for."""
    home = os.environ.get("HF_HOME") or (user_cache_folder() or Path(os.devnull)) / "huggingface"
    hub = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")
    kept = hub / f"models--{file.repo.replace('/', '--')}"
    try:
        commit = file.revision or (kept / "refs" / "main").read_text("utf-8").strip()
    except OSError:
        return None
    path = kept / "snapshots" / commit / file.file
    if not path.is_file() or (file.sha256 and sha256_of_file(path) != file.sha256):
        return None
    return Fetched(path, f"{file.repo}/{file.file} at commit {commit}", ours=False)


def announce(url: str, advice: str) -> Announced:
    """Ask the hub what a file is; redirects to where its content lies are not followed."""
    for _ in range(ATTEMPTS):
        with _answer(url, advice, method="HEAD") as answer:
            headers, status = answer.headers, answer.status
        target = urljoin(url, headers.get("Location", url))
        moved = status in _REDIRECTS and urlsplit(target).netloc == urlsplit(url).netloc
        if not moved or headers.get("X-Linked-ETag"):
            break
        url = target
    etag = headers.get("X-Linked-ETag") or headers.get("ETag") or ""
    size = headers.get("X-Linked-Size")
    if size is None and status not in _REDIRECTS:
        size = headers.get("Content-Length")
    etag = etag.removeprefix("W/").strip('"')
    if not re.fullmatch(r"[\w.-]+", etag):
        raise WeightsError(
            f"{url}: the answer has no ETag, so it is not from a model hub (a login page or a "
            f"firewall?); check HF_ENDPOINT and the network, or {advice}"
        )
    return Announced(headers.get("X-Repo-Commit"), etag, int(size) if size else None)


def check_content(path: Path, url: str, file: HubFile, announced: Announced) -> None:
    """Delete a download and raise `WeightsError` unless it is what was announced and expected."""
    found, size = sha256_of_file(path), path.stat().st_size
    for expected, who in ((file.sha256, "expected here"), (announced.sha256, "announced")):
        if expected and found != expected:
            path.unlink()
            raise WeightsError(
                f"{url}: the content has SHA-256 {found}, {who} {expected}; it was deleted, fetch "
                "again, and if this stays so do not use that server"
            )
    if file.size is not None and size != file.size:
        path.unlink()
        raise WeightsError(f"{url}: {size} bytes, expected {file.size}; deleted, fetch again")


def _download(
    url: str, announced: Announced, folder: Path, advice: str, progress: Progress | None
) -> Path:
    """Bring the part file to its full size, attempt by attempt."""
    part = folder / f"{announced.etag}.part"
    left = ATTEMPTS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Unbuffered: what was received lies in the file whatever happens next.
        file = part.open("ab", buffering=0)
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
                    f"{url}: broke off at {file.tell()} of {announced.size or '?'} bytes "
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
            given = answer.headers.get("Content-Range", "")
            if not (answer.status == 206 and given.startswith(f"bytes {have}-")):
                file.truncate(0)
                size = size or int(answer.headers.get("Content-Length") or 0) or None
            while chunk := answer.read(CHUNK):
                _append(file, chunk)
                if progress is not None:
                    progress(file.tell(), size)
    except _PassingError as error:
        return str(error)
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    return None if size is None or file.tell() >= size else "the connection was closed"


def _append(file: FileIO, chunk: bytes) -> None:
    rest = memoryview(chunk)
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


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Lets the caller see a redirect, whose headers describe the file."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow nothing."""


@contextmanager
def _answer(url: str, advice: str, method: str = "GET", **headers: str) -> Iterator[Any]:
    """Open a URL; a redirect is an answer to HEAD, and followed by GET."""
    request = urllib.request.Request(url, method=method, headers={"User-Agent": "firstshot"})
    request.headers.update({"Accept-encoding": "identity", **headers})
    token = os.environ.get("HF_TOKEN")
    if token:
        # Not sent on to where a redirect leads.
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    handlers = [_NoRedirect] if method == "HEAD" else []
    opener = urllib.request.build_opener(*handlers)
    try:
        answer = opener.open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if method == "HEAD" and error.code in _REDIRECTS:
            answer = error
        else:
            raise _refused(url, error, advice) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise _PassingError(
            f"{url}: cannot be reached ({reason}); connect to the network, set HF_ENDPOINT to a "
            f"mirror, or {advice}"
        ) from error
    with answer:
        yield answer


def _refused(url: str, error: urllib.error.HTTPError, advice: str) -> WeightsError:
    if error.code in _PASSING:
        return _PassingError(f"{url}: the server is busy ({error.code}); try later, or {advice}")
    return WeightsError(
        f"{url}: not to be had there (HTTP {error.code} {error.reason}); check HF_ENDPOINT, or "
        f"{advice}"
    )
