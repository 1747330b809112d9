import numpy as np
import pytest
import soundfile

from firstshot import Detector, ParameterError, SoundError
from firstshot.live import Stream
from firstshot.live.ring import Ring
from firstshot.live.stream import check_hop
from firstshot.sound.audio import load_waveform
from firstshot.sound.synth import synthesize

RATE = 16000


@pytest.fixture(scope="module")
def detector():
    clips = [synthesize("SynthFan", seconds=2.0, seed=i) for i in range(24)]
    return Detector("logmel").fit([(clip, RATE) for clip in clips])


def sound(seconds=12.0, rate=RATE, channels=1):
    machine = synthesize("SynthFan", seconds=seconds, seed=99)
    if rate != RATE:
        import soxr

        machine = soxr.resample(machine, RATE, rate)
    return np.repeat(machine[:, None], channels, axis=1).astype(np.float32)


def pushed(stream, samples, sizes):
    windows, start, sizes = [], 0, iter(sizes)
    while start < len(samples):
        size = next(sizes)
        windows += stream.push(samples[start : start + size])
        start += size
    return windows


def chunk_sizes(seed=0):
    rng = np.random.default_rng(seed)
    while True:
        yield int(rng.integers(1, 9000))


@pytest.mark.parametrize("rate", [16000, 48000, 44100, 22050])
def test_window_scores_equal_those_of_a_file_cut_the_same_way(detector, tmp_path, rate):
    samples = sound(rate=rate)
    windows = pushed(Stream(detector, rate), samples, chunk_sizes())
    assert len(windows) >= 10
    for window in windows:
        end = round(window.end_seconds * rate)
        piece = samples[end - 2 * rate : end]
        soundfile.write(tmp_path / "piece.wav", piece, rate, subtype="FLOAT")
        expected = detector.predict(tmp_path / "piece.wav")
        assert window.score == pytest.approx(expected.score, rel=1e-3)
        assert window.p_value == pytest.approx(expected.p_value, abs=0.05)


@pytest.mark.parametrize("rate", [16000, 48000])
def test_window_scores_of_the_recommended_detector_are_those_of_the_file_read_whole(tmp_path, rate):
    clips = [synthesize("SynthFan", seconds=2.0, seed=i) for i in range(24)]
    detector = Detector(views="recommended").fit([(clip, RATE) for clip in clips])
    soundfile.write(tmp_path / "long.wav", sound(rate=rate), rate, subtype="FLOAT")
    whole = load_waveform(tmp_path / "long.wav", RATE)
    for window in pushed(Stream(detector, rate), sound(rate=rate), chunk_sizes()):
        end = round(window.end_seconds * RATE)
        expected = detector.score((whole[end - 2 * RATE : end], RATE))[0]
        assert window.score == pytest.approx(expected, rel=1e-3)


def test_the_size_of_chunks_changes_no_number(detector):
    samples = sound(rate=44100)
    once = Stream(detector, 44100).push(samples)
    often = pushed(Stream(detector, 44100), samples, chunk_sizes(5))
    assert [w.end_seconds for w in often] == [w.end_seconds for w in once]
    assert [w.score for w in often] == [w.score for w in once]


def test_windows_are_as_long_as_the_learned_clips_and_follow_each_other_by_half(detector):
    stream = Stream(detector)
    assert [w.end_seconds for w in stream.push(sound(5.0))] == [2.0, 3.0, 4.0, 5.0]
    assert (stream.window_seconds, stream.hop_seconds) == (2.0, 1.0)
    assert [w.end_seconds for w in Stream(detector, hop_seconds=2.0).push(sound(6.0))] == [2, 4, 6]


def test_no_window_reaches_across_a_gap(detector):
    stream = Stream(detector)
    before = stream.push(sound(3.9))
    stream.gap()
    after = stream.push(sound(3.0))
    assert [w.end_seconds for w in before] == [2.0, 3.0]
    assert [w.end_seconds for w in after] == [5.9, 6.9]
    alone = Stream(detector).push(sound(3.0))
    assert [w.score for w in after] == [w.score for w in alone]


