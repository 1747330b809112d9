"""Whatever an archive service does, the program says one line, ends with 2, and shows no secret."""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.dcase.record_server import RecordServer
from tests.raw_server import MOST_SENT, RawServer, head, make_certificate

from firstshot import cli
from firstshot.dcase.data import zenodo as record_api
from firstshot.dcase.data.download import download
from firstshot.dcase.data.zenodo import Connection, RecordFile
from firstshot.errors import DownloadError, OutputError, ParameterError

DEV = 15097779  # the development set of 2025
CONTENT = b"archive" * 1000
DIGEST = hashlib.md5(CONTENT).hexdigest()
SECRET = "S3cret"
Answers = Callable[[str], "Iterable[bytes] | bytes"]
Run = Callable[[str, Path], tuple[int, str]]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", "hf_ofAnotherService")
    patient = SimpleNamespace(sleep=lambda _: None, time=time.time)
    monkeypatch.setattr(record_api, "time", patient)


@pytest.fixture
def download_command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run `firstshot dcase download` of one archive; gives status and output."""

    def run(api: str, out: Path) -> tuple[int, str]:
        words = f"firstshot dcase download --year 2025 --part dev --machine fan --out {out} --api"
        monkeypatch.setattr(sys, "argv", [*words.split(" "), api])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return int(left.value.code or 0), "".join(capfd.readouterr())

    return run


def listing(**other: object) -> bytes:
    entry = {
        "key": "dev_fan.zip",
        "size": len(CONTENT),
        "checksum": f"md5:{DIGEST}",
        "links": {"self": f"/content?token={SECRET}"},
    }
    body = json.dumps({"id": DEV, "files": [{**entry, **other}]}).encode()
    return head("200 OK", f"Content-Length: {len(body)}") + body


def content_of(*lines: str, body: bytes = CONTENT, status: str = "200 OK") -> Answers:
    """A service with a right listing that answers for the content with these lines and body."""
    answer = head(status, *lines) + body
    return lambda asked: answer if "/content" in asked else listing()


def listed(**other: object) -> Answers:
    return lambda _: listing(**other)


def raw(body: bytes) -> Answers:
    return lambda _: head("200 OK") + body


STATUSES = {
    f"{where} {status}": answer
    for status in (401, 403, 404, 410, 416, 418, 429, 500, 503)
    for where, answer in (
        ("content", content_of(status=f"{status} {SECRET}")),
        ("listing", lambda _, status=status: head(f"{status} {SECRET}")),
    )
}
WAITS = {
    f"wait {told[:12]}": (lambda _, told=told: head("429 Too Many", f"Retry-After: {told}"))
    for told in (
        *("²", "9" * 5000, "-1", "nan", "inf", "1e300", "soon", "\x1b[2J", "99999"),
        *("Mon, 01 Jan 0001 00:00:00 -0000", "Mon, 99 Foo 2025", "1" * 60_000),
    )
}
WINDOWS = {
    f"window {told[:8]}": (lambda _, told=told: head("429 Too Many", f"X-RateLimit-Reset: {told}"))
    for told in ("nan", "inf", "-inf", "²", "9" * 5000, "1e999", "")
}
MOVED = {
    f"moved to {target[:12]}": content_of(f"Location: {target}", status="302 Found")
    for target in (
        *("/content", "file:///etc/passwd", "ftp://h/x", "http://[", "http://h:²", "data:,"),
        *(f"http://u:{SECRET}@127.0.0.1:1/", f"file:///?{SECRET}"),
    )
}
LENGTHS = {
    f"length {told[:8]}": content_of(f"Content-Length: {told}")
    for told in ("abc", "-1", "²", "9" * 5000, "5", "")
}
RANGES = {
    f"range {told[:12]}": content_of(f"Content-Range: {told}", status="206 Partial")
    for told in ("", "bytes ²-9/10", "bytes 5-4/9", f"bytes 0-{'9' * 5000}/*", "bytes 3-9/7000")
}
BODIES = {
    "cut": content_of(f"Content-Length: {len(CONTENT)}", body=CONTENT[:100]),
    "empty": content_of("Content-Length: 0", body=b""),
    "chunks cut": content_of("Transfer-Encoding: chunked", body=b"ff\r\nhalf"),
    "chunk of -1": content_of("Transfer-Encoding: chunked", body=b"-1\r\n" + CONTENT),
    "other": content_of(body=b"A" + CONTENT[1:]),
    "more": content_of(body=CONTENT + b"x"),
    "no zip": content_of(),
    "long header": lambda _: b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000,
    "closed": lambda _: b"",
}
LISTINGS = {
    "deep": raw(b"[" * 200_000),
    "digits": raw(b'{"id": ' + b"9" * 5000 + b"}"),
    "long": lambda _: itertools.chain([head("200 OK")], itertools.repeat(b"[" * (1 << 16))),
    "other": raw(b'{"id": "' + b"x" * 10_000 + b'"}'),
    "escapes": raw(b'{"id": "\\u001b[2J\\n"}'),
    "names": raw(b'{"id": %d, "files": [{"key": "\\u001b[2J\\nerror: x"}]}' % DEV),
    "size true": listed(size=True),
    "size huge": listed(size=10**400),
    "size nan": listed(size=float("nan")),
    "size text": listed(size="²"),
    "size negative": listed(size=-1),
    "checksum list": listed(checksum=["md5"]),
    "checksum escape": listed(checksum="md4:\x1b[2J"),
    "links list": listed(links=[1]),
    "link number": listed(links={"self": 5.5}),
    "link bad": listed(links={"self": "http://[::1"}),
    "link file": listed(links={"self": f"file:///etc/passwd?token={SECRET}"}),
    "link with password": listed(links={"self": f"http://user:{SECRET}@127.0.0.1:1/x"}),
    "link escape": listed(links={"self": "http://h/\x1b[2J"}),
}
FAULTS = STATUSES | WAITS | WINDOWS | MOVED | LENGTHS | RANGES | BODIES | LISTINGS


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_of_a_service_is_one_line_without_secrets_and_status_2(
    fault: str, download_command: Run, tmp_path: Path
) -> None:
    with RawServer(FAULTS[fault]) as server:
        status, told = download_command(server.url, tmp_path)
    assert status == 2, told
    last = told.strip().splitlines()[-1]
    assert last.startswith((f"error: {server.url}/", f"error: {tmp_path}")), told
    assert sum(line.startswith("error: ") for line in told.splitlines()) == 1
    assert "Traceback" not in told
    assert all(line.isprintable() and len(line) < 900 for line in told.splitlines()), told
    assert SECRET not in told
    assert "hf_ofAnotherService" not in told + "".join(server.asked)
    assert 1 <= len(server.asked) <= 24
    downloads = tmp_path / "dcase2025t2" / "downloads"
    assert not (downloads / "dev_fan.zip.json").exists()


@pytest.mark.parametrize(
    "api",
    [
        *("mirror.example", "http://", "https://[", "ftp://h", "file:///etc/passwd", "http://h:²"),
        *(f"http://user:{SECRET}@127.0.0.1:1", f"http://127.0.0.1:1/?token={SECRET}"),
        *("http://h/\x1b[2J", f"http://user:{SECRET}/x@h", "http://h:99999", "http://h\nX: y"),
    ],
)
def test_an_address_that_is_none_is_one_line_without_secrets(
    api: str, download_command: Run, tmp_path: Path
) -> None:
    status, told = download_command(api, tmp_path)
    assert status == 2
    assert told.startswith("error: archive service '"), told
    assert "expected an address such as https://zenodo.org/api/records" in told
    assert told.count("\n") == 1
    assert told.strip().isprintable()
    assert SECRET not in told


def test_no_repr_shows_a_password_or_what_signs_an_address() -> None:
    assert SECRET not in repr(RecordFile("a.zip", 3, "md5:0", f"https://h/a.zip?token={SECRET}"))
    with pytest.raises(ParameterError) as caught:
        Connection(f"https://user:{SECRET}@host")
    assert SECRET not in repr(caught.value)


def test_a_listing_over_https_whose_files_lie_on_http_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with RawServer(content_of()) as plain:
        link = {"self": f"{plain.url}/content"}
        away = head("302 Found", f"Location: {plain.url}/content")
        for answer in (listed(links=link), lambda asked: away if "content" in asked else listing()):
            with (
                RawServer(answer, certificate) as server,
                pytest.raises(DownloadError, match=r"from https to http://127\.0\.0\.1"),
            ):
                download(
                    *(2025, tmp_path / "data"),
                    parts=["dev"],
                    machines=["fan"],
                    connection=Connection(server.url, tries=1),
                )
    assert plain.asked == []


def test_a_body_without_end_stops_at_the_size_in_the_record(
    tmp_path: Path, download_command: Run
) -> None:
    def endless(asked: str) -> Iterable[bytes]:
        if "/content" not in asked:
            return listing()
        return itertools.chain([head("200 OK")], itertools.repeat(b"x" * (1 << 16)))

    with RawServer(endless) as server:
        status, told = download_command(server.url, tmp_path)
    assert status == 2
    assert f"sends more than {len(CONTENT)} bytes" in told
    assert server.sent < MOST_SENT
    assert (tmp_path / "dcase2025t2/downloads/dev_fan.zip.part").stat().st_size == 0


@pytest.mark.parametrize(
    "name", ["dev_fan.zip.part", "dev_fan.zip.json", ".dev_data-raw-fan.lock", ""]
)
def test_a_link_among_the_downloads_is_refused_and_not_written_through(
    name: str, tmp_path: Path, download_command: Run
) -> None:
    victim = tmp_path / "victim"
    place = tmp_path / "dcase2025t2" / "downloads" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    if name:
        victim.write_text("years of work")
    else:
        victim.mkdir()
    place.symlink_to(victim)
    with RecordServer({DEV: {"dev_fan.zip": CONTENT}}) as server:
        status, told = download_command(server.url, tmp_path)
    assert status == 2
    assert told.splitlines()[-1].startswith(f"error: {place}: a link, expected ")
    assert victim.read_text() == "years of work" if name else not list(victim.iterdir())


def test_a_link_to_an_archive_put_there_by_hand_is_read_and_stays_what_it_is(
    tmp_path: Path,
) -> None:
    import io
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("fan/train/a.wav", b"sound")
    (tmp_path / "archive.zip").write_bytes(packed.getvalue())
    downloads = tmp_path / "dcase2025t2" / "downloads"
    downloads.mkdir(parents=True)
    (downloads / "dev_fan.zip").symlink_to(tmp_path / "archive.zip")
    with RecordServer({DEV: {"dev_fan.zip": packed.getvalue()}}) as server:
        download(
            *(2025, tmp_path), parts=["dev"], machines=["fan"], connection=Connection(server.url)
        )
    assert (tmp_path / "archive.zip").read_bytes() == packed.getvalue()
    assert (tmp_path / "dcase2025t2/dev_data/raw/fan/train/a.wav").read_bytes() == b"sound"


@pytest.mark.parametrize(
    "marker",
    [
        b"[" * 200_000,
        b'{"schema": 1, "record": 15097779, "files": {"a": Infinity}}',
        b'{"schema": 1, "record": 15097779, "files": {"\\u0000": 1}}',
        b'{"schema": 1, "record": 15097779, "files": {"' + b"x" * 5000 + b'": 1}}',
        b'{"schema": 1, "record": 15097779, "files": {"a": "\xc2\xb2"}}',
        b"\xff",
    ],
)
def test_a_garbled_marker_counts_as_none(marker: bytes, tmp_path: Path) -> None:
    place = tmp_path / "dcase2025t2" / "downloads" / "dev_fan.zip.json"
    place.parent.mkdir(parents=True)
    place.write_bytes(marker)
    with RecordServer({}) as server, pytest.raises((DownloadError, OutputError), match="not there"):
        download(
            *(2025, tmp_path), parts=["dev"], machines=["fan"], connection=Connection(server.url)
        )
