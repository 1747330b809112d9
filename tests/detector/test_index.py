"""A detector with an approximate index: fitted, saved, loaded, and refused without its library."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from firstshot.cli import main
from firstshot.detector import Detector, saving
from firstshot.detector.embedding import EmbeddedClip
from firstshot.errors import FirstshotWarning, LibraryError, ParameterError
from firstshot.scoring import approximate

pytest.importorskip("faiss")
CLIPS, WIDTHS = 400, (144, 192)


def embedded(seed, count):
    """Clips as logmel gives them, but scattered, so that lists miss some."""
    rng = np.random.default_rng(seed)
    layers = [rng.standard_normal((count, 1, width)).astype(np.float32) for width in WIDTHS]
    spectrum = np.zeros((1, WIDTHS[0]), dtype=np.float32)
    return [
        EmbeddedClip(f"{seed}_{i}.wav", f"{seed} {i}", (0.0,), tuple(rows), spectrum)
        for i, rows in enumerate(zip(*layers, strict=True))
    ]


def fitted(index):
    detector = Detector(layers=[1, 2], transform="none", index=index)
    return detector.fit_embedded(embedded(1, CLIPS), embedded(2, 30))


def scores(detector, clips):
    return [result.score for result in detector.predict_embedded(clips)]


@pytest.fixture
def coarse(monkeypatch):
    """Lists for small banks, only the nearest few of which are looked into."""
    monkeypatch.setattr(approximate, "LEAST_MEMBERS", 100)
    monkeypatch.setattr(approximate, "PROBES", (3,))


def test_what_is_fitted_is_exact_and_queries_are_not(coarse):
    exact, clips = fitted("exact"), embedded(3, 60)
    with pytest.warns(FirstshotWarning, match="the source bank has a recall of"):
        detector = fitted("faiss")
    np.testing.assert_array_equal(detector.training_scores_, exact.training_scores_)
    assert detector.threshold_ == exact.threshold_
    found, expected = np.array(scores(detector, clips)), np.array(scores(exact, clips))
    assert (found >= expected).all()
    assert (found > expected).any()
    assert exact.recall_ is None
    assert 0 < detector.recall_ < 0.95
    assert detector.recall_ == min(part.recall for part in detector.parts_)


@pytest.mark.filterwarnings("ignore:index faiss")
def test_a_loaded_detector_has_the_same_index(coarse, tmp_path, recwarn):
    detector, clips = fitted("faiss"), embedded(3, 60)
    detector.save(tmp_path / "fan.firstshot")
    recwarn.clear()
    loaded = Detector.load(tmp_path / "fan.firstshot")
    assert not recwarn.list
    assert loaded.index == "faiss"
    assert loaded.recall_ == detector.recall_
    assert loaded.predict_embedded(clips) == detector.predict_embedded(clips)


def test_the_self_check_does_not_rest_on_what_the_index_finds(coarse):
    with pytest.warns(FirstshotWarning, match="has a recall of"):
        detector = fitted("faiss")
    assert saving.self_check(detector) == saving.self_check(fitted("exact"))


def test_a_small_bank_scores_exactly_with_any_index():
    detector, clips = fitted("faiss"), embedded(3, 60)
    assert detector.recall_ is None
    assert scores(detector, clips) == scores(fitted("exact"), clips)


def test_an_unknown_index_is_refused_before_a_clip_is_read():
    with pytest.raises(ParameterError, match="index 'hnsw' is not known; choose one of exact"):
        Detector(index="hnsw").hear()


def test_without_faiss_neither_fit_nor_load_goes_on(monkeypatch, tmp_path):
    fitted("faiss").save(tmp_path / "fan.firstshot")
    fitted("exact").save(tmp_path / "exact.firstshot")
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert Detector.load(tmp_path / "exact.firstshot").index == "exact"
    for go in (lambda: fitted("faiss"), lambda: Detector.load(tmp_path / "fan.firstshot")):
        with pytest.raises(LibraryError, match=r"run `pip install 'firstshot\[faiss\]'`"):
            go()


def test_the_command_line_says_in_one_line_that_faiss_is_missing(monkeypatch, capsys, tmp_path):
    fitted("faiss").save(tmp_path / "fan.firstshot")
    monkeypatch.setitem(sys.modules, "faiss", None)
    words = ["firstshot", "score", str(tmp_path / "fan.firstshot"), str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: the index faiss needs the library faiss")
