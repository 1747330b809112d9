"""Folders become clips without a file twice, and nothing of them is left out in silence."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

from firstshot.detector import Detector, Ensemble
from firstshot.detector.embedding import Clip
from firstshot.detector.sources import find_clips, is_one_clip, list_clips
from firstshot.disk import listing
from firstshot.errors import DatasetError, FirstshotWarning, ParameterError, SoundError

pytestmark = pytest.mark.filterwarnings("ignore:.*take the place of the K nearest")


def record(*paths: Path) -> None:
    for seed, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(3200), 16000)


@pytest.fixture
def closed(tmp_path, monkeypatch):
    """A folder with a clip, and a sub-folder that cannot be listed."""
    record(tmp_path / "a.wav", tmp_path / "closed" / "b.wav")
    scandir = os.scandir

    def refuse(place):
        if Path(place).name == "closed":
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(listing.os, "scandir", refuse)
    return tmp_path


def test_a_sub_folder_that_cannot_be_listed_is_a_fault_beside_the_clips(closed):
    found = find_clips(closed)
    assert [clip.name for clip in found.clips] == ["a.wav"]
    (fault,) = found.faults
    assert str(fault) == (
        f"{closed / 'closed'}: cannot be listed (Permission denied); make it readable, or move it "
        "elsewhere"
    )
    alone = find_clips(closed / "closed")
    assert (alone.clips, len(alone.faults)) == ((), 1)


def test_nothing_is_learned_from_a_folder_that_cannot_be_listed_whole(closed):
    with pytest.raises(DatasetError, match="closed: cannot be listed"):
        Detector("logmel").fit(closed)


def test_linked_folders_are_heard_and_no_clip_twice(tmp_path):
    record(tmp_path / "set" / "a.wav", tmp_path / "elsewhere" / "b.wav")
    (tmp_path / "set" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "up").symlink_to("..")
    (tmp_path / "set" / "latest.wav").symlink_to("a.wav")
    assert [clip.name for clip in list_clips(tmp_path / "set")] == ["a.wav", "more/b.wav"]


@pytest.mark.parametrize("again", ["set/sub", "set/sub/b.wav", "link"])
def test_sources_that_overlap_are_refused(tmp_path, again):
    record(tmp_path / "set" / "a.wav", tmp_path / "set" / "sub" / "b.wav")
    (tmp_path / "link").symlink_to(tmp_path / "set")
    with pytest.raises(DatasetError, match=r"b\.wav: twice among the source|a\.wav: twice among"):
        list_clips([tmp_path / "set", tmp_path / again], role="source clips")


def test_a_target_folder_inside_the_source_folder_is_refused(tmp_path):
    paths = [tmp_path / "set" / f"{i}.wav" for i in range(3)]
    record(*paths, tmp_path / "set" / "fast" / "a.wav")
    with pytest.raises(DatasetError, match=r"a\.wav: among the source and among the target clips"):
        Detector("logmel").fit(tmp_path / "set", tmp_path / "set" / "fast")


def test_sound_that_is_not_read_is_counted_by_kind(tmp_path):
    record(tmp_path / "a.wav")
    for name in ("1.m4a", "2.M4A", "3.wma", ".hidden.m4a", "notes.txt"):
        (tmp_path / name).touch()
    with pytest.warns(FirstshotWarning) as told:
        clips = list_clips(tmp_path)
    assert [clip.name for clip in clips] == ["a.wav"]
    assert [str(warning.message) for warning in told] == [
        f"{tmp_path}: left out what is not read, 2 .m4a, 1 .wma (convert each, as "
        "ffmpeg -i 1.m4a 1.wav)"
    ]
    (tmp_path / "a.wav").unlink()
    with pytest.raises(DatasetError, match=r"and holds 2 \.m4a, 1 \.wma \(convert each, as ffmpeg"):
        list_clips(tmp_path)


def test_other_files_beside_the_clips_are_not_spoken_of(tmp_path):
    record(tmp_path / "a.wav")
    (tmp_path / "labels.csv").touch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list_clips(tmp_path)


def test_a_pipe_in_a_folder_is_a_clip_that_cannot_be_read(tmp_path):
    record(tmp_path / "a.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    assert [clip.name for clip in list_clips(tmp_path)] == ["a.wav", "pipe.wav"]


def noise(seed=0, samples=3200):
    return 0.1 * np.random.default_rng(seed).standard_normal(samples)


@pytest.mark.parametrize(
    "make", [lambda: noise(), lambda: [noise()], lambda: Clip("hum", noise()), lambda: (noise(),)]
)
def test_an_array_without_its_rate_is_refused(make):
    with pytest.raises(ParameterError, match=r"comes without its sample rate; give sample_rate=RA"):
        list_clips(make())


def test_a_pair_keeps_its_own_rate_beside_arrays_of_the_rate_given():
    clips = list_clips([(noise(), 44100), noise(1), Clip("fan", noise(2), 8000)], 16000)
    assert [clip.sample_rate for clip in clips] == [44100, 16000, 8000]
    assert [clip.name for clip in clips] == ["array 0", "array 1", "fan"]


def test_a_clip_at_44_kilohertz_scores_as_its_file_does(tmp_path):
    normal = [(noise(i, 8820), 44100) for i in range(9)]
    detector = Detector(normalizer="local_density").fit(normal)
    soundfile.write(tmp_path / "new.wav", noise(99, 8820), 44100, subtype="DOUBLE")
    expected = detector.score(tmp_path / "new.wav")
    assert np.array_equal(detector.score((noise(99, 8820), 44100)), expected)
    assert np.array_equal(detector.score(noise(99, 8820), sample_rate=44100), expected)
    with pytest.raises(ParameterError, match="without its sample rate"):
        detector.score(noise(99, 8820))


def test_rows_as_long_as_clips_are_clips_and_short_ones_are_channels():
    clips = list_clips(np.stack([noise(i, 1600) for i in range(3)]), 16000)
    assert [clip.name for clip in clips] == ["array 0", "array 1", "array 2"]
    assert all(np.array_equal(clip.source, noise(i, 1600)) for i, clip in enumerate(clips))
    (stereo,) = list_clips(noise(samples=(1600, 2)), 16000)
    assert stereo.source.shape == (1600, 2)
    assert is_one_clip(noise(samples=(1600, 2)), 16000)
    assert not is_one_clip(noise(samples=(3, 1600)), 16000)
    # A row of 0.1 s at 44.1 kHz has 4410 samples.
    assert is_one_clip(noise(samples=(3, 1600)), 44100)
    for one in ((noise(samples=(2, 3200)), 16000), [noise(samples=(2, 3200))]):
        with pytest.raises(DatasetError, match=r"shape \(2, 3200\), expected one clip"):
            list_clips(one, 16000)


class Tensor:
    """What offers itself to numpy, as tensors and columns of data frames do."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values)


