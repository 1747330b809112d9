"""Weights come from the hub whole and checked, or one line says why not."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("huggingface_hub")

from tests.encoders import official_files as official  # noqa: E402
from tests.encoders.hub_server import COMMIT, Hub, serving  # noqa: E402

from firstshot.encoders import load_encoder  # noqa: E402
from firstshot.encoders.weights import hub as fetch  # noqa: E402
from firstshot.encoders.weights.cache import read_pointer, weights_folder  # noqa: E402
from firstshot.encoders.weights.catalog import ENCODERS, HubFile  # noqa: E402
from firstshot.encoders.weights.find import fetch as fetch_weights  # noqa: E402
from firstshot.encoders.weights.find import keep_file  # noqa: E402
from firstshot.errors import DownloadError, OutputError, WeightsError  # noqa: E402

CED, EAT = "mispeech/ced-tiny", "worstchan/EAT-base_epoch30"
BYTES = 400_000
"""Of the made-up content of the tests that look at bytes alone."""
CHUNK = 10_000
"""Bytes that the library collects before it writes them; the tests cut between two chunks."""
NO_WAIT = SimpleNamespace(sleep=lambda seconds: None, time=time.time)
FILE = HubFile("someone/some-model")


@pytest.fixture(autouse=True)
def _mini(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    official.use_mini(monkeypatch, tmp_path / "cache")
    monkeypatch.setattr(fetch, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", CHUNK)
    monkeypatch.setattr("huggingface_hub.file_download.time", NO_WAIT)
    monkeypatch.setattr("huggingface_hub.utils._http.time", NO_WAIT)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub that holds the mini CED, the mini EAT's two variants, and a file of noise."""
    names = {
        f"{CED}/model.safetensors": ("ced_tiny", "hub.safetensors"),
        f"{EAT}_finetune_AS2M/model.safetensors": ("eat", "finetuned.safetensors"),
        f"{EAT}_pretrain/model.safetensors": ("eat", "pretrained.safetensors"),
    }
    files = {k: official.write(n, tmp_path, f).read_bytes() for k, (n, f) in names.items()}
    files["someone/some-model/model.safetensors"] = noise(0)
    with serving(files) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url + "/")
        yield hub


