"""A server on 127.0.0.1 that speaks the hub's protocol, and fails in the ways networks fail."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What the server holds, how it misbehaves, and what it was asked.

    `files` are contents by "repo/file". `cuts` are how many bytes each of the next GETs gives
    before the connection is closed. `statuses` are the answers to the next GETs. `served` is what
    is really sent instead of the announced content. `through_redirect` sends content from another
    path, as the hub's storage does; `announce_digest` is off for small files on the hub,
    `announce_size` for some mirrors;
    `claimed_commit` is another commit than the one asked for.
    """

    files: dict[str, bytes]
    commit: str = COMMIT
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    served: bytes | None = None
    through_redirect: bool = True
    announce_digest: bool = True
    ranges: bool = True
    announce_size: bool = True
    login_page: bool = False
    claimed_commit: str = ""
    url: str = ""
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    tokens: list[tuple[str, str | None]] = field(default_factory=list)

    def gets(self) -> list[str | None]:
        """The Range of every GET of content."""
        return [given for method, _, given in self.asked if method == "GET"]


@contextmanager
def serving(files: dict[str, bytes], **how: Any) -> Iterator[Hub]:
    """Serve while the block runs."""
    hub = Hub(files, **how)
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_GET(self) -> None:
        self._answer("GET")

    def _answer(self, method: str) -> None:
        hub = self.hub
        stored = self.path.startswith("/storage/")
        if method == "HEAD" or stored or not hub.through_redirect:
            hub.asked.append((method, self.path, self.headers.get("Range")))
        hub.tokens.append((self.path, self.headers.get("Authorization")))
        if hub.login_page:
            return self._send(200, b"<html>Log in to the network</html>", method, {}, "text/html")
        found = self._find()
        if found is None:
            headers = {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
            return self._send(404, b"Entry not found", method, headers)
        name, content = found
        digest = hashlib.sha256(content).hexdigest()
        tag = digest if hub.announce_digest else hashlib.sha1(content).hexdigest()
        if hub.through_redirect and not stored:
            headers = {
                "Location": f"{hub.url}/storage/{name}",
                "X-Repo-Commit": hub.claimed_commit or hub.commit,
                "X-Linked-ETag": f'"{tag}"',
                "X-Linked-Size": str(len(content)),
            }
            return self._send(302, b"", method, headers)
        headers = {"ETag": f'"{tag}"', "X-Repo-Commit": hub.claimed_commit or hub.commit}
        return self._content(method, content if hub.served is None else hub.served, headers)

    def _find(self) -> tuple[str, bytes] | None:
        if self.path.startswith("/storage/"):
            name = self.path.removeprefix("/storage/")
        else:
            repo, _, rest = self.path.removeprefix("/").partition("/resolve/")
            revision, _, file = rest.partition("/")
            if revision not in ("main", self.hub.commit):
                return None
            name = f"{repo}/{file}"
        return (name, self.hub.files[name]) if name in self.hub.files else None

    def _content(self, method: str, content: bytes, headers: dict[str, str]) -> None:
        hub, given = self.hub, self.headers.get("Range")
        if method == "GET" and hub.statuses:
            return self._send(hub.statuses.pop(0), b"busy", method, {})
        status, start = 200, 0
        if given and hub.ranges:
            start = int(given.removeprefix("bytes=").rstrip("-"))
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            status = 206
        headers["Accept-Ranges"] = "bytes"
        cut = hub.cuts.pop(0) if method == "GET" and hub.cuts else None
        return self._send(status, content[start:], method, headers, cut=cut)

    def _send(
        self,
        status: int,
        body: bytes,
        method: str,
        headers: dict[str, str],
        kind: str = "application/octet-stream",
        cut: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, **headers}.items():
            self.send_header(name, value)
        if method == "GET" or self.hub.announce_size:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if method == "GET":
            self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True
