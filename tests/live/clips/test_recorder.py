import errno
import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
import soundfile
from tests.live.fakes import START, SetClock, an_event, its_end

from firstshot.errors import OutputError
from firstshot.live.clips.folder import ClipFolder, find_clips
from firstshot.live.clips.record import read_record, with_end, write_record
from firstshot.live.clips.recorder import ClipRecorder, Lengths
from firstshot.live.clips.retention import Limits

RATE = 1000


@pytest.fixture
def clock():
    return SetClock()


@pytest.fixture
def folder(tmp_path, clock):
    return ClipFolder(tmp_path / "clips", Limits(), clock)


def ramp(start, seconds, channels=1):
    """Samples whose values tell their place: sample i of the stream has the value i / 2**20."""
    at = np.arange(round(start * RATE), round((start + seconds) * RATE), dtype=np.float32)
    return np.repeat(at[:, None] / 2**20, channels, axis=1)


def push(recorder, start, end, chunk=0.5, channels=1):
    for step in np.arange(start, end, chunk):
        recorder.push(
            ramp(step, chunk, channels), RATE, START + timedelta(seconds=float(step) + chunk)
        )


def sound_of(base):
    samples, rate = soundfile.read(with_end(base, ".flac"), always_2d=True, dtype="float32")
    assert rate == RATE
    return samples


def the_clip(folder):
    (clip,) = find_clips(folder.folder)
    return clip.base, read_record(clip.base)


def test_a_clip_goes_from_before_the_alarm_to_after_it(folder):
    recorder = ClipRecorder(folder, Lengths(before=10, after=5))
    push(recorder, 0, 30, channels=2)
    path = recorder.event(an_event(28), {"bands": ["louder at 1 kHz"]})
    push(recorder, 30, 40, channels=2)
    recorder.event(its_end(an_event(28), 12))
    push(recorder, 40, 50, channels=2)
    recorder.close()
    base, record = the_clip(folder)
    assert path == str(with_end(base, ".flac"))
    assert np.array_equal(sound_of(base), ramp(20, 25, channels=2))
    assert record.started == START + timedelta(seconds=20)
    assert record.ended == START + timedelta(seconds=45)
    assert record.report == replace(its_end(an_event(28), 12), clip=path)
    assert record.explanation == {"bands": ["louder at 1 kHz"]}
    assert record.note == ""
    told = json.loads(with_end(base, ".json").read_text())
    assert (told["schema"], told["event"]["p_value"]) == (1, 0.01)


def test_what_is_held_before_an_alarm_is_bounded(folder):
    recorder = ClipRecorder(folder, Lengths(before=2))
    push(recorder, 0, 100)
    assert sum(len(chunk.samples) for chunk in recorder._held) <= 2.5 * RATE
    recorder.close()


def test_a_long_alarm_is_cut_and_its_end_is_written_into_the_record(folder):
    recorder = ClipRecorder(folder, Lengths(before=1, after=1, most=4))
    push(recorder, 0, 5)
    recorder.event(an_event(5))
    push(recorder, 5, 60)
    recorder.event(its_end(an_event(5), 55))
    recorder.close()
    base, record = the_clip(folder)
    assert np.array_equal(sound_of(base), ramp(4, 4))
    assert record.note == "It has the first 4 s."
    assert record.report.ended == START + timedelta(seconds=60)


def test_a_gap_is_told_with_its_place_and_time(folder):
    recorder = ClipRecorder(folder, Lengths(before=2, after=1))
    push(recorder, 0, 5)
    recorder.event(an_event(5))
    push(recorder, 5, 6)
    recorder.gap(START + timedelta(seconds=6))
    push(recorder, 20, 21)
    recorder.close()
    _, record = the_clip(folder)
    assert [(gap.seconds, gap.time) for gap in record.gaps] == [
        (3.0, START + timedelta(seconds=20))
    ]


