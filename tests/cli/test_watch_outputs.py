"""`firstshot watch` with outputs and clips, `watch report` and `doctor`, as a user starts them."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.cli.conftest import PROGRAM
from tests.live.receivers import MOSQUITTO, Broker, HttpReceiver, free_port, running

RATE = 16000


@pytest.fixture(scope="module")
def fan(tmp_path_factory, firstshot):
    """A detector of a fan, and a recording of it: normal, a fault of 20 s, normal again."""
    folder = tmp_path_factory.mktemp("fan")
    chance = np.random.default_rng(5)

    def hum(seconds, fault=0.0):
        time = np.arange(seconds * RATE) / RATE
        sound = 0.1 * np.sin(2 * np.pi * 120 * time) + 0.02 * chance.standard_normal(time.size)
        return (sound + fault * np.sin(2 * np.pi * 2900 * time)).astype(np.float32)

    (folder / "normal").mkdir()
    for clip in range(24):
        soundfile.write(folder / "normal" / f"{clip}.wav", hum(1), RATE)
    soundfile.write(folder / "day.wav", np.concatenate([hum(60), hum(20, 0.1), hum(30)]), RATE)
    fitted = firstshot("fit", folder / "normal", "-o", folder / "fan.firstshot", "--quiet")
    assert fitted.returncode == 0, fitted.stderr
    return folder


def watch(firstshot, fan, *words, **settings):
    return firstshot(
        "watch", "fan.firstshot", "--input", "file:day.wav", "--speed", "max", *words,
        cwd=fan, **settings,
    )  # fmt: skip


def test_an_alarm_is_posted_told_to_a_program_recorded_and_drawn(
    fan, firstshot, environment, tmp_path
):
    program = tmp_path / "note.py"
    program.write_text("import sys; open(sys.argv[1], 'a').write(sys.stdin.read())")
    command = shlex.join([sys.executable, str(program), str(tmp_path / "noted")])
    with HttpReceiver() as receiver:
        ran = watch(
            firstshot, fan, "--webhook", receiver.url, "--exec", command, "--quiet",
            "--state", tmp_path / "state", "--clips", tmp_path / "state" / "clips",
            env={**environment, "FIRSTSHOT_WEBHOOK_SECRET": "shared"},
        )  # fmt: skip
    assert ran.returncode == 1, ran.stderr
    told = [json.loads(line) for line in ran.stdout.splitlines()]
    events = [one for one in told if one["type"] == "event"]
    assert [one["ended"] is None for one in events] == [True, False]
    assert [json.loads(body) for _, _, body in receiver.got] == events
    assert all("X-Firstshot-Signature" in headers for _, headers, _ in receiver.got)
    noted = (tmp_path / "noted").read_text().splitlines()
    assert [json.loads(line) for line in noted] == events
    clip = Path(events[0]["clip"])
    assert 20 < soundfile.info(clip).duration < 60
    record = json.loads(clip.with_name(clip.name.removesuffix(".flac") + ".json").read_text())
    assert record["event"] == events[1]
    page = tmp_path / "page.html"
    drawn = firstshot(
        "watch", "report", tmp_path / "state", "-o", page,
        "--detector", f"fan={fan / 'fan.firstshot'}",
    )  # fmt: skip
    assert drawn.returncode == 0, drawn.stderr
    assert page.read_text().count("<audio") == 1


def test_a_secret_is_in_no_output_and_no_kept_file(fan, firstshot, environment, tmp_path):
    address = f"http://127.0.0.1:{free_port()}/path-like-a-password"
    ran = watch(
        firstshot, fan, "--webhook", address, "--state", tmp_path,
        env={**environment, "FIRSTSHOT_WEBHOOK_SECRET": "hush-hush"},
    )  # fmt: skip
    assert ran.returncode == 1
    assert "does not answer" in ran.stderr
    kept = [path.read_text("utf-8", "replace") for path in tmp_path.rglob("*") if path.is_file()]
    for text in (ran.stdout, ran.stderr, *kept):
        assert "hush-hush" not in text
        assert "path-like-a-password" not in text


def test_what_could_not_be_delivered_is_delivered_after_the_next_start(fan, firstshot, tmp_path):
    port = free_port()
    words = ("watch", "fan.firstshot", "--input", "file:day.wav", "--speed", "max")
    options = ("--webhook", f"http://127.0.0.1:{port}/", "--state", tmp_path / "state")
    first = firstshot(*words, *options, cwd=fan)
    waiting = [
        json.loads(line)["put"]
        for line in (tmp_path / "state" / "outbox" / "webhook.jsonl").read_text().splitlines()
    ]
    assert first.returncode == 1
    assert len(waiting) == 2
    with HttpReceiver() as receiver:
        firstshot(*words, "--webhook", receiver.url, "--state", tmp_path / "state", cwd=fan)
        keys = [headers["Idempotency-Key"] for _, headers, _ in receiver.got]
    assert keys[:2] == waiting


@pytest.mark.skipif(MOSQUITTO is None, reason="no broker: install mosquitto")
def test_a_broker_that_refuses_the_password_is_one_line_before_anything_is_recorded(
    fan, firstshot, environment, tmp_path
):
    with running(Broker(tmp_path, ("box", "right"))) as broker:
        for check in (("--check",), ()):
            ran = watch(
                firstshot, fan, "--mqtt", f"mqtt://127.0.0.1:{broker.port}", *check,
                env={**environment, "FIRSTSHOT_MQTT_USER": "box", "FIRSTSHOT_MQTT_PASSWORD": "no"},
            )  # fmt: skip
            assert ran.returncode == 2
            assert ran.stdout == ""
            (line,) = [one for one in ran.stderr.splitlines() if one.startswith("error: ")]
            assert "refuses user box" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--webhook", "ftp://x"), "url: expected an address such as https://host/path"),
        (("--mqtt", "broker"), "url: expected mqtt://host:1883"),
        (("--mail", "me@a.example"), "--mail and --mail-server go together"),
        (("--exec", "no-such-program"), "no-such-program: no program of this name can be run"),
        (("--clips-limit", "1 GB"), "--clips-limit is of use with --clips only"),
        (("--clips", "x", "--clips-limit", "much"), "--clips.limit: 'much' is no size"),
        (("--metrics", "0"), "expected a whole number from 1 to 65535"),
    ],
)
def test_a_wrong_option_is_one_line_and_status_2(fan, firstshot, words, said):
    ran = watch(firstshot, fan, *words)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert not (fan / "x").exists()


def test_a_table_takes_the_place_of_json_lines(fan, firstshot):
    ran = watch(firstshot, fan, "--tui")
    assert ran.returncode == 1, ran.stderr
    assert "Machine" in ran.stdout
    assert '"schema"' not in ran.stdout


def test_watch_report_refuses_a_folder_without_a_history_and_a_file_that_is_no_page(
    firstshot, tmp_path
):
    ran = firstshot("watch", "report", tmp_path, "-o", tmp_path / "page.html")
    assert ran.returncode == 2
    assert "holds no history of a watched machine" in ran.stderr
    (tmp_path / "notes.html").write_text("mine")
    ran = firstshot("watch", "report", tmp_path, "-o", tmp_path / "notes.html", "--overwrite")
    assert ran.returncode == 2
    assert "is no page of past days and is not replaced" in ran.stderr


def test_doctor_scores_a_recording_and_finds_nothing_to_mend(fan, firstshot):
    ran = firstshot("doctor", "fan.firstshot", "--input", "file:day.wav", cwd=fan)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    words = {line.split()[1]: line for line in ran.stdout.splitlines()}
    assert words["detector"].startswith("ok    detector   windows of 1 s at 16000 Hz, 24 normal")
    assert "dBFS, 0 % clipped; score " in words["recording"]
    assert {"versions", "disk", "clock"} <= words.keys()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("none.firstshot",), "fault detector   none.firstshot"),
        (("fan.firstshot", "--input", "file:none.wav"), "fault recording"),
        (("fan.firstshot", "--input", "file:short.wav"), "too little sound has come"),
        (("fan.firstshot", "--input", "file:silent.wav"), "silence"),
    ],
)
def test_doctor_tells_what_has_to_be_mended(fan, firstshot, words, said):
    soundfile.write(fan / "short.wav", np.full(8000, 0.1), RATE)
    soundfile.write(fan / "silent.wav", np.zeros(3 * RATE), RATE)
    ran = firstshot("doctor", *words, cwd=fan)
    assert ran.returncode == 2
    assert said in ran.stdout
    assert ran.stderr == ""


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no UNIX sockets")
def test_a_service_manager_is_told_of_the_beginning_of_life_and_of_the_end(
    fan, environment, tmp_path
):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        process = subprocess.Popen(
            [*PROGRAM, "watch", "fan.firstshot", "--input", "stdin", "--state", tmp_path / "state"],
            cwd=fan,
            env={
                **environment,
                "NOTIFY_SOCKET": str(tmp_path / "notify"),
                "WATCHDOG_USEC": "2000000",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            told = [manager.recv(100) for _ in range(3)]
            process.terminate()
            while told[-1] != b"STOPPING=1":
                told.append(manager.recv(100))
            assert told[:3] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()
