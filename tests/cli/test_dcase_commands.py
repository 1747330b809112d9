"""`firstshot dcase run | check | evaluate`, `synth` and `demo` in a terminal's eyes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from firstshot.dcase.data.layout import read_layout


def test_run_prints_a_row_per_machine_and_where_the_results_are(firstshot, dataset, finished):
    done = firstshot("dcase", "run", dataset, "--out", finished)
    assert done.returncode == 0
    assert done.stderr.startswith("system recommended: the weights of efficientat_mn04 are not")
    told = json.loads((finished / "results.json").read_text())
    for machine in ("SynthFan", "SynthValve"):
        (line,) = [line for line in done.stdout.splitlines() if machine in line]
        for metric in ("auc_source", "auc_target", "pauc", "official_score"):
            value = told["machines"][f"{machine}_section_00"][metric]
            assert f"{100 * value:.2f}" in line
    (line,) = [line for line in done.stdout.splitlines() if " all " in line]
    assert f"{100 * told['official_score']:.2f}" in line
    assert str(finished / "report.html") in done.stdout
    assert max(map(len, done.stdout.splitlines()[:-2])) <= 80


def test_show_prints_the_details_that_run_prints_when_asked(firstshot, dataset, finished, tmp_path):
    ran = firstshot("dcase", "run", dataset, "--out", finished, "--details")
    shown = firstshot("dcase", "show", finished)
    assert (ran.returncode, shown.returncode, shown.stderr) == (0, 0, "")
    told = json.loads((finished / "results.json").read_text())
    section = told["machines"]["SynthFan_section_00"]
    for one in section["details"]["attributes"]:
        line, *_ = [line for line in shown.stdout.splitlines() if one["value"] in line]
        assert line.split()[-1] == ("–" if one["auc"] is None else f"{100 * one['auc']:.2f}")
        assert line in ran.stdout
    assert f"{100 * told['official_score']:.2f}" in shown.stdout
    document = json.loads(firstshot("dcase", "show", finished, "--format", "json").stdout)
    assert document["sections"][0]["details"] == section["details"]
    refused = firstshot("dcase", "show", tmp_path)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "name a folder that `firstshot dcase run` wrote" in refused.stderr


def test_run_leaves_out_a_machine_with_a_broken_clip_and_says_so(firstshot, dataset, tmp_path):
    data = Path(shutil.copytree(dataset, tmp_path / "data"))
    broken = min((data / "SynthFan" / "train").iterdir())
    broken.write_bytes(broken.read_bytes()[:5000])
    done = firstshot("dcase", "run", data, "--system", "recommended", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "SynthValve" in done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: SynthFan_section_00 was left out: ")
    assert str(broken) in line
    assert (tmp_path / "out" / "anomaly_score_SynthValve_section_00_test.csv").is_file()


def test_run_refuses_the_folder_of_another_run_until_told(firstshot, dataset, finished, tmp_path):
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    before = (out / "results.json").read_bytes()
    words = ["dcase", "run", dataset, "--out", out, "--held-out", "single"]
    refused = firstshot(*words)
    assert refused.returncode == 2
    assert refused.stderr == (
        f"error: {out}: holds the results of another run (system held_out: "
        "None, now 'single'); choose another folder, or add --overwrite\n"
    )
    assert (out / "results.json").read_bytes() == before
    assert firstshot(*words, "--overwrite").returncode == 0
    assert (out / "results.json").read_bytes() != before


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["gone"], "no such folder"),
        (["empty"], "no machine in it"),
        (["{data}", "--machine", "Toaster"], "there are SynthFan, SynthValve"),
        (["{data}", "--system", "embeded"], "choose one of"),
        (["{data}", "--normalizer", "zscore"], "normaliser 'zscore' is not known"),
        (["{data}", "--out", "file"], "file: is a file"),
        (["{data}", "--out", "file/out"], "cannot be written"),
        (["{data}", "--out", "full"], "holds thesis.tex"),
    ],
)
def test_run_refuses_in_one_line(firstshot, dataset, tmp_path, words, named):
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    (tmp_path / "file").write_text("")
    arguments = [word.format(data=dataset) for word in words]
    done = firstshot("dcase", "run", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert named in line


def test_check_fits_a_page_and_its_status_says_whether_a_run_can_start(
    firstshot, dataset, tmp_path
):
    good = firstshot("dcase", "check", dataset)
    assert good.returncode == 0
    assert f"{dataset}: complete; 0 faults" in good.stdout
    (row,) = [line for line in good.stdout.splitlines() if "SynthFan" in line]
    assert row.split() == ["SynthFan", "00", "20", "10", "4/4", "4/4", "16000", "1", "1.00"]
    data = Path(shutil.copytree(dataset, tmp_path / "data"))
    (data / "SynthFan" / "test" / "hello.wav").write_bytes(b"")
    bad = firstshot("dcase", "check", data)
    assert bad.returncode == 2
    assert "hello.wav" in bad.stdout
    assert "cannot be run" in bad.stdout


def test_evaluate_agrees_with_the_run_in_print_and_in_json(firstshot, dataset, finished, tmp_path):
    for section in read_layout(dataset):
        for kind, word in (("data", "_anomaly_"), ("domain", "_target_")):
            path = tmp_path / f"ground_truth_{kind}" / f"ground_truth_{section.name}_test.csv"
            path.parent.mkdir(exist_ok=True)
            names = [clip.path.name for clip in section.test]
            path.write_text("".join(f"{name},{int(word in name)}\n" for name in names))
    told = json.loads((finished / "results.json").read_text())
    words = ["dcase", "evaluate", finished, "--truth", tmp_path]
    found = json.loads(firstshot(*words, "--json").stdout)
    assert found["official_score"] == pytest.approx(told["official_score"], rel=1e-12)
    printed = firstshot(*words).stdout
    assert f"official score {100 * told['official_score']:.2f}" in printed
    (row,) = [line for line in printed.splitlines() if "SynthValve" in line]
    machine = told["machines"]["SynthValve_section_00"]
    names = ("auc_source", "auc_target", "pauc", "f1_source", "f1_target", "official_score")
    assert row.split() == ["SynthValve", "00", *(f"{100 * machine[name]:.2f}" for name in names)]


def test_synth_gives_the_same_bytes_for_the_same_seed_only(firstshot, tmp_path):
    words = ["--machine", "SynthValve", "--seconds", "0.5", "--source", "2", "--target", "1"]
    contents = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        done = firstshot("synth", tmp_path / name, *words, "--test", "1", "--seed", seed)
        assert done.returncode == 0, done.stderr
        assert f"firstshot dcase run {tmp_path / name} --system recommended" in done.stdout
        files = sorted((tmp_path / name).rglob("*.wav"))
        contents.append([path.read_bytes() for path in files])
    assert len(contents[0]) == 7
    assert contents[0] == contents[1]
    assert contents[0] != contents[2]


@pytest.mark.slow
def test_the_demo_ends_with_a_table_and_a_page(firstshot, tmp_path):
    done = firstshot("demo", "--out", "demo", cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "demo" / "results" / "results.json").read_text())
    assert len(told["machines"]) >= 4
    assert 0.6 < told["official_score"] < 0.97
    assert "demo/results/report.html" in done.stdout
    assert (tmp_path / "demo" / "results" / "report.html").stat().st_size < 15e6


COMMANDS = [
    ["demo"],
    ["synth"],
    ["fit"],
    ["score"],
    ["explain"],
    ["calibrate"],
    ["dcase", "run"],
    ["dcase", "check"],
    ["dcase", "evaluate"],
    ["store", "info"],
    ["store", "prune"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_teaches_itself_with_an_example_that_parses(command, monkeypatch, capsys):
    """The example's options are the command's own."""
    from firstshot import cli

    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr("sys.argv", ["firstshot", *command, "--help"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 0
    text = capsys.readouterr().out
    example = re.search(r"Example: firstshot (.*?)\s*$", text, re.MULTILINE)
    assert example is not None
    words = example[1].split()
    assert words[: len(command)] == command
    for word in words:
        if word.startswith("-"):
            assert re.search(rf"(^|\s){word}\s", text.split("Options")[-1]), word


@pytest.mark.parametrize("words", [["nonsense"], ["score"], ["fit", ".", "--nonsense"]])
def test_a_wrong_command_line_is_an_error_of_status_2(firstshot, words):
    done = firstshot(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Usage: " in done.stderr


def test_store_tells_what_it_holds_and_empties(firstshot, normal, tmp_path):
    words = ["--store", tmp_path / "store"]
    firstshot("fit", normal["target"], "-o", tmp_path / "fan.firstshot", *words)
    assert "10 entries" in firstshot("store", "info", *words).stdout
    kept = firstshot("store", "prune", "--older-than-days", "1", *words)
    assert "deleted 0 entries" in kept.stdout
    assert "deleted 10 entries" in firstshot("store", "prune", *words).stdout
    assert "0 entries" in firstshot("store", "info", *words).stdout


@pytest.mark.parametrize("days", ["-1", "nan", "inf", "-inf", "-0.001"])
def test_no_age_but_a_number_of_days_deletes_anything(firstshot, normal, tmp_path, days):
    words = ["--store", tmp_path / "store"]
    firstshot("fit", normal["target"], "-o", tmp_path / "fan.firstshot", *words)
    refused = firstshot("store", "prune", "--older-than-days", days, *words)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: older_than_days ")
    assert "expected a number from 0 to " in refused.stderr
    assert "10 entries" in firstshot("store", "info", *words).stdout


@pytest.mark.parametrize("command", ["info", "prune"])
def test_a_folder_that_is_no_store_is_an_error_and_stays_as_it_is(
    firstshot, environment, tmp_path, command
):
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    (recordings / "a.wav").write_bytes(b"sound")
    places = {
        tmp_path / "mistyped": "No such file or directory",
        recordings: "holds a.wav and is no store of embeddings",
        recordings / "a.wav": "Not a directory",
    }
    for place, told in places.items():
        done = firstshot("store", command, "--store", place)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"error: {place}: {told}; name the folder that was given")
    assert (recordings / "a.wav").read_bytes() == b"sound"
    fresh = {**environment, "FIRSTSHOT_CACHE": str(tmp_path / "new")}
    done = firstshot("store", command, env=fresh)
    assert done.returncode == 0
    assert "0 entries" in done.stdout


def test_demo_replaces_its_own_folder_where_asked_and_no_other(firstshot, tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "thesis.txt").write_text("mine")
    done = firstshot("demo", "--out", tmp_path / "project", "--overwrite")
    assert done.returncode == 2
    assert "holds thesis.txt, which `firstshot demo` did not write" in done.stderr
    assert [path.name for path in (tmp_path / "project").iterdir()] == ["thesis.txt"]


def test_two_outputs_need_a_file_each(firstshot, tmp_path):
    out = tmp_path / "same.x"
    done = firstshot("dcase", "compare", tmp_path, "--csv", out, "--page", out)
    assert done.returncode == 2
    assert "named by --csv and by --page; give each a file of its own" in done.stderr
    assert not out.exists()