def test_a_changed_rate_ends_the_recording_with_a_word(folder):
    recorder = ClipRecorder(folder)
    push(recorder, 0, 5)
    recorder.event(an_event(5))
    recorder.push(np.zeros((100, 1), np.float32), 2 * RATE, START + timedelta(seconds=6))
    recorder.close()
    base, record = the_clip(folder)
    assert record.note == "The source's rate or channels changed."
    assert len(sound_of(base)) == 5 * RATE


def test_only_alarms_are_recorded(folder):
    recorder = ClipRecorder(folder)
    push(recorder, 0, 5)
    assert recorder.event(an_event(5, kind="blind")) is None
    assert recorder.event(its_end(an_event(1))) is None
    recorder.close()
    assert list(find_clips(folder.folder)) == []


def test_a_full_disk_stops_recording_and_not_listening(folder, monkeypatch, caplog):
    recorder = ClipRecorder(folder, Lengths(before=1, after=1))
    push(recorder, 0, 5)
    recorder.event(an_event(5))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(folder, "_make_room", full)
        push(recorder, 5, 8)
        recorder.event(its_end(an_event(5), 1))
        recorder.event(an_event(7))
        push(recorder, 8, 9)
    recorder.event(an_event(9))
    push(recorder, 9, 10)
    recorder.close()
    told = [record.message for record in caplog.records if "no clip" in record.message]
    assert len(told) == 1
    assert "No space left on device" in told[0]
    notes = {clip.started: read_record(clip.base).note for clip in find_clips(folder.folder)}
    assert "No space left" in notes[an_event(5).started]
    assert an_event(9).started in notes


def test_the_limit_is_never_passed_and_the_oldest_clips_make_room(tmp_path, clock):
    most = 400_000
    folder = ClipFolder(tmp_path, Limits(most, least=1), clock)
    recorders = {
        name: ClipRecorder(folder, Lengths(before=1, after=1, most=20)) for name in ("fan", "pump")
    }
    noise = np.random.default_rng(3).uniform(-1, 1, (RATE, 1)).astype(np.float32)
    highest, count = 0, 0
    for second in range(300):
        time_is = START + timedelta(seconds=second)
        for name, recorder in recorders.items():
            recorder.push(noise, RATE, time_is)
            if second % 20 == 5:
                recorder.event(an_event(second, machine=name))
                count += 1
            if second % 20 == 15:
                recorder.event(its_end(an_event(second - 10, machine=name), 10))
            recorder._to_finish.join()
            on_disk = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
            highest = max(highest, on_disk)
            assert on_disk <= most
            assert folder.used == on_disk
    for recorder in recorders.values():
        recorder.close()
    assert highest > most / 4
    kept = list(find_clips(tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "removed.jsonl").read_text().splitlines()]
    assert len(lines) + len(kept) == count
    assert lines[0]["reason"] == "All clips together reach 0.4 MB."
    assert max(line["started"] for line in lines) < min(clip.started.isoformat() for clip in kept)


def test_a_locked_clip_stays_and_too_little_room_is_told(tmp_path, clock, caplog):
    folder = ClipFolder(tmp_path, Limits(300_000, least=0), clock)
    recorder = ClipRecorder(folder, Lengths(before=1, after=1, most=60))
    noise = np.random.default_rng(3).uniform(-1, 1, (20 * RATE, 1)).astype(np.float32)
    recorder.push(noise, RATE, START)
    recorder.event(an_event(0))
    recorder.push(noise, RATE, START + timedelta(seconds=20))
    recorder.event(its_end(an_event(0), 20))
    recorder.push(noise, RATE, START + timedelta(seconds=40))
    recorder._to_finish.join()
    base, record = the_clip(folder)
    record.locked = True
    write_record(base, record)
    for second in (100, 200):
        recorder.event(an_event(second))
        for chunk in range(6):
            recorder.push(noise, RATE, START + timedelta(seconds=second + 20 * chunk))
    recorder.close()
    assert with_end(base, ".flac").exists()
    assert "the limit of 0.3 MB is reached; raise it, unlock clips" in caplog.text
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) <= 300_000


