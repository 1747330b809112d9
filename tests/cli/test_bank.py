"""`firstshot bank list | add | remove | merge | reduce` as a person and as a script use them."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from firstshot.detector import Detector


@pytest.fixture
def fan(detector: Path, tmp_path: Path) -> Path:
    """A detector file of its own for each test: 20 source and 10 target clips."""
    return Path(shutil.copy(detector, tmp_path / "fan.firstshot"))


@pytest.fixture
def more(test_clips: Path, tmp_path: Path) -> Path:
    """A folder of three normal clips that the detector does not have."""
    folder = tmp_path / "more"
    folder.mkdir()
    for clip in sorted(test_clips.glob("*_normal_*"))[:3]:
        shutil.copy(clip, folder)
    return folder


def error_of(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("warning:")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_list_shows_a_line_per_clip_and_json_the_same(firstshot, fan):
    done = firstshot("bank", "list", fan)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["source"] * 20 + ["target"] * 10
    table = json.loads(firstshot("bank", "list", fan, "--json").stdout)
    assert table["schema"] == 1
    records = table["clips"]
    assert [f"{record['domain']}  {record['clip']}" for record in records] == lines
    assert records[0].keys() == {"clip", "domain", "windows", "digest", "origin"}


def test_clips_added_in_place_are_told_and_removing_them_gives_the_same_file(firstshot, fan, more):
    before = fan.read_bytes()
    done = firstshot("bank", "add", fan, more, "--domain", "target")
    assert done.returncode == 0, done.stderr
    assert f"wrote {fan}: 20 source and 13 target clips" in done.stdout
    assert "threshold " in done.stdout
    names = sorted(path.name for path in more.iterdir())
    lines = firstshot("bank", "list", fan).stdout.splitlines()[-3:]
    assert [line.split()[1] for line in lines] == names
    assert all(line.endswith(f" from {more}") and "added 20" in line for line in lines)
    assert firstshot("bank", "remove", fan, *names).returncode == 0
    assert fan.read_bytes() == before


def test_an_output_leaves_the_file_and_is_not_replaced_unasked(firstshot, fan, tmp_path):
    before, out = fan.read_bytes(), tmp_path / "small.firstshot"
    words = ("bank", "reduce", fan, 10, "--method", "k_center", "--domain", "source", "-o", out)
    assert firstshot(*words).returncode == 0
    assert fan.read_bytes() == before
    assert len(Detector.load(out).members()) == 20
    assert "is there already" in error_of(firstshot(*words))
    assert firstshot(*words, "--overwrite").returncode == 0


def test_merge_joins_files_of_equal_settings_and_names_what_differs(
    firstshot, fan, test_clips, tmp_path
):
    folder = tmp_path / "line 2"
    folder.mkdir()
    for clip in sorted(test_clips.glob("*_normal_*")):
        shutil.copy(clip, folder)
    other, odd = tmp_path / "other.firstshot", tmp_path / "odd.firstshot"
    words = ("fit", folder, "--false-alarm-rate", "0.2", "-o")
    assert firstshot(*words, other).returncode == 0
    assert firstshot(*words, odd, "--preset", "recommended_small").returncode == 0
    assert "layers differs: (1, 2, 3, 4) in the first detector and (1, 2) in the other" in error_of(
        firstshot("bank", "merge", fan, odd)
    )
    both = tmp_path / "both.firstshot"
    assert firstshot("bank", "merge", fan, other, "-o", both).returncode == 0
    added = [clip for clip in Detector.load(both).members() if clip.origin]
    assert {clip.origin.source for clip in added} == {str(other)}
    assert {clip.clip for clip in added} == {path.name for path in folder.iterdir()}
    assert "already in the source bank" in error_of(firstshot("bank", "merge", both, other))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["add", "{fan}", "{missing}"], "does not exist"),
        (["add", "{fan}", "{more}", "--domain", "new"], "domain 'new': choose source or target"),
        (["remove", "{fan}", "x.wav", "y.wav"], "'x.wav', 'y.wav': not in the bank"),
        (["reduce", "{fan}", "0"], "size 0: give how many members"),
        (["reduce", "{fan}", "5", "--method", "random"], "choose one of kmeans, k_center"),
        (["reduce", "{fan}", "1"], "1 source clip: at least 2 normal clips"),
        (["merge", "{fan}", "{more}"], "more: "),
        (["list", "{more}"], "more: "),
        (["list", "{missing}"], "no such detector file"),
    ],
)
def test_a_fault_is_one_line_and_leaves_the_file(firstshot, fan, more, tmp_path, words, reason):
    before = fan.read_bytes()
    places = {"fan": fan, "more": more, "missing": tmp_path / "missing"}
    assert reason in error_of(firstshot("bank", *(word.format(**places) for word in words)))
    assert fan.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fan.firstshot", "more"]


KILLED = """
import os, signal, sys
import firstshot.disk.drafts as drafts
from firstshot.__main__ import main
replace = os.replace
os.replace = lambda *names, **how: os.kill(os.getpid(), signal.SIGKILL)
from pathlib import Path
Path.replace = os.replace
sys.argv = ["firstshot", "bank", "remove", sys.argv[1], sys.argv[2]]
main()
"""


def test_an_edit_that_is_killed_leaves_the_old_file(fan, environment):
    before = fan.read_bytes()
    name = Detector.load(fan).members()[0].clip
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(fan), name], env=environment, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL
    assert fan.read_bytes() == before


def test_a_file_that_another_program_wrote_meanwhile_is_kept(fan, monkeypatch):
    from firstshot.cli.bank import remove
    from firstshot.errors import OutputError

    name = Detector.load(fan).members()[0].clip
    load = Detector.load

    def slow_load(path: Path) -> Detector:
        loaded = load(path)
        load(path).remove(loaded.members()[1].clip).save(path)
        return loaded

    monkeypatch.setattr(Detector, "load", slow_load)
    with pytest.raises(OutputError, match="was written to by another program meanwhile"):
        remove(fan, [name])
    monkeypatch.undo()
    assert name in {clip.clip for clip in Detector.load(fan).members()}
    assert len(Detector.load(fan).members()) == 29


def test_help_tells_what_each_command_does(firstshot):
    text = firstshot("bank", "--help").stdout
    assert [word for word in ("list", "add", "remove", "merge", "reduce") if word not in text] == []
    assert "Example: firstshot bank reduce" in firstshot("bank", "reduce", "--help").stdout


def test_inspect_names_a_stopped_machine_and_the_command_that_removes_it(
    firstshot, normal, tmp_path
):
    hum = 1e-3 * np.sin(2 * np.pi * 50 * np.arange(16000) / 16000)
    folder = Path(shutil.copytree(normal["source"], tmp_path / "clips"))
    soundfile.write(folder / "stopped pump.wav", hum, 16000, subtype="FLOAT")
    fan = tmp_path / "fan.firstshot"
    words = ("fit", folder, "-o", fan)
    fitted = firstshot(*words)
    assert fitted.returncode == 0, fitted.stderr
    (note,) = [line for line in fitted.stderr.splitlines() if "does not sound like" in line]
    assert note.startswith("note: 1 of 21 normal clips does not sound like the others (p < 0.01")
    assert f"firstshot bank inspect {fan}" in fitted.stderr
    assert "note:" not in firstshot(*words, "--overwrite", "--quiet").stderr
    before = fan.read_bytes()
    done = firstshot("bank", "inspect", fan)
    assert (done.returncode, done.stderr) == (0, "")
    command = f"  firstshot bank remove {fan} 'stopped pump.wav' --domain source"
    assert command in done.stdout.splitlines()
    assert done.stdout.count("  nearest: ") == 3
    found = json.loads(firstshot("bank", "inspect", fan, "--format", "json").stdout)
    assert [one["clip"] for one in found["unlike"]] == ["stopped pump.wav"]
    assert found["looked_at"] == 21
    assert found["notes"][0] == note.removeprefix("note: ")
    assert fan.read_bytes() == before
    assert firstshot("bank", "remove", fan, "stopped pump.wav").returncode == 0
    assert "nothing unusual" in firstshot("bank", "inspect", fan).stdout


def test_the_page_of_a_bank_plays_its_clips_and_replaces_only_its_like(
    firstshot, normal, detector, tmp_path
):
    page, other = tmp_path / "bank.html", tmp_path / "notes.html"
    words = ("bank", "inspect", detector, "--normal", normal["source"], "--page")
    done = firstshot(*words, page)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"the page: {page}\n")
    assert "The bank of fan.firstshot" in page.read_text(encoding="utf-8")
    assert "add --overwrite" in error_of(firstshot(*words, page))
    assert firstshot(*words, page, "--overwrite").returncode == 0
    other.write_text("mine")
    assert "is no page of a bank" in error_of(firstshot(*words, other, "--overwrite"))
    assert other.read_text() == "mine"
    assert "add --page FILE" in error_of(firstshot(*words[:-1]))


def test_a_preview_shows_what_adding_does_and_writes_nothing(firstshot, fan, test_clips, tmp_path):
    folder = tmp_path / "kept"
    folder.mkdir()
    for clip in sorted(test_clips.glob("*_anomaly_*"))[:2]:
        shutil.copy(clip, folder)
    before = fan.read_bytes()
    seen = firstshot("bank", "add", fan, folder, "--preview")
    assert seen.returncode == 0, seen.stderr
    assert fan.read_bytes() == before
    lines = seen.stdout.splitlines()
    words = r"(threshold \S+ before, \S+ after|(source|target|added): above it \d+ of \d+ clips .*)"
    assert [line for line in lines[:4] if not re.fullmatch(words, line)] == []
    assert "added: above it 2 of 2 clips (100%) before" in lines[3]
    assert lines[4].startswith("above it before; listen to them")
    assert [line.split()[0] for line in lines[5:7]] == [
        f"{p.name}:" for p in sorted(folder.iterdir())
    ]
    assert lines[-1].startswith("nothing is written")
    done = firstshot("bank", "add", fan, folder)
    assert done.stdout.splitlines()[2:] == lines[:-1]
    assert fan.read_bytes() != before
    out = ("-o", tmp_path / "other.firstshot")
    assert "leave out --out" in error_of(firstshot("bank", "add", fan, folder, "--preview", *out))
