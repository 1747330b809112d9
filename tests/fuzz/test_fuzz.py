"""A few hundred inputs of the fuzz run, and that the run itself finds, bounds and repeats."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("resource")  # the bounds of a worker are those of a POSIX system

from tests.fuzz import arguments, commands, readers  # noqa: F401
from tests.fuzz import mutations as change
from tests.fuzz.cases import TARGETS, Case, StatusError, choose_target, fault_of
from tests.fuzz.runs import ROOT, Run

from firstshot.errors import ParameterError

INPUTS = 200
LIMIT = 120.0


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made in a process of its own: the networks are made small there, and stay so."""
    folder = tmp_path_factory.mktemp("fuzz") / "samples"
    make = [sys.executable, "-m", "tests.fuzz.samples", str(folder)]
    subprocess.run(make, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True)
    return folder


def test_a_slice_of_the_run_ends_without_an_escape(samples, tmp_path):
    run = Run(samples, tmp_path / "scratch", tmp_path / "kept", seed=9, inputs=INPUTS, limit=LIMIT)
    told: list[str] = []
    report = run(told.append)
    assert report.total == INPUTS
    assert set(report.escapes) == set(), told


def test_an_escape_is_kept_with_all_that_shows_it_again(tmp_path):
    (tmp_path / "no samples").mkdir()
    run = Run(tmp_path / "no samples", tmp_path / "scratch", tmp_path / "kept", first=7, inputs=2)
    run.targets = ["audio"]  # which has nothing to choose from here
    told: list[str] = []
    ((kind, escape),) = run(told.append).escapes.items()
    assert kind == "IndexError in no function of the package"
    assert (escape.numbers, len(told)) == ([7, 8], 1)
    assert escape.folder is not None
    about = json.loads((escape.folder / "about.json").read_text())
    assert (about["seed"], about["number"], about["target"]) == (0, 7, "audio")
    assert "IndexError" in about["traceback"]


def test_every_command_and_option_is_fuzzed():
    known = commands.commands()
    assert known.keys() >= commands.WORDS.keys()
    assert "--false-alarm-rate" in {each.name for each in known["fit"]}
    assert {"FIRSTSHOT_CACHE", "OMP_NUM_THREADS", "FIRSTSHOT_RECORDS_URL"} <= set(
        commands.variables()
    )


def test_only_our_errors_and_the_documented_statuses_may_leave():
    assert fault_of(ParameterError("odd")) is None
    assert fault_of(SystemExit(0)) is None
    assert fault_of(SystemExit(2)) is None
    for error in (SystemExit(1), ValueError("odd"), MemoryError(), StatusError("1")):
        assert fault_of(error) is not None


@pytest.mark.parametrize("number", range(5))
def test_the_same_seed_and_number_give_the_same_input(tmp_path, number):
    first, second = (Case(3, number, tmp_path, tmp_path) for _ in range(2))
    assert choose_target(first) is choose_target(second)
    assert change.mutate_bytes(first.dice, b"x" * 99) == change.mutate_bytes(second.dice, b"x" * 99)
    assert sum(each.weight for each in TARGETS.values()) > 0


def test_changed_content_stays_in_its_format_often_enough_to_reach_what_lies_within():
    dice = random.Random(0)
    tree = {"name": "mine", "layers": [1, 2], "rate": 0.5}
    parsed = 0
    for _ in range(200):
        try:
            json.loads(change.mutate_json(dice, tree))
            parsed += 1
        except (ValueError, RecursionError):
            pass
    assert 100 < parsed < 200
    archive = change.zip_of([("a.csv", b"1,2\n"), ("b.txt", b"text")])
    opened = [zipfile.is_zipfile(io.BytesIO(change.mutate_zip(dice, archive))) for _ in range(200)]
    assert sum(opened) > 100
