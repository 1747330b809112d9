"""Folders become clips without a file twice, and nothing of them is left out in silence."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

from firstshot.detector import Detector
from firstshot.detector.sources import find_clips, list_clips
from firstshot.disk import listing
from firstshot.errors import DatasetError, FirstshotWarning


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
        Detector().fit(closed)


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
        Detector().fit(tmp_path / "set", tmp_path / "set" / "fast")


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
