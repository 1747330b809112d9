"""A folder of results is held by one process, and by none that is dead."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from firstshot.disk.locks import LOCK, hold_folder
from firstshot.errors import FirstshotWarning, OutputError

HOLD = """
import sys
from pathlib import Path
from firstshot.disk.locks import hold_folder

with hold_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """Start a process that holds a folder, and wait until it does."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_folder_that_another_process_holds_is_refused_and_the_process_named(tmp_path):
    other = holder(tmp_path / "out")
    with pytest.raises(OutputError) as caught, hold_folder(tmp_path / "out"):
        raise AssertionError("never reached")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'out'}: another firstshot is writing to it (process ")
    assert f"process {other.pid} on " in message
    assert message.endswith("); wait until that has ended, or choose another folder")
    assert "\n" not in message
    other.communicate()
    assert list(tmp_path.iterdir()) == []
    with hold_folder(tmp_path / "out"):
        pass


def test_only_a_folder_that_was_made_for_the_lock_is_removed(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    for folder in (mine, tmp_path / "new"):
        with hold_folder(folder):
            assert (folder / LOCK).is_file()
    assert list(tmp_path.iterdir()) == [mine]
    assert list(mine.iterdir()) == []


def test_the_lock_of_a_killed_process_is_no_lock(tmp_path):
    """Also where its number belongs to a living process by now."""
    other = holder(tmp_path)
    other.send_signal(signal.SIGKILL)
    other.wait()
    other.communicate()
    assert f"process {other.pid} " in (tmp_path / LOCK).read_text()
    (tmp_path / LOCK).write_text(f"process {os.getpid()} on here, since yesterday\n")
    (tmp_path / "results").touch()
    with hold_folder(tmp_path):
        assert (tmp_path / LOCK).read_text().startswith(f"process {os.getpid()} on ")
        assert "yesterday" not in (tmp_path / LOCK).read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_a_file_system_without_locks_is_told_of(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("firstshot.disk.locks.try_lock", unsupported)
    with (
        pytest.warns(FirstshotWarning, match="has no locks .*; start no second run into this"),
        hold_folder(tmp_path),
    ):
        pass


def test_a_planted_link_is_not_written_to(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "out" / LOCK).symlink_to(tmp_path / "mine.txt")
    with pytest.raises(OutputError, match="cannot be written"), hold_folder(tmp_path / "out"):
        raise AssertionError("never reached")
    assert (tmp_path / "mine.txt").read_text() == "mine"
