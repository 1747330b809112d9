"""Embeddings without a fit: the numbers of the encoder, as a table and as a file."""

from __future__ import annotations

import numpy as np
import pytest

import firstshot
from firstshot.detector.embeddings import is_embeddings_file
from firstshot.errors import DatasetError

RATE = 16000
CLIPS = 0.1 * np.random.default_rng(0).standard_normal((5, RATE)).astype(np.float32)


def test_the_rows_are_the_encoders_own():
    found = firstshot.embed(CLIPS[:3], CLIPS[3:], layers=[1, 2], sample_rate=RATE)
    expected = firstshot.load_encoder("logmel").embed(CLIPS, layers=[1, 2])
    for layer, rows in zip((1, 2), expected, strict=True):
        np.testing.assert_array_equal(found.layers[layer], rows)
    assert found.domains == ("source",) * 3 + ("target",) * 2
    assert found.encoder == "logmel"
    assert found.starts.tolist() == [0.0] * 5


def test_a_window_has_a_row_of_its_own():
    found = firstshot.embed(CLIPS[:2], length="windows:0.5", sample_rate=RATE)
    assert found.starts.tolist() == [0.0, 0.5, 0.0, 0.5]
    assert len(set(found.names)) == 2


def test_a_file_is_read_by_numpy_without_pickle(tmp_path):
    found = firstshot.embed(CLIPS, sample_rate=RATE)
    found.save(tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz", allow_pickle=False) as kept:
        np.testing.assert_array_equal(kept["layer_1"], found.layers[1])
        assert kept["names"].tolist() == list(found.names)
        assert kept["encoder"].tolist() == [found.encoder, found.fingerprint]
    assert is_embeddings_file(tmp_path / "x.npz")
    np.savez(tmp_path / "y.npz", names=np.zeros(1))
    assert not is_embeddings_file(tmp_path / "y.npz")


def test_a_detector_embeds_before_it_is_fitted():
    (clip, *_) = firstshot.Detector("logmel").embed(CLIPS, sample_rate=RATE)
    np.testing.assert_array_equal(
        clip.layers[0], firstshot.embed(CLIPS[:1], sample_rate=RATE).layers[1]
    )


def test_no_clips_are_refused():
    with pytest.raises(DatasetError, match="no clips to embed"):
        firstshot.embed([], sample_rate=RATE)