def test_old_clips_are_removed_at_the_start(tmp_path, clock):
    folder = ClipFolder(tmp_path, Limits(least=0), clock)
    recorder = ClipRecorder(folder)
    push(recorder, 0, 2)
    recorder.event(an_event(2))
    recorder.close()
    clock.pass_(31 * 86400)
    ClipFolder(tmp_path, Limits(least=0), clock)
    assert list(find_clips(tmp_path)) == []
    (line,) = (tmp_path / "removed.jsonl").read_text().splitlines()
    assert json.loads(line)["reason"] == "The event is older than 30 days."


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, clock):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        ClipFolder(tmp_path / "file" / "clips", Limits(), clock)


def test_an_event_that_is_told_again_after_a_restart_keeps_its_clip(tmp_path, clock):
    for start in (0, 20):
        recorder = ClipRecorder(ClipFolder(tmp_path, Limits(), clock), Lengths(before=2))
        push(recorder, start, start + 4)
        recorder.event(an_event(4))
        push(recorder, start + 4, start + 5)
        recorder.close()
    (clip,) = find_clips(tmp_path)
    assert np.array_equal(sound_of(clip.base), ramp(2, 3))


def test_an_event_that_a_kill_cut_before_its_clip_began_has_one_from_the_first_sound_on(folder):
    recorder = ClipRecorder(folder, Lengths(before=2, after=1))
    told_again = recorder.event(an_event(4))
    push(recorder, 4, 6)
    recorder.event(its_end(an_event(4), 2))
    push(recorder, 6, 9)
    recorder.close()
    base, record = the_clip(folder)
    assert told_again == str(with_end(base, ".flac"))
    assert np.array_equal(sound_of(base), ramp(4, 3))
    assert record.report.clip == told_again


RECORDER = """
import sys
from datetime import timedelta
from pathlib import Path
import numpy as np
from firstshot.live.clips.folder import ClipFolder
from firstshot.live.clips.recorder import ClipRecorder, Lengths
from firstshot.live.clips.retention import Limits
from firstshot.live.clock import SystemClock
from tests.live.fakes import START, an_event, its_end
recorder = ClipRecorder(ClipFolder(Path(sys.argv[1]), Limits(days=9999), SystemClock()),
                        Lengths(before=1, after=1))
first = int(sys.argv[2])
chunk = np.zeros((100, 1), np.float32) + 0.25
for number in range(first, first + 100000):
    recorder.push(chunk, 1000, START + timedelta(seconds=number / 10))
    if number % 30 == 10:
        recorder.event(an_event(number))
        print("begin", number, flush=True)
    if number % 30 == 15:
        recorder.event(its_end(an_event(number - 5), 0.5))
"""


def test_a_recorder_killed_at_any_moment_loses_no_event_and_doubles_none(tmp_path, clock):
    chance, first, begun, runs = random.Random(4), 0, set(), 8
    for _ in range(runs):
        program = subprocess.Popen(
            [sys.executable, "-c", RECORDER, tmp_path, str(first)],
            stdout=subprocess.PIPE,
            text=True,
        )
        told = [program.stdout.readline() for _ in range(chance.randint(2, 8))]
        time.sleep(chance.uniform(0, 0.01))  # somewhere in the event, or after it
        program.send_signal(signal.SIGKILL)
        told += program.stdout.read().splitlines()
        program.wait()
        begun |= {int(line.split()[1]) for line in told if line.strip()}
        first = (max(begun) // 30 + 100) * 30
        clips = list(find_clips(ClipFolder(tmp_path, Limits(), clock).folder))
        starts = [clip.started for clip in clips]
        assert len(set(starts)) == len(starts)
        assert {START + timedelta(seconds=number) for number in begun} <= set(starts)
        assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} <= {".flac", ".json"}
    with_sound = 0
    for clip in clips:
        record = read_record(clip.base)
        if record.samples:
            with_sound += 1
            assert np.allclose(sound_of(clip.base), 0.25)
            assert len(sound_of(clip.base)) == record.samples
    assert len(begun) > 20
    assert with_sound >= len(begun) - runs  # a kill comes before the first sample at most
