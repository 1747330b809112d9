"""The bands that carry a difference are the ones that differ, and the words name them."""

from __future__ import annotations

import warnings
from pathlib import Path

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
    return noise + tone * swell * np.sin(2 * np.pi * hertz * seconds), RATE


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
    _, _, relative = explanation.words.partition("relative to its own overall level: ")
    at = next(part for part in relative.split("; ") if part.startswith("louder"))
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
    assert explanation.words == (
        "the whole clip is as loud; relative to its own overall level: "
        "no band stands out from the normal clips"
    )
    assert explanation.overall_db == 0
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
    assert words.startswith("relative to each clip's own overall level: louder by 4.3 dB at ")


def louder_by(clip, decibels):
    return clip[0] * 10 ** (decibels / 20), clip[1]


@pytest.mark.parametrize("decibels", [-12.0, 3.0, 17.0])
def test_the_difference_of_the_overall_levels_is_told_beside_the_bands(detectors, decibels):
    plain = detectors["standardize"].explain(hiss(99, tone=0.05))
    changed = detectors["standardize"].explain(louder_by(hiss(99, tone=0.05), decibels))
    assert changed.overall_db - plain.overall_db == pytest.approx(decibels, abs=0.01)
    direction = "louder" if changed.overall_db > 0 else "quieter"
    assert changed.words.startswith(
        f"the whole clip is {abs(changed.overall_db):.1f} dB {direction}; relative to its own "
        "overall level: "
    )
    for before, after in zip(plain.bands, changed.bands, strict=True):
        assert after.level_db == pytest.approx(before.level_db, abs=0.01)


def test_the_relative_level_and_the_overall_one_add_up_to_the_bands_own():
    """A loud tone: all other bands are quieter than the clip's level, and as loud as before."""
    detector = Detector(normalizer="none").fit([hiss(i) for i in range(20)])
    explanation = detector.explain(hiss(99, tone=0.5))
    far = [band for band in explanation.bands if not 1000 < band.high_hz < 4000]
    assert all(band.level_db < -10 for band in far)
    own = [band.level_db + explanation.overall_db for band in far]
    assert np.abs(own).max() < 1.5
    assert explanation.overall_db > 15
    assert f"the whole clip is {explanation.overall_db:.1f} dB louder" in explanation.words


def test_the_largest_difference_is_worded_however_narrow_it_is():
    """Many wide and small differences, and one band that is louder by far the most."""
    normals = np.random.default_rng(0).normal(0, 0.1, (20, 48, 3)).astype(np.float32)
    clip = normals[0].copy()
    clip[:, 1] += 0.5
    clip[:20, 2] += 0.5
    clip[25:, 2] -= 0.5
    clip[:15, 0] -= 0.4
    clip[40, 0] += 3.0
    flat = normals.reshape(20, -1)
    bands, words = compare_spectra(clip.reshape(-1), flat[0], flat)
    assert max(bands, key=lambda band: abs(band.level_db)) == bands[40]
    assert f"louder by {bands[40].level_db:.1f} dB at 4.7-5.3 kHz" in words


def test_the_largest_difference_in_decibels_is_told_where_normal_clips_vary_as_much():
    normals = np.random.default_rng(0).normal(0, 0.01, (20, 48, 3)).astype(np.float32)
    normals[:, 40, 0] *= 500
    clip = normals[0].copy()
    clip[40, 0] += 1.5
    clip[10, 1] += 1.0
    flat = normals.reshape(20, -1)
    bands, words = compare_spectra(clip.reshape(-1), flat[0], flat)
    assert "less steady at" in words
    assert words.endswith(
        f"; most in dB: louder by {bands[40].level_db:.1f} dB at 4.7-5.3 kHz, where normal clips "
        "vary about as much"
    )


