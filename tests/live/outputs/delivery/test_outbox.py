import errno
import os
import random
import signal
import subprocess
import sys
import time
from datetime import timedelta

import pytest
from tests.live.fakes import START, a_state, an_event, its_end

from firstshot.errors import FirstshotWarning, OutputError
from firstshot.live.messages import State
from firstshot.live.outputs.delivery import outbox as module
from firstshot.live.outputs.delivery.outbox import Outbox
from firstshot.live.outputs.protocol import key_of


def test_messages_wait_in_order_until_they_are_done_and_come_back_after_a_restart(tmp_path):
    path = tmp_path / "new" / "box.jsonl"
    box = Outbox(path)
    messages = [
        an_event(),
        its_end(an_event()),
        a_state(State.alarm, State.suspicious),
        an_event(5, kind="blind"),
    ]
    assert all(box.put(message, START) for message in messages)
    box.done([key_of(messages[1])], START)
    box.close()
    again = Outbox(path)
    assert [item.report for item in again.waiting()] == [messages[0], messages[2], messages[3]]


def test_a_message_that_comes_again_is_put_in_once_even_after_it_is_done(tmp_path):
    box = Outbox(tmp_path / "box.jsonl")
    assert box.put(an_event(), START)
    assert not box.put(an_event(), START)
    box.done([key_of(an_event())], START)
    assert not box.put(an_event(), START)
    box.close()
    assert not Outbox(tmp_path / "box.jsonl").put(an_event(), START)


def test_the_beginning_and_the_end_of_an_event_have_keys_of_their_own():
    assert key_of(an_event()) == "fan-alarm-20260301T120000.000Z-begin"
    assert key_of(its_end(an_event())) == "fan-alarm-20260301T120000.000Z-end"
    assert key_of(a_state(State.blind, State.normal)) == "fan-blind-2026-03-01T12:00:00.000Z"


def test_the_file_stays_small_and_keeps_what_waits_and_the_latest_keys(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "DONE_KEPT", 10)
    monkeypatch.setattr(module, "_LINES", 40)
    path = tmp_path / "box.jsonl"
    box = Outbox(path)
    box.put(an_event(machine="waits"), START)
    for second in range(300):
        box.put(an_event(second), START)
        box.done([key_of(an_event(second))], START, f"pause {second % 3}")
    assert path.read_bytes().count(b"\n") < 60
    box.close()
    again = Outbox(path)
    assert [item.report.machine for item in again.waiting()] == ["waits"]
    assert not again.put(an_event(299), START)
    assert again.last_sent().keys() == {"pause 0", "pause 1", "pause 2"}


def test_of_too_many_messages_the_oldest_are_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    box = Outbox(tmp_path / "box.jsonl")
    for second in range(5):
        box.put(an_event(second), START)
    kept = [START + timedelta(seconds=second) for second in (2, 3, 4)]
    assert [item.report.started for item in box.waiting()] == kept
    assert [item.report.started for item in Outbox(box.path).waiting()] == kept


def test_a_line_that_a_kill_has_cut_is_dropped_and_the_next_one_is_whole(tmp_path):
    path = tmp_path / "box.jsonl"
    box = Outbox(path)
    box.put(an_event(0), START)
    box.put(an_event(1), START)
    box.close()
    whole = path.read_bytes()
    for cut in range(whole.index(b"\n") + 1, len(whole)):
        path.write_bytes(whole[:cut])
        cut_box = Outbox(path)
        cut_box.put(an_event(2), START)
        cut_box.close()
        assert [item.key for item in Outbox(path).waiting()] == [
            key_of(an_event(0)),
            key_of(an_event(2)),
        ]


def test_a_damaged_line_is_passed_over_with_a_warning(tmp_path):
    path = tmp_path / "box.jsonl"
    box = Outbox(path)
    box.put(an_event(0), START)
    box.put(an_event(1), START)
    box.close()
    first, second, _ = path.read_bytes().split(b"\n")
    path.write_bytes(first.replace(b'"machine"', b'"machina"') + b"\n" + second + b"\n")
    with pytest.warns(FirstshotWarning, match="1 lines cannot be read"):
        again = Outbox(path)
    assert [item.key for item in again.waiting()] == [key_of(an_event(1))]


def test_a_full_disk_is_told_and_the_message_waits_in_memory(tmp_path, monkeypatch):
    box = Outbox(tmp_path / "box.jsonl")
    box.put(an_event(0), START)
    write, room = os.write, [20]

    def write_some(handle, data):
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(handle, data[: room.pop()])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_some)
        with pytest.raises(OutputError, match=r"No space left on device.*free some space"):
            box.put(an_event(1), START)
    assert [item.report for item in box.waiting()] == [an_event(0), an_event(1)]
    box.put(an_event(2), START)
    kept = [item.report for item in Outbox(box.path).waiting()]
    assert kept == [an_event(0), an_event(2)]


WRITER = """
import sys
from pathlib import Path
from firstshot.live.outputs.delivery.outbox import Outbox
from firstshot.live.outputs.protocol import key_of
from tests.live.fakes import START, an_event
box = Outbox(Path(sys.argv[1]))
first = int(sys.argv[2])
for second in range(first, first + 100000):
    box.put(an_event(second), START)
    print("put", second, flush=True)
    if second % 3 == 0:
        box.done([key_of(an_event(second))], START)
        print("done", second, flush=True)
"""


def test_a_writer_killed_at_any_moment_loses_no_message_and_doubles_none(tmp_path):
    path = tmp_path / "box.jsonl"
    chance = random.Random(8)
    put, done, first = set(), set(), 0
    for _ in range(10):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, path, str(first)], stdout=subprocess.PIPE, text=True
        )
        writer.stdout.readline()
        time.sleep(chance.uniform(0, 0.05))
        writer.send_signal(signal.SIGKILL)
        told = ["put " + str(first), *writer.stdout.read().splitlines()]
        writer.wait()
        for line in told:
            word, _, number = line.partition(" ")
            if number.isdecimal() and line in (f"put {number}", f"done {number}"):
                (put if word == "put" else done).add(int(number))
        first = max(put) + 1000
        box = Outbox(path)
        found = [item.key for item in box.waiting()]
        assert len(found) == len(set(found))
        for second in put - done:
            # `done` may have reached the disk in the moment before it was told.
            assert key_of(an_event(second)) in found or second % 3 == 0
        for second in put:
            assert not box.put(an_event(second), START)
        box.close()
    assert len(put) > 20
