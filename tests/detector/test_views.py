"""Detectors of views: how they are named, kept, edited and given their encoders."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from firstshot import Detector, View, load_encoder
from firstshot.detector.embedding import Clip
from firstshot.detector.loading import self_checks_agree
from firstshot.detector.views import PRESETS, read_views
from firstshot.encoders.joint import JointEncoder
from firstshot.errors import DatasetError, FirstshotWarning, ParameterError
from firstshot.sound.synth import synthesize
from firstshot.sound.synth.clips import NOISES
from firstshot.sound.synth.parts import Dice

RATE = 16000


def sounds(count, seed=0, seconds=0.6):
    rng = np.random.default_rng(seed)
    return [(0.1 * rng.standard_normal(int(seconds * RATE)), RATE) for _ in range(count)]


def test_a_score_is_the_mean_of_the_views_and_each_is_named():
    detector = Detector(views="recommended").fit(sounds(12), sounds(4, 1))
    for result in detector.predict(sounds(3, 2)):
        assert list(result.parts) == ["bands", "fine bands", "change", "lines"]
        assert result.score == pytest.approx(np.mean(list(result.parts.values())))


def test_a_saved_detector_scores_the_same_bits_and_keeps_its_recordings(tmp_path):
    groups = [f"take {number // 3}" for number in range(12)]
    detector = Detector(views="recommended").fit(sounds(12), groups=groups)
    detector.save(tmp_path / "fan.firstshot")
    again = Detector.load(tmp_path / "fan.firstshot")
    np.testing.assert_array_equal(again.score(sounds(5, 3)), detector.score(sounds(5, 3)))
    rows = again.fitted_.normal_clips.rows
    assert [row.recording for row in rows] == groups
    again.remove(["array 0"])
    expected = Detector(views="recommended").fit(sounds(12)[1:], groups=groups[1:])
    np.testing.assert_array_equal(again.training_scores_, expected.training_scores_)


def test_a_view_without_a_name_is_loaded_under_its_label(tmp_path):
    detector = Detector(views=[View("spectra", 2)]).fit(sounds(9))
    detector.save(tmp_path / "fan.firstshot")
    again = Detector.load(tmp_path / "fan.firstshot")
    (result,) = again.predict(sounds(1, 3))
    assert list(result.parts) == ["spectra layer 2"]


def test_self_checks_of_standardised_views_agree_within_a_part_of_a_deviation():
    standardised = Detector(views="recommended").fit(sounds(9)).fitted_.recipe
    plain = Detector("logmel").fit(sounds(9)).fitted_.recipe
    assert self_checks_agree(standardised, 0.001, 0.00105)
    assert not self_checks_agree(standardised, 0.001, 0.0012)
    assert not self_checks_agree(plain, 0.001, 0.00105)


def test_views_of_two_encoders_score_as_each_alone():
    one, two = View("logmel", 1, name="a"), View("spectra", 2, name="b")
    both = Detector(views=[one, two]).fit(sounds(9))
    assert isinstance(both.embedding_settings().encoder, JointEncoder)
    alone = [Detector(views=[view]).fit(sounds(9)).score(sounds(4, 5)) for view in (one, two)]
    np.testing.assert_allclose(both.score(sounds(4, 5)), np.mean(alone, axis=0), rtol=1e-12)


def test_the_smallest_view_counts_where_scores_are_fused_by_the_minimum():
    detector = Detector(views="recommended", combine="score_min").fit(sounds(9))
    for result in detector.predict(sounds(3, 2)):
        assert result.score == min(result.parts.values())


def test_clips_of_the_same_samples_count_once_and_are_told_of():
    clips = sounds(9)
    with pytest.warns(FirstshotWarning, match=r"array 9 of array 0 and 1 more; clips of the same"):
        detector = Detector(views="recommended").fit([*clips, clips[0], clips[3]])
    plain = Detector(views="recommended").fit(clips)
    assert [member.clip for member in detector.members()] == [f"array {n}" for n in range(9)]
    np.testing.assert_array_equal(detector.score(sounds(3, 4)), plain.score(sounds(3, 4)))


def fans(count, seed=0, fault=None, seconds=1.0):
    seeds = range(seed, seed + count)
    return [(synthesize("SynthFan", fault, seconds=seconds, seed=one), RATE) for one in seeds]


def dithered(samples, rng):
    dither = (rng.random(len(samples)) - rng.random(len(samples))) / 32768
    return np.round((samples + dither) * 32768).astype(np.int16)


@pytest.mark.parametrize("count", [20, 130])
def test_near_copies_of_a_clip_change_no_score(count):
    clips, rng = fans(60), np.random.default_rng(1)
    judged = [*fans(6, 60), *fans(6, 70, "rubbing"), *fans(6, 80, "imbalance")]
    plain = Detector(views="recommended").fit(clips)
    copies = [(dithered(clips[5][0], rng), RATE) for _ in range(count)]
    told = f"near-copies among the normal clips: array 60 of array 5 and {count - 1} more"
    with pytest.warns(FirstshotWarning, match=told):
        with_copies = Detector(views="recommended").fit([*clips, *copies])
    np.testing.assert_allclose(with_copies.score(judged), plain.score(judged), rtol=0.05)
    assert with_copies.threshold_.value == pytest.approx(plain.threshold_.value, rel=0.05)


def test_one_clip_of_a_silent_room_does_not_hide_that_the_fan_stopped():
    rng, t = np.random.default_rng(3), np.arange(int(2.5 * RATE))

    def stopped(room_level, number):
        room = room_level * NOISES["hall"](Dice("room", number), len(t))
        return room + 2e-3 * np.sin(2 * np.pi * 50 * t / RATE + number), RATE

    normal, silence = fans(98, seconds=2.5), stopped(1e-4, 0)
    judged = [stopped(rng.uniform(2e-4, 4e-3), number) for number in range(1, 11)]
    unclamped = [
        replace(view, normalizer_settings={"low": 0.0, "high": 1e9})
        for view in read_views("recommended")
    ]
    hidden = Detector(views=unclamped).fit([*normal, silence])
    found = Detector(views="recommended").fit([*normal, silence])
    assert all(result.is_anomaly for result in found.predict(judged))
    assert not any(result.is_anomaly for result in hidden.predict(judged))
    assert [one.clip for one in found.inspect().unlike] == ["array 98"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"views": "recomended"}, "did you mean 'recommended'"),
        ({"views": []}, "views is empty"),
        ({"views": 3}, "views 3: give a preset's name"),
        ({"views": "recommended", "encoder_settings": 3}, "encoder_settings 3: give a dict"),
        ({"false_alarm_rate": "x"}, "false_alarm_rate 'x': it must lie between"),
        ({"views": "recommended", "metric": "cosine"}, "metric 'cosine' beside views"),
        ({"views": [{"layer": 1}]}, "a view has no encoder"),
        ({"views": [{"encoder": "spectra", "metrik": "cosine"}]}, "a view has no 'metrik'"),
        ({"views": [View("spectra", 1), View("spectra", 1)]}, "two views are called"),
        ({"views": [View("spectra", 5)]}, "layer 5 does not exist"),
        ({"views": [View("spectra", 1, groups=7)]}, "cannot be cut into 7 equal groups"),
        ({"views": "recommended", "combine": "concat"}, "views are not joined"),
        (
            {"views": "recommended", "encoder_settings": {"keep_level": True}},
            "none of the encoders",
        ),
        ({"views": "recommended", "threshold_for": "both"}, "threshold_for 'both'"),
    ],
)
def test_views_that_cannot_be_are_refused_in_one_line(settings, words):
    with pytest.raises(ParameterError, match=words):
        Detector(**settings).fit(sounds(6))


def test_fewer_than_four_clips_are_refused_with_the_number_needed():
    with pytest.raises(DatasetError, match="give at least 4 different ones"):
        Detector(views="recommended").fit(sounds(3))


def test_a_threshold_for_each_domain_is_the_higher_of_both():
    clips = sounds(30), sounds(12, 9, seconds=0.3)
    pooled = Detector(views="recommended_small").fit(*clips)
    each = Detector(views="recommended_small", threshold_for="each_domain").fit(*clips)
    assert each.threshold_.value >= pooled.threshold_.value
    assert [line.partition(":")[0] for line in pooled.false_alarms()] == ["source", "target"]


def test_joined_encoders_number_their_layers_on():
    joint = JointEncoder([load_encoder("logmel"), load_encoder("spectra")])
    clips = [clip for clip, _ in sounds(2)]
    waves = [np.asarray(clip, np.float32) for clip in clips]
    found = joint.embed(waves, RATE, layers=(5, 1))
    np.testing.assert_array_equal(found[0], load_encoder("spectra").embed(waves, RATE, [3])[0])
    np.testing.assert_array_equal(found[1], load_encoder("logmel").embed(waves, RATE, [1])[0])
    assert joint.frequency_bands(3) == load_encoder("spectra").frequency_bands(1)


def test_presets_are_found_by_name():
    assert read_views("recommended_small") == PRESETS["recommended_small"]


def test_a_copy_that_is_added_never_takes_the_place_of_a_clip_in_the_bank():
    clips = sounds(12)
    detector = Detector(views="recommended_small").fit(clips)
    before = [member.clip for member in detector.members()]
    with pytest.warns(FirstshotWarning, match="count once"):
        detector.add([Clip("a copy", clips[3][0].astype(np.float32), RATE)], domain="target")
    assert [member.clip for member in detector.members()] == before


def test_a_fitted_detector_can_be_pickled():
    detector = Detector(views="recommended_small").fit(sounds(12))
    again = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(again.score(sounds(2, 5)), detector.score(sounds(2, 5)))


def test_a_pattern_that_makes_one_recording_of_all_clips_is_refused():
    with pytest.raises(ParameterError, match="all 8 clips are one recording by it"):
        Detector(views="recommended").fit(sounds(8), groups="array")