def noise(seed: int, size: int = BYTES) -> bytes:
    return b"".join(hashlib.sha256(b"%d %d" % (seed, i)).digest() for i in range(size // 32))


def fetched(tmp_path: Path, file: HubFile = FILE) -> fetch.Fetched:
    return fetch.fetch_file(file, tmp_path / "downloads", "give it as weights=PATH")


def parts() -> list[str]:
    return sorted(path.name for path in weights_folder().rglob("*.part"))


# The whole way


def test_a_name_alone_is_fetched_once_checked_and_converted(hub: Hub, tmp_path: Path) -> None:
    encoder = load_encoder("ced_tiny")
    assert encoder.fingerprint == (
        load_encoder("ced_tiny", weights=official.write("ced_tiny", tmp_path)).fingerprint
    )
    assert len(hub.gets()) == 1
    pointer = read_pointer(ENCODERS["ced_tiny"])
    assert pointer is not None
    assert COMMIT in pointer.source
    assert (
        pointer.source_sha256 == hashlib.sha256(hub.files[f"{CED}/model.safetensors"]).hexdigest()
    )
    assert parts() == []
    hub.asked.clear()
    assert load_encoder("ced_tiny").fingerprint == encoder.fingerprint
    fetch_weights(ENCODERS["ced_tiny"])
    assert hub.asked == []


def test_variants_are_kept_apart(hub: Hub) -> None:
    usual = load_encoder("eat")
    assert load_encoder("eat", variant="finetuned").fingerprint == usual.fingerprint
    assert len(hub.gets()) == 1
    load_encoder("eat", variant="pretrained")
    assert [path for _, path, _ in hub.asked if "pretrain" in path]
    assert {path.name for path in weights_folder().glob("*.json")} == {
        "eat.json",
        "eat.pretrained.json",
    }


def test_a_damaged_entry_is_fetched_again(hub: Hub) -> None:
    fingerprint = load_encoder("ced_tiny").fingerprint
    (entry,) = weights_folder().glob("*.safetensors")
    entry.write_bytes(entry.read_bytes()[:-4])
    assert load_encoder("ced_tiny").fingerprint == fingerprint
    assert len(hub.gets()) == 2


def test_two_that_want_the_same_fetch_it_once(hub: Hub) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(load_encoder("ced_tiny").fingerprint))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert len(hub.gets()) == 1


def test_evaluation_weights_are_never_fetched(hub: Hub) -> None:
    for action in (
        lambda: load_encoder("m2d_clap"),
        lambda: fetch_weights(ENCODERS["m2d_clap"]),
        lambda: fetch_weights(ENCODERS["beats_ft1"]),
    ):
        with pytest.raises(WeightsError, match="by hand from"):
            action()
    assert hub.asked == []


@pytest.mark.parametrize("through_redirect", [True, False])
def test_the_content_is_the_hub_s_with_or_without_a_redirect(
    hub: Hub, through_redirect: bool, tmp_path: Path
) -> None:
    hub.through_redirect = through_redirect
    found = fetched(tmp_path)
    assert found.path.read_bytes() == noise(0)
    assert found.source == f"{hub.url}/{FILE.repo}/resolve/main/{FILE.file} at commit {COMMIT}"


def test_a_token_goes_to_the_hub_and_not_to_its_storage(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_made_up")
    fetched(tmp_path)
    assert {(path.startswith("/storage/"), token) for path, token in hub.tokens} == {
        (False, "Bearer hf_made_up"),
        (True, None),
    }


# Interrupted downloads


@pytest.mark.parametrize("through_redirect", [True, False])
def test_a_broken_connection_is_taken_up_where_it_broke(
    hub: Hub, through_redirect: bool, tmp_path: Path
) -> None:
    hub.through_redirect = through_redirect
    hub.cuts = [100_000, 0, 150_000]
    assert fetched(tmp_path).path.read_bytes() == noise(0)
    assert hub.gets() == [None, "bytes=100000-", "bytes=100000-", "bytes=250000-"]


def test_a_later_run_goes_on_where_an_earlier_one_stopped(hub: Hub, tmp_path: Path) -> None:
    hub.cuts = [120_000] + [0] * 5
    with pytest.raises(DownloadError, match=r"broke off at 120000 of 400000 bytes .* goes on"):
        fetched(tmp_path)
    hub.asked.clear()
    assert fetched(tmp_path).path.read_bytes() == noise(0)
    assert hub.gets() == ["bytes=120000-"]


def test_an_interrupted_run_leaves_what_it_had(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = fetch.PartFile.write

    def interrupt(part: fetch.PartFile, data: bytes) -> int:
        write(part, data)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(fetch.PartFile, "write", interrupt)
        fetched(tmp_path)
    hub.asked.clear()
    assert fetched(tmp_path).path.read_bytes() == noise(0)
    assert hub.gets() == [f"bytes={CHUNK}-"]


def test_a_server_that_cannot_resume_is_asked_for_all_of_it_again(hub: Hub, tmp_path: Path) -> None:
    hub.ranges = False
    hub.cuts = [100_000]
    assert fetched(tmp_path).path.read_bytes() == noise(0)
    assert len(hub.gets()) == 2


def test_a_mirror_that_announces_no_size_is_asked_for_all_of_it(hub: Hub, tmp_path: Path) -> None:
    hub.through_redirect = hub.announce_size = False
    hub.cuts = [100_000]
    assert fetched(tmp_path).path.read_bytes() == noise(0)
    assert hub.gets() == [None, "bytes=100000-"]  # the size came with the first answer
    hub.asked.clear()
    assert fetched(tmp_path).path.read_bytes() == noise(0)
    assert hub.gets() == [None]


def test_what_was_begun_of_an_older_file_is_not_gone_on_with(hub: Hub, tmp_path: Path) -> None:
    hub.cuts = [100_000] + [0] * 5
    with pytest.raises(DownloadError, match="broke off"):
        fetched(tmp_path)
    hub.files["someone/some-model/model.safetensors"] = noise(1)
    hub.asked.clear()
    assert fetched(tmp_path).path.read_bytes() == noise(1)
    assert hub.gets() == [None]


@pytest.mark.parametrize("status", [503, 429, 500])
def test_a_busy_server_is_asked_again(hub: Hub, status: int, tmp_path: Path) -> None:
    hub.statuses = [status, status]
    assert fetched(tmp_path).path.read_bytes() == noise(0)
    hub.statuses = [status] * 50
    with pytest.raises(DownloadError, match=f"the server is busy \\({status}\\)"):
        fetched(tmp_path / "other")


# Wrong content


def test_another_content_than_announced_is_deleted(hub: Hub, tmp_path: Path) -> None:
    hub.served = noise(1)
    with pytest.raises(DownloadError, match=r"content has SHA-256 .* announced .* deleted"):
        fetched(tmp_path)
    assert list((tmp_path / "downloads").iterdir()) == []


def test_a_known_checksum_size_or_commit_is_held_against_the_hub(hub: Hub, tmp_path: Path) -> None:
    digest = hashlib.sha256(noise(0)).hexdigest()
    assert fetched(tmp_path, replace(FILE, sha256=digest, size=BYTES, revision=COMMIT))
    for known, reason in (
        ({"sha256": "0" * 64}, "expected here 0000"),
        ({"size": 5}, "400000 bytes, expected 5"),
    ):
        with pytest.raises(DownloadError, match=reason):
            fetched(tmp_path, replace(FILE, **known))
        assert list((tmp_path / "downloads").iterdir()) == []
    with pytest.raises(DownloadError, match="HTTP 404"):
        fetched(tmp_path, replace(FILE, revision="f" * 40))
    hub.claimed_commit = "e" * 40
    with pytest.raises(DownloadError, match=f"server has commit {'e' * 40}, expected {COMMIT}"):
        fetched(tmp_path, replace(FILE, revision=COMMIT))


def test_the_file_of_another_encoder_is_refused_and_not_kept(hub: Hub) -> None:
    hub.files[f"{CED}/model.safetensors"] = hub.files[f"{EAT}_pretrain/model.safetensors"]
    with pytest.raises(WeightsError, match="not those of ced_tiny"):
        load_encoder("ced_tiny")
    assert parts() == []
    assert read_pointer(ENCODERS["ced_tiny"]) is None


def test_a_web_page_instead_of_the_content_is_named(hub: Hub) -> None:
    hub.files[f"{CED}/model.safetensors"] = b"<!DOCTYPE html><html>Sign in</html>"
    hub.announce_digest = False
    with pytest.raises(WeightsError, match="a web page"):
        load_encoder("ced_tiny")
    assert parts() == []


def test_a_login_page_instead_of_the_hub_is_named(hub: Hub) -> None:
    hub.login_page = True
    with pytest.raises(DownloadError, match=r"no ETag, .* login page or a firewall.*weights=PATH"):
        load_encoder("ced_tiny")


def test_a_file_that_the_hub_does_not_have_is_named(hub: Hub) -> None:
    with pytest.raises(
        DownloadError, match=r"resolve/main/model.safetensors: .*HTTP 404"
    ) as caught:
        load_encoder("sslam")
    assert "get model.safetensors from huggingface.co/ta012/SSLAM_AS2M_Finetuned" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)


# No network, no space


def test_without_a_network_one_line_says_what_can_be_done(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(DownloadError, match=r"cannot be reached .*refused.* HF_ENDPOINT") as caught:
        load_encoder("ced_tiny")
    assert "\n" not in str(caught.value)
    assert "weights=PATH" in str(caught.value)


def test_offline_mode_asks_nobody_and_takes_what_the_cache_has(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE forbids"):
        load_encoder("ced_tiny")
    assert hub.asked == []
    monkeypatch.delenv("HF_HUB_OFFLINE")
    fingerprint = load_encoder("ced_tiny").fingerprint
    monkeypatch.setenv("HF_HUB_OFFLINE", "true")
    hub.asked.clear()
    assert load_encoder("ced_tiny").fingerprint == fingerprint
    assert hub.asked == []


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let the system refuse to let a file grow beyond that many bytes, as a full disk does."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_is_named_and_the_download_goes_on_later(
    hub: Hub, tmp_path: Path
) -> None:
    with files_of_at_most(50_000), pytest.raises(OutputError, match=r"cannot .* FIRSTSHOT_CACHE"):
        fetched(tmp_path)
    hub.asked.clear()
    assert fetched(tmp_path).path.read_bytes() == noise(0)
    assert hub.gets() == ["bytes=50000-"]


def test_too_little_space_is_seen_before_the_download(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    with pytest.raises(OutputError, match="0 MB are free, expected"):
        load_encoder("ced_tiny")
    assert hub.gets() == []


def test_a_disk_that_fills_up_at_the_conversion_is_named_and_leaves_no_part(
    hub: Hub, tmp_path: Path
) -> None:
    file = official.write("ced_tiny", tmp_path)
    with (
        files_of_at_most(50_000),
        pytest.raises(OutputError, match=r"cannot be written .*FIRSTSHOT_CACHE"),
    ):
        keep_file(ENCODERS["ced_tiny"], file)
    assert list(weights_folder().iterdir()) == []


def test_a_cache_that_is_no_folder_is_named(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FIRSTSHOT_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="set FIRSTSHOT_CACHE to another folder"):
        load_encoder("ced_tiny")
    assert hub.gets() == []


# The hub's own client: the server satisfies it, and what it keeps is found

CLIENT = """
import json, sys
from huggingface_hub import hf_hub_download
print(hf_hub_download(sys.argv[1], "model.safetensors", revision=sys.argv[2]))
"""


@pytest.mark.parametrize("revision", ["main", COMMIT])
def test_what_the_hub_s_own_client_keeps_is_taken_without_a_network(
    hub: Hub, revision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, CED, revision], capture_output=True, text=True, check=True
    )
    kept = Path(done.stdout.strip().splitlines()[-1])
    assert kept.read_bytes() == hub.files[f"{CED}/model.safetensors"]

    record = official.MINI["ced_tiny"]
    if revision == COMMIT:
        pinned = {"finetuned": replace(record.files["finetuned"], revision=COMMIT)}
        monkeypatch.setitem(ENCODERS, "ced_tiny", replace(record, files=pinned))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.asked.clear()
    load_encoder("ced_tiny")
    assert hub.asked == []
    assert kept.exists()
    pointer = json.loads((weights_folder() / "ced_tiny.json").read_text())
    assert pointer["source"] == f"{CED}/model.safetensors at commit {COMMIT}"


def test_progress_is_shown_on_a_terminal_only(
    hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fetched(tmp_path)
    assert "".join(capfd.readouterr()) == ""