def test_a_window_tells_its_level_its_clipped_samples_and_the_level_as_learned(detector):
    tone = np.where(np.arange(2 * RATE) % 2, 0.5, -0.5).astype(np.float32)
    (window,) = Stream(detector).push(tone)
    assert window.heard.level_dbfs == pytest.approx(-6.02, abs=0.01)
    assert window.heard.clipped == 0.0
    tone[: RATE // 2] = 1.0
    (window,) = Stream(detector).push(tone)
    assert window.heard.clipped == pytest.approx(0.25)
    quiet, loud = (Stream(detector).push(gain * sound(2.0))[0].heard for gain in (0.1, 1.0))
    assert loud.level_db - quiet.level_db == pytest.approx(20.0, abs=0.1)


def test_digital_silence_and_samples_that_are_no_numbers_are_told(detector):
    (silent,) = Stream(detector).push(np.zeros(2 * RATE, np.float32))
    assert silent.heard.level_dbfs == -float("inf")
    assert silent.heard.level_db is None
    broken = sound(2.0)
    broken[100] = np.nan
    (window,) = Stream(detector).push(broken)
    assert not window.heard.finite


def test_samples_of_integers_are_refused_since_their_scale_is_not_known(detector):
    with pytest.raises(SoundError, match="samples of type int16; expected floats"):
        Stream(detector).push(np.zeros(100, np.int16))


def test_a_window_with_a_fault_has_no_score_and_costs_no_scoring(detector, monkeypatch):
    stream = Stream(detector, find_fault=lambda heard: "too loud")
    monkeypatch.setattr(stream.scorer, "score", pytest.fail)
    (window,) = stream.push(sound(2.0))
    assert (window.score, window.p_value, window.fault) == (None, None, "too loud")


def test_memory_does_not_grow_with_the_length_of_the_stream(detector):
    stream = Stream(detector, 48000)
    for _ in range(40):
        stream.push(sound(3.0, 48000))
    assert len(stream._ring) == stream._ring.capacity == 2 * RATE
    assert len(stream._blocks) < 60


def test_a_near_far_detector_takes_two_channels_and_refuses_one():
    rng = np.random.default_rng(0)

    def clip(seed):
        room = 0.05 * rng.standard_normal(2 * RATE).astype(np.float32)
        near = synthesize("SynthFan", seconds=2.0, seed=seed) + 0.5 * room
        return np.stack([near, room], axis=1)

    clips = [clip(i) for i in range(14)]
    detector = Detector(channel="near-far").fit([(one, RATE) for one in clips])
    new = clip(77)
    (window,) = Stream(detector).push(new)
    assert window.score == pytest.approx(detector.score((new, RATE))[0], rel=1e-6)
    with pytest.raises(SoundError, match="needs two"):
        Stream(detector).push(new[:, :1])


def test_a_detector_of_one_channel_takes_it_from_several():
    detector = Detector(channel=1).fit(
        [(np.repeat(sound(2.0) * (1 + i), 2, axis=1), RATE) for i in range(3)]
        + [(np.random.default_rng(i).normal(0, 0.1, (2 * RATE, 2)), RATE) for i in range(9)]
    )
    both = np.stack([np.zeros(2 * RATE), sound(2.0)[:, 0]], axis=1).astype(np.float32)
    (window,) = Stream(detector).push(both)
    assert window.score == pytest.approx(detector.score((both, RATE))[0], rel=1e-6)


def test_clips_of_many_lengths_are_refused_with_the_way_out():
    lengths = [2.0, 2.0, 5.0] * 5
    clips = [synthesize("SynthFan", seconds=s, seed=i) for i, s in enumerate(lengths)]
    with pytest.raises(ParameterError, match=r"learned clips of 2 to 5 s.*--length windows:2"):
        Stream(Detector().fit([(clip, RATE) for clip in clips]))


def test_a_hop_longer_than_a_window_is_refused():
    assert check_hop(None, 10.0) == 5.0
    with pytest.raises(ParameterError, match="a hop of 11 s; give 1 to 10 s"):
        check_hop(11.0, 10.0)


def test_a_ring_keeps_the_last_samples_only():
    ring, rng, all_samples = Ring(50, 2), np.random.default_rng(0), np.empty((0, 2), np.float32)
    for _ in range(60):
        new = rng.standard_normal((int(rng.integers(0, 70)), 2)).astype(np.float32)
        ring.push(new)
        all_samples = np.concatenate([all_samples, new])
        for wanted in (1, 20, 50, 80):
            assert np.array_equal(ring.last(wanted), all_samples[-min(wanted, 50) :])
    ring.clear()
    assert len(ring.last(5)) == 0
