"""`firstshot watch` killed at 30 moments of a recorded day: each event is told once, with its clip.

The moments are places in the sound, so that no speed of the computer decides them.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import soundfile
from tests.cli.conftest import PROGRAM
from tests.live.receivers import HttpReceiver

RATE = 16000
MORNING = datetime(2026, 3, 1, 6, tzinfo=UTC)
PIECE, FAULT = 4, (20, 32)
SECONDS = 60
ALARM, END = 23.0, 38.5
"""About when the alarm begins and ends, in seconds."""
KILLS = 10
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")


@pytest.fixture(scope="module")
def fan(tmp_path_factory, firstshot):
    folder = tmp_path_factory.mktemp("killed")
    chance = np.random.default_rng(5)

    def hum(seconds, fault=0.0):
        at = np.arange(seconds * RATE) / RATE
        sound = 0.1 * np.sin(2 * np.pi * 120 * at) + 0.02 * chance.standard_normal(at.size)
        return sound + fault * np.sin(2 * np.pi * 2900 * at)

    for name in ("normal", "day"):
        (folder / name).mkdir()
    for clip in range(24):
        soundfile.write(folder / "normal" / f"{clip}.wav", hum(1), RATE)
    for start in range(0, SECONDS, PIECE):
        path = folder / "day" / f"{start:02}.wav"
        is_fault = FAULT[0] <= start < FAULT[1]
        soundfile.write(path, hum(PIECE, 0.1 if is_fault else 0.0), RATE)
        written = (MORNING + timedelta(seconds=start + PIECE)).timestamp()
        os.utime(path, (written, written))
    words = ("--encoder", "logmel", "-o", folder / "fan.firstshot", "--quiet")
    fitted = firstshot("fit", folder / "normal", *words)
    assert fitted.returncode == 0, fitted.stderr
    return folder


class Watched:
    """The program, run until a moment of the day is told."""

    def __init__(self, fan, state, address, environment):
        self.words = [
            *PROGRAM, "watch", fan / "fan.firstshot", "--input", f"folder:{fan / 'day'}",
            "--state", state, "--clips", state / "clips", "--webhook", address, "--quiet",
        ]  # fmt: skip
        self.environment = environment

    def run(self, moment, then, delay=0.0):
        process = subprocess.Popen(
            self.words, env=self.environment, stdout=subprocess.PIPE, text=True
        )
        # A program that ran far ahead of this test tells nothing more once it is started again.
        rescue = threading.Timer(60, process.kill)
        rescue.start()
        try:
            for line in process.stdout if moment is not None else ():
                told = json.loads(line)
                at = datetime.fromisoformat(told["time"]) if "time" in told else MORNING
                if at >= MORNING + timedelta(seconds=moment):
                    break
            time.sleep(delay)
            process.send_signal(then)
            process.stdout.read()
            return process.wait()
        finally:
            rescue.cancel()
            process.kill()
            process.wait()


def moments_of(chance):
    """Two kills while the program starts, the others around the alarm, its end, and anywhere."""
    starting = [(None, chance.uniform(0.2, 1.0)) for _ in range(2)]
    places = [(ALARM, 1), (ALARM, 1), (ALARM, 3), (END, 1), (END, 3)]
    near = [chance.uniform(place - width, place + width) for place, width in places]
    anywhere = [chance.uniform(0, SECONDS - 10) for _ in range(KILLS - len(places) - 2)]
    told = [(moment, chance.uniform(0, 0.01)) for moment in sorted(near + anywhere)]
    for pair in starting:
        told.insert(chance.randrange(len(told)), pair)
    return told


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_event_is_told_once_with_one_clip_though_the_program_is_killed_ten_times(
    fan, environment, tmp_path, seed
):
    state = tmp_path / "state"
    with HttpReceiver() as receiver:
        watched = Watched(fan, state, receiver.url, environment)
        for moment, delay in moments_of(random.Random(seed)):
            assert watched.run(moment, signal.SIGKILL, delay) == -signal.SIGKILL
        assert watched.run(SECONDS - 1, signal.SIGTERM) == 0
        posts = [(headers["Idempotency-Key"], body) for _, headers, body in receiver.got]
    assert len(set(posts)) == len(dict(posts))  # what is posted again is the same message
    events = [json.loads(body) for body in dict(posts).values()]
    assert {one["kind"] for one in events} == {"alarm"}
    assert [one["ended"] is None for one in events] == [True, False]
    (event,) = {one["id"] for one in events}
    started = datetime.fromisoformat(events[0]["started"]) - MORNING
    assert timedelta(seconds=FAULT[0]) < started < timedelta(seconds=FAULT[1])
    files = sorted(path for path in (state / "clips").rglob("*") if path.is_file())
    assert [path.name for path in files] == [f"{event}.flac", f"{event}.json"]
    # At least the window with which the alarm began; what a kill cuts off is not heard again.
    assert soundfile.info(files[0]).duration >= 1
    assert json.loads(files[1].read_text())["event"] == events[1]
