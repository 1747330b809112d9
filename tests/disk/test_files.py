"""Whole files or none."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from firstshot.disk.files import (
    check_replaceable,
    replacing,
    write_atomically,
    write_result,
)
from firstshot.errors import OutputError, advice_on


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


@pytest.fixture
def umask():
    """Set the umask, and set it back."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_others_may_read_what_was_written(tmp_path, umask):
    path = write_result(tmp_path / ("long " * 40 + ".txt"), "new")
    assert mode(path) == 0o644


@pytest.mark.parametrize(("mask", "expected"), [(0o077, 0o600), (0o002, 0o664), (0, 0o666)])
def test_a_new_file_has_the_rights_that_the_umask_leaves(tmp_path, umask, mask, expected):
    umask(mask)
    assert mode(write_result(tmp_path / "note.txt", "new")) == expected
    with replacing(tmp_path / "other.txt") as draft:
        draft.unlink()
        draft.write_text("a library's own file")
        draft.chmod(0o600)
    assert mode(tmp_path / "other.txt") == expected


@pytest.mark.parametrize("kept", [0o600, 0o640, 0o666, 0o755])
def test_a_rewritten_file_keeps_its_rights(tmp_path, umask, kept):
    path = write_result(tmp_path / "note.txt", "old")
    path.chmod(kept)
    write_result(path, "new")
    assert (path.read_text(), mode(path)) == ("new", kept)
    with replacing(path) as draft:
        draft.write_text("newer")
    assert (path.read_text(), mode(path)) == ("newer", kept)


def test_a_read_only_file_is_refused_from_root_too(tmp_path):
    path = write_result(tmp_path / "note.txt", "old")
    path.chmod(0o444)
    expected = f"{path}: cannot be written (it is marked read-only); check its rights or choose"
    with pytest.raises(OutputError) as caught:
        write_result(path, "new")
    assert str(caught.value) == f"{expected} another place"
    with pytest.raises(OutputError, match="it is marked read-only"):
        check_replaceable(path, True, "note", "note.txt", lambda _: True)
    with pytest.raises(PermissionError), replacing(path):
        raise AssertionError("never reached")
    assert (path.read_text(), mode(path)) == ("old", 0o444)
    assert list(tmp_path.iterdir()) == [path]


def test_only_a_file_of_the_same_kind_is_replaced(tmp_path):
    def check(path, overwrite, ours):
        check_replaceable(path, overwrite, "note", "note.txt", lambda _: ours)

    path = tmp_path / "thesis.tex"
    check(path, False, False)  # nothing is there
    path.touch()
    check(path, True, False)  # an empty file holds nothing to lose
    path.write_text("mine")
    with pytest.raises(OutputError, match="is there already; choose another name, or add --over"):
        check(path, False, True)
    with pytest.raises(OutputError, match="is no note and is not replaced; choose another name"):
        check(path, True, False)
    with pytest.raises(OutputError, match=r"is a folder; name a file, such as .*note\.txt"):
        check(tmp_path, True, True)
    check(path, True, True)


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_while_the_new_one_is_written_stays(tmp_path, monkeypatch, links):
    path = tmp_path / "note.txt"

    def unsupported(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    def work(file):
        file.write(b"new")
        path.write_text("mine")

    if not links:  # as on FAT
        monkeypatch.setattr(Path, "hardlink_to", unsupported)
    with pytest.raises(OutputError) as caught:
        write_result(path, work, overwrite=False)
    expected = "cannot be written (another program has made it meanwhile); choose another place"
    assert str(caught.value) == f"{path}: {expected}"
    assert path.read_text() == "mine"
    assert write_result(tmp_path / "other.txt", "new", overwrite=False).read_text() == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["note.txt", "other.txt"]
    assert write_result(path, work, overwrite=True).read_bytes() == b"new"


def test_a_file_that_is_only_new_gets_the_rights_that_the_umask_leaves(tmp_path, umask):
    umask(0o027)
    assert mode(write_result(tmp_path / "note.txt", "new", overwrite=False)) == 0o640


def test_a_place_that_cannot_hold_a_file_is_refused_before_the_work(tmp_path, monkeypatch):
    def check(path):
        check_replaceable(path, True, "note", "note.txt", lambda _: True)

    file = tmp_path / "file"
    file.write_text("in the way")
    for path in (file / "note.txt", file / "new" / "note.txt"):
        with pytest.raises(OutputError) as caught:
            check(path)
        expected = f"{path}: {file} is a file, not a folder; choose another place"
        assert str(caught.value) == expected
    check(tmp_path / "new" / "folder" / "note.txt")
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != tmp_path)
    with pytest.raises(OutputError) as caught:
        check(tmp_path / "new" / "note.txt")
    assert str(caught.value) == (
        f"{tmp_path / 'new' / 'note.txt'}: the folder {tmp_path} cannot be written to; check its "
        "rights or choose another place"
    )
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOENT, "check the path"),
        (errno.EACCES, "check its rights or choose another place"),
        (errno.ENOSPC, "free some space or choose another place"),
    ],
)
def test_advice_fits_the_fault(number, expected):
    assert advice_on(OSError(number, "x")) == expected


def test_links_in_a_circle_are_one_line(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OutputError, match="Too many levels of symbolic links"):
        write_result(tmp_path / "loop", "new")
