"""A file of the Hugging Face hub becomes a local file: resumed, checked, whole.

Input: repository, file name, and the revision and SHA-256 where they are known. Output: the file
and the commit it is of. `huggingface_hub` asks what a file is and downloads it, see `hub_session`.
Bytes arrive in a `.part` file under the name of what was announced, so that an interrupted download
goes on where it stopped, in this process or a later one; the library alone would begin again.

HF_ENDPOINT (a mirror), HF_HUB_OFFLINE, HF_TOKEN, HF_HOME and HF_HUB_CACHE (files that are there
already are taken) and the usual proxy variables work as they do for the library itself.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from firstshot import web
from firstshot.disk.cache_folder import user_cache_folder
from firstshot.disk.files import sha256_of
from firstshot.disk.resumable import open_resumable
from firstshot.encoders.weights.cache import ADVICE
from firstshot.encoders.weights.catalog import HubFile, WebFile
from firstshot.encoders.weights.hub_session import (
    BusyError,
    PartFile,
    Source,
    ask,
    headers_to_send,
)
from firstshot.errors import DownloadError, OutputError, cannot_write
from firstshot.messages import shown

ENDPOINT = "https://huggingface.co"
TIMEOUT_SECONDS = 30.0
PAUSE_SECONDS = 1.0
ATTEMPTS = 5
"""Attempts while the server is busy before giving up."""
LARGEST = 1 << 33
"""Bytes of a weights file; the largest published ones, with an optimiser in them, have half."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_ETAG = re.compile(r"[A-Za-z0-9_.-]{1,128}")  # becomes a file's name


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


