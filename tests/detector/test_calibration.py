"""A threshold is not set on clips that were learned: they would promise what is false."""

from __future__ import annotations

import numpy as np
import pytest

from firstshot import Detector
from firstshot.errors import DatasetError, FirstshotWarning

RATE = 16000
CLIPS = 0.1 * np.random.default_rng(0).standard_normal((30, RATE // 2)).astype(np.float32)


@pytest.fixture(scope="module")
def detector():
    return Detector(normalizer="local_density").fit(CLIPS[:18], sample_rate=RATE)


def test_learned_clips_are_left_out_and_said_to_be(detector):
    new = CLIPS[18:]
    expected = detector.calibrate(0.2, clips=new, sample_rate=RATE).threshold_
    with pytest.warns(FirstshotWarning, match="3 of 15 clips to calibrate on were learned"):
        detector.calibrate(0.2, clips=[*CLIPS[:3], *new], sample_rate=RATE)
    assert detector.threshold_ == expected
    assert detector.threshold_.clips == 12


def test_learned_clips_alone_are_refused(detector):
    before = detector.threshold_
    with pytest.raises(DatasetError, match="all 5 clips to calibrate on were learned"):
        detector.calibrate(0.2, clips=CLIPS[:5], sample_rate=RATE)
    assert detector.threshold_ == before
