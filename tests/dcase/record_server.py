"""A record service on 127.0.0.1 that answers as zenodo.org does, and fails where it is told to.

GET /api/records/<number> gives the listing, GET /api/records/<number>/files/<name>/content the
bytes, with Range. Input: {record: {name: bytes}}; `faults` are used up one per request of a path.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request: a status, a body of one's own, or how the answer ends."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    cut_after: int | None = None
    ignore_range: bool = False
    stall: float = 0.0


@dataclass(frozen=True)
class Asked:
    """One request as the server saw it, and how many bytes it had to send."""

    path: str
    range: str | None
    sent: int


class RecordServer:
    """Use as a context manager; `url` is what a user would give as --api."""

    def __init__(self, records: dict[int, dict[str, bytes]]) -> None:
        self.records = records
        self.checksums: dict[str, str] = {}
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.asked: list[Asked] = []
        self.pause = 0.0  # after every 64 KiB, to be killed in
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.http.records = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> RecordServer:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()

    def asked_for(self, name: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path.endswith(name)]

    def listing(self, record: int) -> bytes:
        files = [
            {
                "id": f"{record}-{name}",
                "key": name,
                "size": len(content),
                "checksum": self.checksums.get(name, f"md5:{hashlib.md5(content).hexdigest()}"),
                "links": {"self": f"{self.url}/api/records/{record}/files/{name}/content"},
            }
            for name, content in self.records[record].items()
        ]
        told = {"id": record, "metadata": {"title": "a data set"}, "files": files}
        return json.dumps(told).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        server: RecordServer = self.server.records  # type: ignore[attr-defined]
        path = unquote(self.path)
        waiting = server.faults[path.removesuffix("/content").rpartition("/")[2]]
        fault = waiting.pop(0) if waiting else Fault()
        time.sleep(fault.stall)
        status, body, headers = self.find(server, path, fault)
        self.send_response(status)
        for name, value in {**headers, **fault.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        body = body[: fault.cut_after]
        # Noted before it is sent, so that it is there when the client has its answer.
        server.asked.append(Asked(path, self.headers["Range"], len(body)))
        self.end_headers()
        self.send_body(body, server.pause)
        if fault.cut_after is not None:
            self.close_connection = True

    def find(
        self, server: RecordServer, path: str, fault: Fault
    ) -> tuple[int, bytes, dict[str, str]]:
        if fault.status is not None or fault.body is not None:
            return fault.status or 200, fault.body or b"", {}
        listing = re.fullmatch(r"/api/records/(\d+)", path)
        content = re.fullmatch(r"/api/records/(\d+)/files/([^/]+)/content", path)
        if listing and int(listing[1]) in server.records:
            return 200, server.listing(int(listing[1])), {"Content-Type": "application/json"}
        if not content or content[2] not in server.records.get(int(content[1]), {}):
            return 404, b'{"message": "The persistent identifier does not exist."}', {}
        body = server.records[int(content[1])][content[2]]
        start = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        if not start or fault.ignore_range:
            return 200, body, {}
        first = int(start[1])
        if first >= len(body):
            return 416, b"", {"Content-Range": f"bytes */{len(body)}"}
        return 206, body[first:], {"Content-Range": f"bytes {first}-{len(body) - 1}/{len(body)}"}

    def send_body(self, body: bytes, pause: float) -> None:
        try:
            for start in range(0, len(body), 1 << 16):
                self.wfile.write(body[start : start + (1 << 16)])
                time.sleep(pause)
        except OSError:
            self.close_connection = True  # the client has gone, or was killed
