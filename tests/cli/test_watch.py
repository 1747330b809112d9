"""`firstshot watch` as a user starts it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from firstshot import Detector
from firstshot.sound.synth import synthesize

RATE = 16000
PROGRAM = [sys.executable, "-m", "firstshot", "watch"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watch")
    clips = [synthesize("SynthFan", seconds=2.0, seed=seed) for seed in range(24)]
    Detector("logmel").fit([(clip, RATE) for clip in clips]).save(folder / "hall fan.firstshot")
    normal = synthesize("SynthFan", seconds=30.0, seed=3)
    fault = synthesize("SynthFan", fault="rubbing", severity=1.0, seconds=30.0, seed=3)
    soundfile.write(folder / "normal.wav", normal, RATE)
    soundfile.write(folder / "fault.wav", np.concatenate([normal, fault]), RATE)
    return folder


def lines(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_file_is_judged_as_json_lines_and_the_status_tells_of_an_alarm(firstshot, files):
    detector = files / "hall fan.firstshot"
    good = firstshot("watch", detector, "--input", f"file:{files}/normal.wav", "--speed", "max")
    assert good.returncode == 0, good.stderr
    assert {(one["schema"], one["type"]) for one in lines(good)} == {(1, "window")}
    assert {one["machine"] for one in lines(good)} == {"hall-fan"}
    bad = firstshot("watch", detector, "--input", f"file:{files}/fault.wav", "--speed", "max")
    assert bad.returncode == 1, bad.stderr
    assert [one["kind"] for one in lines(bad) if one["type"] == "event"] == ["alarm"]
    assert "hall-fan: alarm. Since " in bad.stderr


def test_raw_samples_on_standard_input_give_the_scores_of_the_file(firstshot, files):
    detector = files / "hall fan.firstshot"
    samples = soundfile.read(files / "normal.wav", dtype="int16")[0]
    words = ["--input", "stdin", "--rate", RATE, "--sample-format", "s16le", "--speed", "max", "-q"]
    piped = firstshot("watch", detector, *words, input=samples.tobytes(), text=False)
    assert piped.returncode == 0, piped.stderr
    scores = [json.loads(line)["score"] for line in piped.stdout.splitlines()]
    read = firstshot(
        "watch", detector, "--input", f"file:{files}/normal.wav", "--speed", "max", "-q"
    )
    assert scores == [one["score"] for one in lines(read)]
    assert piped.stderr == b""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["DET"], "--input is missing; give mic, mic:NAME"),
        ([], "name a detector file and its --input, or a .toml file"),
        (["DET", "--input", "usb:1"], "input usb:1: expected mic, mic:NAME"),
        (["DET", "--input", "file:/no/such.wav"], "/no/such.wav: does not exist"),
        (["DET", "--input", "folder:/no/such"], "/no/such: no such folder"),
        (["/no/fan.firstshot", "--input", "stdin"], "/no/fan.firstshot"),
        (["DET", "--input", "file:FILE", "--every", "9"], "a hop of 9 s; give 0.2 to 2 s"),
        (["DET", "--input", "file:FILE", "--window", "9"], "windows of 9 s were requested"),
        (["DET", "--input", "file:FILE", "--commission-hours", "1"], "expected a number from 24"),
        (["TOML", "--input", "stdin"], "--input: is in"),
        (["TOML", "--check"], "machines[0].everry is not known"),
    ],
)
def test_what_cannot_be_is_one_line_and_status_two(firstshot, files, tmp_path, words, said):
    toml = tmp_path / "watch.toml"
    toml.write_text('state = "s"\n[[machines]]\nname = "a"\neverry = 1\n')
    names = {"DET": files / "hall fan.firstshot", "TOML": toml}
    words = [names.get(word, word.replace("FILE", f"{files}/normal.wav")) for word in words]
    if words and words[0] != toml:
        words += ["--state", tmp_path / "state"]
    done = firstshot("watch", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "state").exists()


def test_sound_shorter_than_a_window_is_an_error_and_not_normal(firstshot, files):
    words = ["watch", files / "hall fan.firstshot", "--input", "stdin", "--speed", "max"]
    done = firstshot(*words, input="")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: hall-fan: stdin ended before the first window of 2 s; give longer sound\n"
    )


def test_check_proves_a_configuration_without_listening(firstshot, files, tmp_path):
    toml = tmp_path / "watch.toml"
    toml.write_text(
        'state = "state"\n[[machines]]\nname = "fan"\n'
        f'detector = "{files}/hall fan.firstshot"\ninput = "file:{files}/normal.wav"\n'
    )
    done = firstshot("watch", "--check", toml)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "all of it works: fan\n"
    assert not (tmp_path / "state").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_terminate_ends_a_waiting_process_in_order(files, tmp_path, environment):
    folder, state = tmp_path / "recordings", tmp_path / "state"
    folder.mkdir()
    words = [files / "hall fan.firstshot", "--input", f"folder:{folder}", "--state", state]
    process = subprocess.Popen(
        [*PROGRAM, *map(str, words)], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        soundfile.write(folder / "a.wav", soundfile.read(files / "normal.wav")[0], RATE)
        assert json.loads(process.stdout.readline())["type"] == "window"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    kept = json.loads((state / "machines/hall-fan/state.json").read_text())
    assert kept["machine"] == "hall-fan"
    assert any((state / "history").iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_kill_in_an_event_gives_one_event_after_the_restart(files, tmp_path, environment):
    state, seen = tmp_path / "state", []
    words = [files / "hall fan.firstshot", "--input", f"folder:{tmp_path}/in", "--state", state]
    folder = tmp_path / "in"
    folder.mkdir()
    sound = soundfile.read(files / "fault.wav")[0]
    soundfile.write(folder / "a.wav", sound, RATE)
    for stage in ("killed", "ended"):
        process = subprocess.Popen(
            [*PROGRAM, *map(str, words)], env=environment, stdout=subprocess.PIPE, text=True
        )
        try:
            deadline = time.monotonic() + 60
            for line in process.stdout:
                assert time.monotonic() < deadline
                one = json.loads(line)
                seen += [one] if one["type"] == "event" else []
                if stage == "killed" and seen:
                    process.kill()
                elif stage == "ended" and any(event["ended"] for event in seen):
                    process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
        finally:
            process.kill()
        if stage == "killed":
            soundfile.write(folder / "b.wav", np.tile(sound[: 30 * RATE], 2), RATE)
    begin, end = {(one["id"], one["ended"] is None): one for one in seen}.values()
    assert begin["id"] == end["id"]
    assert (begin["ended"], end["kind"]) == (None, "alarm")
    assert end["ended"] > begin["started"]


def test_bench_live_tells_what_a_machine_costs(firstshot, files):
    done = firstshot("bench", "--live", "--encoder", files / "hall fan.firstshot", "--json")
    assert done.returncode == 0, done.stderr
    cost = json.loads(done.stdout)
    assert (cost["window_seconds"], cost["hop_seconds"], cost["windows"]) == (2.0, 1.0, 60)
    assert 0 < cost["core_share"] < 1
    lost = firstshot("bench", "--live", "--encoder", "no_such_encoder")
    assert lost.returncode == 2
    assert len(lost.stderr.splitlines()) == 1
