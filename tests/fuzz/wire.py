"""Answers of a server without a network: a client reads them from one end of a pair of sockets.

The answers are whole HTTP/1.1 messages whose status line, headers or body are changed at random, so
that the clients meet what no proper server sends.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

from tests.fuzz.cases import Case
from tests.fuzz.mutations import NUMBER_TEXTS, TEXTS, mutate_bytes

STATUSES = (
    *("200 OK", "200 OK", "200 OK", "206 Partial Content", "302 Found", "307 Moved", "404 Gone"),
    *("416 No Range", "429 Slow down", "503 Busy", "999 Odd", "0 Nothing", "20 Short"),
)
HEADERS = (
    *("Content-Length", "Content-Range", "Content-Type", "Content-Encoding", "Retry-After"),
    *("X-RateLimit-Reset", "Location", "ETag", "X-Linked-Etag", "X-Linked-Size", "X-Repo-Commit"),
    *("Transfer-Encoding", "Accept-Ranges", "Connection"),
)
ODD = (
    *NUMBER_TEXTS,
    *TEXTS,
    *(f"bytes 0-1/{'9' * 5000}", "bytes ²-1/2", "bytes 5-1/2", "http://[", "ftp://x/y", "//"),
    *("http://hub.invalid/other", "gzip", "chunked"),
)
MOST_BYTES = 60_000
"""What a socket holds without anybody reading on the other side."""


class _Line(socket.socket):
    def setsockopt(self, *_: Any) -> None:
        """Take options that only a network has."""


@contextmanager
def answering(case: Case, bodies: Sequence[bytes]) -> Iterator[None]:
    """Answer the requests meanwhile with these bodies in turn, then with odd ones."""
    left = list(bodies)

    def connect(*_: Any, **__: Any) -> socket.socket:
        ours, theirs = socket.socketpair()
        body = left.pop(0) if left else case.dice.randbytes(case.dice.choice((0, 3, 300)))
        with ours:
            ours.sendall(_message(case, body)[:MOST_BYTES])
            ours.shutdown(socket.SHUT_WR)
            kept = ours.dup()  # so that what the client sends has a place to go
        line = _Line(fileno=theirs.detach())
        _open.append(kept)
        return line

    _open: list[socket.socket] = []
    try:
        with mock.patch("socket.create_connection", connect):
            yield
    finally:
        for each in _open:
            each.close()


def _message(case: Case, body: bytes) -> bytes:
    dice = case.dice
    headers = {"Content-Length": str(len(body)), "ETag": '"' + "a" * 64 + '"'}
    headers |= {"X-Linked-Size": str(len(body)), "X-Repo-Commit": "0" * 40}
    status = "200 OK" if dice.random() < 0.6 else dice.choice(STATUSES)
    for _ in range(dice.choice((0, 0, 1, 1, 2))):
        headers[dice.choice(HEADERS)] = dice.choice(ODD)
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items())]
    head = "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n"
    message = head + body
    return mutate_bytes(dice, message) if dice.random() < 0.2 else message
