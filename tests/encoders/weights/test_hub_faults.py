"""Whatever a hub does, the program says one line, ends with 2, and shows no secret."""

from __future__ import annotations

import hashlib
import itertools
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
huggingface_hub = pytest.importorskip("huggingface_hub")

from tests.encoders import official_files as official  # noqa: E402
from tests.encoders.hub_server import COMMIT, serving  # noqa: E402
from tests.raw_server import MOST_SENT, RawServer, head, make_certificate  # noqa: E402

from firstshot import cli  # noqa: E402
from firstshot.encoders.weights import hub as fetch  # noqa: E402
from firstshot.encoders.weights.cache import weights_folder  # noqa: E402
from firstshot.encoders.weights.catalog import HubFile  # noqa: E402
from firstshot.errors import DownloadError, OutputError  # noqa: E402

TOKEN = "hf_madeUpForTheTests"
CONTENT = b"weights" * 1000
ETAG = hashlib.sha256(CONTENT).hexdigest()
FILE = HubFile("someone/some-model")


@pytest.fixture(autouse=True)
def _mini(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    official.use_mini(monkeypatch, tmp_path / "cache")
    monkeypatch.setattr(fetch, "PAUSE_SECONDS", 0.0)
    no_wait = SimpleNamespace(sleep=lambda seconds: None, time=time.time)
    monkeypatch.setattr("huggingface_hub.file_download.time", no_wait)
    monkeypatch.setattr("huggingface_hub.utils._http.time", no_wait)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", TOKEN)


Run = Callable[[str], tuple[int, str]]


@pytest.fixture
def fetch_command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run `firstshot encoders fetch ced_tiny` with a hub; gives status and output."""

    def run(endpoint: str) -> tuple[int, str]:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        monkeypatch.setattr(sys, "argv", ["firstshot", "encoders", "fetch", "ced_tiny"])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return int(left.value.code or 0), "".join(capfd.readouterr())

    return run


def fetched(tmp_path: Path) -> bytes:
    file = fetch.fetch_file(FILE, tmp_path / "downloads", "give it as weights=PATH")
    return file.path.read_bytes()


def hub_of(*lines: str, body: bytes = CONTENT, status: str = "200 OK") -> Callable[[str], bytes]:
    """A hub that announces the content as it should and answers GET with these lines and body."""
    announced = head("200 OK", f'ETag: "{ETAG}"', f"Content-Length: {len(CONTENT)}")
    answer = head(status, *lines) + body
    return lambda asked: announced if asked.startswith("HEAD") else answer


def announcing(*lines: str, status: str = "200 OK") -> Callable[[str], bytes]:
    """A hub that answers everything with these lines."""
    return lambda _: head(status, *lines) + CONTENT


def echo(asked: str) -> bytes:
    """Sends back what it was sent, wherever a server can put it."""
    token = asked.partition("Bearer ")[2].partition("\r")[0]
    lines = (f"Location: /{token}", f"ETag: {token}", f"X-Repo-Commit: {token}", f"X: {token}")
    return head(f"400 {token}", *lines, f"Content-Length: {token}")


def echo_elsewhere(asked: str) -> bytes:
    token = asked.partition("Bearer ")[2].partition("\r")[0] or TOKEN
    if asked.startswith("HEAD"):
        size = f"Content-Length: {len(CONTENT)}"
        return head("200 OK", f'ETag: "{token}"', f"X-Repo-Commit: {token}", size)
    return head("302 Found", f"Location: ftp://{token}@{token}/{token}")


BUSY = {f"busy {status}": announcing(status=f"{status} x") for status in (408, 429, 500, 502, 503)}
REFUSED = {f"refused {status}": announcing(status=f"{status} x") for status in (401, 403, 404, 418)}
LENGTHS = {
    f"length {told[:10]}": announcing(f'ETag: "{ETAG}"', f"Content-Length: {told}")
    for told in ("abc", "-1", "²", "9" * 5000, "9" * 15, "1e3", "")
}
LINKED = {
    f"linked {told[:10]}": announcing(
        f'X-Linked-ETag: "{ETAG}"', f"X-Linked-Size: {told}", "Location: /x", status="302 Found"
    )
    for told in ("abc", "-1", "²", "9" * 5000)
}
MOVED = {
    f"moved to {target[:12]}": announcing(f"Location: {target}", status="302 Found")
    for target in (*("/again", "file:///etc/passwd", "ftp://127.0.0.1/x", "", "http://[", "//"),)
}
GET_MOVED = {
    f"content moved to {target[:12]}": hub_of(f"Location: {target}", status="302 Found")
    for target in ("/again", "file:///etc/passwd", "ftp://127.0.0.1/x", "http://h:port", "data:,x")
}
RANGES = {
    f"range {told[:12]}": hub_of(f"Content-Range: {told}", status="206 Partial Content")
    for told in ("", "bytes ²-9/10", "bytes 5-4/9", f"bytes 0-{'9' * 5000}/*", "bytes 3-9/7000")
}
BODIES: dict[str, Callable[[str], bytes]] = {
    "other size": hub_of("Content-Length: 5"),
    "cut": hub_of(f"Content-Length: {len(CONTENT)}", body=CONTENT[:100]),
    "empty": hub_of("Content-Length: 0", body=b""),
    "no content": hub_of(status="204 No Content"),
    "chunks cut": hub_of("Transfer-Encoding: chunked", body=b"ff\r\nhalf"),
    "chunks garbled": hub_of("Transfer-Encoding: chunked", body=b"zz\r\nhalf"),
    "chunk of -1": hub_of("Transfer-Encoding: chunked", body=b"-1\r\n" + CONTENT),
    "other content": hub_of(body=b"W" + CONTENT[1:]),
    "more": hub_of(body=CONTENT + b"x"),
}
NOT_HTTP: dict[str, Callable[[str], bytes]] = {
    "closed": lambda _: b"",
    "noise": lambda _: b"\x00\xff\r\n\r\n",
    "long header": lambda _: b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000,
    "many headers": lambda _: b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    "echo": echo,
    "echo elsewhere": echo_elsewhere,
    "no tag": announcing("Content-Length: 5"),
    "odd tag": announcing('ETag: "../../x"', "Content-Length: 5"),
    "long tag": announcing(f'ETag: "{"a" * 5000}"', "Content-Length: 5"),
}
FAULTS = BUSY | REFUSED | LENGTHS | LINKED | MOVED | GET_MOVED | RANGES | BODIES | NOT_HTTP


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_of_a_hub_is_one_line_without_the_token_and_status_2(
    fault: str, fetch_command: Run
) -> None:
    with RawServer(FAULTS[fault]) as hub:
        status, told = fetch_command(hub.url)
    assert status == 2, told
    assert told.startswith(f"error: {hub.url}/"), told
    assert told.count("\n") == 1, told
    assert told.strip().isprintable()
    assert len(told) < 900
    assert TOKEN not in told
    assert hub.asked, "the hub was never asked"
    assert TOKEN in hub.asked[0]
    assert not list(weights_folder().glob("*.json"))


@pytest.mark.parametrize(
    "endpoint",
    [
        *("hub.example", "http://", "https://[", "ftp://h", "file:///etc/passwd", "http://h:99999"),
        *("http://user:S3cret@127.0.0.1:1", "http://127.0.0.1:1/?token=S3cret", "http://h/\x1b[2J"),
        *("http://user:S3/cret@h", "http://h /x", "http://h:²", "http://h\nX: y", "²"),
    ],
)
def test_a_hub_s_address_that_is_none_is_one_line_without_secrets(
    endpoint: str, fetch_command: Run
) -> None:
    status, told = fetch_command(endpoint)
    assert status == 2
    assert told.startswith("error: HF_ENDPOINT '"), told
    assert "expected an address such as https://huggingface.co" in told
    assert told.count("\n") == 1
    assert told.strip().isprintable()
    assert TOKEN not in told
    assert "cret" not in told


@pytest.mark.parametrize("token", ["hf_made\nup", "hf_made up", "hf_madé", "hf_made\r\nX: y"])
def test_a_token_with_a_line_break_is_one_line_that_does_not_show_it(
    token: str, fetch_command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with RawServer(hub_of()) as hub:
        status, told = fetch_command(hub.url)
    assert (status, hub.asked) == (2, [])
    assert told.startswith("error: HF_TOKEN: holds a line break or another character")
    assert told.count("\n") == 1
    assert "made" not in told


def test_the_line_break_at_the_end_of_a_token_is_no_part_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", f"{TOKEN}\n")
    with RawServer(hub_of(f"Content-Length: {len(CONTENT)}")) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert fetched(tmp_path) == CONTENT
    assert all(f"Bearer {TOKEN}\r\n" in asked for asked in hub.asked)


# Redirects


def test_a_hub_behind_https_that_leads_on_to_http_is_refused(
    fetch_command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    huggingface_hub.close_session()  # it reads the certificates once
    with RawServer(hub_of()) as plain:
        moved = f"Location: {plain.url}/x"
        linked = (f'X-Linked-ETag: "{ETAG}"', f"X-Linked-Size: {len(CONTENT)}", moved)
        same_host = head("200 OK", f'ETag: "{ETAG}"', f"Content-Length: {len(CONTENT)}")
        for answers in (
            {"HEAD": head("302 Found", moved), "GET": b""},
            {"HEAD": head("302 Found", *linked), "GET": b""},
            {"HEAD": same_host, "GET": head("302 Found", moved)},
        ):
            with RawServer(lambda asked, a=answers: a[asked.split()[0]], certificate) as hub:
                status, told = fetch_command(hub.url)
            assert status == 2
            assert f"{hub.url}/" in told
            assert "from https to http://127.0.0.1" in told
            assert TOKEN not in told
            assert TOKEN in hub.asked[0]
    assert plain.asked == []
    huggingface_hub.close_session()


def test_a_repository_that_was_renamed_is_followed_on_the_same_server_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def renamed(asked: str) -> bytes:
        if "/someone/" in asked:
            return head("307 Moved", "Location: /other/renamed")
        return hub_of(f"Content-Length: {len(CONTENT)}")(asked)

    with RawServer(renamed) as hub, RawServer(hub_of()) as other:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert fetched(tmp_path / "same") == CONTENT
        hub.answer = lambda _: head("307 Moved", f"Location: {other.url}/x")
        with pytest.raises(DownloadError, match="no ETag"):
            fetched(tmp_path / "elsewhere")
    assert other.asked == []


# Bodies without end


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_without_end_stops_at_the_announced_size_or_that_of_the_largest_weights(
    announced: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "LARGEST", 1 << 20)
    size = [f"Content-Length: {len(CONTENT)}"] if announced else []

    def endless(asked: str) -> Iterable[bytes]:
        if asked.startswith("HEAD"):
            return head("200 OK", f'ETag: "{ETAG}"', *size)
        return itertools.chain([head("200 OK")], itertools.repeat(b"x" * (1 << 16)))

    with RawServer(endless) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        most = len(CONTENT) if announced else 1 << 20
        with pytest.raises(DownloadError, match=f"sends more than {most} bytes"):
            fetched(tmp_path)
    assert hub.sent < MOST_SENT
    (part,) = (tmp_path / "downloads").iterdir()
    assert part.stat().st_size == 0


# Links


def test_a_link_in_the_place_of_a_part_is_refused_and_not_written_through(
    fetch_command: Run, tmp_path: Path
) -> None:
    victim = tmp_path / "thesis.txt"
    victim.write_text("years of work")
    part = weights_folder() / "downloads" / f"{ETAG}.part"
    part.parent.mkdir(parents=True)
    part.symlink_to(victim)
    with RawServer(hub_of(f"Content-Length: {len(CONTENT)}")) as hub:
        status, told = fetch_command(hub.url)
    assert status == 2
    assert told.startswith(f"error: {part}: a link, expected ")
    assert told.count("\n") == 1
    assert victim.read_text() == "years of work"


@pytest.mark.parametrize("name", ["downloads/ced_tiny.lock", "ced_tiny.json"])
def test_a_link_in_the_place_of_a_file_of_the_cache_is_refused(
    name: str, tmp_path: Path, fetch_command: Run
) -> None:
    content = official.write("ced_tiny", tmp_path).read_bytes()
    place = weights_folder() / name
    place.parent.mkdir(parents=True)
    place.symlink_to(tmp_path / "victim")
    with serving({"mispeech/ced-tiny/model.safetensors": content}) as hub:
        status, told = fetch_command(hub.url)
    assert status == 2
    assert f"{place}: a link" in told
    assert not (tmp_path / "victim").exists()


def test_a_downloads_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "downloads").symlink_to(tmp_path / "elsewhere")
    with RawServer(hub_of()) as hub, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.url)
        with pytest.raises(OutputError, match="downloads: a link"):
            fetched(tmp_path)
    assert list((tmp_path / "elsewhere").iterdir()) == []


# What the hub's own client keeps


@pytest.mark.parametrize(
    "commit", [b"\xff\xfe", b"x" * 5000, b"../../..", b"", b"\x00", COMMIT.encode()]
)
def test_a_garbled_cache_of_the_hub_s_client_counts_as_absent(
    commit: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    refs = tmp_path / "models--someone--some-model" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_bytes(commit)
    assert fetch.find_in_hub_cache(FILE) is None
