"""The detector end to end: what it learns from, what it promises, what it refuses."""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

import firstshot
from firstshot.detector import Detector
from firstshot.detector.embedding import Clip, EmbeddedClip, EmbeddingSettings, embed_clips
from firstshot.detector.file import MemberRow
from firstshot.detector.fitted.held_out import held_out_windows
from firstshot.encoders.logmel import LogMel
from firstshot.errors import (
    DatasetError,
    FirstshotError,
    FirstshotWarning,
    ParameterError,
    SoundError,
)
from firstshot.scoring import make_normalizer, make_transform
from firstshot.scoring.normalizers import NORMALIZERS
from firstshot.scoring.search.vectors import METRICS
from firstshot.scoring.threshold import p_value
from firstshot.scoring.transform import TRANSFORMS

RATE = 16000
ALONE = [name for name in NORMALIZERS if name != "test_zscore"]


@dataclass(frozen=True)
class Record:
    path: Path


def sound(seed, seconds=0.5, rate=RATE, colour=0.6):
    rng = np.random.default_rng(seed)
    white = rng.standard_normal(int(seconds * rate))
    return 0.1 * (white + colour * np.concatenate([[0.0], white[:-1]])), rate


def sounds(count, first=0, **how):
    return [sound(first + i, **how) for i in range(count)]


def joined(clips):
    return np.concatenate([samples for samples, _ in clips]), RATE


def write_folder(folder, clips):
    folder.mkdir(parents=True)
    for i, (clip, rate) in enumerate(clips):
        soundfile.write(folder / f"{i:03}.wav", clip, rate, subtype="FLOAT")
    return folder


