"""Recordings of any length become the pieces that they would be if held whole."""

from __future__ import annotations

import hashlib
import tracemalloc

import numpy as np
import pytest
import soundfile

from firstshot.errors import SoundError
from firstshot.sound.audio import LengthPolicy, load_waveform, read_blocks
from firstshot.sound.recording import record

RATE = 16000
POLICIES = ["native", "fixed:1", "fixed:9", "windows:1", "windows:2:0.5", "windows:1:2.5"]


@pytest.fixture(params=[700, 5000, 40000, 100000])
def blocks(request):
    clip = np.random.default_rng(0).standard_normal(100_000).astype(np.float32)
    return lambda: (clip[at : at + request.param] for at in range(0, len(clip), request.param))


@pytest.mark.parametrize("held", [0.5, 1000.0])
@pytest.mark.parametrize("policy", POLICIES)
def test_pieces_and_hash_are_those_of_the_whole_waveform(blocks, policy, held):
    length, whole = LengthPolicy.parse(policy), np.concatenate(list(blocks()))
    recording = record(blocks, RATE, length, held_seconds=held)
    expected = length.apply(whole, RATE)
    assert recording.samples == len(whole)
    assert recording.digest == hashlib.sha256(whole.astype("<f4").tobytes()).hexdigest()
    assert recording.starts == length.starts(len(whole), RATE)
    assert {recording.piece_samples} == {len(piece) for piece in expected}
    assert (recording.held is None) == (length.kind == "windows" and held < 1)
    pieces = list(recording.pieces())
    assert len(pieces) == len(expected)
    assert all(np.array_equal(a, b) for a, b in zip(pieces, expected, strict=True))


def test_a_clip_shorter_than_a_window_is_one_piece():
    clip = np.arange(2000, dtype=np.float32)
    recording = record(lambda: [clip], RATE, LengthPolicy("windows", 1.0), held_seconds=0.01)
    (piece,) = recording.pieces()
    assert np.array_equal(piece, clip)


def test_three_hours_in_windows_take_the_memory_of_minutes():
    block = np.random.default_rng(0).standard_normal(60 * 1000).astype(np.float32)
    tracemalloc.start()
    recording = record(lambda: (block for _ in range(3 * 60)), 1000, LengthPolicy("windows", 10.0))
    count = sum(1 for _ in recording.pieces())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 3 * 360
    assert recording.samples * 4 == 43_200_000
    assert peak < 5_000_000


def test_a_recording_in_one_piece_is_checked_while_it_gets_longer():
    minute = np.zeros(60_000, np.float32)
    reported = []

    def check(samples):
        reported.append(samples)
        if len(reported) == 3:
            raise SoundError("enough")

    with pytest.raises(SoundError, match="enough"):
        record(lambda: (minute for _ in range(600)), 1000, LengthPolicy(), check)
    assert reported == [660_000, 720_000, 780_000]


def test_a_file_that_became_shorter_between_two_readings_is_reported():
    clip = np.ones(40_000, np.float32)
    readings = iter([[clip], [clip[:20_000]]])
    length = LengthPolicy("windows", 1.0)
    recording = record(lambda: next(readings), RATE, length, held_seconds=0.5)
    with pytest.raises(SoundError, match="became shorter while it was read"):
        list(recording.pieces())


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 48000, 16001, 192000])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_file_resampled_in_blocks_has_the_bits_of_one_resampled_at_once(tmp_path, rate, channels):
    import soxr

    samples = 0.2 * np.random.default_rng(rate).standard_normal((int(1.7 * rate) + 3, channels))
    path = tmp_path / "clip.wav"
    soundfile.write(path, samples, rate, subtype="FLOAT")
    mono = samples.astype(np.float32).mean(axis=1, dtype=np.float32)
    expected = mono if rate == RATE else soxr.resample(mono, rate, RATE, quality="HQ")
    for values in (999, 1 << 14, 1 << 30):
        blocks = read_blocks(path, RATE, "mean", lambda note: None, values_per_block=values)
        assert np.concatenate(list(blocks)).tobytes() == expected.tobytes()
    assert load_waveform(path, RATE).tobytes() == expected.tobytes()
