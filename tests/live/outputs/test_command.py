import json
import sys
import time

import pytest
from tests.live.fakes import an_event

from firstshot.errors import ParameterError
from firstshot.live.outputs.command import Command
from firstshot.live.outputs.protocol import DeliveryError


def program(tmp_path, text):
    path = tmp_path / "program.py"
    path.write_text(text)
    return (sys.executable, str(path), str(tmp_path / "out"))


def test_a_program_gets_the_event_on_standard_input_and_the_key(tmp_path):
    text = """
import os, sys
open(sys.argv[1], "w").write(sys.stdin.read() + os.environ["FIRSTSHOT_KEY"])
"""
    command = Command("run", program(tmp_path, text))
    command.open()
    command.send(an_event(), "key-1")
    line, key = (tmp_path / "out").read_text().split("\n")
    assert (json.loads(line), key) == (an_event().as_json(), "key-1")


def test_a_program_that_fails_is_told_by_its_status_and_last_line(tmp_path):
    text = "import sys; print('one\\nno \\x1b route', file=sys.stderr); sys.exit(3)"
    command = Command("run", program(tmp_path, text))
    with pytest.raises(DeliveryError, match=r"ended with status 3: no \\x1b route$"):
        command.send(an_event(), "key-1")


def test_a_program_that_does_not_read_its_input_is_fine(tmp_path):
    Command("run", program(tmp_path, "pass")).send(an_event(), "key-1")


def test_a_program_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path):
    text = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open(sys.argv[1], "w").write(str(child.pid))
child.wait()
"""
    command = Command("run", program(tmp_path, text), seconds=1.0)
    began = time.monotonic()
    with pytest.raises(DeliveryError, match="took longer than 1 s and was ended"):
        command.send(an_event(), "key-1")
    assert time.monotonic() - began < 30


def test_a_program_that_does_not_exist_is_refused_before_it_is_needed():
    with pytest.raises(ParameterError, match=r"^no-such-program: no program of this name"):
        Command("run", ("no-such-program",)).open()
