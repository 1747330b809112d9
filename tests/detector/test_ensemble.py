"""Several detectors as one: means of their scores, one threshold."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from firstshot.detector import Detector
from firstshot.detector.ensemble import Ensemble
from firstshot.errors import FirstshotError, ParameterError
from firstshot.scoring.threshold import fit_threshold, p_value

RATE = 16000
MEMBERS = (
    {"layers": [1], "normalizer": "local_density"},
    {"layers": [2], "normalizer": "none"},
    {"layers": [1, 2], "normalizer": "domain_zscore", "encoder_settings": {"keep_level": True}},
)
pytestmark = pytest.mark.filterwarnings("ignore:.*take the place of the K nearest")


def sounds(count, first=0, samples=4800):
    draws = [np.random.default_rng(first + i) for i in range(count)]
    return [(0.1 * rng.standard_normal(samples), RATE) for rng in draws]


def joined(clips):
    return np.concatenate([samples for samples, _ in clips]), RATE


def hum(samples=4800):
    return np.sin(np.arange(samples) * 0.3), RATE


def members(**changed):
    return [Detector(**{**settings, **changed}) for settings in MEMBERS]


@pytest.fixture(scope="module")
def pair():
    ensemble = Ensemble(members()).fit(sounds(14), sounds(6, 50))
    return ensemble, [detector.fit(sounds(14), sounds(6, 50)) for detector in members()]


def test_scores_held_out_scores_and_threshold_are_of_the_mean(pair):
    ensemble, alone = pair
    new = sounds(5, 90)
    np.testing.assert_allclose(
        ensemble.score(new), np.mean([d.score(new) for d in alone], axis=0), rtol=1e-12
    )
    training = np.mean([d.training_scores_ for d in alone], axis=0)
    np.testing.assert_allclose(ensemble.training_scores_, training, rtol=1e-12)
    expected = fit_threshold(training, "conformal", 0.1)
    assert ensemble.threshold_.value == pytest.approx(expected.value, rel=1e-9)


def test_a_result_shows_every_detectors_part_and_the_ensembles_own_decision(pair):
    ensemble, alone = pair
    for clip in (*sounds(3, 90), hum()):
        result = ensemble.predict(clip)
        parts = [d.predict(clip) for d in alone]
        assert list(result.parts) == ["1 logmel", "2 logmel", "3 logmel"]
        assert list(result.parts.values()) == pytest.approx([p.score for p in parts])
        assert result.is_anomaly == (result.score > ensemble.threshold_.value)
        assert result.p_value == p_value([result.score], ensemble.training_scores_)[0]
        assert result.nearest == parts[0].nearest
    assert ensemble.predict(hum()).is_anomaly


def test_calibrate_moves_the_threshold_alone(pair):
    ensemble, _ = pair
    before = ensemble.score(sounds(2, 90))
    assert ensemble.calibrate(0.2, "conformal") is ensemble
    assert ensemble.threshold_.promised_false_alarm_rate <= 0.2
    assert np.array_equal(ensemble.score(sounds(2, 90)), before)
    with pytest.raises(ParameterError, match="cannot be promised from 20 normal clips"):
        ensemble.calibrate(0.01, "conformal")
    ensemble.calibrate()


def test_clips_in_windows_score_the_mean_of_the_detectors_worst_windows():
    clips = [joined(sounds(3, 10 * i)) for i in range(9)]
    new = joined(sounds(4, 900))
    same = Ensemble(members(length="windows:0.3")).fit(clips)
    result = same.predict(new)
    assert len(result.window_scores) == 4
    assert result.score == pytest.approx(np.mean(list(result.parts.values())))
    mixed = Ensemble([Detector("logmel", length="windows:0.3"), Detector("logmel")]).fit(clips)
    assert mixed.predict(new).window_scores == ()
    assert mixed.score(new)[0] == pytest.approx(np.mean([d.score(new)[0] for d in mixed.detectors]))


def test_a_longer_recording_is_judged_by_its_pieces():
    clips = sounds(30)
    new = joined(sounds(40, 900))
    ensemble = Ensemble(members(length="windows:0.3")).fit(clips)
    result = ensemble.predict(new)
    assert (result.pieces, result.pieces_needed, result.normal_clips) == (40, 25, 30)
    assert max(result.window_scores) > ensemble.threshold_.value
    assert not result.is_anomaly
    assert result.score == pytest.approx(sorted(result.window_scores)[-25])
    assert result.pieces_above == sum(score > result.threshold for score in result.window_scores)
    assert [window.score for window in result.windows] == list(result.window_scores)
    assert result.score == pytest.approx(np.mean(list(result.parts.values())))
    odd = ensemble.predict(hum(40 * 4800))
    assert (odd.pieces_above, odd.is_anomaly) == (40, True)


def test_detectors_that_cut_a_recording_differently_judge_the_same_moments():
    clips = sounds(30)
    new = joined(sounds(8, 900))
    mixed = Ensemble(
        [Detector("logmel", length="windows:0.3"), Detector("logmel", length="windows:0.3:0.15")]
    )
    result = mixed.fit(clips).predict(new)
    assert result.pieces == 15
    assert result.windows == result.window_scores == ()
    assert 0 <= result.pieces_above < result.pieces_needed
    assert not result.is_anomaly


def test_one_clip_gives_a_result_and_several_a_list(pair, tmp_path):
    ensemble, _ = pair
    path = tmp_path / "a.wav"
    soundfile.write(path, *sounds(1, 90)[0])
    assert ensemble.predict(path).score == ensemble.score(str(path))[0]
    assert len(ensemble.predict(tmp_path)) == len(ensemble.predict([path])) == 1
    assert len(ensemble.predict(iter(sounds(2, 90)))) == 2
    assert ensemble.predict([]) == []


def test_clips_that_can_be_gone_through_once_reach_every_detector(pair):
    ensemble, _ = pair
    once = Ensemble(members()).fit(iter(sounds(14)), iter(sounds(6, 50)))
    assert np.array_equal(once.training_scores_, ensemble.training_scores_)


def test_no_detectors_unfitted_ones_and_ones_of_different_clips_are_refused():
    with pytest.raises(ParameterError, match="an ensemble of no detectors"):
        Ensemble([]).fit(sounds(4))
    with pytest.raises(FirstshotError, match=r"call fit\(\.\.\.\) first"):
        Ensemble(members()).predict(sounds(1)[0])
    fitted = [Detector("logmel").fit(sounds(10)), Detector("logmel").fit(sounds(11))]
    with pytest.raises(ParameterError, match=r"held-out scores of \[10, 11\] clips"):
        Ensemble(fitted).calibrate()