@pytest.fixture(autouse=True)
def few_clips_are_no_news():
    """Tests learn from few clips; that K is larger is what other tests are about."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*take the place of the K nearest.*")
        yield


@pytest.fixture(scope="module")
def fitted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FirstshotWarning)
        return Detector("logmel", threshold="gamma").fit(sounds(24), sounds(6, 50, colour=-0.6))


def embedded(vectors, name="clip"):
    """Made-up embeddings, one clip each, of 144 values as `logmel` gives."""
    return [
        EmbeddedClip(f"{name} {i}", f"{name} {i}", (0.0,), (v[np.newaxis],), v[np.newaxis])
        for i, v in enumerate(vectors.astype(np.float32))
    ]


# Manners


def test_the_constructor_only_stores():
    settings = {name: object() for name in inspect.signature(Detector).parameters}
    detector = Detector(
        settings["encoder"], **{k: v for k, v in settings.items() if k != "encoder"}
    )
    assert vars(detector) == settings


def test_fit_and_calibrate_return_the_detector_and_what_is_learned_ends_in_an_underscore():
    detector = Detector("logmel")
    before = set(vars(detector))
    assert detector.fit(sounds(10)) is detector
    assert detector.calibrate(0.2) is detector
    assert all(name.endswith("_") for name in set(vars(detector)) - before)
    assert detector.false_alarm_rate == 0.1


def test_a_changed_setting_counts_from_the_next_fit_on():
    detector, clips, new = Detector(layers=[1]), sounds(10), sounds(2, 90)
    before = detector.fit(clips).score(new)
    detector.layers, detector.normalizer = [2], "none"
    assert np.array_equal(detector.score(new), before)
    after = detector.fit(clips).score(new)
    assert np.array_equal(after, Detector(layers=[2], normalizer="none").fit(clips).score(new))
    assert not np.array_equal(after, before)


def test_before_fit_everything_else_is_refused_and_says_what_to_do(tmp_path):
    calls = (
        lambda d: d.score(sound(0)),
        lambda d: d.predict(sound(0)),
        lambda d: d.explain(sound(0)),
        lambda d: d.calibrate(),
        lambda d: d.save(tmp_path / "x.firstshot"),
    )
    for call in calls:
        with pytest.raises(FirstshotError, match=r"call fit\(\.\.\.\) first"):
            call(Detector("logmel"))


def test_a_fit_that_failed_leaves_no_detector_that_answers():
    detector = Detector("logmel", threshold="conformal", false_alarm_rate=0.01)
    with pytest.raises(ParameterError, match=r"cannot be promised from 10 normal clips, .*give 99"):
        detector.fit(sounds(10))
    with pytest.raises(FirstshotError, match=r"call fit\(\.\.\.\) first"):
        detector.predict(sound(99))
    assert detector.calibrate(0.1).threshold_.promised_false_alarm_rate == pytest.approx(1 / 11)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("encoder", "logmell"),
        ("layers", [3]),
        ("layers", []),
        ("pooling", "max"),
        ("combine", "mean"),
        ("normalizer", "zscore"),
        ("normalizer_settings", {"k": 3}),
        ("metric", "manhattan"),
        ("transform", "pca"),
        ("length", "fixed"),
        ("threshold", "sigma"),
        ("false_alarm_rate", 0),
        ("false_alarm_rate", 1.0),
        ("encoder_settings", {"weights": "x"}),
    ],
)
def test_a_setting_that_cannot_be_is_refused_before_a_clip_is_read(tmp_path, setting, value):
    folder = write_folder(tmp_path / "normal", sounds(3))
    (folder / "000.wav").write_bytes(b"would be a SoundError")
    with pytest.raises(ParameterError) as error:
        Detector(**{setting: value}).fit(folder)
    assert "\n" not in str(error.value)


# What it learns from


def test_folders_paths_arrays_and_records_give_the_same_scores(tmp_path):
    source, target, new = sounds(10), sounds(5, 50), sounds(3, 90)
    s, t, n = (
        write_folder(tmp_path / name, clips)
        for name, clips in (("s", source), ("t", target), ("n", new))
    )
    expected = Detector("logmel").fit(source, target).score(new)
    files = {folder: sorted(folder.iterdir()) for folder in (s, t, n)}
    assert np.array_equal(Detector("logmel").fit(s, t).score(n), expected)
    assert np.array_equal(Detector("logmel").fit(str(s), [str(t)]).score([str(n)]), expected)
    assert np.array_equal(Detector("logmel").fit(files[s], files[t]).score(files[n]), expected)
    records = {folder: [Record(path) for path in paths] for folder, paths in files.items()}
    found = Detector("logmel").fit(iter(records[s]), records[t]).score(records[n])
    assert np.array_equal(found, expected)


def test_arrays_of_another_rate_are_heard_like_the_files_they_were_written_to(tmp_path):
    clips = sounds(9, rate=22050)
    folder = write_folder(tmp_path / "s", clips)
    by_array = Detector("logmel").fit([samples for samples, _ in clips], sample_rate=22050)
    by_file = Detector("logmel").fit(folder)
    new = sound(90, rate=22050)
    assert by_array.score(new[0], sample_rate=22050) == by_file.score(new)


def test_clips_of_unequal_length_and_rate_may_share_a_bank(tmp_path):
    folder = write_folder(tmp_path / "s", [sound(i, 0.3 + 0.1 * i) for i in range(6)])
    for i, rate in enumerate((8000, 44100, 96000)):
        soundfile.write(folder / f"r{i}.flac", *sound(20 + i, rate=rate))
    detector = Detector("logmel").fit(folder)
    assert len(detector.fitted_.normal_clips.rows) == 9
    assert np.isfinite(detector.score(sounds(3, 90))).all()


def test_an_empty_folder_one_clip_and_a_missing_target_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    one = write_folder(tmp_path / "one", sounds(1))
    many = write_folder(tmp_path / "many", sounds(5))
    with pytest.raises(DatasetError, match=r"empty: no audio among its files; .*source clips"):
        Detector("logmel").fit(tmp_path / "empty")
    with pytest.raises(DatasetError, match="1 source clip: at least 2 normal clips are needed"):
        Detector("logmel").fit(one)
    with pytest.raises(DatasetError, match="0 source clips: at least 2"):
        Detector("logmel").fit([])
    with pytest.raises(DatasetError, match=r"gone: does not exist; .*target clips"):
        Detector("logmel").fit(many, tmp_path / "gone")


def test_one_clip_that_cannot_be_read_stops_the_fit_and_is_named(tmp_path):
    folder = write_folder(tmp_path / "s", sounds(4))
    (folder / "002.wav").write_bytes(b"no sound")
    with pytest.raises(SoundError, match=r"002\.wav: not readable as audio"):
        Detector("logmel").fit(folder)


def test_two_clips_are_too_few_and_so_few_promise_little():
    with pytest.raises(DatasetError, match=r"2 normal clips are too few.*give at least 3") as error:
        Detector("logmel").fit(sounds(2))
    assert "\n" not in str(error.value)
    with pytest.raises(ParameterError, match=r"0\.1 cannot be promised from 3 .*give 9 normal"):
        Detector("logmel").fit(sounds(3))
    with pytest.warns(FirstshotWarning, match="depends on the gamma law alone; 9 clips"):
        detector = Detector("logmel", threshold="gamma").fit(sounds(3))
    assert np.isfinite(detector.score(sounds(2, 90))).all()


def test_copies_among_the_normal_clips_are_told_of():
    clips = sounds(8)
    with pytest.warns(FirstshotWarning, match="array 0 of array 3 and 1 more; a copy") as caught:
        Detector("logmel").fit(clips, [clips[3], clips[5], *sounds(4, 50)])
    assert any(w.filename == __file__ for w in caught if "copies among" in str(w.message))


def test_silent_normal_clips_warn_and_do_not_crash():
    with pytest.warns(FirstshotWarning, match="array 0: digital silence") as caught:
        Detector(normalizer="none").fit([(np.zeros(8000), RATE), *sounds(8)])
    assert sum("silence" in str(w.message) for w in caught) == 1


# Scores


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("normalizer", ALONE)
def test_scores_are_the_normalisers_on_the_transformed_embeddings(normalizer, metric):
    source, target, new = sounds(10), sounds(6, 50), sounds(4, 90)
    detector = Detector(normalizer=normalizer, metric=metric).fit(source, target)
    X = [LogMel().embed([c.astype(np.float32) for c, _ in clips])[0] for clips in (source, target)]
    transform = make_transform("standardize").fit(np.concatenate(X))
    oracle = make_normalizer(normalizer, metric=metric)
    oracle.fit({"source": transform(X[0]), "target": transform(X[1])})
    queries = transform(LogMel().embed([c.astype(np.float32) for c, _ in new])[0])
    np.testing.assert_allclose(detector.score(new), oracle.score(queries), rtol=1e-12)
    assert np.isfinite(detector.training_scores_).all()


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_clip_scores_the_same_alone_and_in_company(transform):
    detector = Detector(transform=transform, layers=[1, 2]).fit(sounds(12), sounds(5, 50))
    new = sounds(9, 90)
    assert np.array_equal(detector.score(new), [detector.score(clip)[0] for clip in new])


def test_layers_are_averaged_or_joined():
    clips, new = sounds(12), sounds(3, 90)
    one, two = (Detector(layers=[n]).fit(clips).score(new) for n in (1, 2))
    mean = Detector(layers=[1, 2]).fit(clips)
    np.testing.assert_allclose(mean.score(new), (one + two) / 2, rtol=1e-12)
    result = mean.predict(new[0])
    assert result.parts == pytest.approx({"layer 1": one[0], "layer 2": two[0]})
    joined = Detector(layers=[1, 2], combine="concat").fit(clips).predict(new[0])
    assert list(joined.parts) == ["layer 1 + layer 2"]
    assert joined.score != pytest.approx(result.score)


def test_memmixup_widens_the_target_and_needs_one():
    source, target, new = sounds(10), sounds(4, 50, colour=0.9), sounds(5, 90, colour=0.8)
    plain = Detector(normalizer="none").fit(source, target)
    mixed = Detector(normalizer="none", memmixup=True).fit(source, target)
    assert (mixed.score(new) <= plain.score(new)).all()
    assert (mixed.score(new) < plain.score(new)).any()
    assert all("*" not in near.clip for near in mixed.predict(new[0]).nearest)
    with pytest.raises(ParameterError, match="target bank is empty; MemMixup"):
        Detector("logmel", memmixup=True).fit(source)


def test_an_anomaly_scores_above_normal_sound(fitted):
    hum = sound(99)[0] + 0.1 * np.sin(2 * np.pi * 3000 * np.arange(8000) / RATE)
    assert fitted.predict((hum, RATE)).is_anomaly
    assert fitted.score((hum, RATE)) > fitted.score(sounds(10, 100)).max()


def test_test_zscore_warns_needs_two_clips_and_depends_on_the_company():
    detector = Detector(normalizer="test_zscore").fit(sounds(10))
    with pytest.warns(FirstshotWarning, match="transductive"):
        scores = detector.score(sounds(5, 90))
    assert scores.mean() == pytest.approx(0.0, abs=1e-9)
    assert scores.std() == pytest.approx(1.0)
    for refused in (detector.score, detector.predict, detector.explain):
        with (
            pytest.warns(FirstshotWarning, match="transductive"),
            pytest.raises(ParameterError, match="at least 2 clips under test, got 1"),
        ):
            refused(sound(90))


# Thresholds and promises


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("normalizer", ["none", "domain_zscore", "domain_local_density"])
def test_about_the_asked_share_of_new_normal_clips_is_called_anomalous(normalizer, transform):
    rng, rates = np.random.default_rng(5), []
    settings = {"normalizer": normalizer, "transform": transform, "threshold": "conformal"}
    for _ in range(8):
        clips = rng.standard_normal((260, 144)) @ np.diag(np.linspace(0.2, 3.0, 144))
        detector = Detector("logmel", false_alarm_rate=0.2, **settings)
        detector.fit_embedded(embedded(clips[:60], "normal"))
        found = detector.predict_embedded(embedded(clips[60:], "new"), neighbors=0)
        rates.append(np.mean([result.is_anomaly for result in found]))
    assert 0.1 < np.mean(rates) < 0.3


def test_clips_in_windows_keep_the_asked_rate_per_clip():
    rng, rates = np.random.default_rng(6), []
    for _ in range(8):
        windows = rng.standard_normal((160, 4, 144)).astype(np.float32)
        clips = [
            EmbeddedClip(str(i), str(i), (0.0, 1.0, 2.0, 3.0), (w,), w)
            for i, w in enumerate(windows)
        ]
        detector = Detector(
            "logmel", threshold="conformal", false_alarm_rate=0.2, normalizer="none"
        )
        detector.fit_embedded(clips[:40])
        assert detector.training_scores_.shape == (40,)
        found = detector.predict_embedded(clips[40:], neighbors=0)
        rates.append(np.mean([result.is_anomaly for result in found]))
    assert 0.1 < np.mean(rates) < 0.3


def test_p_values_of_new_normal_clips_are_uniform_enough():
    rng = np.random.default_rng(7)
    clips = rng.standard_normal((400, 144))
    detector = Detector(normalizer="none").fit_embedded(embedded(clips[:200], "normal"))
    found = detector.predict_embedded(embedded(clips[200:], "new"), neighbors=0)
    p = np.array([result.p_value for result in found])
    for level in (0.1, 0.3, 0.5, 0.8):
        assert (p <= level).mean() == pytest.approx(level, abs=0.12)
    assert p.min() >= 1 / 201


def test_a_p_value_counts_the_held_out_normal_clips_at_or_above(fitted):
    for result in fitted.predict(sounds(5, 200)):
        above = (fitted.training_scores_ >= result.score).sum()
        assert result.p_value == pytest.approx((above + 1) / 31)
        assert result.is_anomaly == (result.score > fitted.threshold_.value)
        assert result.threshold == fitted.threshold_.value


def test_calibrate_moves_the_threshold_and_no_score(fitted):
    new = sounds(4, 300)
    before, banks = fitted.score(new), fitted.parts_
    values = [fitted.calibrate(rate, "conformal").threshold_.value for rate in (0.05, 0.1, 0.3)]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1]
    assert np.array_equal(fitted.score(new), before)
    assert fitted.parts_ is banks
    fitted.calibrate()
    assert fitted.threshold_.method == fitted.threshold


def test_a_rate_that_so_few_clips_cannot_promise_is_refused_and_the_threshold_stays(fitted):
    kept = fitted.threshold_
    for method in ("gamma", "quantile", "conformal"):
        with pytest.raises(ParameterError, match=r"0\.01 cannot be promised from 30 normal clips"):
            fitted.calibrate(0.01, method)
    assert fitted.threshold_ is kept
    fitted.calibrate(0.01, "gamma", extrapolate=True)
    assert fitted.threshold_.promised_false_alarm_rate is None
    assert fitted.threshold_.value > kept.value
    fitted.calibrate()


def test_held_out_clips_may_set_the_threshold(fitted):
    others = sounds(19, 400)
    fitted.calibrate(0.05, "conformal", clips=others)
    assert fitted.threshold_.value == fitted.score(others).max()
    assert fitted.threshold_.clips == 19
    assert np.array_equal(fitted.calibration_scores_, fitted.score(others))
    fitted.calibrate()


# Predictions


def test_predict_gives_one_result_for_one_clip_and_a_list_for_more(fitted, tmp_path):
    folder = write_folder(tmp_path / "new", sounds(2, 90))
    path = folder / "000.wav"
    for one in (path, str(path), sound(90), Record(path)):
        assert fitted.predict(one).score == fitted.score(one)[0]
    for many in (folder, str(folder), [path], [sound(90)], [Record(path)]):
        assert isinstance(fitted.predict(many), list)
    assert fitted.predict([]) == []
    assert fitted.score([]).shape == (0,)
    assert [r.clip for r in fitted.predict(folder)] == ["000.wav", "001.wav"]


def test_a_result_names_the_nearest_normal_clips_and_the_domain():
    detector = Detector(normalizer="none").fit(sounds(24), sounds(6, 50, colour=-0.6))
    near_target = detector.predict(sound(990, colour=-0.6))
    assert near_target.domain == "target"
    assert len(near_target.nearest) == 3
    distances = [n.distance for n in near_target.nearest]
    assert distances == sorted(distances)
    assert {near.domain for near in near_target.nearest} == {"target"}
    assert detector.predict(sound(991)).domain == "source"


@pytest.mark.parametrize("call", ["predict", "score", "explain"])
def test_a_copy_of_a_normal_clip_is_told_of_where_the_user_called(fitted, call):
    with pytest.warns(FirstshotWarning, match="same samples as the normal clip array 3") as caught:
        getattr(fitted, call)(sound(3))
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        getattr(fitted, call)(sound(777))


@pytest.fixture(scope="module")
def in_windows():
    """A detector of 9 clips of 4 windows each."""
    return Detector("logmel", length="windows:0.5").fit(
        [joined(sounds(4, 4 * i)) for i in range(9)]
    )


def with_tones(*windows, of=8):
    """A recording of windows of 0.5 s, some with a tone that no normal clip has."""
    long, rate = joined(sounds(of, 90))
    for window in windows:
        long[window * 8000 : (window + 1) * 8000] += 0.3 * np.sin(np.arange(8000))
    return long, rate


def test_the_worst_window_decides_and_says_when_it_begins(in_windows):
    new = with_tones(2, of=4)
    result = in_windows.predict(new)
    assert len(result.window_scores) == 4
    assert result.score == max(result.window_scores) == result.window_scores[2]
    assert result.start_seconds == 1.0
    assert result.is_anomaly
    assert (result.pieces, result.pieces_above, result.pieces_needed) == (1, 1, 1)
    assert "@" in result.nearest[0].clip
    assert in_windows.explain(new).result == result


def test_of_a_clip_twice_as_long_as_those_learned_both_halves_must_be_odd(in_windows):
    one, both = in_windows.predict(with_tones(5)), in_windows.predict(with_tones(5, 1))
    assert len(one.window_scores) == len(both.window_scores) == 8
    assert (one.pieces, one.pieces_above, one.pieces_needed, one.is_anomaly) == (2, 1, 2, False)
    assert one.score == max(one.window_scores[:4])
    assert one.highest_seconds == 2.5
    assert (both.pieces_above, both.is_anomaly) == (2, True)
    assert both.score == min(both.window_scores[1], both.window_scores[5])
    assert [w.start_seconds for w in both.windows if w.is_anomaly] == [0.5, 2.5]
    assert [w.end_seconds for w in both.windows] == [0.5 * i for i in range(1, 9)]
    assert in_windows.explain(with_tones(5)).result == one


@pytest.fixture(scope="module")
def one_window_each():
    """A detector of 24 clips of one window of 0.5 s each."""
    return Detector("logmel", length="windows:0.5").fit(sounds(24, 100))


def test_a_normal_recording_is_no_anomaly_though_its_worst_window_is_one(one_window_each):
    threshold = one_window_each.threshold_.value
    hours = one_window_each.predict([joined(sounds(60, 1000 * i)) for i in range(2, 6)])
    assert all(max(hour.window_scores) > threshold for hour in hours)
    assert not any(hour.is_anomaly for hour in hours)
    for hour in hours:
        assert (hour.pieces, hour.pieces_needed, hour.normal_clips) == (60, 38, 24)
        above = sum(score > hour.threshold for score in hour.window_scores)
        assert hour.pieces_above == above == sum(window.is_anomaly for window in hour.windows)
        assert hour.evidence.startswith(f"{above} of 60 pieces, each as long as a normal clip, ")
        assert hour.score == sorted(hour.window_scores)[-38]
        assert hour.p_value == pytest.approx(
            p_value([hour.score], one_window_each.calibration_scores_)[0] * 60 / 38
        ) or (hour.p_value == 1.0)


def test_a_recording_that_is_odd_all_along_is_an_anomaly_and_one_odd_moment_is_told(
    one_window_each,
):
    odd = one_window_each.predict(with_tones(*range(60), of=60))
    assert (odd.pieces_above, odd.is_anomaly) == (60, True)
    assert odd.p_value == pytest.approx(1 / 25 * 60 / 38)
    moment = one_window_each.predict(with_tones(41, of=60))
    assert not moment.is_anomaly
    assert moment.highest_seconds == 20.5
    assert moment.windows[41].is_anomaly
    assert (moment.windows[41].start_seconds, moment.windows[41].end_seconds) == (20.5, 21.0)


def test_windows_score_alike_alone_and_within_a_recording(one_window_each):
    clips = sounds(5, 700)
    alone = [one_window_each.predict(clip) for clip in clips]
    together = one_window_each.predict(joined(clips))
    assert list(together.window_scores) == [result.score for result in alone]
    assert [w.p_value for w in together.windows] == [result.p_value for result in alone]


def test_a_threshold_set_on_recordings_judges_recordings_by_their_worst_window(
    one_window_each, tmp_path
):
    path = tmp_path / "a.firstshot"
    one_window_each.save(path)
    detector = Detector.load(path)
    assert detector.fitted_.calibration.windows is None
    hours = [joined(sounds(10, 5000 + 100 * i)) for i in range(12)]
    detector.calibrate(clips=hours)
    assert detector.fitted_.calibration.windows == 10
    worst = [max(result.window_scores) for result in one_window_each.predict(hours)]
    assert np.array_equal(detector.calibration_scores_, worst)
    new = detector.predict(with_tones(7, of=10))
    assert (new.pieces, new.pieces_needed, new.is_anomaly) == (1, 1, True)
    assert new.score == max(new.window_scores)
    detector.save(path)
    loaded = Detector.load(path)
    assert loaded.fitted_.calibration.windows == 10
    assert loaded.predict(with_tones(7, of=10)) == new
    loaded.calibrate()
    assert loaded.predict(with_tones(7, of=10)).pieces == 10


def test_how_long_the_normal_clips_were_is_known_from_their_members():
    def rows(*clips):
        return [
            MemberRow(f"{name}@{i}s" if count > 1 else name, domain, name)
            for name, domain, count in clips
            for i in range(count)
        ]

    four = [(str(i), "source", 4) for i in range(5)]
    assert held_out_windows(rows(*four)) == 4
    assert held_out_windows(rows(*four, *[(str(i), "target", 1) for i in range(9)])) == 1
    # Fewer than three recordings are left out window by window.
    assert held_out_windows(rows(("long", "source", 900))) == 1
    assert held_out_windows(rows(*four, ("long", "target", 4), ("too", "target", 4))) == 1
    copies = [MemberRow(name, "source", "same") for name in ("a", "b@home", "c@2s", "d@3s")]
    assert held_out_windows([*copies, MemberRow("e", "source", "other")]) == 1


def test_an_array_of_one_window_knows_its_ends():
    for length, end in (
        ("native", 0.75),
        ("fixed:0.5", 0.5),
        ("fixed:2", 0.75),
        ("windows:2", 0.75),
    ):
        detector = Detector("logmel", length=length).fit(sounds(12))
        (window,) = detector.predict(sound(90, 0.75)).windows
        assert (window.start_seconds, window.end_seconds) == (0.0, end)


def test_a_clip_of_another_length_than_those_learned_is_told_of(fitted, in_windows, tmp_path):
    fitted.save(tmp_path / "a.firstshot")
    for detector in (fitted, Detector.load(tmp_path / "a.firstshot")):
        assert detector.fitted_.normal_clips.seconds == (0.5, 0.5)
        for seconds, kind in ((0.3, "shorter"), (2.0, "longer")):
            told = rf"array 0: {kind} than the normal clips \({seconds:g} s against 0\.5 s used\)"
            with pytest.warns(FirstshotWarning, match=told) as caught:
                detector.predict(sound(90, seconds))
            assert caught[0].filename == __file__
    with pytest.warns(
        FirstshotWarning, match=r"array 0: shorter .* \(0\.2 s against 0\.5 s used\)"
    ):
        in_windows.predict(sound(90, 0.2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted.predict([sound(90, 0.4), sound(90, 0.7)])
        in_windows.predict([sound(90, 0.5), sound(90, 30.0)])


def test_of_an_older_file_no_length_is_known_and_none_is_told_of():
    old = Detector.load(Path(__file__).parent / "files" / "schema_2.firstshot")
    assert old.fitted_.normal_clips.seconds is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        old.predict([sound(90, 0.3), sound(90, 20.0)])


def test_clips_shorter_than_a_window_are_heard_as_they_are():
    detector = Detector("logmel", length="windows:1:0.5").fit(
        [sound(i, 0.4 + 0.3 * i) for i in range(9)]
    )
    assert len(detector.training_scores_) == 9
    results = detector.predict([sound(90, 0.3), sound(91, 2.2)])
    assert [len(result.window_scores) for result in results] == [1, 4]


def test_one_long_recording_in_windows_is_enough_and_warns_what_the_threshold_means():
    with pytest.warns(FirstshotWarning, match="1 source recording cut into 20 windows") as caught:
        detector = Detector("logmel", length="windows:0.5").fit(sound(0, 10))
    assert any(w.filename == __file__ for w in caught if "recording" in str(w.message))
    assert len(detector.fitted_.normal_clips.rows) == len(detector.training_scores_) == 20


def test_a_pooling_that_keeps_time_refuses_clips_of_different_lengths():
    def clip(name, width):
        return EmbeddedClip(
            name, name, (0.0,), (np.ones((1, width), np.float32),), np.ones((1, 144), np.float32)
        )

    with pytest.raises(ParameterError, match=r"3 to 4 values: .*fixed:SECONDS"):
        Detector("logmel").fit_embedded([clip("a", 3), clip("b", 4)])


def test_embeddings_made_before_give_the_same_as_the_clips(fitted):
    clips = [Clip(f"array {i}", *clip) for i, clip in enumerate(sounds(24))]
    target = [Clip(f"array {i}", *clip) for i, clip in enumerate(sounds(6, 50, colour=-0.6))]
    settings = EmbeddingSettings(LogMel(), (1,))
    other = Detector("logmel").fit_embedded(
        list(embed_clips(clips, settings)), list(embed_clips(target, settings))
    )
    assert np.array_equal(other.training_scores_, fitted.training_scores_)


def test_a_seed_is_nowhere_needed():
    a, b = (Detector("logmel").fit(sounds(12), sounds(5, 50)) for _ in range(2))
    assert np.array_equal(a.training_scores_, b.training_scores_)
    assert np.array_equal(a.score(sounds(3, 90)), b.score(sounds(3, 90)))
    assert firstshot.Detector is Detector
