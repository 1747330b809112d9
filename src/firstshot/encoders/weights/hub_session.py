"""`huggingface_hub` talks to the hub under the rules of `firstshot.web`.

Input: an address of a file, and a call of the library. Output: what the call gives, or one error in
words of our own. While a call runs, a token goes to the endpoint alone, a redirect never leads from
https to http, no more bytes are written than were announced, and neither an error nor a warning of
the library shows what was sent. The rules do not touch what else the process does with the library.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, TypeVar

from firstshot import web
from firstshot.encoders.weights.cache import ADVICE
from firstshot.errors import DownloadError, FirstshotError, ParameterError, cannot_write
from firstshot.libraries import import_library
from firstshot.messages import HF_TOKEN, read_token, shown

Found = TypeVar("Found")

_ENDPOINT: ContextVar[str | None] = ContextVar("_ENDPOINT", default=None)
_START = re.compile(r"bytes[ =]([0-9]{1,15})-.*")
"""The first byte of a requested Range, or of a received Content-Range."""
_MEANING = {401: ", it asks for a valid HF_TOKEN", 403: ", forbidden", 404: ", not found"}
_REASONS = {
    "TimeoutException": "no answer in time",
    "TooManyRedirects": "it redirects without end",
    "RemoteProtocolError": "the connection was cut",
    "OSError": "the connection was closed",
}
"""By the names of errors, because the library they come from depends on the hub's version."""


@dataclass(frozen=True)
class Source:
    """Where a file is, and what the user can do instead of fetching it from there.

    `endpoint` is the hub's address; a file that is on no hub has none, and no token is sent for it.
    """

    url: str
    endpoint: str
    advice: str

    @property
    def check(self) -> str:
        """What of the settings may be wrong, for a message."""
        return "HF_ENDPOINT" if self.endpoint else "the proxy"

    @property
    def other_way(self) -> str:
        """What may reach the file, for a message."""
        return "set HF_ENDPOINT to a mirror" if self.endpoint else "check the proxy"

    @property
    def shown(self) -> str:
        """The address for a message."""
        return web.shown_address(self.url)


class PartFile:
    """A part file as the library writes it, never longer than what was announced.

    Parameters
    ----------
    file : FileIO
        The file, at its end.
    most : int
        Bytes that the whole file has, or may have.
    """

    def __init__(self, file: FileIO, most: int) -> None:
        self._file, self.most = file, most
        self.tell, self.seek = file.tell, file.seek

    def truncate(self, size: int | None = None) -> int:
        """Cut the file at its position, or at `size`."""
        return self._file.truncate(size)

    def write(self, data: bytes) -> int:
        """Append to the file; raises `BadAnswer` where it is whole, and empties it."""
        if self.tell() + len(data) > self.most:
            self.seek(self.truncate(0))
            raise web.BadAnswer(f"it sends more than {self.most} bytes")
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise cannot_write(Path(str(self._file.name)).parent, error, ADVICE) from error
        return len(data)


def headers_to_send() -> dict[str, str]:
    """Return the headers of a request, with the token where HF_TOKEN holds one.

    Raises
    ------
    ParameterError
        HF_TOKEN cannot be a token; the message does not show it.
    """
    token = read_token(HF_TOKEN)
    if token and not re.fullmatch(r"[!-~]+", token):
        del token
        raise ParameterError(
            f"{HF_TOKEN}: holds a line break or another character that no token has (its value is "
            "not shown); set it anew, or unset it"
        )
    plain = {"User-Agent": web.USER_AGENT, "Accept-Encoding": "identity"}
    return {**plain, "Authorization": f"Bearer {token}"} if token else plain


class BusyError(DownloadError):
    """The server fails now, and may not later."""


def ask(source: Source, call: Callable[[Any], Found], part: PartFile | None = None) -> Found:
    """Call the library under the rules of `firstshot.web`, and name what went wrong in one line."""
    hub = import_library("huggingface_hub", "fetching weights from the hub")
    active = _ENDPOINT.set(source.endpoint)
    failed: FirstshotError
    try:
        _guard(hub)
        return call(hub)
    except FirstshotError as error:
        failed = error.with_traceback(None)
    except web.BadAnswer as error:
        failed = DownloadError(
            f"{source.shown}: {error}; check {source.check} and the network, or {source.advice}"
        )
    except Exception as error:  # of the library, or of what it stands on
        failed = _failure(source, error, part)
    finally:
        _ENDPOINT.reset(active)
    # Out of the clauses above, because the error's frames hold the request with its token.
    raise failed


def _failure(source: Source, error: Exception, part: PartFile | None) -> DownloadError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in web.PASSING:
        return BusyError(
            f"{source.shown}: the server is busy ({status}); try later, or {source.advice}"
        )
    if status is not None:
        return DownloadError(
            f"{source.shown}: not to be had there (HTTP {status}{_MEANING.get(status, '')}); "
            f"check {source.check}, or {source.advice}"
        )
    if part is not None and part.tell():
        return DownloadError(
            f"{source.shown}: broke off at {part.tell()} of {part.most} bytes "
            f"({_reason(error)}); run the same again, it goes on from there"
        )
    return DownloadError(
        f"{source.shown}: cannot be reached ({_reason(error)}); connect to the network, "
        f"{source.other_way}, or {source.advice}"
    )


def _reason(error: BaseException) -> str:
    """Say why there is no answer, in words that cannot hold what was sent."""
    names: set[str] = set()
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return shown(cause.strerror)
        names.update(kind.__name__ for kind in type(cause).__mro__)
        cause = cause.__cause__ or cause.__context__
    return next((words for name, words in _REASONS.items() if name in names), "it is not HTTP")


def _guard(hub: Any) -> None:
    """Let the library's session and its log keep the rules, if they do not already."""
    session = hub.get_session()
    hooks = session.event_hooks
    if _check_request not in hooks["request"]:
        session.event_hooks = {
            "request": [*hooks["request"], _check_request],
            "response": [*hooks["response"], _check_response],
        }
    for handler in logging.getLogger("huggingface_hub").handlers:
        handler.addFilter(_is_free)


def _is_free(record: logging.LogRecord) -> bool:
    """Drop what the library logs of its errors, which may hold what was sent."""
    return _ENDPOINT.get() is None


def _check_request(request: Any) -> None:
    """Send a token to the endpoint's addresses of files alone, not to its storage either."""
    endpoint = _ENDPOINT.get()
    if endpoint is None:
        return
    is_file = "/resolve/" in request.url.path and web.is_same_server(endpoint, str(request.url))
    if not is_file:
        request.headers.pop("Authorization", None)


def _check_response(response: Any) -> None:
    """Refuse a redirect to an address that is not allowed, and bytes that were not requested."""
    if _ENDPOINT.get() is None:
        return
    if response.status_code in web.MOVED:
        web.redirect_target(str(response.url), response.headers)
    if response.status_code == 206:
        wanted = response.request.headers.get("Range", "")
        sent = response.headers.get("Content-Range", "")
        if _START.sub(r"\1", wanted) != _START.sub(r"\1", sent):
            raise web.BadAnswer("it sends other bytes than were requested")
