"""The library talks to the hub under our rules: no secret leaves, nothing else of it changes."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

huggingface_hub = pytest.importorskip("huggingface_hub")

from tests.raw_server import RawServer, head, locals_of  # noqa: E402

from firstshot.encoders.weights.hub_session import (  # noqa: E402
    PartFile,
    Source,
    ask,
    headers_to_send,
)
from firstshot.errors import DownloadError, MissingLibraryError, ParameterError  # noqa: E402

TOKEN = "hf_madeUpForTheTests"


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    huggingface_hub.close_session()


def source_of(url: str) -> Source:
    return Source(f"{url}/a/b/resolve/main/file", url, "give it as weights=PATH")


def fetch(url: str) -> object:
    source = source_of(url)
    return ask(
        source,
        lambda hub: hub.get_hf_file_metadata(source.url, token=False, headers=headers_to_send()),
    )


@pytest.mark.parametrize("token", ["hf_a\nb", "hf_a\r\nX: y", "hf a", "hf_\x7f", "hf_ü"])
def test_a_token_that_cannot_be_one_is_refused_without_being_shown(
    token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with RawServer(lambda _: b"") as server, pytest.raises(ParameterError) as caught:
        fetch(server.url)
    assert str(caught.value).startswith("HF_TOKEN: ")
    assert "\n" not in str(caught.value)
    assert server.asked == []
    assert token not in str(caught.value)
    assert token not in locals_of(caught.value)


def test_a_mirror_s_token_does_not_follow_to_the_hub_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with RawServer(lambda _: head("200 OK", 'ETag: "x"', "Content-Length: 0")) as other:
        # The library trusts the hub's own addresses with any token.
        known = frozenset({("http", "127.0.0.1", int(other.url.rpartition(":")[2]))})
        monkeypatch.setattr("huggingface_hub.utils._http._HUB_ORIGINS", known)
        moved = head("302 Found", f"Location: {other.url}/a/b/resolve/main/file")
        with RawServer(lambda _: moved) as mirror:
            fetch(mirror.url)
    assert TOKEN in mirror.asked[0]
    assert len(other.asked) == 1
    assert TOKEN not in other.asked[0]


def test_no_frame_of_an_error_holds_the_token_or_the_proxy_s_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    errors: list[BaseException] = []
    with RawServer(lambda _: b"garbage\r\n\r\n") as server:
        for proxy in ("", "http://u:S3cret@127.0.0.1:port", "http://u:S3cret@127.0.0.1:1"):
            monkeypatch.setenv("no_proxy", "" if proxy else "127.0.0.1")
            monkeypatch.setenv("http_proxy", proxy)
            huggingface_hub.close_session()
            with pytest.raises(DownloadError) as caught:
                fetch(server.url)
            errors.append(caught.value)
    monkeypatch.delenv("http_proxy")
    huggingface_hub.close_session()
    with (
        (tmp_path / "part").open("a+b", buffering=0) as file,
        RawServer(lambda _: head("200 OK", "Content-Length: 9") + b"123456789") as server,
        pytest.raises(DownloadError, match="sends more than 5 bytes") as caught,
    ):
        part, source = PartFile(file, 5), source_of(server.url)
        ask(
            source,
            lambda hub: hub.file_download.http_get(source.url, part, headers=headers_to_send()),
            part,
        )
    for error in (*errors, caught.value):
        assert TOKEN not in locals_of(error)
        assert "S3cret" not in locals_of(error)
        assert str(error).isprintable()


class Kept(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def test_the_rules_hold_while_a_call_runs_and_no_longer() -> None:
    log, kept = logging.getLogger("huggingface_hub"), Kept()
    log.addHandler(kept)
    try:
        ask(source_of("http://127.0.0.1:1"), lambda hub: log.warning("while it runs"))
        log.warning("afterwards")
    finally:
        log.removeHandler(kept)
    assert kept.lines == ["afterwards"]
    with RawServer(lambda _: head("200 OK", "Content-Length: 0")) as server:
        given = {"Authorization": "Bearer of the user's own"}
        huggingface_hub.get_session().get(f"{server.url}/x", headers=given)
    assert "Bearer of the user's own" in server.asked[0]


def test_without_the_library_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingLibraryError, match=r"pip install 'firstshot\[hub\]'") as caught:
        fetch("http://127.0.0.1:1")
    assert "\n" not in str(caught.value)
