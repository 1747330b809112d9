"""Loading a detector contacts nobody, and opens nothing but plain files of weights."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.detector.file.test_manifest import contents, write  # noqa: E402
from tests.encoders import official_files as official  # noqa: E402

import firstshot  # noqa: E402
from firstshot.encoders import load_encoder  # noqa: E402
from firstshot.encoders.weights import find  # noqa: E402
from firstshot.encoders.weights.catalog import ENCODERS  # noqa: E402
from firstshot.encoders.weights.find import keep_file  # noqa: E402
from firstshot.errors import DetectorFileError, FirstshotError, WeightsError  # noqa: E402

NOISE = (0.1 * np.random.default_rng(0).standard_normal((12, 32000))).astype(np.float32)
CLIPS = [(samples, 16000) for samples in NOISE]


@pytest.fixture(autouse=True)
def _mini(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    official.use_mini(monkeypatch, tmp_path / "cache")
    monkeypatch.setattr(find, "fetch_file", lambda *_: pytest.fail("the hub was asked"))


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


def test_other_weights_than_the_detector_was_made_with_are_refused(
    saved: Path, tmp_path: Path
) -> None:
    other = {k: v + 0.01 for k, v in official.ced_hub().items()}
    file = official.write_content(other, tmp_path / "other.safetensors")
    with pytest.raises(DetectorFileError, match="other weights or settings"):
        firstshot.Detector.load(from_elsewhere(saved, weights=str(file)))


@pytest.mark.parametrize("place", ["http://127.0.0.1:9/weights.pt", "//host/share/weights.pt", 7])
def test_an_address_in_the_place_of_a_path_is_not_asked(saved: Path, place: Any) -> None:
    path = from_elsewhere(saved, weights=place)
    assert len(firstshot.Detector.load(path).score(CLIPS[:2])) == 2


def test_how_many_cores_are_used_is_not_for_the_file_to_say(saved: Path) -> None:
    path = from_elsewhere(saved, threads=10**9, workers=10**9)
    assert len(firstshot.Detector.load(path).score(CLIPS[:2])) == 2


@pytest.mark.parametrize("place", ["folder", "pipe", "gone"])
def test_what_is_no_plain_file_is_not_opened(saved: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    path = from_elsewhere(saved, weights=str(tmp_path / place))
    assert len(firstshot.Detector.load(path).score(CLIPS[:2])) == 2


def test_weights_are_opened_again_where_they_lay(tmp_path: Path) -> None:
    file = official.write("ced_tiny", tmp_path)
    detector = firstshot.Detector("ced_tiny", encoder_settings={"weights": str(file)}).fit(CLIPS)
    detector.save(tmp_path / "fan.firstshot")
    loaded = firstshot.Detector.load(tmp_path / "fan.firstshot")
    np.testing.assert_array_equal(loaded.score(CLIPS[:2]), detector.score(CLIPS[:2]))


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
