"""How the program ends: killed, interrupted, out of space, unread; and what it then leaves."""

from __future__ import annotations

import json
import os
import pty
import re
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = [sys.executable, "-m", "firstshot"]


def start(words, environment, **settings):
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **settings}
    # A shell that starts the tests in the background lets its children ignore Ctrl-C.
    streams.setdefault("preexec_fn", lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    return subprocess.Popen([*PROGRAM, *map(str, words)], env=environment, **streams)


def run_code(code):
    """Run Python code to its end; like `start`, it hears Ctrl-C also in a background shell."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_entries(store: Path, count: int, process) -> None:
    """Wait until the store holds entries, so that the run is surely in its middle."""
    for _ in range(6000):
        if len(list(store.rglob("*.safetensors"))) >= count:
            return
        assert process.poll() is None, "the run was over before it could be stopped"
        time.sleep(0.005)
    raise AssertionError("no entries after 30 s")


def score_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*_section_*.csv")}


def test_a_killed_run_goes_on_and_gives_the_same_numbers(
    firstshot, environment, dataset, finished, tmp_path
):
    store, out = tmp_path / "store", tmp_path / "out"
    words = ["dcase", "run", dataset, "--out", out, "--store", store]
    process = start(words, environment)
    wait_for_entries(store, 16, process)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.communicate()
    assert not score_files(out)
    kept = {path: path.stat().st_mtime_ns for path in store.rglob("*.safetensors")}
    # The lock of a killed process is none, and what it left goes with the next run.
    assert (out / ".firstshot.lock").is_file()
    done = firstshot(*words)
    assert done.returncode == 0, done.stderr
    assert not [path for path in out.iterdir() if path.name.startswith(".")]
    assert score_files(out) == score_files(finished)
    assert (
        json.loads((out / "results.json").read_text())["machines"]
        == (json.loads((finished / "results.json").read_text())["machines"])
    )
    # What was there was not written again, so it was not computed again.
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.parametrize("same", [True, False])
def test_a_second_run_into_the_folder_of_one_that_works_is_refused(
    firstshot, environment, dataset, finished, tmp_path, same
):
    out = tmp_path / "out"
    words = ["dcase", "run", dataset, "--out", out]
    first = start([*words, "--store", tmp_path / "store"], environment)
    wait_for_entries(tmp_path / "store", 1, first)
    first.send_signal(signal.SIGSTOP)  # surely in its middle
    try:
        second = firstshot(*words, *([] if same else ["--normalizer", "none", "--overwrite"]))
    finally:
        first.send_signal(signal.SIGCONT)
    assert second.returncode == 2
    (line,) = second.stderr.splitlines()
    assert line.startswith(f"error: {out}: another firstshot is writing to it (process {first.pid}")
    assert line.endswith("; wait until that has ended, or choose another folder")
    first.communicate()
    assert first.returncode == 0
    assert score_files(out) == score_files(finished)


def test_ctrl_c_is_one_line_and_130(environment, dataset, tmp_path):
    store, out = tmp_path / "store", tmp_path / "out"
    process = start(["dcase", "run", dataset, "--out", out, "--store", store], environment)
    wait_for_entries(store, 1, process)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate()
    assert process.returncode == 130
    assert stdout == ""
    assert stderr.splitlines() == ["interrupted; what the store of embeddings holds is used again"]
    assert [path.name for path in out.iterdir()] == ["run.json"]


def small_disk(size: int):
    """Let no file of the process grow beyond a size: writing fails as on a full disk."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


def test_a_full_disk_is_one_line_and_leaves_no_half_file(firstshot, dataset, tmp_path):
    out = tmp_path / "out"
    done = firstshot(
        "dcase", "run", dataset, "--out", out, "--no-store", preexec_fn=small_disk(2500)
    )
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("warning")]
    assert line.startswith(f"error: {out}")
    assert "File too large" in line
    for path in out.iterdir():
        assert path.suffix in (".csv", ".json"), path
        assert path.name.endswith(".csv") or json.loads(path.read_text())
        assert path.read_bytes().endswith(b"\n")
    again = firstshot("dcase", "run", dataset, "--out", out)
    assert again.returncode == 0, again.stderr


def test_a_full_disk_under_the_store_is_one_line_and_leaves_no_half_entry(
    firstshot, normal, tmp_path
):
    store, out = tmp_path / "store", tmp_path / "fan.firstshot"
    words = ["fit", normal["source"], "-o", out, "--store", store]
    done = firstshot(*words, preexec_fn=small_disk(500))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {store}: cannot be written")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_full_disk_under_a_detector_keeps_the_old_one(firstshot, normal, tmp_path):
    out = tmp_path / "fan.firstshot"
    words = ["fit", normal["source"], "-o", out, "--overwrite", "--no-store"]
    assert firstshot(*words).returncode == 0
    old = out.read_bytes()
    done = firstshot(*words, preexec_fn=small_disk(4000))
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {out}: cannot be written (File too large)")
    assert out.read_bytes() == old
    assert [path.name for path in tmp_path.iterdir()] == ["fan.firstshot"]


