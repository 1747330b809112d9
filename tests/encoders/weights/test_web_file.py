"""A file of a release comes whole and checked, goes on where it stopped, and gets no token."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("huggingface_hub")

from tests.encoders import official_files as official  # noqa: E402
from tests.encoders.hub_server import Hub, serving  # noqa: E402

from firstshot.encoders import load_encoder  # noqa: E402
from firstshot.encoders.weights import hub as download  # noqa: E402
from firstshot.encoders.weights.cache import read_pointer, weights_folder  # noqa: E402
from firstshot.encoders.weights.catalog import ENCODERS, WebFile  # noqa: E402
from firstshot.encoders.weights.find import fetch  # noqa: E402
from firstshot.encoders.weights.web_file import fetch_web_file  # noqa: E402
from firstshot.errors import DownloadError  # noqa: E402

PLACE = "fschmid56/EfficientAT/v0.0.1/mn04.pt"
NAME = "efficientat_mn04"
NO_WAIT = SimpleNamespace(sleep=lambda seconds: None, time=time.time)


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A server of the mini mn04's file, to which the catalogue points; nothing is pinned."""
    official.use_mini(monkeypatch, tmp_path / "cache")
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("huggingface_hub.file_download.time", NO_WAIT)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 10_000)
    content = official.write(NAME, tmp_path).read_bytes()
    with serving({PLACE: content}) as server:
        point_to(monkeypatch, WebFile(f"{server.url}/storage/{PLACE}"))
        yield server


def point_to(monkeypatch: pytest.MonkeyPatch, file: WebFile) -> WebFile:
    monkeypatch.setitem(ENCODERS, NAME, replace(official.MINI[NAME], files={"finetuned": file}))
    return file


def pinned(server: Hub) -> WebFile:
    content = server.files[PLACE]
    digest = hashlib.sha256(content).hexdigest()
    return WebFile(f"{server.url}/storage/{PLACE}", digest, len(content))


def test_a_name_alone_is_fetched_once_checked_and_converted(release: Hub, tmp_path: Path) -> None:
    encoder = load_encoder(NAME)
    by_file = load_encoder(NAME, weights=official.write(NAME, tmp_path))
    assert encoder.fingerprint == by_file.fingerprint
    pointer = read_pointer(ENCODERS[NAME])
    assert pointer is not None
    assert pointer.source == f"{release.url}/storage/{PLACE}"
    assert pointer.source_sha256 == hashlib.sha256(release.files[PLACE]).hexdigest()
    release.asked.clear()
    assert load_encoder(NAME).fingerprint == encoder.fingerprint
    fetch(ENCODERS[NAME])
    assert release.asked == []
    assert not list(weights_folder().rglob("*.part"))


def test_a_pinned_file_is_asked_for_once(release: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    point_to(monkeypatch, pinned(release))
    load_encoder(NAME)
    assert len(release.gets()) == 1


def test_another_content_than_the_pinned_one_is_deleted(
    release: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_to(monkeypatch, replace(pinned(release), sha256="0" * 64))
    with pytest.raises(DownloadError, match=r"SHA-256 \w+, expected here 0{64}; it was deleted"):
        load_encoder(NAME)
    assert not list(weights_folder().rglob("*.part"))


@pytest.mark.parametrize("pins", [True, False])
def test_an_interrupted_download_goes_on_where_it_stopped(
    release: Hub, tmp_path: Path, pins: bool
) -> None:
    file = pinned(release) if pins else WebFile(f"{release.url}/storage/{PLACE}")
    content, folder = release.files[PLACE], tmp_path / "downloads"
    announced = [] if pins else [len(content)]
    release.cuts[:] = [*announced, 30_000, *[0] * 30]
    with pytest.raises(DownloadError, match=r"broke off at \d+ of \d+ bytes"):
        fetch_web_file(replace(file, size=len(content) if pins else None), folder, "ADVICE", True)
    (part,) = folder.glob("*.part")
    have = part.stat().st_size
    assert have >= 30_000
    release.cuts.clear()
    release.asked.clear()
    found = fetch_web_file(file, folder, "ADVICE", quiet=True)
    assert found.path.read_bytes() == content
    assert release.gets()[-1] == f"bytes={have}-"


def test_what_is_not_there_or_not_reached_is_one_line_with_a_way_out(
    release: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file, reason in (
        (WebFile(f"{release.url}/storage/gone.pt"), r"not to be had there \(HTTP 404\)"),
        (WebFile(f"{release.url}/storage/gone.pt", "0" * 64, 9), r"not to be had there \(HTTP 404"),
        (WebFile("http://127.0.0.1:9/mn04.pt"), "cannot be reached"),
        (WebFile("http://127.0.0.1:9/mn04.pt", "0" * 64, 9), "cannot be reached"),
    ):
        with pytest.raises(DownloadError, match=rf"{reason}.*proxy, or ADVICE") as caught:
            fetch_web_file(file, tmp_path / "downloads", "ADVICE", quiet=True)
        assert "HF_" not in str(caught.value)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE forbids to fetch it"):
        load_encoder(NAME)


def test_no_token_is_sent_to_a_release(release: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HF_ENDPOINT", release.url)
    load_encoder(NAME)
    assert release.tokens
    assert {token for _, token in release.tokens} == {None}
