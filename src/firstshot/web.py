"""The rules of every request: which addresses are asked, what is believed, what is shown.

Input: an address and the headers of a request. Output: the answer behind its redirects, or
`Unreachable` where trying again may help, or `BadAnswer` where it will not. Each service has its
own module, which turns these two into an error that names the file and the way out.

- A redirect is followed to another http address, and never from https to http.
- A number in a header is a few ASCII digits; a body is read up to a length that is known before.
- The text of an exception is not passed on, because it may hold what was sent. Addresses, headers
  and answers are put into messages by `shown` and `shown_address`.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping
from email.message import Message
from http.client import HTTPException, HTTPResponse, IncompleteRead, InvalidURL
from typing import cast
from urllib.error import URLError
from urllib.parse import quote, urldefrag, urljoin, urlsplit
from urllib.request import (
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from firstshot.errors import ParameterError
from firstshot.messages import shown
from firstshot.version import __version__

USER_AGENT = f"firstshot/{__version__}"
MOVED = (301, 302, 303, 307, 308)
PASSING = (408, 429, 500, 502, 503, 504)
"""Statuses after which trying again may help."""
_REDIRECTS = 10
_NUMBER = re.compile(r"[0-9]{1,15}")  # fifteen digits of bytes are more than any disk holds
_RANGE = re.compile(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15}|\*)")
_ADDRESS = re.compile(r"https?://[!-~]+", re.IGNORECASE)
_USER = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*:/*)?.*@", re.DOTALL)


class Unreachable(Exception):  # noqa: N818
    """There is no answer, or half of one; another attempt may bring it."""


class BadAnswer(Exception):  # noqa: N818
    """The answer cannot be believed, and another attempt would bring the same."""


# What is shown


def shown_address(url: str) -> str:
    """Write an address for a message or a file, without what signs it or names a user.

    >>> shown_address("https://user:password@host/file?signature=abc")
    'https://***@host/file?...'
    """
    return shown(re.sub(r"[?#].*", "?...", _USER.sub(r"\1***@", url), flags=re.DOTALL))


# Which addresses are asked


def check_address(address: str, name: str, example: str) -> str:
    """Return the address of a service as it is used, without a slash at its end.

    Parameters
    ----------
    address : str
        What a user gave.
    name : str
        What it was given as, the beginning of the message.
    example : str
        An address that would do.

    Raises
    ------
    ParameterError
        Not an address over http or https, or one with a user name, a password, `?` or `#`.
    """
    address = address.strip()
    if not _is_usable(address) or "?" in address or "#" in address:
        raise ParameterError(
            f"{name} {shown_address(address)!r}: expected an address such as {example}, without "
            "user name, password, ? or #"
        )
    return address.rstrip("/")


def shown_host(url: str) -> str | None:
    """Return the server of an address, None for what is no usable http address.

    >>> shown_host("https://hooks.example:8443/secret"), shown_host("https://user:word@host/")
    ('hooks.example:8443', None)
    """
    return shown(urlsplit(url).netloc) if _is_usable(url) else None


def is_same_server(one: str, other: str) -> bool:
    """Return whether scheme, host and port of two addresses agree.

    >>> is_same_server("https://hub/a", "https://HUB:443/b"), is_same_server("https://h", "http://h")
    (True, False)
    """
    return _server(one) == _server(other)


def check_step(url: str, target: str) -> None:
    """Raise `BadAnswer` unless an address may point to another: http, and not down from https."""
    if not _is_usable(target):
        raise BadAnswer("it points to what is no http address; nothing was fetched from there")
    if urlsplit(url).scheme.lower() == "https" and urlsplit(target).scheme.lower() == "http":
        raise BadAnswer(
            f"it points from https to http://{shown(urlsplit(target).hostname)}, where anyone on "
            "the way could change the content; refused"
        )


def redirect_target(url: str, headers: Message) -> str:
    """Return the address that a redirect leads to; raises `BadAnswer` where none may be asked."""
    location = headers.get("Location")
    if location is None:
        raise BadAnswer("it redirects without naming an address")
    try:
        target = urldefrag(urljoin(url, str(location).strip())).url
    except ValueError:
        target = ""
    # Headers come as Latin-1; as urllib does, every byte that an address cannot hold is quoted.
    target = quote(target, encoding="iso-8859-1", errors="replace", safe=string.punctuation)
    check_step(url, target)
    return target


def _is_usable(url: str) -> bool:
    if not _ADDRESS.fullmatch(url):
        return False
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        return False


def _server(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(scheme)


# The request


def ask(
    url: str,
    timeout: float,
    headers: Mapping[str, str] | None = None,
) -> HTTPResponse:
    """Ask for an address and return the answer, of whatever status; the caller closes it.

    Parameters
    ----------
    url : str
        An http or https address.
    timeout : float
        The longest silence, in seconds.
    headers : mapping, optional
        More headers; they are sent to redirects too.

    Raises
    ------
    Unreachable
        No answer.
    BadAnswer
        A redirect that cannot be followed.
    """
    for _ in range(_REDIRECTS + 1):
        answer = _open(url, timeout, headers or {})
        if answer.status not in MOVED:
            return answer
        with answer:
            url = redirect_target(url, answer.headers)
    raise BadAnswer(f"it redirects more than {_REDIRECTS} times")


def post(url: str, body: bytes, timeout: float, headers: Mapping[str, str]) -> HTTPResponse:
    """Send a body to an address and return the answer, of whatever status; the caller closes it.

    A redirect is not followed: the body was meant for one address. Raises `Unreachable` where there
    is no answer.
    """
    return _open(url, timeout, headers, body)


def _open(
    url: str, timeout: float, headers: Mapping[str, str], body: bytes | None = None
) -> HTTPResponse:
    # Without the handlers of build_opener for file, ftp and data, and without its redirects.
    opener = OpenerDirector()
    request = Request(url, body)
    request.headers.update({"User-agent": USER_AGENT})
    request.headers.update({"Accept-encoding": "identity", **headers})
    try:
        for handler in (ProxyHandler(), UnknownHandler(), HTTPHandler(), HTTPSHandler()):
            opener.add_handler(handler)
        return cast(HTTPResponse, opener.open(request, timeout=timeout))
    except (OSError, HTTPException, ValueError) as error:
        reason = _reason(error)
    # Out of the clause above: the error's frames hold the proxy's password.
    raise Unreachable(reason)


def _reason(error: Exception) -> str:
    """Say why there is no answer, in words that cannot hold what was sent."""
    while isinstance(error, URLError) and isinstance(error.reason, Exception):
        error = error.reason
    if isinstance(error, OSError):
        reason = error.reason if isinstance(error, URLError) else error.strerror or error
        return shown(reason) or type(error).__name__
    if isinstance(error, IncompleteRead):
        return "the connection was cut"
    if isinstance(error, HTTPException) and not isinstance(error, InvalidURL):
        return "the answer is not HTTP"
    return "the address, or that of the proxy, cannot be used"


# The answer


def read_size(headers: Message, name: str) -> int | None:
    """Return the number of bytes in a header, None without it; raises `BadAnswer` for all else.

    >>> headers = Message()
    >>> headers["Content-Length"] = "12"
    >>> read_size(headers, "Content-Length"), read_size(headers, "X-Linked-Size")
    (12, None)
    """
    text = headers.get(name)
    if text is None:
        return None
    number = read_number(str(text))
    if number is None:
        raise BadAnswer(f"its {name} is {shown(text)!r}, expected a number of bytes")
    return number


def read_number(text: str) -> int | None:
    """Return what a header's digits say; None for signs, other digits than ASCII, and endless ones.

    >>> [read_number(text) for text in ("007", "-1", "²", "9" * 5000)]
    [7, None, None, None]
    """
    return int(text) if _NUMBER.fullmatch(text.strip()) else None


def read_range(answer: HTTPResponse) -> tuple[int, int | None]:
    """Return the byte of the file that an answer begins with, and the file's size if it is known.

    Raises
    ------
    Unreachable
        Part of a file, and not said which part.
    BadAnswer
        A Content-Length that is no number.
    """
    length = read_size(answer.headers, "Content-Length")
    if answer.status != 206:
        return 0, length
    found = _RANGE.fullmatch(str(answer.headers.get("Content-Range", "")).strip())
    if found is None:
        raise Unreachable("the server does not say which bytes it sends")
    first, last, size = int(found[1]), int(found[2]), read_number(found[3])
    if not first <= last or (size is not None and last >= size):
        raise Unreachable("the server does not say which bytes it sends")
    return first, size


def read_pieces(answer: HTTPResponse, most: int, piece: int) -> Iterator[memoryview]:
    """Yield a body in pieces, each good until the next; raises `BadAnswer` once `most` is exceeded.

    Parameters
    ----------
    answer : HTTPResponse
        The answer; a connection that breaks off early ends the pieces or raises `Unreachable`.
    most : int
        Bytes that the body has, or may have.
    piece : int
        Bytes of a piece.
    """
    left, buffer = most, memoryview(bytearray(piece))
    # By readinto, because read() of a chunk of -1 bytes takes all that ever comes.
    while come := _read_into(answer, buffer[: min(piece, left + 1)]):
        if come > left:
            raise BadAnswer(f"it sends more than {most} bytes")
        left -= come
        yield buffer[:come]


def read_whole(answer: HTTPResponse, most: int) -> bytes:
    """Return a body of at most `most` bytes; raises `Unreachable` where it was cut."""
    length = read_size(answer.headers, "Content-Length")
    body = b"".join(map(bytes, read_pieces(answer, most, 1 << 16)))
    if length is not None and len(body) < length:
        raise Unreachable("the connection was cut")
    return body


def _read_into(answer: HTTPResponse, buffer: memoryview) -> int:
    try:
        return answer.readinto(buffer)
    except (OSError, HTTPException, ValueError) as error:
        reason = _reason(error)
    raise Unreachable(reason)
