"""Whole files or none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from firstshot.errors import OutputError
from firstshot.files import write_atomically, write_result


def full(*_):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("content", [b"\x00\xff", "größer\n"])
def test_bytes_and_text_are_written_as_they_are(tmp_path, content):
    path = write_result(tmp_path / "new" / "folder" / "note.txt", content)
    expected = content if isinstance(content, bytes) else content.encode("utf-8")
    assert path.read_bytes() == expected
    assert [p.name for p in path.parent.iterdir()] == ["note.txt"]


def test_what_writes_to_the_open_file_is_whole_or_leaves_the_old_content(tmp_path):
    path = write_result(tmp_path / "note.txt", lambda file: file.write(b"old"))
    assert path.read_bytes() == b"old"

    def breaks(file):
        file.write(b"ne")
        raise ValueError("half-way")

    with pytest.raises(ValueError, match="half-way"):
        write_result(path, breaks)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["note.txt"]


def test_a_full_disk_leaves_the_old_file_and_nothing_half_written(tmp_path, monkeypatch):
    path = write_result(tmp_path / "note.txt", "old")
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match=r"note\.txt: cannot be written \(No space left"):
        write_result(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["note.txt"]  # noqa: PTH208


def test_an_interrupted_write_leaves_nothing_half_written(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "note.txt", "new")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_hold_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "note.txt", tmp_path / "folder"):
        with pytest.raises(OutputError, match="cannot be written") as error:
            write_result(path, "new")
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)


def test_others_may_read_what_was_written(tmp_path):
    path = write_result(tmp_path / ("long " * 40 + ".txt"), "new")
    assert path.stat().st_mode & 0o777 == 0o644
