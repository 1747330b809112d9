"""What a page of scored clips is made of: the right examples, times, sounds and points."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from firstshot.detector import Detector
from firstshot.detector.sources import list_clips
from firstshot.report.scored_clips import ScoredClips, file_times, gather_clips, map_clips

RATE = 16000
RNG = np.random.default_rng(7)


def write_clips(folder: Path, count: int, seconds: float = 1.0, gain: float = 0.1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        noise = gain * RNG.standard_normal(round(seconds * RATE))
        soundfile.write(folder / f"{k:02d}.wav", noise, RATE)
    return folder


def hum(path: Path, seconds: float = 1.0) -> None:
    times = np.arange(round(seconds * RATE)) / RATE
    soundfile.write(path, 0.1 * np.sin(2 * np.pi * 500 * times), RATE)


def gather(detector: Detector, folder: Path, normal: Sequence[Path] = ()) -> ScoredClips:
    clips = list_clips(folder)
    embedded = detector.embed(clips)
    paths = {clip.name: clip.source for clip in clips if isinstance(clip.source, Path)}
    return gather_clips(detector, embedded, detector.predict_embedded(embedded), paths, normal)


@pytest.fixture(scope="module")
def normal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips") / "normal", 12)


@pytest.fixture(scope="module")
def detector(normal: Path) -> Detector:
    return Detector(normalizer="none").fit(normal)


def test_the_examples_are_the_clips_farthest_above_their_threshold(
    detector: Detector, tmp_path: Path
) -> None:
    folder = write_clips(tmp_path, 20)
    hum(folder / "07.wav")
    found = gather(detector, folder)
    over = {result.clip: result.score - result.threshold for result in found.results}
    expected = sorted(over, key=lambda clip: -over[clip])[:12]
    assert [example.clip for example in found.examples] == expected
    first = found.examples[0]
    assert first.clip == "07.wav"
    assert first.words and first.bands
    samples, _ = soundfile.read(folder / "07.wav", dtype="float32")
    np.testing.assert_allclose(first.waveform, samples, atol=1e-6)


def test_an_example_says_which_views_made_its_score(normal: Path, tmp_path: Path) -> None:
    detector = Detector(views="recommended_small").fit(normal)
    hum(tmp_path / "hum.wav")
    (example,) = gather(detector, tmp_path).examples
    assert example.views == tuple(map(str, detector.explain(tmp_path / "hum.wav").views))
    assert len(example.views) == 2


def test_a_normal_clip_is_shown_only_where_its_own_samples_are_found(
    detector: Detector, normal: Path, tmp_path: Path
) -> None:
    folder = write_clips(tmp_path / "new", 2)
    assert all(e.nearest_waveform.size == 0 for e in gather(detector, folder).examples)
    for example in gather(detector, folder, [normal]).examples:
        samples, _ = soundfile.read(normal / example.nearest, dtype="float32")
        np.testing.assert_allclose(example.nearest_waveform, samples, atol=1e-6)
    others = write_clips(tmp_path / "others", 12)  # the same names
    assert all(e.nearest_waveform.size == 0 for e in gather(detector, folder, [others]).examples)


def test_a_clip_that_was_added_is_found_where_it_came_from(
    detector: Detector, tmp_path: Path
) -> None:
    added = tmp_path / "added"
    added.mkdir()
    for k in range(2):
        hum(added / f"hum_{k}.wav", 1.0 + 0.1 * k)
    edited = Detector.from_fitted(detector.fitted_)
    edited.add(added)
    new = tmp_path / "new"
    new.mkdir()
    hum(new / "hum.wav", 1.05)
    (example,) = gather(edited, new).examples
    assert example.nearest in ("hum_0.wav", "hum_1.wav")
    assert example.nearest_waveform.size in (RATE, round(1.1 * RATE))


def test_a_clip_that_was_added_alone_is_found_by_its_path(
    detector: Detector, tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    hum(tmp_path / "hum_0.wav")
    hum(tmp_path / "new" / "hum_0.wav", 1.05)
    edited = Detector.from_fitted(detector.fitted_)
    edited.add(tmp_path / "hum_0.wav")
    (example,) = gather(edited, tmp_path / "new").examples
    assert (example.clip, example.nearest_waveform.size) == ("hum_0.wav", RATE)


def test_the_bank_alone_has_a_map(detector: Detector) -> None:
    shown = map_clips(detector.fitted_)
    assert [clip.clip for clip in shown.clips] == [f"{k:02d}.wav" for k in range(12)]
    assert all(clip.learned and clip.domain == "source" for clip in shown.clips)
    assert 0 < shown.shares[1] <= shown.shares[0] < 1


def test_of_a_recording_the_deciding_stretch_is_read(normal: Path, tmp_path: Path) -> None:
    detector = Detector(normalizer="none", length="windows:1").fit(normal)
    samples = 0.1 * RNG.standard_normal(70 * RATE).astype(np.float32)
    samples[66 * RATE : 67 * RATE] = 0.1 * np.sin(np.arange(RATE) * 0.2)
    soundfile.write(tmp_path / "long.wav", samples, RATE, subtype="FLOAT")
    found = gather(detector, tmp_path)
    (example,) = found.examples
    assert example.start_seconds == found.results[0].start_seconds
    start = round(example.start_seconds * RATE)
    np.testing.assert_array_equal(example.waveform, samples[start : start + 60 * RATE])
    assert [clip.learned for clip in found.clip_map.clips] == [True] * 12 + [False]


def test_a_clip_of_many_windows_is_one_point_at_their_mean(normal: Path, tmp_path: Path) -> None:
    # Each recording holds the same second twice or four times: the same mean, the same point.
    detector = Detector(normalizer="none", length="windows:1").fit(normal)
    second = 0.1 * np.sin(np.arange(RATE) * 0.2 * np.pi)
    for name, times in (("two", 2), ("four", 4)):
        soundfile.write(tmp_path / f"{name}.wav", np.tile(second, times), RATE)
    points = gather(detector, tmp_path).clip_map.points
    np.testing.assert_allclose(points[-1], points[-2], atol=1e-4)
    assert np.linalg.norm(points[-1] - points[0]) > 0.5


def test_times_are_those_of_the_files_unless_they_were_copied(tmp_path: Path) -> None:
    paths = [tmp_path / f"{k}.wav" for k in range(4)]
    assert file_times(paths, [1.0] * 4) is None
    for k, path in enumerate(paths):
        path.touch()
        os.utime(path, (1e9 + 10 * k, 1e9 + 10 * k))
    assert file_times(paths, [1.0] * 4) == (1e9, 1e9 + 10, 1e9 + 20, 1e9 + 30)
    assert file_times(paths, [3600.0] * 4) is None  # four hours within thirty seconds
    for path in paths[1:]:
        os.utime(path, (1e9, 1e9 + 5))
    assert file_times(paths, [1.0] * 4) is None  # three of four at one time