def test_results_that_cannot_be_written_are_an_error(firstshot, detector, test_clips, tmp_path):
    with (tmp_path / "results.csv").open("w") as file:
        done = firstshot(
            "score",
            detector,
            test_clips,
            *["--format", "csv"],
            capture_output=False,
            stdout=file,
            stderr=subprocess.PIPE,
            preexec_fn=small_disk(600),
        )
    assert done.returncode == 2
    assert done.stderr.startswith("error: standard output: File too large")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_a_reader_that_goes_away_is_no_anomaly(environment, detector, test_clips, form):
    process = start(["score", detector, test_clips, "--format", form], environment)
    process.stdout.close()
    assert process.wait() == 141
    assert process.stderr.read() == ""


REDIRECTIONS = ["2>/dev/full", ">/dev/full", ">/dev/full 2>&1", ">&- 2>&- <&-", "2>&-", ">&-"]


def in_shell(words, redirection, environment) -> int:
    """Run the program with its streams as a shell redirects them, and return its status."""
    line = f'exec "$@" {redirection}'
    command = ["sh", "-c", line, "sh", *PROGRAM, *map(str, words)]
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.run(command, env=environment, check=False, timeout=120, **streams).returncode


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("redirection", REDIRECTIONS)
def test_no_stream_makes_an_anomaly_of_a_fault(
    environment, detector, test_clips, tmp_path, redirection, unbuffered
):
    environment = {**environment, "PYTHONUNBUFFERED": unbuffered}
    missing = ["score", detector, tmp_path / "missing.wav", "--fail-on-anomaly"]
    assert in_shell(missing, redirection, environment) == 2
    # Messages may be lost, results may not: what no stream was given for is not asked for.
    asked = ["score", detector, test_clips, "--format", "csv", "--fail-on-anomaly"]
    assert in_shell(asked, redirection, environment) == (
        2 if redirection.startswith(">/dev/full") else 1
    )


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["score"], ["score", "--none"]])
def test_help_that_cannot_be_written_is_no_anomaly(environment, words):
    statuses = {in_shell(words, redirection, environment) for redirection in REDIRECTIONS[:3]}
    assert statuses <= {0, 2}
    process = start(words, environment)
    process.stdout.close()
    process.stderr.close()
    assert process.wait() in (2, 141)


def test_a_warning_that_cannot_be_written_does_not_lose_the_results(environment, detector, normal):
    """Clips of the bank itself are warned of, one by one, before their results are printed."""
    command = ["sh", "-c", 'exec "$@" 2>/dev/full', "sh", *PROGRAM, "score"]
    command += [str(detector), str(normal["source"]), "--format", "csv"]
    done = subprocess.run(
        command, env=environment, check=False, stdout=subprocess.PIPE, timeout=120
    )
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 21


