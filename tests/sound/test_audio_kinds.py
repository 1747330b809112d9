"""What cannot be read as sound is named for what it is, with a way to have it read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from firstshot.errors import SoundError
from firstshot.sound.audio import load_waveform
from firstshot.sound.audio_kinds import AUDIO_SUFFIXES, UNREAD_SUFFIXES, skipped_kinds


def refusal(path: Path) -> str:
    with pytest.raises(SoundError) as caught:
        load_waveform(path, 16000)
    return str(caught.value).removeprefix(f"{path}: ")


def test_a_fifo_and_a_device_are_there_but_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")  # opening it would wait for ever
    reported = refusal(tmp_path / "pipe.wav")
    assert reported == "is a FIFO (a named pipe), not a file; record it to a WAV file and name that"
    assert refusal(Path("/dev/null")).startswith("is a device, not a file")


def test_a_file_without_the_right_to_read_it_is_not_to_be_recorded_again(tmp_path, monkeypatch):
    path = tmp_path / "mine.wav"
    path.touch()

    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    reported = refusal(path)
    assert reported == "cannot be opened (Permission denied); check its name and its rights"


def test_a_name_that_is_too_long_is_not_missing(tmp_path):
    reported = refusal(tmp_path / ("n" * 300))
    assert reported == "cannot be opened (File name too long); check its name and its rights"


def test_a_phones_recording_comes_with_the_command_that_converts_it(tmp_path):
    path = tmp_path / "my call.m4a"
    path.write_bytes(b"\0\0\0 ftypM4A " + bytes(100))
    reported = refusal(path)
    assert reported.startswith("not readable as audio")
    assert reported.endswith(f"convert it: ffmpeg -i '{path}' '{path.with_suffix('.wav')}'")


def test_kinds_are_read_or_reported_but_never_both():
    assert not AUDIO_SUFFIXES & UNREAD_SUFFIXES
    assert all(kind == kind.lower() and kind[0] == "." for kind in AUDIO_SUFFIXES | UNREAD_SUFFIXES)
    assert skipped_kinds([Path("notes.txt"), Path("a.wav")]) == ""
