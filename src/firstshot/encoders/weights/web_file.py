"""A file with an address of its own, as in a release on GitHub, becomes a local file.

Input: its address, and its SHA-256 and size where they are known. Output: the file, resumed and
checked as those of the hub are. What is not pinned is announced by the server: a tag and a size,
by which a later run knows that the part it has is of the same file.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from firstshot import web
from firstshot.encoders.weights.catalog import WebFile
from firstshot.encoders.weights.hub import (
    LARGEST,
    TIMEOUT_SECONDS,
    Announced,
    Fetched,
    check_content,
    check_online,
    download,
)
from firstshot.encoders.weights.hub_session import Source
from firstshot.errors import DownloadError


def fetch_web_file(file: WebFile, folder: Path, advice: str, quiet: bool = False) -> Fetched:
    """Return a whole copy of a file; see `firstshot.encoders.weights.hub.fetch_file`.

    Raises
    ------
    DownloadError
        No network, offline mode, no such file, or a content that is not the expected one.
    OutputError
        The disk is full, or the folder cannot be written.
    MissingLibraryError
        huggingface_hub, which downloads, is not installed.
    """
    source = Source(file.url, "", advice)
    check_online(source.shown, advice)
    pinned = file.sha256 is not None and file.size is not None
    announced = Announced(None, file.sha256 or "", file.size) if pinned else _announce(source)
    path = download(source, announced, folder, quiet)
    check_content(path, source, file, announced)
    return Fetched(path, source.shown, ours=True)


def _announce(source: Source) -> Announced:
    """Ask for a file, and read no more than the head of the answer."""
    try:
        with web.ask(source.url, TIMEOUT_SECONDS) as answer:
            size = web.read_size(answer.headers, "Content-Length")
            status, tag = answer.status, str(answer.headers.get("ETag", ""))
    except (web.Unreachable, web.BadAnswer) as error:
        raise DownloadError(
            f"{source.shown}: cannot be reached ({error}); connect to the network, check the "
            f"proxy, or {source.advice}"
        ) from error
    if status != 200 or size is None or size > LARGEST:
        found = f"{size} bytes" if status == 200 else f"HTTP {status}"
        raise DownloadError(
            f"{source.shown}: not to be had there ({found}); check the proxy, or {source.advice}"
        )
    # A tag of another server may look like a SHA-256 and be none, so it names the part alone.
    name = hashlib.sha256(f"{source.url} {tag}".encode()).hexdigest()[:32]
    return Announced(None, name, size)
