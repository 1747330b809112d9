"""A detector file from anyone makes nothing contacted and nothing opened that nobody asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.detector.test_manifest import contents, write  # noqa: E402
from tests.encoders import official_files as official  # noqa: E402

import firstshot  # noqa: E402
from firstshot.encoders import load_encoder, named_paths, pretrained  # noqa: E402
from firstshot.encoders.catalog import ENCODERS  # noqa: E402
from firstshot.encoders.pretrained import keep_file  # noqa: E402
from firstshot.errors import DetectorFileError, FirstshotError, WeightsError  # noqa: E402

CLIPS = list((0.1 * np.random.default_rng(0).standard_normal((12, 32000))).astype(np.float32))


@pytest.fixture(autouse=True)
def _mini(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    official.use_mini(monkeypatch, tmp_path / "cache")
    monkeypatch.setattr(pretrained, "fetch_file", lambda *_: pytest.fail("the hub was asked"))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Return a detector that was fitted by the name alone."""
    keep_file(ENCODERS["ced_tiny"], official.write("ced_tiny", tmp_path))
    path = tmp_path / "fan.firstshot"
    firstshot.Detector("ced_tiny").fit(CLIPS).save(path)
    return path


def from_elsewhere(saved: Path, **settings: Any) -> Path:
    """Return a detector file whose manifest has other encoder settings, and whose digests hold."""
    members = contents(saved)
    manifest = json.loads(members["manifest.json"])
    manifest["settings"]["encoder_settings"] = settings
    write(saved, members, manifest)
    return saved


def test_loading_a_detector_asks_no_hub_and_says_which_command_does(
    saved: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FIRSTSHOT_CACHE", str(tmp_path / "another"))
    with pytest.raises(WeightsError, match="run `firstshot encoders fetch ced_tiny`, or") as caught:
        firstshot.Detector.load(saved)
    assert str(caught.value).startswith(f"{saved}: ced_tiny: its weights are not on this machine")
    with pytest.raises(WeightsError, match="fetch eat --variant pretrained`"):
        load_encoder("eat", variant="pretrained", fetch_missing=False)


def test_a_path_that_only_the_file_names_is_not_opened(saved: Path, tmp_path: Path) -> None:
    """The file there holds other weights: opening it would be told of by the fingerprint."""
    expected = firstshot.Detector.load(saved).score(CLIPS[:2])
    other = {k: v + 0.01 for k, v in official.ced_hub().items()}
    planted = official.write_content(other, tmp_path / "planted.safetensors")
    path = from_elsewhere(saved, weights=str(planted))
    np.testing.assert_array_equal(firstshot.Detector.load(path).score(CLIPS[:2]), expected)
    named_paths.remember_path(planted)
    with pytest.raises(DetectorFileError, match="other weights or settings"):
        firstshot.Detector.load(path)


def test_a_file_that_would_have_to_be_opened_is_named_with_the_command(
    saved: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = from_elsewhere(saved, weights="/secret/weights.pt")
    monkeypatch.setenv("FIRSTSHOT_CACHE", str(tmp_path / "another"))
    told = r"made with the weights file '/secret/weights.pt'; no file is opened because a detector"
    with pytest.raises(WeightsError, match=told):
        firstshot.Detector.load(path)


@pytest.mark.parametrize("place", ["http://127.0.0.1:9/weights.pt", "//host/share/weights.pt", 7])
def test_an_address_in_the_place_of_a_path_is_not_asked(saved: Path, place: Any) -> None:
    path = from_elsewhere(saved, weights=place)
    assert len(firstshot.Detector.load(path).score(CLIPS[:2])) == 2


def test_how_many_cores_are_used_is_not_for_the_file_to_say(saved: Path) -> None:
    path = from_elsewhere(saved, threads=10**9, workers=10**9)
    assert len(firstshot.Detector.load(path).score(CLIPS[:2])) == 2


def test_weights_that_were_named_here_are_opened_again(tmp_path: Path) -> None:
    file = official.write("ced_tiny", tmp_path)
    detector = firstshot.Detector("ced_tiny", encoder_settings={"weights": str(file)}).fit(CLIPS)
    detector.save(tmp_path / "fan.firstshot")
    loaded = firstshot.Detector.load(tmp_path / "fan.firstshot")
    np.testing.assert_array_equal(loaded.score(CLIPS[:2]), detector.score(CLIPS[:2]))


def test_a_path_counts_as_named_wherever_it_is_told_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not named_paths.was_named("w.pt")
    named_paths.remember_path("w.pt")
    assert named_paths.was_named(tmp_path / "w.pt")
    assert not named_paths.was_named(tmp_path / "other.pt")


@pytest.mark.parametrize(
    "settings",
    [
        {"fixed_samples": "x"},
        {"fixed_samples": -1},
        {"pooled": 3},
        {"micro_batch": "x"},
        {"last_layer": []},
        {"dtype": {}},
        {"device": 5},
        {"runtime": [1]},
        {"precision": 2.5},
        {"variant": 1},
        {"colour": "red"},
    ],
)
def test_settings_of_the_encoder_of_another_type_are_refused(
    saved: Path, settings: dict[str, Any]
) -> None:
    with pytest.raises(FirstshotError) as caught:
        firstshot.Detector.load(from_elsewhere(saved, **settings))
    assert "\n" not in str(caught.value)
