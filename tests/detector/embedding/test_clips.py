"""Folders, files, arrays and records become named embeddings, in order, a few minutes at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from firstshot.detector import embedding
from firstshot.detector.embedding import (
    Clip,
    EmbeddingSettings,
    embed_all,
    embed_clips,
    make_embedding_settings,
)
from firstshot.detector.sources import list_clips
from firstshot.encoders.logmel import LogMel
from firstshot.errors import DatasetError, SoundError
from firstshot.sound.audio import LengthPolicy

RATE = 16000


@dataclass(frozen=True)
class Record:
    path: Path


def noise(seed=0, samples=3200):
    return 0.1 * np.random.default_rng(seed).standard_normal(samples)


def write(path, seed=0, rate=RATE, samples=3200):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, noise(seed, samples), rate)
    return path


def test_a_folder_is_searched_in_depth_and_in_order_for_audio_alone(tmp_path):
    for name in ("b.wav", "a.flac", "sub/c.OGG", ".hidden.wav"):
        write(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no sound")
    (tmp_path / "folder.wav").mkdir()
    found = list_clips(tmp_path)
    assert [clip.name for clip in found] == ["a.flac", "b.wav", "sub/c.OGG"]
    assert list_clips(str(tmp_path)) == found


def test_a_link_to_nothing_in_a_folder_is_told_of_and_not_passed_over(tmp_path):
    write(tmp_path / "good.wav")
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    clips = list_clips(tmp_path)
    assert [clip.name for clip in clips] == ["gone.wav", "good.wav"]
    with pytest.raises(SoundError, match=r"gone\.wav: does not exist"):
        embed_all(clips, EmbeddingSettings(LogMel(), (1,)))


def test_files_arrays_and_records_keep_the_order_given(tmp_path):
    a, b = write(tmp_path / "a.wav"), write(tmp_path / "b.wav")
    found = list_clips([str(a), noise(), Record(b)], sample_rate=8000)
    assert [clip.name for clip in found] == [str(a), "array 1", "b.wav"]
    assert [clip.sample_rate for clip in found] == [None, 8000, None]
    assert list_clips((noise(), RATE))[0].name == "array 0"
    assert list_clips(Record(b))[0].source == b
    assert list_clips(path for path in (a, b)) == list_clips([a, b])


def test_one_name_in_two_folders_is_told_apart_by_the_whole_path(tmp_path):
    for folder in ("x", "y"):
        write(tmp_path / folder / "a.wav")
    found = list_clips([tmp_path / "x", tmp_path / "y"])
    assert [clip.name for clip in found] == [str(tmp_path / f / "a.wav") for f in ("x", "y")]


def test_a_clip_named_twice_is_refused(tmp_path):
    path = write(tmp_path / "a.wav")
    with pytest.raises(DatasetError, match="named twice among the source clips"):
        list_clips([path, path], role="source clips")
    with pytest.raises(DatasetError, match="named twice"):
        list_clips([tmp_path, path, Record(path)])


def test_what_is_not_there_or_empty_is_named_with_what_it_was_for(tmp_path):
    with pytest.raises(DatasetError, match=r"none: does not exist; .*target clips"):
        list_clips(tmp_path / "none", role="target clips")
    with pytest.raises(DatasetError, match="no audio among its files"):
        list_clips(tmp_path)


@pytest.mark.parametrize("thing", [[0.1, 0.2], [None], [b"a.wav"]])
def test_what_is_neither_path_array_nor_record_is_refused(thing):
    with pytest.raises(DatasetError, match=r"clips: .* is a \w+; give paths, folders, arrays with"):
        list_clips(thing)


def test_embeddings_are_the_encoders_own_in_order():
    clips = [Clip(str(i), noise(i, 1600 + 100 * i)) for i in range(8)]
    seen = []
    found = list(
        embed_clips(
            clips, EmbeddingSettings(LogMel(), (2, 1)), progress=lambda *done: seen.append(done)
        )
    )
    assert seen == [(done, 8) for done in range(1, 9)]
    for clip, heard in zip(clips, found, strict=True):
        expected = LogMel().embed([clip.source.astype(np.float32)], layers=[2, 1])
        assert heard.name == clip.name
        assert all(np.array_equal(a, b) for a, b in zip(heard.layers, expected, strict=True))
        assert np.array_equal(heard.spectrum, expected[1])


def test_clips_of_unequal_length_rate_and_channels_share_a_bank(tmp_path):
    clips = [
        Clip("a", write(tmp_path / "a.wav", rate=8000)),
        Clip("b", write(tmp_path / "b.flac", rate=44100, samples=20000)),
        Clip("c", np.stack([noise(0, 9600), noise(1, 9600)], axis=1), 48000),
    ]
    found = list(embed_clips(clips, EmbeddingSettings(LogMel(), (1,))))
    assert [clip.layers[0].shape for clip in found] == [(1, 144)] * 3


def test_windows_are_embedded_one_by_one_and_named_by_their_start():
    samples = noise(0, 40000)
    settings = make_embedding_settings("logmel", length="windows:1:0.75")
    (heard,) = embed_clips([Clip("long", samples)], settings)
    assert heard.starts == (0.0, 0.75, 1.5)
    assert heard.window_names == ("long@0s", "long@0.75s", "long@1.5s")
    for start, row in zip(heard.starts, heard.layers[0], strict=True):
        part = samples[int(start * RATE) : int(start * RATE) + RATE].astype(np.float32)
        assert np.array_equal(row, LogMel().embed([part])[0][0])
    (short,) = embed_clips([Clip("short", samples[:3000])], settings)
    assert short.window_names == ("short",)


def test_windows_a_sample_apart_late_in_a_recording_have_names_of_their_own():
    starts = LengthPolicy("windows", 1.0).starts(1235 * RATE + 1, RATE)
    clip = embedding.EmbeddedClip(
        "x", "", tuple(s / RATE for s in starts), (), np.zeros((0, 0), np.float32)
    )
    assert len(set(clip.window_names)) == len(starts) == 1236


def test_a_clip_that_cannot_be_heard_stops_the_run_and_is_named(tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no sound")
    clips = [Clip("good", noise()), Clip("bad", bad)]
    with pytest.raises(SoundError, match=r"bad\.wav: not readable as audio"):
        list(embed_clips(clips, EmbeddingSettings(LogMel(), (1,))))


def test_with_on_error_the_bad_clips_are_told_of_and_the_others_embedded(tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no sound")
    clips = [
        Clip("first", noise(0)),
        Clip("bad", bad),
        Clip("short", noise(0, 100)),
        Clip("nan", np.full(3200, np.nan)),
        Clip("last", noise(1)),
    ]
    told, seen = [], []
    found = list(
        embed_clips(
            clips,
            EmbeddingSettings(LogMel(), (1,)),
            on_error=lambda clip, error: told.append((clip.name, str(error))),
            progress=lambda done, total: seen.append((done, total)),
        )
    )
    assert [clip.name for clip in found] == ["first", "last"]
    assert [name for name, _ in told] == ["bad", "short", "nan"]
    assert all(name in message for name, message in told)
    assert seen[-1] == (5, 5)


def test_no_clips_are_no_embeddings_and_only_bad_ones_too():
    assert list(embed_clips([], EmbeddingSettings(LogMel(), (1,)))) == []
    only_bad = [Clip("nan", np.full(3200, np.nan))]
    assert (
        list(embed_clips(only_bad, EmbeddingSettings(LogMel(), (1,)), on_error=lambda *_: None))
        == []
    )


def test_the_spectrum_for_explanations_is_the_plain_one_whatever_the_encoder():
    (heard,) = embed_clips(
        [Clip("x", noise())], make_embedding_settings("logmel", {"keep_level": True})
    )
    assert np.array_equal(heard.spectrum, LogMel().embed([noise().astype(np.float32)])[0])
    assert not np.array_equal(heard.spectrum, heard.layers[0])


def test_clips_that_must_all_be_good_are_all_named_at_once(tmp_path):
    for name in ("a.wav", "b.wav", "c.wav"):
        (tmp_path / name).write_text("no sound")
    settings = make_embedding_settings("logmel")
    with pytest.raises(SoundError, match=r"a\.wav: not readable.*nor can be used: b\.wav, c\.wav"):
        embed_all(list_clips(tmp_path), settings)
