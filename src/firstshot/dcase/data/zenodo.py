"""A record's number becomes the list of its files: name, size, checksum, address.

Input: a service that answers GET <records>/<number> as zenodo.org does. Output: what the record
itself says. A request waits when the server asks for it, is repeated when that can help, and fails
after a bounded time. The library for such downloads, pooch, starts every file from the beginning
and supports neither ranges nor Retry-After.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse
from typing import Any, TypeVar
from urllib.parse import quote, urljoin

from firstshot import web
from firstshot.disk.documents import parse_json
from firstshot.errors import DownloadError
from firstshot.log import logger
from firstshot.messages import shown
from firstshot.web import shown_address

RECORDS_URL = "https://zenodo.org/api/records"
_CHECKSUMS = ("md5", "sha1", "sha256", "sha512")
_LONGEST_LISTING = 1 << 24
_LARGEST_FILE = 1 << 40

T = TypeVar("T")


@dataclass(frozen=True)
class Connection:
    """The address of the service, and the limits of retries; times in seconds.

    `timeout` is the longest time without a byte, `tries` the number of failures in a row that ends
    a download, `first_pause` the wait after the first failure (it doubles each time),
    `longest_wait` the longest wait that a server can ask for.
    """

    records_url: str = RECORDS_URL
    timeout: float = 60.0
    tries: int = 6
    first_pause: float = 1.0
    longest_wait: float = 300.0

    def __post_init__(self) -> None:
        # Checked before it is stored, so that no repr can show a password.
        web.check_address(self.records_url, "archive service", RECORDS_URL)

    def record_url(self, record: int) -> str:
        """Return the address of a record; the service's own may lack `/api/records`.

        >>> Connection("http://127.0.0.1:8000").record_url(7)
        'http://127.0.0.1:8000/api/records/7'
        """
        base = self.records_url.strip().rstrip("/")
        if not base.endswith("/records"):
            base += "/records" if base.endswith("/api") else "/api/records"
        return f"{base}/{record}"


@dataclass(frozen=True)
class RecordFile:
    """One file as its record lists it: size in bytes, checksum as `md5:<hexadecimal>`.

    Its address can be signed, so the repr does not show it.
    """

    name: str
    size: int
    checksum: str
    url: str = field(repr=False)


class TransientError(Exception):
    """A request failed, and a retry can succeed; `wait` is the server's request in seconds.

    `advanced` means that a large part of the file arrived before the failure.
    """

    def __init__(self, reason: str, wait: float | None = None, advanced: bool = False) -> None:
        super().__init__(reason)
        self.wait = wait
        self.advanced = advanced


class RangeError(TransientError):
    """The server does not have the requested range of bytes."""


def retry(action: Callable[[], T], url: str, connection: Connection) -> T:
    """Run an action until it succeeds; wait after each `TransientError`, a limited number of times.

    An error that has `advanced` restarts the count of failures in a row.

    Raises
    ------
    DownloadError
        Too many failures in a row, or the server asks for a wait that is too long.
    """
    failures, place = 0, shown_address(url)
    while True:
        try:
            return action()
        except TransientError as error:
            failures = 1 if error.advanced else failures + 1
            if failures >= connection.tries:
                raise DownloadError(
                    f"{place}: {error}, {failures} times in a row; check the network or the "
                    "proxy and run the same command again, it continues from here"
                ) from error
            backoff = min(connection.first_pause * 2 ** (failures - 1), connection.longest_wait)
            wait = backoff if error.wait is None else max(error.wait, 0.0)
            if wait > connection.longest_wait:
                raise DownloadError(
                    f"{place}: {error} and asks to wait {wait:.0f} s; "
                    "run the same command again after that, it continues from here"
                ) from error
            logger.warning(f"{place}: {error}; trying again in {wait:.0f} s")
            time.sleep(wait)


@contextmanager
def request(url: str, connection: Connection, first_byte: int = 0) -> Iterator[HTTPResponse]:
    """Send one request for an address, from a byte on; the answer is read within the block.

    Raises
    ------
    TransientError
        No answer, or one that can be different the next time (`RangeError`: no such bytes).
    DownloadError
        An answer that will not change: not found, not allowed, not valid.
    """
    headers = {"Range": f"bytes={first_byte}-"} if first_byte else {}
    try:
        with web.ask(url, connection.timeout, headers=headers) as answer:
            if answer.status not in (200, 206):
                raise _judge_status(shown_address(url), answer.status, answer.headers)
            yield answer
    except web.Unreachable as error:
        raise TransientError(f"cannot be reached ({error})") from error
    except web.BadAnswer as error:
        raise DownloadError(
            f"{shown_address(url)}: {error}; check --api and the proxy, then run the same command "
            "again"
        ) from error


def _judge_status(url: str, status: int, headers: Message) -> TransientError | DownloadError:
    if status == 416:
        return RangeError("the server has no such bytes (HTTP 416)")
    if status in web.PASSING:
        return TransientError(f"the server is busy (HTTP {status})", _read_wait(headers))
    if status in (404, 410):
        return DownloadError(
            f"{url}: not there (HTTP {status}); look whether the record was moved or withdrawn, "
            "and whether --api names the right service"
        )
    return DownloadError(
        f"{url}: refused by the server (HTTP {status}); open the record in a browser to see why"
    )


def _read_wait(headers: Message) -> float | None:
    """Return the wait in seconds: Retry-After, or zenodo's time of the next window."""
    after = str(headers.get("Retry-After") or "")
    until = web.read_number(str(headers.get("X-RateLimit-Reset") or ""))
    try:
        if after:
            seconds = web.read_number(after)
            if seconds is not None:
                return float(seconds)
            return parsedate_to_datetime(after).timestamp() - time.time()
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    return None if until is None else until - time.time()


