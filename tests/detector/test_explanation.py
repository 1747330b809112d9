"""The bands that carry a difference are the ones that differ, and the words name them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from firstshot.detector import Detector
from firstshot.detector.explanation import compare_spectra
from firstshot.errors import FirstshotWarning, ParameterError

RATE = 16000


def hiss(seed, tone=0.0, hertz=2000.0, beat=0.0):
    seconds = np.arange(2 * RATE) / RATE
    noise = 0.05 * np.random.default_rng(seed).standard_normal(len(seconds))
    swell = 1 + beat * np.sign(np.sin(2 * np.pi * 2 * seconds))
    return noise + tone * swell * np.sin(2 * np.pi * hertz * seconds)


@pytest.fixture(scope="module")
def detectors():
    clips = [hiss(i, tone=0.002) for i in range(20)]
    return {
        name: Detector(normalizer="none", **settings).fit(clips)
        for name, settings in {
            "standardize": {},
            "none": {"transform": "none"},
            "whiten": {"transform": "whiten"},
            "both": {"layers": [1, 2]},
            "concat": {"layers": [1, 2], "combine": "concat"},
            "all": {"pooling": "all"},
        }.items()
    }


@pytest.mark.parametrize("name", ["standardize", "none", "whiten", "both"])
@pytest.mark.parametrize("hertz", [400.0, 2000.0, 6500.0])
def test_the_shares_sum_to_one_and_the_tones_own_rows_carry_most(detectors, name, hertz):
    explanation = detectors[name].explain(hiss(99, tone=0.05, hertz=hertz))
    shares = np.array([share for _, _, share in explanation.rows])
    assert shares.sum() == pytest.approx(1.0)
    assert (shares >= 0).all()
    low, high, _ = explanation.rows[shares.argmax()]
    assert low <= hertz <= high
    bands = np.array([band.share for band in explanation.bands])
    assert bands.sum() == pytest.approx(1.0)
    top = explanation.bands[bands.argmax()]
    assert top.low_hz <= hertz <= top.high_hz


def test_the_words_name_the_tones_band_and_how_much_louder_it_is(detectors):
    explanation = detectors["standardize"].explain(hiss(99, tone=0.05))
    assert "louder by" in explanation.words
    at = next(part for part in explanation.words.split("; ") if part.startswith("louder"))
    assert at.endswith("kHz")
    low, high = (float(x) for x in at.removesuffix(" kHz").split(" at ")[1].split("-"))
    assert low <= 2.0 <= high
    louder = max(band.level_db for band in explanation.bands)
    assert 10 < louder < 60
    assert explanation.result.is_anomaly


def test_a_missing_tone_is_quieter_and_a_beating_one_less_steady():
    detector = Detector(normalizer="none").fit([hiss(i, tone=0.05) for i in range(20)])
    assert "quieter by" in detector.explain(hiss(99)).words
    assert "less steady" in detector.explain(hiss(99, tone=0.05, beat=0.9)).words


def test_where_pooling_or_joining_loses_frequency_there_are_no_rows_but_still_words(detectors):
    for name in ("concat", "all"):
        explanation = detectors[name].explain(hiss(99, tone=0.05))
        assert explanation.rows == ()
        assert "louder" in explanation.words
        assert len(explanation.bands) == 48


def test_a_copy_of_a_normal_clip_differs_nowhere(detectors):
    with pytest.warns(FirstshotWarning, match="same samples"):
        explanation = detectors["standardize"].explain(hiss(3, tone=0.002))
    assert explanation.words == "no band stands out from the normal clips"
    assert all(share == 0 for _, _, share in explanation.rows)
    assert all(band.share == 0 and band.level_db == 0 for band in explanation.bands)


def test_the_result_is_what_predict_says_and_the_nearest_is_compared(detectors):
    clip = hiss(98)
    explanation = detectors["standardize"].explain(clip)
    assert explanation.result == detectors["standardize"].predict(clip)


def test_more_than_one_clip_is_refused(detectors):
    for clips, count in (([hiss(97), hiss(98)], 2), ([], 0)):
        with pytest.raises(ParameterError, match=f"{count} clips to explain; name one"):
            detectors["standardize"].explain(clips)


def test_normal_clips_that_never_differ_in_a_band_do_not_divide_by_zero():
    normals = np.zeros((4, 144), dtype=np.float32)
    changed = normals[0].copy()
    changed[30] = 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bands, words = compare_spectra(changed, normals[0], normals)
    assert bands[10].share == pytest.approx(1.0)
    assert bands[10].level_db == pytest.approx(4.343, abs=1e-3)
    assert words.startswith("louder by 4.3 dB at ")
