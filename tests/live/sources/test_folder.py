import os
import shutil
import time

import numpy as np
import pytest
import soundfile

from firstshot import DatasetError
from firstshot.live.sources import folder as module
from firstshot.live.sources.folder import FolderSource

RATE = 8000
OLD = 1_770_000_000


def write(path, value, age, seconds=1.0):
    samples = np.full(round(seconds * RATE), value, np.float32)
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    os.utime(path, (OLD - age, OLD - age))
    return path


def chunks_of(source, most=50):
    found = []
    while (chunk := source.read(0.01)) is not None and len(found) < most:
        found.append(chunk)
    return found


def values(chunks):
    return [round(float(chunk.samples[0, 0]), 2) for chunk in chunks]


def test_files_come_once_each_ordered_by_time_and_cut_from_each_other(tmp_path):
    write(tmp_path / "a.wav", 0.3, age=10)
    write(tmp_path / "b.flac", 0.1, age=30)
    write(tmp_path / "c.wav", 0.2, age=20)
    (tmp_path / "notes.txt").write_text("no sound")
    source = FolderSource(tmp_path)
    source.open()
    chunks = chunks_of(source)
    assert values(chunks) == [0.1, 0.1, 0.2, 0.2, 0.3, 0.3]
    assert [chunk.before for chunk in chunks] == ["gap", "", "cut", "", "cut", ""]
    assert [chunk.time.timestamp() - OLD for chunk in chunks[:3]] == [-30.5, -30, -20.5]
    assert source.read(0.01) is None


def test_a_long_pause_between_files_is_a_gap(tmp_path):
    write(tmp_path / "a.wav", 0.1, age=2000)
    write(tmp_path / "b.wav", 0.2, age=10)
    assert [one.before for one in chunks_of(FolderSource(tmp_path))] == ["gap", "", "gap", ""]


def test_the_place_is_kept_over_a_restart(tmp_path):
    write(tmp_path / "a.wav", 0.1, age=30)
    first = FolderSource(tmp_path)
    assert values(chunks_of(first)) == [0.1, 0.1]
    write(tmp_path / "b.wav", 0.2, age=20)
    assert values(chunks_of(FolderSource(tmp_path, first.position))) == [0.2, 0.2]


def test_a_file_that_was_not_read_to_its_end_goes_on_where_it_was(tmp_path):
    write(tmp_path / "a b.wav", 0.1, age=30, seconds=2.0)
    source = FolderSource(tmp_path)
    assert source.read(0.01).time.timestamp() == OLD - 31.5
    rest = chunks_of(FolderSource(tmp_path, source.position))
    assert [one.time.timestamp() - OLD for one in rest] == [-31.0, -30.5, -30.0]


def test_a_file_is_taken_only_when_it_has_not_changed_for_a_while(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module.time, "sleep", lambda s: now.__setitem__(0, now[0] + s))
    path, source = tmp_path / "a.wav", FolderSource(tmp_path)
    for value in (0.1, 0.2):  # written again before it has settled
        write(path, value, age=0)
        os.utime(path)
        assert source.read(2.0) is None
    assert values([source.read(2.0), source.read(2.0)]) == [0.2, 0.2]


def unfinished_wave(path, size):
    write(path, 0.4, age=0)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[4:8] = data[at : at + 4] = size.to_bytes(4, "little")
    path.write_bytes(data)


def flac_without_length(path):
    write(path, 0.4, age=0)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # the count of samples is 36 bits of the first block
    data[22:26] = bytes(4)
    path.write_bytes(data)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
@pytest.mark.filterwarnings("ignore:.*taken as the whole recording")
@pytest.mark.parametrize("kind", ["wave 0", "wave 0xFFFFFFFF", "flac"])
def test_a_file_whose_header_is_unfinished_gets_more_time_and_is_then_taken(
    tmp_path, monkeypatch, kind
):
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module.time, "sleep", lambda s: now.__setitem__(0, now[0] + s))
    if kind == "flac":
        flac_without_length(tmp_path / "a.flac")
    else:
        unfinished_wave(tmp_path / "a.wav", 0 if kind == "wave 0" else 0xFFFFFFFF)
    source = FolderSource(tmp_path)
    assert source.read(20.0) is None
    assert values([source.read(20.0), source.read(1.0)]) == [0.4, 0.4]
    assert source.read(1.0) is None


def test_a_damaged_file_is_passed_over_with_a_warning_in_the_log(tmp_path, caplog):
    bad = tmp_path / "a.wav"
    bad.write_bytes(b"RIFF" + bytes(100))
    os.utime(bad, (OLD - 50, OLD - 50))
    write(tmp_path / "b.wav", 0.2, age=20)
    assert values(chunks_of(FolderSource(tmp_path))) == [0.2, 0.2]
    assert "a.wav is passed over" in caplog.text


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="no such folder"):
        FolderSource(tmp_path / "none").open()


def test_an_empty_folder_is_waited_for_and_not_looked_into_all_the_time(tmp_path):
    source, begun = FolderSource(tmp_path), time.monotonic()
    assert source.read(0.05) is None
    assert time.monotonic() - begun >= 0.05
