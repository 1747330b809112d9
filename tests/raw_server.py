"""A server on 127.0.0.1 that sends any bytes for an answer, over http or https.

Input: a function from a request's head to the pieces of the answer; output: `url`, and the heads of
all requests in `asked`. The connection is closed behind each answer.
"""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType, TracebackType

import pytest

Answer = Callable[[str], "Iterable[bytes] | bytes"]
MOST_SENT = 1 << 26
"""Of an endless body, so that a client that would take all of it ends the test nevertheless."""


class RawServer:
    """Use as a context manager; `certificate` is what `make_certificate` gives."""

    def __init__(self, answer: Answer, certificate: tuple[Path, Path] | None = None) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.sent = 0
        self.context: ssl.SSLContext | None = None
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*certificate)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> RawServer:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return  # closed
            try:
                connection.settimeout(10)
                if self.context is not None:
                    connection = self.context.wrap_socket(connection, server_side=True)
                self._serve_one(connection)
            except OSError:
                pass  # the client has enough
            finally:
                connection.close()

    def _serve_one(self, connection: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            come = connection.recv(1 << 16)
            if not come:
                return
            head += come
        self.asked.append(head.decode("latin-1"))
        told = self.answer(self.asked[-1])
        self.sent = 0
        for piece in [told] if isinstance(told, bytes) else told:
            connection.sendall(piece)
            self.sent += len(piece)
            if self.sent > MOST_SENT:
                break
        connection.shutdown(socket.SHUT_WR)


def head(status: str, *lines: str) -> bytes:
    r"""Write the beginning of an answer, as `200 OK` and `Content-Length: 5`."""
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1")


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate of 127.0.0.1 that signs itself, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the command openssl to make a certificate")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    subprocess.run(
        [
            "openssl",
            *words.split(),
            "-subj",
            "/CN=127.0.0.1",
            "-out",
            certificate,
            "-keyout",
            key,
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def locals_of(error: BaseException) -> str:
    """All that a traceback could show: the variables of every frame of an error and its causes."""
    found: list[str] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None:
            continue
        waiting += [one.__cause__, one.__context__]
        found.append(repr(one))
        step: TracebackType | None = one.__traceback__
        while step is not None:
            frame: FrameType = step.tb_frame
            if not Path(frame.f_code.co_filename).name.startswith("test_"):
                found.append(repr(frame.f_locals))
            step = step.tb_next
    return "\n".join(found)
