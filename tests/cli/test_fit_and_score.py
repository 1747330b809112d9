"""`firstshot fit | score | explain | calibrate` as a person and as a script use them."""

from __future__ import annotations

import contextlib
import csv
import ctypes
import io
import json
import math
import os
import pty
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from firstshot.detector import Detector
from firstshot.disk.names import read_name

PROGRAM = [sys.executable, "-m", "firstshot"]


def one_line(stderr: str) -> str:
    """The only line of an error message."""
    lines = [line for line in stderr.splitlines() if not line.startswith("warning:")]
    assert len(lines) == 1, stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def test_fit_says_what_it_learned_and_how_to_go_on(firstshot, normal, tmp_path):
    out = tmp_path / "new folder" / "fan.firstshot"
    done = firstshot("fit", normal["source"], "--target", normal["target"], "-o", out)
    assert done.returncode == 0
    assert done.stderr == (
        "preset recommended: the weights of efficientat_mn04 are not here; `firstshot encoders "
        "fetch efficientat_mn04` gets them, and auto then means recommended_fusion\n"
    )
    assert "learned 20 source and 10 target clips with recommended" in done.stdout
    assert f"firstshot score {out} NEW_CLIPS" in done.stdout
    assert out.is_file()


def test_fit_never_overwrites_a_detector_unasked(firstshot, normal, detector):
    before = detector.read_bytes()
    done = firstshot("fit", normal["source"], "-o", detector)
    assert done.returncode == 2
    assert "is there already" in one_line(done.stderr)
    assert "--overwrite" in done.stderr
    assert detector.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["{missing}"], "missing: does not exist"),
        (["{empty}"], "empty: no audio"),
        (["{one}"], "at least 2 normal clips"),
        (["{source}", "--target", "{missing}"], "missing: does not exist"),
        (["{source}", "--layers", "a,b"], "layers 'a,b'"),
        (["{source}", "--layers", "9"], "layer 9 does not exist"),
        (["{source}", "--channel", "3"], "channel 3"),
        (["{source}", "--length", "windows"], "length policy windows"),
        (["{source}", "--normalizer", "zscore"], "normaliser 'zscore' is not known"),
        (["{source}", "--weights", "x"], "none of the encoders here (spectra) has such settings"),
        (["{source}", "--workers", "0"], "at most 4096; leave it out for one a core"),
        (["{source}", "--false-alarm-rate", "7"], "7.0: it must lie between 0 and 1"),
    ],
)
def test_fit_refuses_in_one_line(firstshot, normal, tmp_path, words, named):
    (tmp_path / "empty").mkdir()
    (tmp_path / "one").mkdir()
    shutil.copy(min(normal["source"].iterdir()), tmp_path / "one")
    places = {name: tmp_path / name for name in ("missing", "empty", "one")}
    arguments = [word.format(**normal, **places) for word in words]
    done = firstshot("fit", *arguments, "-o", tmp_path / "x.firstshot")
    assert done.returncode == 2
    assert named in one_line(done.stderr)
    assert done.stdout == ""
    assert not (tmp_path / "x.firstshot").exists()


@pytest.mark.parametrize("out", ["folder", "file/x.firstshot", "/dev/null"])
def test_fit_writes_only_where_a_file_can_be(firstshot, normal, tmp_path, out):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("not a folder")
    done = firstshot("fit", normal["source"], "-o", tmp_path / out, "--overwrite", "--no-store")
    assert done.returncode == 2
    assert str(tmp_path / out) in one_line(done.stderr)
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("command", ["fit", "calibrate"])
def test_a_place_that_cannot_hold_a_file_is_refused_before_any_work(firstshot, tmp_path, command):
    (tmp_path / "file").write_text("not a folder")
    out = tmp_path / "file" / "x.firstshot"
    done = firstshot(command, tmp_path / "missing", "-o", out)
    assert done.returncode == 2
    file = tmp_path / "file"
    assert one_line(done.stderr) == (
        f"error: {out}: {file} is a file, not a folder; choose another place"
    )