def list_files(record: int, connection: Connection) -> dict[str, dict[str, Any]]:
    """Request a record and return its entries of files by name, unchanged.

    Raises
    ------
    DownloadError
        The service cannot be reached, has no such record, or the answer is not a record.
    """
    url = connection.record_url(record)

    def read() -> bytes:
        with request(url, connection) as answer:
            return web.read_whole(answer, _LONGEST_LISTING)

    advice = "check --api and the proxy"
    try:
        answer = parse_json(retry(read, url, connection), _LONGEST_LISTING)
    except ValueError as error:
        raise DownloadError(f"{url}: the answer is not a record (no JSON); {advice}") from error
    if not isinstance(answer, dict) or str(answer.get("id")) != str(record):
        given = answer.get("id") if isinstance(answer, dict) else None
        raise DownloadError(f"{url}: the answer is record {shown(given)}, not {record}; {advice}")
    entries = answer.get("files")
    if not isinstance(entries, list) or not entries:
        raise DownloadError(
            f"{url}: the record lists no files; open it in a browser to see if it is restricted"
        )
    return {str(entry.get("key")): entry for entry in entries if isinstance(entry, dict)}


def choose_file(entries: dict[str, dict[str, Any]], names: Sequence[str], url: str) -> RecordFile:
    """Choose the first of `names` that the record at `url` lists, and check its entry.

    Raises
    ------
    DownloadError
        The record lists none of them, or no size, known checksum or address for it.

    Examples
    --------
    >>> entry = {"key": "a.zip", "size": 3, "checksum": "md5:00", "links": {"self": "/a"}}
    >>> choose_file({"a.zip": entry}, ["b.zip", "a.zip"], "http://host/records/7")
    RecordFile(name='a.zip', size=3, checksum='md5:00')
    """
    name = next((name for name in names if name in entries), None)
    if name is None:
        raise DownloadError(
            f"{url}: lists no {' or '.join(names)}, only {shown(', '.join(sorted(entries)))}; "
            "the record has changed, report it to firstshot's developers"
        )
    entry = entries[name]
    size, checksum = entry.get("size"), str(entry.get("checksum")).lower()
    kind, _, digest = checksum.partition(":")
    links = entry.get("links")
    links = links if isinstance(links, dict) else {}
    # If a listing has both, `self` is the page of the entry and `content` the bytes.
    link = links.get("content") or links.get("self") or f"{url}/files/{quote(name)}/content"
    link, fault = _resolve(url, str(link))
    whole = isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= _LARGEST_FILE
    if not isinstance(size, int) or not whole or kind not in _CHECKSUMS or not digest or fault:
        raise DownloadError(
            f"{url}: {name} has size {shown(size)}, checksum {shown(checksum)!r} and address "
            f"{shown_address(link)!r}{fault}; expected bytes, md5:... and http; check --api"
        )
    return RecordFile(name, size, checksum, link)


def _resolve(url: str, link: str) -> tuple[str, str]:
    """Return the address of a link in a listing, and its fault or an empty string."""
    try:
        link = urljoin(url, link)
        web.check_step(url, link)
    except web.BadAnswer as fault:
        return link, f" ({fault})"
    except ValueError:
        return link, " (it cannot be read)"
    return link, ""
