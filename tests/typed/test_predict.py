"""What a type checker knows of the public calls: mypy checks this file, and it runs too."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import firstshot
from firstshot import Detector, Ensemble, Result

RATE = 16000


def noise(seed: int, samples: int = 3200) -> NDArray[np.float64]:
    return 0.1 * np.random.default_rng(seed).standard_normal(samples)


@pytest.fixture(scope="module")
def detector() -> Detector:
    normal = [(noise(i), RATE) for i in range(40)]
    return assert_type(Detector(normalizer="none").fit(normal), Detector)


def test_one_clip_gives_a_result_and_several_a_list(detector: Detector, tmp_path: Path) -> None:
    path, clip = tmp_path / "a.wav", noise(99)
    soundfile.write(path, clip, RATE)
    ones = (
        assert_type(detector.predict(path), Result),
        assert_type(detector.predict(str(path)), Result),
        assert_type(detector.predict((clip, RATE)), Result),
        assert_type(detector.predict(io.BytesIO(path.read_bytes())), Result),
    )
    assert all(isinstance(one, Result) for one in ones)
    several = (
        assert_type(detector.predict([path]), list[Result]),
        assert_type(detector.predict([tmp_path, (clip, RATE)]), list[Result]),
        assert_type(detector.predict((clip, RATE) for _ in range(2)), list[Result]),
        assert_type(detector.predict([(clip, RATE)]), list[Result]),
    )
    assert [len(results) for results in several] == [1, 2, 2, 1]
    # Whether an array is one clip or several is known when it comes.
    array = assert_type(detector.predict(clip, sample_rate=RATE), Result | list[Result])
    assert isinstance(array, Result)
    rows = detector.predict(np.stack([clip, clip]), sample_rate=RATE)
    assert isinstance(rows, list)


def test_scores_settings_and_copies_have_types_of_their_own(detector: Detector) -> None:
    scores = assert_type(detector.score_samples([(noise(99), RATE)]), NDArray[np.float64])
    assert scores.shape == (1,)
    assert_type(detector.predict([(noise(99), RATE)])[0].to_dict(), dict[str, Any])
    assert_type(Detector("logmel").set_params(layers=[1]), Detector)
    assert_type(Ensemble([]).set_params(detectors=[detector]), Ensemble)
    assert_type(Detector("logmel").get_params(), dict[str, Any])
    assert_type(firstshot.list_encoders(), tuple[str, ...])
