"""A trained network is an encoder wherever one is named, and travels in the detector file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from tests.encoders.test_trained import write

from firstshot import Detector, View, load_encoder
from firstshot.detector.views import name_of_views, read_views
from firstshot.errors import DetectorFileError, ParameterError
from firstshot.store import EmbeddingStore

RATE = 16000
pytestmark = pytest.mark.filterwarnings("ignore::firstshot.errors.FirstshotWarning")


def sounds(count: int, seed: int = 0) -> list[tuple[np.ndarray, int]]:
    draw = np.random.default_rng(seed)
    return [(0.1 * draw.standard_normal(RATE), RATE) for _ in range(count)]


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    return write("tiny", tmp_path)


def joined(path: Path, preset: str = "recommended") -> str:
    return f"{preset} + trained:{path}"


def test_a_trained_view_joins_a_preset_and_is_standardised_like_the_others(trained: Path) -> None:
    detector = Detector(views=joined(trained)).fit(sounds(12))
    (result,) = detector.predict(sounds(1, 5))
    assert list(result.parts) == ["bands", "fine bands", "change", "lines", "trained my"]
    assert result.score == pytest.approx(np.mean(list(result.parts.values())))
    assert detector.fitted_.recipe.standardized
    (view,) = read_views(joined(trained))[4:]
    assert (view.metric, view.normalizer, view.standardize) == ("cosine", "density", True)


def test_the_other_views_score_what_they_score_without_it(trained: Path) -> None:
    with_it = Detector(views=joined(trained)).fit(sounds(12)).predict(sounds(1, 5))[0].parts
    without = Detector(views="recommended").fit(sounds(12)).predict(sounds(1, 5))[0].parts
    assert {name: with_it[name] for name in without} == without


@pytest.mark.parametrize("as_view", [False, True])
def test_a_saved_detector_needs_no_other_file(trained: Path, tmp_path: Path, as_view: bool) -> None:
    how = {"views": joined(trained)} if as_view else {"encoder": str(trained)}
    detector = Detector(**how).fit(sounds(12))
    expected = detector.score(sounds(3, 5))
    detector.save(tmp_path / "fan.firstshot")
    trained.unlink()
    again = Detector.load(tmp_path / "fan.firstshot")
    np.testing.assert_array_equal(again.score(sounds(3, 5)), expected)
    # and what was loaded is saved whole again
    again.save(tmp_path / "copy.firstshot")
    third = Detector.load(tmp_path / "copy.firstshot")
    np.testing.assert_array_equal(third.score(sounds(3, 5)), expected)


def test_a_file_of_this_machine_is_not_opened_for_a_detector_file(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A detector file may come from anyone, and may not say what else is read."""
    monkeypatch.setattr("firstshot.detector.saving.ENCODER_FILE", "part_0.transform.")
    monkeypatch.chdir(tmp_path)
    Detector(encoder="my.safetensors").fit(sounds(12)).save(tmp_path / "fan.firstshot")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DetectorFileError, match=r"encoder 'my.safetensors', which is not known"):
        Detector.load(tmp_path / "fan.firstshot")


def test_a_given_encoder_takes_the_place_of_the_one_inside(trained: Path, tmp_path: Path) -> None:
    Detector(encoder=str(trained)).fit(sounds(12)).save(tmp_path / "fan.firstshot")
    Detector.load(tmp_path / "fan.firstshot", encoder=load_encoder(str(trained)))
    other = write("tiny", tmp_path, "other.safetensors", seed=1)
    with pytest.raises(DetectorFileError, match="of other weights or settings"):
        Detector.load(tmp_path / "fan.firstshot", encoder=load_encoder(str(other)))


def test_another_training_has_other_entries_in_the_store(trained: Path, tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path / "store")
    first = Detector(encoder=str(trained)).fit(sounds(9), store=store).score(sounds(2, 5))
    write("tiny", tmp_path, seed=1)
    second = Detector(encoder=str(trained)).fit(sounds(9), store=store).score(sounds(2, 5))
    assert store.summary().entries == 18
    assert not np.array_equal(first, second)


def test_a_view_that_is_no_trained_file_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"view 'trained:my.pt' is not known; name a file of"):
        read_views("recommended + trained:my.pt")
    with pytest.raises(ParameterError, match=r"preset 'trained:my.safetensors' is not known"):
        read_views("trained:my.safetensors")


def test_two_views_of_one_file_are_refused(trained: Path) -> None:
    with pytest.raises(ParameterError, match="two views are called 'trained my'"):
        read_views(f"{joined(trained)} + trained:{trained}")


def test_two_files_of_one_name_are_refused(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = write("tiny", tmp_path / "other", seed=1)
    views = [View(str(trained), name="one"), View(str(other), name="two")]
    with pytest.raises(ParameterError, match="two trained encoders are called my"):
        Detector(views=views).fit(sounds(9))


def test_a_set_of_views_has_a_name_without_folders_and_spaces() -> None:
    found = name_of_views("recommended + trained:/a/my fan.safetensors")
    assert found == "recommended+trained_my_fan"
    assert name_of_views("embedded") == "embedded"
