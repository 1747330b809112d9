"""What a killed writer left is removed, and what a living one writes is not."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

from firstshot.disk.drafts import clear_leftovers, draft_of
from firstshot.disk.files import write_result

KILLED = """
import os, signal, sys
from pathlib import Path
from firstshot.disk.files import write_result

def die(file):
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

write_result(Path(sys.argv[1]), die)
"""


def test_what_a_killed_writer_left_is_removed_by_the_next_write_of_the_same_file(tmp_path):
    path = tmp_path / "note.txt"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".note.txt.")
    write_result(tmp_path / "other.txt", "new")
    assert left.exists()
    write_result(path, "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["note.txt", "other.txt"]


def test_what_earlier_versions_left_is_removed_and_what_is_somebody_elses_stays(tmp_path):
    (tmp_path / ".note.txt.ab3_9xyz.part").write_text("half")
    others = [".note.txt.part", ".note.txt.abc.part", ".notes.txt.ab3_9xyz.part", ".note.txt.old"]
    for name in others:
        (tmp_path / name).write_text("mine")
    write_result(tmp_path / "note.txt", "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*others, "note.txt"])


def test_a_large_folder_is_searched_for_leftovers_at_the_first_write(tmp_path, monkeypatch):
    monkeypatch.setattr("firstshot.disk.drafts.LARGE_FOLDER", 2)
    for name in ("a", "b", ".note.txt.0123abcd.part"):
        (tmp_path / name).touch()
    write_result(tmp_path / "note.txt", "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "note.txt"]
    (tmp_path / ".note.txt.0123abcd.part").touch()
    write_result(tmp_path / "note.txt", "newer")
    assert (tmp_path / ".note.txt.0123abcd.part").exists()


def test_the_draft_of_a_living_writer_stays(tmp_path):
    path = tmp_path / "note.txt"

    def meanwhile(file):
        file.write(b"first")
        write_result(path, "second")

    write_result(path, meanwhile)
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_without_locks_only_what_is_a_day_old_is_removed(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr("firstshot.disk.drafts.try_lock", unsupported)
    old, young = (tmp_path / f".note.txt.{name}.part" for name in ("aaaaaaaa", "bbbbbbbb"))
    for path in (old, young):
        path.write_text("half")
    os.utime(old, (0, 0))
    write_result(tmp_path / "note.txt", "new")
    assert sorted(tmp_path.iterdir()) == [young, tmp_path / "note.txt"]


def test_a_draft_that_another_process_cleans_up_before_it_is_locked_is_made_again(tmp_path):
    made = []

    def make(path):
        path.touch()
        made.append(path)
        if len(made) == 1:
            path.unlink()  # as a second writer of the same file does with what nobody holds

    with draft_of(tmp_path / "entry", make) as draft:
        assert draft == made[1]
        assert draft.is_file()


def test_all_that_killed_writers_left_in_a_folder_is_removed_and_nothing_else(tmp_path):
    for name in (".a.json.abcd1234.part", ".notes.part", "b.part"):
        (tmp_path / name).write_text("")
    (tmp_path / ".c.flac.0123abcd.part").mkdir()
    with draft_of(tmp_path / "d.json", Path.touch) as held:
        clear_leftovers(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {".notes.part", "b.part", held.name}