@pytest.mark.parametrize("method", ["fit", "calibrate"])
def test_a_file_that_appears_while_a_detector_is_made_stays(
    detector, normal, tmp_path, monkeypatch, capsys, method
):
    from firstshot import cli
    from firstshot.detector import Detector

    out, real = tmp_path / "new.firstshot", getattr(Detector, method)

    def work(self, *arguments, **settings):
        out.write_text("mine")
        return real(self, *arguments, **settings)

    monkeypatch.setattr(Detector, method, work)
    words = ["fit", normal["source"], "--no-store", "--workers", 1]
    words = words if method == "fit" else ["calibrate", detector]
    monkeypatch.setattr(sys, "argv", ["firstshot", *map(str, words), "-o", str(out)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    assert "another program has made it meanwhile" in one_line(capsys.readouterr().err)
    assert out.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [out]


def test_layers_channel_and_windows_are_heard(firstshot, tmp_path):
    """A whistle in channel 1 alone: a detector of channel 0 must not hear it."""
    rng = np.random.default_rng(0)
    times = np.arange(32000) / 16000
    (tmp_path / "normal").mkdir()
    for i in range(12):
        hum = 0.1 * np.sin(2 * np.pi * 120 * times + i) + 0.001 * rng.normal(size=times.size)
        both = np.stack([hum, 0.1 * rng.normal(size=times.size)], axis=1)
        soundfile.write(tmp_path / "normal" / f"{i}.wav", both, 16000)
    both[:, 1] += 0.3 * np.sin(2 * np.pi * 2000 * times)
    soundfile.write(tmp_path / "new.wav", both, 16000)
    options = ["--layers", "1,-1", "--length", "windows:1", "--normalizer", "none"]
    fit = ["fit", tmp_path / "normal", *options, "--no-store"]
    found = {}
    for channel in ("0", "1"):
        out = tmp_path / f"{channel}.firstshot"
        done = firstshot(*fit, "--channel", channel, "-o", out)
        assert "learned 12 source" in done.stdout, done.stderr
        scored = firstshot("score", out, tmp_path / "new.wav", "--format", "json")
        (found[channel],) = json.loads(scored.stdout)["results"]
    assert set(found["0"]["parts"]) == {"layer 1", "layer 2"}
    assert len(found["0"]["window_scores"]) == 2
    assert found["0"]["score"] == pytest.approx(max(found["0"]["window_scores"]))
    assert (found["0"]["is_anomaly"], found["1"]["is_anomaly"]) == (False, True)


def test_three_formats_say_the_same(firstshot, detector, test_clips):
    by_format = {}
    for form in ("table", "csv", "json"):
        done = firstshot("score", detector, test_clips, "--format", form)
        assert done.returncode == 0
        assert done.stderr == ""
        by_format[form] = done.stdout
    rows = list(csv.DictReader(io.StringIO(by_format["csv"])))
    document = json.loads(by_format["json"])
    assert (document["schema"], document["failed"]) == (1, [])
    records = document["results"]
    assert len(rows) == len(records) == 16
    for row, record in zip(rows, records, strict=True):
        assert Path(row["clip"]).is_file()
        assert row["clip"] == record["clip"]
        assert float(row["score"]) == record["score"]
        assert float(row["p_value"]) == record["p_value"]
        assert bool(int(row["is_anomaly"])) == record["is_anomaly"]
        assert record["is_anomaly"] == (record["score"] > record["threshold"])
        assert row["nearest"] == record["nearest"][0]["clip"]
    anomalies = sum(record["is_anomaly"] for record in records)
    assert by_format["table"].count("ANOMALY") == anomalies
    assert f"{anomalies} of 16 clips anomalous" in by_format["table"]
    for record in records:
        assert f"{record['score']:.4f}" in by_format["table"]


def test_the_table_names_the_folder_once_and_the_clips_within_it(firstshot, detector, test_clips):
    done = firstshot("score", detector, test_clips)
    joined = "".join(done.stdout.split())
    assert joined.count(str(test_clips).replace(" ", "")) == 1
    clip = min(test_clips.iterdir())
    assert sum(clip.name[:20] in line for line in done.stdout.splitlines()) >= 1


def test_a_bad_file_does_not_lose_the_others(firstshot, detector, test_clips, tmp_path):
    good = min(test_clips.iterdir())
    (tmp_path / "bad.wav").write_bytes(b"this is not sound")
    (tmp_path / "cut.wav").write_bytes(good.read_bytes()[:9000])
    (tmp_path / "none").mkdir()
    places = [tmp_path / "bad.wav", tmp_path / "cut.wav", tmp_path / "gone.wav", tmp_path / "none"]
    done = firstshot("score", detector, *places, good, "--format", "csv", "--fail-on-anomaly")
    assert done.returncode == 2
    (row,) = csv.DictReader(io.StringIO(done.stdout))
    assert row["clip"] == str(good)
    errors = done.stderr.splitlines()
    assert len(errors) == 4
    for place in places:
        assert any(line.startswith(f"error: {place}: ") for line in errors), place


def test_json_tells_each_clip_that_failed_and_why_beside_the_others(
    firstshot, detector, test_clips, tmp_path
):
    good = min(test_clips.iterdir())
    (tmp_path / "bad.wav").write_bytes(b"this is not sound")
    places = [tmp_path / "bad.wav", good, tmp_path / "gone.wav"]
    done = firstshot("score", detector, *places, "--format", "json")
    document = json.loads(done.stdout)
    assert done.returncode == 2
    assert [record["clip"] for record in document["results"]] == [str(good)]
    assert {clip["clip"] for clip in document["failed"]} == {str(places[0]), str(places[2])}
    told = {line.removeprefix("error: ") for line in done.stderr.splitlines()}
    assert {clip["reason"] for clip in document["failed"]} == told


def test_the_documentation_names_every_field_of_the_json(firstshot, detector, test_clips):
    page = (Path(__file__).parents[2] / "docs" / "score_output.md").read_text()
    done = firstshot("score", detector, min(test_clips.iterdir()), "--format", "json", "--windows")
    document = json.loads(done.stdout)
    fields = {*document, *document["results"][0], "clip", "reason"}
    fields |= {*document["results"][0]["nearest"][0], *document["results"][0]["windows"][0]}
    assert [field for field in sorted(fields) if f"`{field}`" not in page] == []


def test_only_bad_files_still_give_output_that_parses(firstshot, detector, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"")
    as_json = firstshot("score", detector, tmp_path, "--format", "json")
    as_csv = firstshot("score", detector, tmp_path, "--format", "csv")
    assert (as_json.returncode, as_csv.returncode) == (2, 2)
    (line,) = as_json.stderr.splitlines()
    bad = {"clip": str(tmp_path / "bad.wav"), "reason": line.removeprefix("error: ")}
    told = {"schema": 1, "results": [], "failed": [bad], "notes": []}
    assert json.loads(as_json.stdout) == told
    assert as_csv.stdout.splitlines() == [
        "clip,score,p_value,threshold,is_anomaly,domain,nearest,start_seconds"
    ]


def test_exit_status_tells_an_anomaly_only_where_asked(firstshot, detector, test_clips):
    done = firstshot("score", detector, test_clips, "--format", "json", "--fail-on-anomaly")
    records = json.loads(done.stdout)["results"]
    assert done.returncode == 1
    calm = next(record["clip"] for record in records if not record["is_anomaly"])
    loud = next(record["clip"] for record in records if record["is_anomaly"])
    assert firstshot("score", detector, calm, "--fail-on-anomaly").returncode == 0
    assert firstshot("score", detector, loud).returncode == 0


def test_a_file_that_is_no_detector_is_refused(firstshot, test_clips, tmp_path):
    missing = firstshot("score", tmp_path / "gone.firstshot", test_clips)
    other = firstshot("score", min(test_clips.iterdir()), test_clips)
    assert (missing.returncode, other.returncode) == (2, 2)
    assert "firstshot fit NORMAL_DIR" in one_line(missing.stderr)
    assert "not a whole detector file" in one_line(other.stderr)


def test_explain_says_why_in_words_and_in_json(firstshot, detector, test_clips):
    clip = next(iter(sorted(test_clips.glob("*anomaly_0002*"))))
    text = firstshot("explain", detector, clip)
    record = json.loads(firstshot("explain", detector, clip, "--format", "json").stdout)
    assert text.returncode == 0
    assert record["words"] in text.stdout
    assert text.stdout.splitlines()[1] == f"  {record['where']}"
    assert len(record["regions"]) == text.stdout.count("relative to the clip's own level")
    assert f"score {record['result']['score']:.4f}" in text.stdout
    assert record["result"]["nearest"][0]["clip"] in text.stdout
    assert math.isclose(sum(one["share"] for one in record["bands"]), 1.0, rel_tol=1e-6)
    assert firstshot("explain", detector, clip, "--format", "csv").returncode == 2


def test_explain_names_the_views_that_made_the_score(firstshot, normal, test_clips, tmp_path):
    Detector(views="recommended_small").fit(normal["source"]).save(tmp_path / "fan.firstshot")
    clip = min(test_clips.glob("*anomaly*"))
    text = firstshot("explain", tmp_path / "fan.firstshot", clip).stdout.splitlines()
    done = firstshot("explain", tmp_path / "fan.firstshot", clip, "--format", "json")
    views = json.loads(done.stdout)["views"]
    first = text.index("  the score is made of these views:") + 1
    assert [line.split(" (")[0] for line in text[first : first + 2]] == [
        f"    {view['view']}" for view in views
    ]
    assert all(line.endswith("normal clips") for line in text[first : first + 2])
    assert sum(view["score"] for view in views) / 2 == pytest.approx(
        json.loads(done.stdout)["result"]["score"]
    )


def test_explain_and_score_say_what_so_few_clips_can_show(firstshot, detector, test_clips):
    records = json.loads(firstshot("score", detector, test_clips, "--format", "json").stdout)[
        "results"
    ]
    floor = next(r["clip"] for r in records if r["p_value"] == 1 / 31)
    told = firstshot("explain", detector, floor).stdout
    assert (
        "  no normal clip of 30 scores as high (the smallest p-value that 30 clips can show is "
        "1 in 31)\n" in told
    )
    other = next(r for r in records if r["p_value"] > 1 / 31)
    above = round(other["p_value"] * 31) - 1
    told = firstshot("explain", detector, other["clip"]).stdout
    assert f"  {above} of 30 normal clips score at least as high (p = " in told
    assert "% of normal clips" not in told
    assert "relative to its own overall level: " in told
    assert "against the nearest: the whole clip is " in told


@pytest.fixture(scope="module")
def recording(test_clips, tmp_path_factory):
    """A minute of normal clips of one second, one faulty clip at 20 s."""
    normal = [soundfile.read(clip)[0] for clip in sorted(test_clips.glob("*source*normal*"))]
    faulty, rate = soundfile.read(min(test_clips.glob("*source*anomaly_0001*")))
    sounds = [normal[i % len(normal)] for i in range(40)]
    sounds[20] = faulty
    path = tmp_path_factory.mktemp("recording") / "minute.wav"
    soundfile.write(path, np.concatenate(sounds), rate)
    return path


@pytest.fixture(scope="module")
def window_detector(normal, tmp_path_factory, firstshot):
    out = tmp_path_factory.mktemp("windows") / "fan.firstshot"
    made = firstshot("fit", normal["source"], "--length", "windows:1", "--no-store", "-o", out)
    assert made.returncode == 0, made.stderr
    return out


def test_every_window_is_shown_where_it_is_asked_for(firstshot, window_detector, recording):
    """In each format, with its times, its score, its p-value and its own decision."""
    words = ["score", window_detector, recording, "--windows"]
    (record,) = json.loads(firstshot(*words, "--format", "json").stdout)["results"]
    windows = record["windows"]
    assert [w["score"] for w in windows] == record["window_scores"]
    assert [w["start_seconds"] for w in windows] == list(range(40))
    assert [w["end_seconds"] for w in windows] == list(range(1, 41))
    assert [w["is_anomaly"] for w in windows] == [w["score"] > record["threshold"] for w in windows]
    rows = list(csv.DictReader(io.StringIO(firstshot(*words, "--format", "csv").stdout)))
    assert len(rows) == 40
    for row, window in zip(rows, windows, strict=True):
        assert row["clip"] == record["clip"]
        assert float(row["start_seconds"]) == window["start_seconds"]
        assert float(row["end_seconds"]) == window["end_seconds"]
        assert float(row["score"]) == window["score"]
        assert float(row["p_value"]) == window["p_value"]
        assert float(row["threshold"]) == record["threshold"]
        assert bool(int(row["is_anomaly"])) == window["is_anomaly"]
        assert bool(int(row["clip_is_anomaly"])) == record["is_anomaly"]
    table = firstshot(*words).stdout.splitlines()
    shown = [line.split()[1:] for line in table if line.startswith(str(recording))]
    assert [(float(row[0]), float(row[1])) for row in shown] == [(i, i + 1) for i in range(40)]
    assert [row[2] for row in shown] == [f"{window['score']:.4f}" for window in windows]
    assert [row[4] == "ANOMALY" for row in shown] == [window["is_anomaly"] for window in windows]


def test_a_minute_with_one_faulty_second_is_normal_and_says_so(
    firstshot, window_detector, recording
):
    (record,) = json.loads(
        firstshot("score", window_detector, recording, "--format", "json").stdout
    )["results"]
    assert "windows" not in record
    assert max(record["window_scores"]) == record["window_scores"][20] > record["threshold"]
    assert (record["pieces"], record["pieces_needed"]) == (40, 25)
    assert 1 <= record["pieces_above"] < 25
    told = firstshot("score", window_detector, recording, "--fail-on-anomaly")
    assert told.returncode == 0
    joined = " ".join(told.stdout.split())
    assert f"({record['pieces_above']} of 40 pieces above the threshold, 25 needed;" in joined
    assert "highest at 20 s)" in joined
    assert "each window's own score and decision: --windows" in joined
    explained = firstshot("explain", window_detector, recording).stdout
    assert f"{record['pieces_above']} of 40 pieces, each as long as a normal clip, " in explained
    assert "the highest score begins at 20 s" in explained


def test_fit_says_why_it_promises_another_rate_than_was_asked(firstshot, normal, tmp_path):
    done = firstshot("fit", normal["source"], "--no-store", "-o", tmp_path / "a.firstshot")
    assert "at most 9.52% of normal clips score above it" in done.stdout
    assert (
        "10% was requested: 20 clips promise multiples of 1/21, and 2/21 is the largest that is "
        "not above it" in done.stdout
    )


def test_explain_wants_one_clip(firstshot, detector, test_clips):
    done = firstshot("explain", detector, test_clips)
    assert done.returncode == 2
    assert "name one clip" in one_line(done.stderr)


def test_calibrate_moves_the_threshold_and_not_the_scores(
    firstshot, detector, test_clips, tmp_path
):
    out = tmp_path / "careful.firstshot"
    words = ["--false-alarm-rate", "0.05", "--method", "conformal", "-o", out]
    done = firstshot("calibrate", detector, *words)
    assert done.returncode == 0
    assert "promised by 30 normal clips" in done.stdout
    again = firstshot("calibrate", detector, *words)
    assert again.returncode == 2
    assert "--overwrite" in one_line(again.stderr)
    before, after = (
        json.loads(firstshot("score", file, test_clips, "--format", "json").stdout)["results"]
        for file in (detector, out)
    )
    assert [r["score"] for r in before] == [r["score"] for r in after]
    assert {r["threshold"] for r in before}.isdisjoint({r["threshold"] for r in after})


def test_calibrate_refuses_to_promise_what_so_few_clips_cannot(firstshot, detector):
    before = detector.read_bytes()
    done = firstshot("calibrate", detector, "--false-alarm-rate", "0.001", "--method", "conformal")
    assert done.returncode == 2
    assert "0.0323 or more" in one_line(done.stderr)  # 1 / 31
    assert detector.read_bytes() == before


ODD_NAMES = [
    b"caf\xe9.wav",
    'ü [red]x, "y".wav'.encode(),
    b"two\nlines.wav",
    b"return\r.wav",
    b"\x1b[31mred\x07.wav",
    "rtl\u202e\u2028.wav".encode(),
    b"=1+1\t.wav",
    b"back\\x41.wav",
    b"n" * 250 + b".wav",
]


@pytest.fixture
def odd_clips(test_clips: Path, tmp_path: Path) -> Path:
    """A folder of clips whose names are not UTF-8, or hold commas, line breaks, or commands."""
    folder = tmp_path / "odd"
    folder.mkdir()
    for clip, name in zip(sorted(test_clips.iterdir()), ODD_NAMES, strict=False):
        shutil.copy(clip, folder / os.fsdecode(name))
    return folder


def bytes_of(names: object) -> set[bytes]:
    """The bytes of the files' names, as they are read back from what was written."""
    return {os.fsencode(Path(read_name(name)).name) for name in names}


def test_file_names_of_any_bytes_come_back_as_they_are(firstshot, detector, odd_clips):
    done = firstshot("score", detector, odd_clips, "--format", "csv", text=False)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode("utf-8")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert bytes_of(row["clip"] for row in rows) == set(ODD_NAMES)
    assert not set(text) & set("\x1b\x07\u202e")
    assert any(row["clip"].endswith("two\nlines.wav") for row in rows)  # any reader's quotes
    done = firstshot("score", detector, odd_clips, "--format", "json", text=False)
    records = json.loads(done.stdout.decode("utf-8"))["results"]
    assert bytes_of(record["clip"] for record in records) == set(ODD_NAMES)
    assert b"\\udc" not in done.stdout


def test_a_detector_of_clips_of_any_name_is_fitted_loaded_and_explains(
    firstshot, odd_clips, tmp_path
):
    out = tmp_path / "odd.firstshot"
    fitted = firstshot("fit", odd_clips, "-o", out, "--no-store")
    assert fitted.returncode == 0, fitted.stderr
    done = firstshot("score", out, odd_clips, "--format", "json")
    records = json.loads(done.stdout)["results"]
    # Each is nearest to itself, by the name that the bank has kept.
    for record in records:
        assert Path(record["clip"]).name == record["nearest"][0]["clip"]
    clip = odd_clips / os.fsdecode(ODD_NAMES[4])
    explained = firstshot("explain", out, clip)
    assert explained.stdout.startswith(f"{odd_clips}/\\x1b[31mred\\x07.wav: ")
    assert not set(explained.stdout + explained.stderr) & {"\x1b", "\x07"}


def test_the_table_and_the_messages_escape_what_acts_on_a_terminal(firstshot, detector, odd_clips):
    (odd_clips / "bad\x1b[2J\n.wav").write_bytes(b"no sound")
    done = firstshot("score", detector, odd_clips, text=False)
    assert done.returncode == 2
    shown = done.stdout.decode("utf-8")
    assert not set(shown) & set("\x1b\x07\r\t\u2028\u202e")
    for name in ("[red]x", r"two\x0alines.wav", r"return\x0d.wav", r"caf\xe9.wav", r"rtl\u202e"):
        assert name in shown
    (line,) = [x for x in done.stderr.split(b"\n") if x.startswith(b"error")]
    assert rb"bad\x1b[2J\x0a.wav: " in line


def test_csv_on_a_terminal_is_escaped_too(environment, detector, odd_clips):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, "score", str(detector), str(odd_clips), "--format", "csv"],
        env=environment,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the other end was closed: the program is over
        while piece := os.read(ours, 65536):
            shown += piece
    os.close(ours)
    assert process.wait() == 0
    rows = shown.decode("utf-8").replace("\r\n", "\n").split("\n")
    assert len(rows) == 1 + len(ODD_NAMES) + 1
    assert not set("".join(rows)) & set("\x1b\x07\r\t\u2028\u202e")


@pytest.mark.parametrize("columns", ["80", "130"])
def test_long_names_keep_the_table_within_the_terminal(
    firstshot, environment, detector, test_clips, columns
):
    done = firstshot("score", detector, test_clips, env={**environment, "COLUMNS": columns})
    folder, header, rule, *lines, smallest = done.stdout.splitlines()
    assert smallest == "p-values rest on 30 normal clips; the smallest possible is 1 in 31"
    assert folder == str(test_clips)
    assert header.split()[:2] == ["Decision", "Score"]
    assert ("Nearest normal clip" in header) == (columns == "130")
    assert max(map(len, (header, rule, *lines))) <= int(columns)
    left = rule.rindex("  ") + 2 if columns == "80" else header.index("Clip")
    rows = [line for line in lines[:-1] if not line.startswith(" ")]
    assert len(rows) == 16
    assert {row.split()[0] for row in rows} == {"ANOMALY", "normal"}
    assert all(len(row.split()[1].split(".")[1]) == 4 for row in rows)  # no number is broken
    if columns == "80":
        joined = "".join(
            "\n" + line[left:] if line in rows else line.strip() for line in lines[:-1]
        )
        assert joined.split() == sorted(clip.name for clip in test_clips.iterdir())
        assert all(line == " " * (left + 2) + line.strip() for line in lines[:-1] if line[0] == " ")


def without_rights_of_root() -> None:
    """Let a started program meet the same closed doors as anybody, though root may have started it.

    The two capabilities (1 and 2) are those that read and search whatever the rights say.
    """
    libc = ctypes.CDLL(None)
    for capability in (1, 2):
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


@pytest.mark.skipif(sys.platform != "linux", reason="rights are taken away as Linux does")
def test_what_cannot_be_read_or_listed_is_named_and_the_rest_is_judged(
    firstshot, detector, test_clips, tmp_path
):
    root = tmp_path / "today"
    names = ("a.wav", "closed/b.wav", "dark/c.wav", "mine.wav")
    for name, clip in zip(names, sorted(test_clips.iterdir()), strict=False):
        (root / name).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(clip, root / name)
    (root / "loop").symlink_to(".")
    modes = {"closed": 0o000, "dark": 0o600, "mine.wav": 0o000}
    for name, mode in modes.items():
        (root / name).chmod(mode)
    out = tmp_path / "x.firstshot"
    try:
        words = ["score", detector, root, root / "a.wav", root / "mine.wav", "--format", "csv"]
        done = firstshot(*words, "--fail-on-anomaly", preexec_fn=without_rights_of_root)
        fitted = firstshot("fit", root, "-o", out, preexec_fn=without_rights_of_root)
    finally:
        for name in modes:
            (root / name).chmod(0o700)
    assert done.returncode == 2
    assert [row["clip"] for row in csv.DictReader(done.stdout.splitlines())] == [f"{root}/a.wav"]
    assert [line.split(": ")[1:] for line in done.stderr.splitlines()] == [
        [f"{root}/{name}", f"cannot be {what} (Permission denied); {way_out}"]
        for name, what, way_out in (
            ("closed", "listed", "make it readable, or move it elsewhere"),
            ("dark/c.wav", "opened", "check its name and its rights"),
            ("mine.wav", "opened", "check its name and its rights"),
        )
    ]
    assert fitted.returncode == 2
    assert f"{root}/closed: cannot be listed" in one_line(fitted.stderr)
    assert not out.exists()


def test_sound_that_is_not_read_is_told_of_beside_the_results(firstshot, detector, test_clips):
    folder = test_clips.parent / "phone"
    folder.mkdir()
    shutil.copy(min(test_clips.iterdir()), folder / "a.wav")
    (folder / "b.m4a").touch()
    done = firstshot("score", detector, folder)
    shutil.rmtree(folder)
    assert done.returncode == 0
    assert done.stderr == (
        f"warning: {folder}: left out what is not read, 1 .m4a (convert each, as "
        "ffmpeg -i b.m4a b.wav)\n"
    )


def test_an_empty_argument_is_not_the_current_folder(firstshot, detector, tmp_path):
    for words in (["score", detector, ""], ["fit", "", "-o", tmp_path / "x.firstshot"]):
        done = firstshot(*words)
        assert done.returncode == 2
        assert done.stderr.startswith("error: an empty argument")
    assert not (tmp_path / "x.firstshot").exists()


def test_overwrite_replaces_a_detector_and_no_recording(firstshot, normal):
    clip = min(normal["source"].iterdir())
    before = clip.read_bytes()
    done = firstshot("fit", normal["source"], "-o", clip, "--overwrite", "--no-store")
    assert done.returncode == 2
    assert "is no detector file and is not replaced" in done.stderr
    assert clip.read_bytes() == before


def test_overwrite_replaces_no_zip_of_something_else(firstshot, normal, tmp_path):
    out = tmp_path / "photos.zip"
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("cat.jpg", b"mine")
    before = out.read_bytes()
    done = firstshot("fit", normal["source"], "-o", out, "--overwrite", "--no-store")
    assert done.returncode == 2
    assert one_line(done.stderr) == (
        f"error: {out}: is no detector file and is not replaced; choose another name"
    )
    assert out.read_bytes() == before


def test_a_detector_keeps_its_rights_and_a_read_only_one_is_refused(firstshot, detector, tmp_path):
    copy = tmp_path / "fan.firstshot"
    copy.write_bytes(detector.read_bytes())
    copy.chmod(0o600)
    assert firstshot("calibrate", copy, "--false-alarm-rate", "0.2").returncode == 0
    assert copy.stat().st_mode & 0o777 == 0o600
    copy.chmod(0o400)
    before = copy.read_bytes()
    assert before != detector.read_bytes()
    done = firstshot("calibrate", copy, "--false-alarm-rate", "0.1")
    assert done.returncode == 2
    assert one_line(done.stderr) == (
        f"error: {copy}: cannot be written (it is marked read-only); check its rights or choose "
        "another place"
    )
    assert copy.read_bytes() == before


def test_a_cache_that_cannot_be_made_costs_a_warning(firstshot, normal, environment, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    there = {**environment, "FIRSTSHOT_CACHE": str(tmp_path / "file")}
    done = firstshot("fit", normal["source"], "-o", tmp_path / "a.firstshot", env=there)
    assert done.returncode == 0, done.stderr
    assert "embeddings are not kept" in done.stderr


def test_one_loud_clip_does_not_lose_the_others(firstshot, detector, normal, tmp_path):
    soundfile.write(tmp_path / "loud.wav", np.full(16000, 1e28), 16000, subtype="FLOAT")
    good = min(normal["source"].iterdir())
    done = firstshot("score", detector, tmp_path / "loud.wav", good, "--format", "csv")
    assert done.returncode == 2
    assert "loud.wav: holds a sample of size" in done.stderr
    assert [row.split(",")[0] for row in done.stdout.splitlines()[1:]] == [str(good)]


def test_many_warnings_of_one_kind_are_a_few_lines(firstshot, detector, normal):
    done = firstshot("score", detector, normal["source"])
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert sum("the same samples as the normal clip" in line for line in lines) == 3
    assert lines[-1] == "warning: further warnings of this kind are not shown"


def test_any_number_of_workers_prints_and_writes_the_same(firstshot, normal, test_clips, tmp_path):
    printed, written = [], []
    for workers in (1, 3):
        out = tmp_path / f"{workers}.firstshot"
        made = firstshot("fit", normal["source"], "--workers", workers, "--no-store", "-o", out)
        assert made.returncode == 0, made.stderr
        done = firstshot("score", out, test_clips, "--format", "csv", "--workers", workers)
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
        written.append(out.read_bytes())
    assert printed[0] == printed[1]
    assert written[0] == written[1]


def test_no_workers_at_all_are_refused(firstshot, normal, tmp_path):
    done = firstshot("fit", normal["source"], "--workers", 0, "-o", tmp_path / "fan.firstshot")
    assert done.returncode == 2
    assert "workers 0: expected at least one" in one_line(done.stderr)


def test_changed_conditions_are_in_the_json_and_on_standard_error(
    firstshot, detector, test_clips, tmp_path
):
    clips = sorted(test_clips.glob("*_normal_*"))[:6]
    for clip in clips:
        samples, rate = soundfile.read(clip)
        soundfile.write(tmp_path / clip.name, 0.01 * samples, rate, subtype="FLOAT")
    done = firstshot("score", detector, tmp_path, "--format", "json")
    notes = json.loads(done.stdout)["notes"]
    (level,) = [note for note in notes if "dB quieter than every normal clip" in note]
    assert level.startswith("6 of 6 clips are ")
    assert f"warning: {level}" in done.stderr.splitlines()
    usual = firstshot("score", detector, clips[0], "--format", "json")
    assert (json.loads(usual.stdout)["notes"], usual.stderr) == ([], "")