@pytest.mark.skipif(sys.platform != "linux", reason="closed streams are looked at in /proc")
def test_closed_streams_are_not_given_to_the_next_file(environment):
    code = (
        "import os, sys; sys.argv = ['firstshot', '--version']\n"
        "from firstshot.cli.printing.streams import prepare_streams\n"
        "prepare_streams()\n"
        "print(*(os.readlink(f'/proc/self/fd/{n}') for n in (0, 1, 2)), file=open(3, 'w'))"
    )
    shell = 'exec 3>&1; exec "$@" <&- >&- 2>&-'
    done = subprocess.run(
        ["sh", "-c", shell, "sh", sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["/dev/null"] * 3


@pytest.mark.parametrize("fault", [EOFError(), OSError(32, "Broken pipe"), SystemExit("words")])
def test_what_typer_would_leave_with_1_for_is_no_anomaly(fault, monkeypatch):
    from firstshot import cli

    def left(detector_file: str) -> None:
        raise fault

    app = cli.typer.Typer(cls=cli._Commands, pretty_exceptions_enable=False)
    app.command()(left)
    app.command("other")(left)
    monkeypatch.setattr(cli, "app", app)
    monkeypatch.setattr(sys, "argv", ["firstshot", "left", "x"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code in (2, 141)


WORK = """
import sys, time
from firstshot.cli.printing.progress import progress_bars
steps, quiet = int(sys.argv[1]), sys.argv[2] == "quiet"
with progress_bars(quiet) as bars:
    for title in ("first machine", "second machine"):
        step = bars(title)
        for done in range(1, steps + 1):
            time.sleep(0.25)
            step(done, steps)
print("result")
"""


def in_terminal(command, environment, **settings) -> tuple[int, str]:
    """Run with standard error in a terminal of its own; return status and what it showed."""
    ours, theirs = pty.openpty()
    streams = {"stdout": subprocess.DEVNULL, "stderr": theirs, **settings}
    process = subprocess.Popen(
        list(map(str, command)), env={**environment, "TERM": "xterm"}, **streams
    )
    os.close(theirs)
    shown, end = b"", time.monotonic() + 60
    while time.monotonic() < end:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # the other end was closed: the program is over
                break
    os.close(ours)
    return process.wait(), shown.decode()


def test_a_terminal_is_shown_progress_once_work_takes_over_two_seconds(environment, tmp_path):
    with (tmp_path / "results").open("w") as file:
        status, shown = in_terminal(
            [sys.executable, "-c", WORK, "6", "-"], environment, stdout=file
        )
    assert status == 0
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert "second machine" in shown
    assert "6/6" in shown
    assert "/s" in shown
    assert "first machine" not in shown  # over before two seconds had passed
    assert (tmp_path / "results").read_text() == "result\n"


def test_quick_work_and_quiet_work_show_nothing(environment):
    for steps, quiet in (("1", "-"), ("6", "quiet")):
        assert in_terminal([sys.executable, "-c", WORK, steps, quiet], environment) == (0, "")


def test_a_command_in_a_terminal_says_nothing_there_while_it_is_quick(
    environment, detector, test_clips
):
    words = ["score", detector, min(test_clips.iterdir())]
    assert in_terminal([*PROGRAM, *words], environment) == (0, "")


def test_a_recording_that_is_missing_needs_no_free_space(monkeypatch, capsys):
    from firstshot import cli

    def vanish() -> None:
        Path("fan.wav").read_bytes()

    monkeypatch.setattr(cli, "app", vanish)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    expected = "error: fan.wav: No such file or directory; check the path\n"
    assert capsys.readouterr().err == expected


def test_a_fault_of_the_program_is_not_an_anomaly(firstshot, monkeypatch, capsys):
    """Status 1 is an anomaly's alone, so Python's own status for a crash must not come through."""
    from firstshot import cli

    def crash() -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(cli, "app", crash)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert "error: a fault in firstshot itself (ZeroDivisionError)" in capsys.readouterr().err


INTERRUPTED_WHILE_IMPORTING = """
import os, signal, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
from firstshot.__main__ import main
sys.argv = ["firstshot", "--version"]
main()
"""


@pytest.mark.parametrize("module", ["firstshot.cli", "typer", "firstshot.cli.judge"])
def test_ctrl_c_while_the_program_is_imported_is_one_line_and_130(module):
    code = INTERRUPTED_WHILE_IMPORTING.format(module=module)
    done = run_code(code)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_ctrl_c_after_all_was_said_is_no_traceback():
    code = (
        "import atexit, os, signal, sys\n"
        "from firstshot.__main__ import main\n"
        "atexit.register(os.kill, os.getpid(), signal.SIGINT)\n"
        "sys.argv = ['firstshot', '--version']\n"
        "main()\n"
    )
    done = run_code(code)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_ctrl_c_while_the_arguments_are_read_is_one_line_and_130():
    code = (
        "import os, signal, sys\n"
        "from firstshot import cli\n"
        "from firstshot.__main__ import main\n"
        "cli._Commands.parse_args = lambda *_: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.argv = ['firstshot', '--version']\n"
        "main()\n"
    )
    done = run_code(code)
    expected = "interrupted; what the store of embeddings holds is used again\n"
    assert (done.returncode, done.stdout, done.stderr) == (130, "", expected)


def test_ctrl_c_while_python_ends_keeps_the_status_of_the_finished_command():
    code = (
        "import os, signal, sys\n"
        "from firstshot.__main__ import main\n"
        "class Last:\n"
        "    def __del__(self, kill=os.kill, process=os.getpid(), number=signal.SIGINT):\n"
        "        kill(process, number)\n"
        "sys.last = Last()\n"
        "sys.argv = ['firstshot', '--version']\n"
        "main()\n"
    )
    done = run_code(code)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_a_working_folder_that_was_deleted_is_named(environment, normal, tmp_path):
    (tmp_path / "gone").mkdir()
    code = "import os, sys; os.rmdir(os.getcwd()); from firstshot.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "fit", str(normal["source"]), "-o", "x.firstshot"],
        cwd=tmp_path / "gone",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    expected = "error: the working folder was deleted; change to a folder that exists\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)


def test_a_program_that_was_started_to_ignore_ctrl_c_ignores_it_from_the_start():
    code = INTERRUPTED_WHILE_IMPORTING.format(module="firstshot.cli")
    command = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
