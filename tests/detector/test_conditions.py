"""Notes on what the clips of one call have in common: shift, lengths, levels."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from firstshot.detector import Detector
from firstshot.detector.conditions import measure_levels, note_levels
from firstshot.detector.sources import list_clips
from firstshot.errors import FirstshotWarning

RATE = 16000


def sound(seed, seconds=0.5, colour=0.6, gain=0.1):
    white = np.random.default_rng(seed).standard_normal(int(seconds * RATE))
    return gain * (white + colour * np.concatenate([[0.0], white[:-1]])), RATE


def tone(seed, hertz):
    samples, rate = sound(seed)
    return samples + 0.05 * np.sin(2 * np.pi * hertz * np.arange(len(samples)) / rate), rate


@pytest.fixture(scope="module")
def fitted():
    return Detector("logmel").fit([sound(i) for i in range(30)])


def notes_of(detector, clips):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        detector.predict(clips)
    return [str(one.message) for one in caught if issubclass(one.category, FirstshotWarning)]


def test_most_clips_anomalous_in_the_same_way_are_told_once_with_their_number(fitted):
    moved = [sound(100 + i, colour=-0.6) for i in range(8)]
    (note,) = notes_of(fitted, [*moved, *(sound(200 + i) for i in range(2))])
    assert note.startswith("8 of 10 clips are anomalous, and most of them lie nearer to each other")
    assert "--domain target" in note
    with warnings.catch_warnings():
        warnings.simplefilter("error", FirstshotWarning)
        # A test set has faults on purpose.
        fitted.predict_embedded(fitted.embed(moved), expect_faults=True)
    added = Detector("logmel").fit([sound(i) for i in range(30)], moved)
    assert notes_of(added, [sound(300 + i, colour=-0.6) for i in range(8)]) == []


def test_a_few_anomalous_clips_or_ones_that_differ_from_each_other_are_no_shift(fitted):
    moved = [sound(100 + i, colour=-0.6) for i in range(8)]
    assert notes_of(fitted, [*moved, *(sound(200 + i) for i in range(40))]) == []
    assert notes_of(fitted, moved[:4]) == []
    assert notes_of(fitted, [tone(100 + i, 500.0 * 1.5**i) for i in range(7)]) == []


def test_clips_of_other_lengths_are_one_line_with_their_number_and_the_effect(fitted):
    clips = [sound(100 + i, 0.2 + 0.02 * i) for i in range(3)] + [sound(110), sound(111, 3.0)]
    notes = [note for note in notes_of(fitted, clips) if "threshold holds" in note]
    assert len(notes) == 1
    assert notes[0].startswith(
        "4 of 5 clips are shorter or longer than the normal clips (0.2 to 3 s against 0.5 s used)"
    )
    assert "short clips vary more" in notes[0]
    assert "long clips vary less" in notes[0]


@pytest.mark.parametrize(("gain", "told"), [(0.01, "20 dB quieter"), (1.0, "20 dB louder")])
def test_a_changed_gain_is_told_in_decibels(fitted, gain, told):
    clips = list_clips([sound(100 + i, gain=gain) for i in range(6)], None)
    levels = measure_levels(fitted.embedding_settings(), clips)
    note = note_levels(fitted.fitted_, levels)
    assert note.startswith(f"6 of 6 clips are {told} than every normal clip (median ")
    low, high = (f"{end(fitted.fitted_.normal_clips.levels):.0f}" for end in (np.min, np.max))
    assert f"against {low} to {high} dB" in note


def test_a_gain_within_ten_decibels_or_of_a_few_clips_is_not_told(fitted):
    settings = fitted.embedding_settings()
    slightly = list_clips([sound(100 + i, gain=0.04) for i in range(6)], None)
    assert note_levels(fitted.fitted_, measure_levels(settings, slightly)) is None
    few = list_clips([sound(100 + i, gain=0.01 if i < 3 else 0.1) for i in range(6)], None)
    assert note_levels(fitted.fitted_, measure_levels(settings, few)) is None


def test_at_most_twenty_evenly_spaced_clips_of_at_most_a_minute_are_measured(fitted):
    clips = list_clips([sound(i, 0.1) for i in range(50)], None)
    levels = measure_levels(fitted.embedding_settings(), clips)
    assert [name for name, _ in levels] == [f"array {i}" for i in range(0, 50, 3)]
    long = list_clips([sound(0, 61.0)], None)
    assert measure_levels(fitted.embedding_settings(), long) == []