def test_a_level_is_worded_by_the_largest_difference_of_its_bands():
    normals = np.random.default_rng(0).normal(0, 0.01, (20, 48, 3)).astype(np.float32)
    clip = normals[0].copy()
    clip[10:13, 0] -= np.array([1.0, 3.0, 1.0], dtype=np.float32)
    flat = normals.reshape(20, -1)
    _, words = compare_spectra(clip.reshape(-1), flat[0], flat)
    assert "quieter by up to 13.0 dB at " in words


def test_levels_come_back_from_a_file_and_are_not_known_of_an_older_one(tmp_path):
    detector = Detector(normalizer="none").fit([hiss(i) for i in range(12)])
    detector.save(tmp_path / "a.firstshot")
    loaded = Detector.load(tmp_path / "a.firstshot")
    assert loaded.explain(hiss(99)) == detector.explain(hiss(99))
    old = Detector.load(Path(__file__).parent / "files" / "schema_2.firstshot")
    explanation = old.explain(hiss(99)[0][: 2 * RATE], sample_rate=RATE)
    assert explanation.overall_db is None
    assert explanation.words.startswith("relative to each clip's own overall level: ")


def test_of_a_clip_cut_into_windows_the_level_is_that_of_the_window():
    detector = Detector("logmel", length="windows:0.5").fit([hiss(i) for i in range(20)])
    words = detector.explain(louder_by(hiss(99, tone=0.05), -12.0)).words
    assert words.startswith("this window is ")
    assert "the whole clip" not in words


def with_beep(seed):
    sound, rate = hiss(seed, tone=0.002)
    beep = 0.05 * np.sin(2 * np.pi * 2700.0 * np.arange(4800) / RATE)
    sound[16000:20800] += beep
    return sound, rate


def test_the_place_of_a_sound_is_told_and_is_the_same_after_loading(detectors, tmp_path):
    detectors["standardize"].save(tmp_path / "hiss.firstshot")
    loaded = Detector.load(tmp_path / "hiss.firstshot")
    for detector in (detectors["standardize"], loaded):
        explanation = detector.explain(with_beep(99))
        (region,) = explanation.regions
        assert explanation.result.is_anomaly
        assert region.kind == "louder"
        assert region.low_hz <= 2700.0 <= region.high_hz
        assert (region.start_seconds, region.end_seconds) == pytest.approx((1.0, 1.3), abs=0.25)
        assert explanation.place.words == region.words
        record = explanation.to_dict()
        assert record["regions"][0]["kind"] == "louder"
        assert record["where"] == region.words
        assert "place" not in record


def test_the_map_follows_the_bank():
    usual = [hiss(i, tone=0.002) for i in range(20)]
    detector = Detector(normalizer="none").fit(usual)
    before = detector.explain(with_beep(99))
    assert before.regions
    detector.add([with_beep(40 + i) for i in range(8)])
    learned = detector.explain(with_beep(99))
    assert learned.regions == ()
    assert learned.place.z.max() < 0.5 * before.place.z.max()
    detector.remove([clip.clip for clip in detector.members() if clip.origin is not None])
    fresh = Detector(normalizer="none").fit(usual)
    z = [one.explain(with_beep(99)).place.z for one in (detector, fresh)]
    np.testing.assert_allclose(z[0], z[1], rtol=0.02, atol=0.02)


def test_a_clip_in_windows_is_explained_in_its_own_time():
    clips = [hiss(i, tone=0.002) for i in range(20)]
    detector = Detector(normalizer="none", length="windows:2").fit(clips)
    sound = np.concatenate([with_beep(99 + i)[0] for i in range(3)])
    explanation = detector.explain((sound, RATE))
    (region,) = explanation.regions
    expected = explanation.result.start_seconds + 1.0
    assert explanation.result.start_seconds > 0
    assert region.start_seconds == pytest.approx(expected, abs=0.25)


def test_a_file_from_before_maps_were_kept_explains_without_one():
    detector = Detector.load(Path(__file__).parent / "files" / "schema_2.firstshot")
    explanation = detector.explain((np.random.default_rng(1).random(4800) - 0.5, RATE))
    assert explanation.place is None
    assert explanation.regions == ()
    assert explanation.to_dict()["where"] == ""
