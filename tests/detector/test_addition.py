"""What clips would do that are added to a bank: cut to the learned length, counted, not written."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from firstshot.detector import Detector
from firstshot.errors import FirstshotWarning
from firstshot.live.scorer import Scorer

RATE = 16000


def sound(seed, seconds=0.5, fault=0.0):
    noise = 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * RATE))
    return noise + fault * np.sin(0.9 * np.arange(noise.size)), RATE


@pytest.fixture
def detector():
    return Detector("logmel").fit([sound(i) for i in range(20)], [sound(i) for i in range(50, 60)])


def test_a_preview_equals_what_adding_does_and_changes_nothing(detector):
    before, scores = detector.threshold_, detector.training_scores_
    new = [sound(i) for i in range(80, 84)]
    preview = detector.preview_add(new, domain="target")
    assert detector.threshold_ is before
    assert len(detector.members()) == 30
    assert preview.domains["source"][0] == (int((scores[:20] > before.value).sum()), 20)
    detector.add(new, domain="target")
    after, held_out = detector.threshold_.value, detector.training_scores_
    assert preview.threshold == (before.value, after)
    assert preview.domains == {
        "source": (preview.domains["source"][0], (int((held_out[:20] > after).sum()), 20)),
        "target": (
            (int((scores[20:] > before.value).sum()), 10),
            (int((held_out[20:30] > after).sum()), 10),
        ),
    }
    assert preview.added[1] == (int((held_out[30:] > after).sum()), 4)
    again = Detector.from_fitted(preview.fitted)
    assert np.array_equal(again.score(new), detector.score(new))


def test_a_fault_that_would_be_taught_is_named(detector):
    clips = [sound(90), sound(91, fault=0.3), sound(92, fault=0.3)]
    preview = detector.preview_add(clips)
    assert preview.anomalous == {"array 21": (1, 1), "array 22": (1, 1)}
    assert preview.added[0] == (2, 3)


def test_the_first_clips_of_a_domain_are_told_as_added_alone():
    detector = Detector("logmel").fit([sound(i) for i in range(20)])
    preview = detector.preview_add([sound(i) for i in range(50, 54)], domain="target")
    assert set(preview.domains) == {"source"}
    assert preview.added[1].total == 4


def test_a_kept_recording_is_added_as_windows_that_a_stream_can_be_judged_by(detector, tmp_path):
    folder = tmp_path / "clips" / "fan"
    folder.mkdir(parents=True)
    parts = [sound(70, 2.0)[0], sound(71, 1.0, fault=0.3)[0], sound(72, 1.0)[0]]
    soundfile.write(folder / "alarm.flac", np.concatenate(parts), RATE)
    (folder / "alarm.json").write_text("{}")
    (folder.parent / "removed.jsonl").write_text("{}\n")
    with pytest.warns(FirstshotWarning, match="1 of 2 clips longer .* as windows of 0.5 s"):
        preview = detector.preview_add([folder.parent, sound(73)])
    assert preview.anomalous == {"fan/alarm.flac": (2, 8)}
    assert preview.added[0] == (1, 2)
    with pytest.warns(FirstshotWarning, match="longer than the learned"):
        detector.add(folder.parent)
    (added,) = [clip for clip in detector.members() if clip.origin]
    assert (added.clip, added.windows) == ("fan/alarm.flac", 8)
    assert Scorer(detector).window_seconds == 0.5
    path = tmp_path / "fan.firstshot"
    detector.save(path)
    assert Scorer(Detector.load(path)).window_seconds == 0.5
    assert np.array_equal(Detector.load(path).score([sound(74)]), detector.score([sound(74)]))


def test_clips_of_nearly_the_learned_length_are_added_as_they_are(detector):
    detector.add([sound(70, 0.7)])
    assert [clip.windows for clip in detector.members() if clip.origin] == [1]