def test_tensors_and_columns_of_paths_are_taken_as_arrays_are(tmp_path):
    record(tmp_path / "a.wav", tmp_path / "b.wav")
    (clip,) = list_clips(Tensor(noise()), 16000)
    assert np.array_equal(clip.source, noise())
    paths = [str(tmp_path / "a.wav"), str(tmp_path / "b.wav")]
    for column in (np.array(paths), Tensor(np.array(paths, dtype=object))):
        assert [clip.name for clip in list_clips(column)] == paths
        assert not is_one_clip(column)


def test_a_tensor_that_numpy_cannot_have_is_refused_with_the_reason():
    class Elsewhere:
        def __array__(self, dtype=None, copy=None):
            raise TypeError("copy the tensor to host memory first")

    with pytest.raises(DatasetError, match=r"Elsewhere .*\(copy the tensor to host memory first\)"):
        list_clips(Elsewhere(), 16000)


class Place:
    """A path as other libraries have it."""

    def __init__(self, path):
        self.text = str(path)

    def __fspath__(self):
        return self.text


def test_whatever_names_a_path_is_read_as_one(tmp_path):
    record(tmp_path / "a.wav")
    path = tmp_path / "a.wav"
    assert list_clips(Place(path)) == list_clips(path)
    (entry,) = os.scandir(tmp_path)
    assert list_clips(entry) == list_clips(path)
    assert is_one_clip(Place(path))
    assert not is_one_clip(Place(tmp_path))


def test_open_files_are_read_like_the_paths_they_come_from(tmp_path):
    paths = [tmp_path / f"{i}.flac" for i in range(9)]
    record(*paths)
    detector = Detector(normalizer="local_density").fit(paths)
    with paths[0].open("rb") as file, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*the same samples as the normal clip")
        result = detector.predict(file)
        assert result.clip == str(paths[0])
        assert result.score == detector.score(paths[0])[0]
        found = detector.score(io.BytesIO(path.read_bytes()) for path in paths)
    assert is_one_clip(io.BytesIO())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FirstshotWarning)
        assert np.array_equal(found, detector.score(paths))


def test_an_open_file_is_checked_as_a_file_is(tmp_path):
    record(tmp_path / "a.wav")
    content = (tmp_path / "a.wav").read_bytes()
    cut = io.BytesIO(content[:-400])
    with pytest.raises(SoundError, match=r"^file 1: truncated, 3000 of the 3200 samples"):
        list_clips([io.BytesIO(content), cut])
    with pytest.raises(SoundError, match=r"^file 0: not readable as audio"):
        list_clips(io.BytesIO(b"no sound"))
    (tmp_path / "notes.wav").write_text("text")
    with (
        (tmp_path / "notes.wav").open() as text,
        pytest.raises(DatasetError, match=r"notes\.wav: cannot be read as bytes .*mode 'rb'$"),
    ):
        list_clips(text)


@pytest.mark.parametrize(
    ("thing", "named"),
    [
        (16000, "16000 is a int"),
        (None, "None is a NoneType"),
        (b"a.wav", "b'a.wav' is a bytes"),
        ([3.5], "3.5 is a float"),
        ((16000, np.zeros(3200)), "16000 is a int"),
        ([{"path": "a.wav"}], "is a dict"),
        ({"path": "a.wav"}, "{'path': 'a.wav'} is a dict"),
    ],
)
def test_what_is_no_source_is_refused_by_its_name(thing, named):
    with pytest.raises(DatasetError, match=f"^clips: .*{named}; give paths, folders, arrays with"):
        list_clips(thing)


def test_an_ensemble_goes_through_open_files_and_iterators_once(tmp_path):
    paths = [tmp_path / f"{i}.wav" for i in range(9)]
    record(*paths)
    files = [io.BytesIO(path.read_bytes()) for path in paths]
    ensemble = Ensemble([Detector(layers=[1]), Detector(layers=[2])]).fit(iter(files))
    again = Ensemble([Detector(layers=[1]), Detector(layers=[2])]).fit(paths)
    assert np.array_equal(ensemble.training_scores_, again.training_scores_)


@pytest.mark.parametrize("rate", [0, -16000, float("nan"), "16000", True])
def test_a_rate_that_is_none_is_refused_by_its_name(rate):
    with pytest.raises(
        ParameterError, match=r"^sample_rate .*: expected a number from 1 to 1e\+09"
    ):
        list_clips(noise(), rate)
    with pytest.raises(ParameterError, match=r"^sample_rate"):
        Detector("logmel", sample_rate=rate).fit([noise(i) for i in range(9)])