def check_online(file: str, advice: str) -> None:
    """Raise `DownloadError` where the environment forbids the network."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise DownloadError(
            f"{file} is not on this machine and HF_HUB_OFFLINE forbids to fetch it; unset that, or "
            f"{advice}"
        )


def fetch_file(file: HubFile, folder: Path, advice: str, quiet: bool = False) -> Fetched:
    """Return a whole copy of a file: one in the cache of huggingface_hub, or a download.

    Parameters
    ----------
    file : HubFile
        What to fetch.
    folder : Path
        Where downloads lie.
    advice : str
        What the user can do instead; the end of the messages.
    quiet : bool
        Show no progress; otherwise a terminal shows the library's bar.

    Raises
    ------
    DownloadError
        No network, offline mode, no such file, or a content that is not the announced one.
    ParameterError
        HF_ENDPOINT is no address, or HF_TOKEN no token.
    OutputError
        The disk is full, or the folder cannot be written.
    MissingLibraryError
        huggingface_hub is not installed.
    """
    kept = find_in_hub_cache(file)
    if kept is not None:
        return kept
    endpoint = web.check_address(os.environ.get("HF_ENDPOINT") or ENDPOINT, "HF_ENDPOINT", ENDPOINT)
    url = f"{endpoint}/{file.repo}/resolve/{file.revision or 'main'}/{file.file}"
    check_online(f"{file.repo}/{file.file}", advice)
    source = Source(url, endpoint, advice)
    announced = announce(source)
    if file.revision and announced.commit and announced.commit != file.revision:
        raise DownloadError(
            f"{source.shown}: the server has commit {announced.commit}, expected "
            f"{file.revision}; {advice}"
        )
    path = download(source, announced, folder, quiet)
    check_content(path, source, file, announced)
    return Fetched(path, f"{source.shown} at commit {announced.commit or 'unknown'}", ours=True)


def find_in_hub_cache(file: HubFile) -> Fetched | None:
    """Return a file that huggingface_hub downloaded before, of the given revision."""
    home = os.environ.get("HF_HOME") or (user_cache_folder() or Path(os.devnull)) / "huggingface"
    hub = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")
    kept = hub / f"models--{file.repo.replace('/', '--')}"
    try:
        commit = file.revision or (kept / "refs" / "main").read_text("utf-8").strip()
        path = kept / "snapshots" / commit / file.file
        if not (_COMMIT.fullmatch(commit) and path.is_file()):
            return None
        if file.sha256 and sha256_of(path) != file.sha256:
            return None
    except (OSError, ValueError):
        return None
    return Fetched(path, f"{file.repo}/{file.file} at commit {commit}", ours=False)


def announce(source: Source) -> Announced:
    """Ask the hub what a file is; redirects to where its content lies are not followed."""
    # The token is in the headers alone, which no frame of an error holds.
    found: Any = ask(
        source,
        lambda hub: hub.get_hf_file_metadata(
            source.url, token=False, timeout=TIMEOUT_SECONDS, headers=headers_to_send()
        ),
    )
    if not _ETAG.fullmatch(found.etag or ""):
        raise DownloadError(
            f"{source.shown}: the answer has no ETag, so it is not from a model hub (a login page "
            f"or a firewall?); check HF_ENDPOINT and the network, or {source.advice}"
        )
    if found.size is not None and not 0 <= found.size <= LARGEST:
        raise DownloadError(
            f"{source.shown}: announces {found.size} bytes, which no weights have; check "
            f"HF_ENDPOINT, or {source.advice}"
        )
    return Announced(found.commit_hash and shown(found.commit_hash), found.etag, found.size)


def check_content(
    path: Path, source: Source, file: HubFile | WebFile, announced: Announced
) -> None:
    """Delete a download and raise `DownloadError` unless it is what was announced and expected."""
    found, size = sha256_of(path), path.stat().st_size
    for expected, who in ((file.sha256, "expected here"), (announced.sha256, "announced")):
        if expected and found != expected:
            path.unlink()
            raise DownloadError(
                f"{source.shown}: the content has SHA-256 {found}, {who} {expected}; it was "
                "deleted, fetch again, and if this stays so do not use that server"
            )
    if file.size is not None and size != file.size:
        path.unlink()
        raise DownloadError(
            f"{source.shown}: {size} bytes, expected {file.size}; deleted, fetch again"
        )


def download(source: Source, announced: Announced, folder: Path, quiet: bool) -> Path:
    """Bring the part file to its full size."""
    path = folder / f"{announced.etag}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Unbuffered: what was received lies in the file whatever happens next.
        file = open_resumable(path)
    except OSError as error:
        raise cannot_write(folder, error, ADVICE) from error
    with file:
        if announced.size is None or file.tell() > announced.size:
            file.seek(file.truncate(0))  # whether it is a part of this file is unknown
        _check_space(path, file.tell(), announced.size)
        part = PartFile(file, LARGEST if announced.size is None else announced.size)
        for attempt in range(ATTEMPTS):
            try:
                ask(source, partial(_receive, source, part, announced.size, quiet), part)
                break
            except BusyError:
                if attempt == ATTEMPTS - 1:
                    raise
                time.sleep(PAUSE_SECONDS)
    return path


def _receive(source: Source, part: PartFile, size: int | None, quiet: bool, hub: Any) -> None:
    """Append what the hub gives until the end; the library goes on where a connection broke."""
    from huggingface_hub import file_download

    http_get: Any = file_download.http_get  # it takes whatever is written to like a file
    http_get(
        source.url,
        part,
        resume_size=part.tell(),
        headers=headers_to_send(),
        expected_size=size,
        displayed_filename=source.url.partition("/resolve/")[0].rpartition("/")[2],
        tqdm_class=partial(hub.utils.tqdm, disable=True) if quiet else None,
    )


def _check_space(part: Path, have: int, size: int | None) -> None:
    """Raise `OutputError` where the rest and its conversion would not fit on the disk."""
    free = shutil.disk_usage(part.parent).free
    needed = 2 * (size or 0) - have
    if needed > free:
        raise OutputError(
            f"{part.parent}: {free / 1e6:.0f} MB are free, expected {needed / 1e6:.0f} MB; free "
            "some space or set FIRSTSHOT_CACHE to another folder"
        )
