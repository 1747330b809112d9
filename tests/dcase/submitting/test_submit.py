"""A submission holds what the runs hold, in the challenge's layout, and faults are refused."""

from __future__ import annotations

import csv
import json
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml
from typer.testing import CliRunner

from firstshot.cli.challenge.submit import submit
from firstshot.complexity import complexity
from firstshot.dcase.evaluation.evaluate import evaluate_scores
from firstshot.dcase.evaluation.score_files import write_decisions, write_scores
from firstshot.dcase.running.system import load_system
from firstshot.dcase.submitting.meta_yaml import Note, system_complexity, write_yaml
from firstshot.dcase.submitting.submit import check_submission, write_submission
from firstshot.encoders import load_encoder
from firstshot.errors import DatasetError, FirstshotWarning, OutputError, ParameterError
from firstshot.report.table import write_results_json
from firstshot.results import SectionResult
from firstshot.scoring.metrics import section_metrics

pytestmark = pytest.mark.filterwarnings("ignore:.*these clips have labels:UserWarning")
MACHINES = ("HomeCamera", "3DPrinter")


def make_run(folder, system="system4", machines=MACHINES, labelled=False, clips=8, **changes):
    """Write a run's folder as `firstshot dcase run` does, with made-up scores."""
    settings = load_system(system).model_copy(update=changes).model_dump(mode="json")
    names = [f"{machine}_section_00" for machine in machines]
    identity = {"data": "somewhere", "machines": names, "system": settings}
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(identity))
    sections = []
    for number, machine in enumerate(machines):
        scores = np.random.default_rng([number, len(system)]).normal(size=clips)
        labels = np.arange(clips) % 2 if labelled else None
        domains = tuple(np.repeat(["source", "target"], clips // 2).tolist())
        decisions = (scores > 0).astype(np.int64)
        metrics = section_metrics(labels, scores, domains, decisions) if labelled else {}
        wavs = tuple(f"section_00_{i:04d}.wav" for i in range(clips))
        section = SectionResult(
            machine=machine,
            section="00",
            clips=wavs,
            scores=scores,
            p_values=scores,
            threshold=0.0,
            decisions=decisions,
            labels=labels,
            domains=domains if labelled else None,
            training_scores=scores,
            metrics=metrics,
        )
        write_scores(folder, machine, "00", wavs, scores)
        write_decisions(folder, machine, "00", wavs, section.decisions)
        sections.append(section)
    write_results_json(folder / "results.json", sections, {"data": "somewhere", **settings})
    return folder


def test_every_table_comes_back_bit_for_bit_under_its_team_and_label(tmp_path):
    runs = [make_run(tmp_path / name, name) for name in ("system1", "system4")]
    found = write_submission(runs, tmp_path / "out.zip", "Curie_IdR")
    assert [system.label for system in found] == ["Curie_IdR_task2_1", "Curie_IdR_task2_2"]
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        names = archive.namelist()
        assert len(names) == 2 * (2 * 2 + 1)
        for number, run in enumerate(runs, start=1):
            for path in run.glob("*.csv"):
                inside = f"teams/Curie_IdR/Curie_IdR_task2_{number}/{path.name}"
                assert archive.read(inside) == path.read_bytes()


def test_the_same_runs_give_the_same_bytes(tmp_path):
    run = make_run(tmp_path / "run")
    write_submission([run], tmp_path / "a.zip")
    write_submission([run], tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def _meta(path: Path, label: str) -> dict:
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if n.endswith(f"{label}.meta.yaml"))
        return yaml.safe_load(archive.read(name))


def test_the_meta_file_holds_the_complexity_of_the_runs_encoders(tmp_path):
    runs = [make_run(tmp_path / name, name) for name in ("system1", "system4", "embedded")]
    authors = ["Ada Lovelace", 'José "Pepe" Núñez']
    write_submission(runs, tmp_path / "out.zip", "Curie_IdR", authors)
    for number, name in ((1, "system1"), (2, "system4")):
        meta = _meta(tmp_path / "out.zip", f"Curie_IdR_task2_{number}")
        cost = meta["system"]["complexity"]
        assert cost["total_parameters"] == complexity(name).parameters
        assert cost["MACS"] == complexity(name).macs
        assert meta["submission"]["label"] == f"Curie_IdR_task2_{number}"
        assert [a["lastname"] for a in meta["submission"]["authors"]] == ["Lovelace", "Núñez"]
        assert meta["submission"]["authors"][1]["firstname"] == 'José "Pepe"'
        assert [a["corresponding"] for a in meta["submission"]["authors"]] == [True, False]
        assert meta["results"]["development_dataset"] is None
    embedded = _meta(tmp_path / "out.zip", "task2_3")["system"]
    assert embedded["complexity"]["total_parameters"] == 0
    assert embedded["complexity"]["MACS"] > 0
    assert embedded["description"]["settings"]["transform"] == "standardize"


def test_a_baseline_costs_what_the_autoencoder_costs():
    for system in ({"name": "baseline_mse"}, {"name": "mine", "baseline": {"score": "mse"}}):
        assert system_complexity(system).macs == complexity("autoencoder").macs
    with pytest.raises(ParameterError, match="names no encoder"):
        system_complexity({"name": "mine", "encoders": []})


def test_results_of_the_development_set_come_from_the_run_with_labels(tmp_path):
    run = make_run(tmp_path / "eval")
    dev = make_run(tmp_path / "dev", machines=("fan",), labelled=True)
    write_submission([run], tmp_path / "out.zip", development=[dev])
    found = _meta(tmp_path / "out.zip", "task2_1")["results"]["development_dataset"]
    stored = json.loads((dev / "results.json").read_text())["machines"]["fan_section_00"]
    for metric in ("auc_source", "auc_target", "pauc"):
        assert found["fan"][metric] == pytest.approx(100 * stored[metric], abs=1e-4)
    other = make_run(tmp_path / "other", machines=("fan",), labelled=True, length="native")
    with pytest.raises(DatasetError, match="settings of none of the submitted runs"):
        write_submission([run], tmp_path / "new.zip", development=[other])
    with pytest.raises(DatasetError, match="has no labels"):
        write_submission([run], tmp_path / "new.zip", development=[run])


def test_labelled_clips_and_a_transductive_normaliser_are_warned_of(tmp_path):
    run = make_run(tmp_path / "run", labelled=True, normalizer="test_zscore")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        write_submission([run], tmp_path / "out.zip")
    said = [str(w.message) for w in caught if issubclass(w.category, FirstshotWarning)]
    assert any("test_zscore" in text for text in said)
    assert any("not the evaluation set" in text for text in said)


def test_an_unpacked_system_is_what_the_evaluator_reads(tmp_path):
    run = make_run(tmp_path / "run", labelled=True)
    write_submission([run], tmp_path / "out.zip", "Curie_IdR")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    for kind in ("ground_truth_data", "ground_truth_domain"):
        folder = tmp_path / "truth" / kind
        folder.mkdir(parents=True)
        for machine in MACHINES:
            with (folder / f"ground_truth_{machine}_section_00_test.csv").open("w") as file:
                value = (lambda i: i % 2) if kind == "ground_truth_data" else (lambda i: i // 4)
                csv.writer(file).writerows((f"section_00_{i:04d}.wav", value(i)) for i in range(8))
    scores = tmp_path / "unpacked" / "teams" / "Curie_IdR" / "Curie_IdR_task2_1"
    stored = json.loads((run / "results.json").read_text())
    found = evaluate_scores(scores, tmp_path / "truth").official_score
    assert found == pytest.approx(stored["official_score"], abs=1e-12)


def test_a_file_that_appears_while_a_submission_is_packed_stays(tmp_path, monkeypatch):
    run, out = make_run(tmp_path / "run"), tmp_path / "out.zip"

    def check(path):
        out.write_text("mine")
        return check_submission(path)

    monkeypatch.setattr("firstshot.dcase.submitting.submit.check_submission", check)
    with pytest.raises(OutputError, match="another program has made it meanwhile"):
        write_submission([run], out)
    assert out.read_text() == "mine"


def test_nothing_is_overwritten_unless_told(tmp_path):
    run, out = make_run(tmp_path / "run"), tmp_path / "out.zip"
    out.write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        write_submission([run], out)
    assert out.read_text() == "mine"
    with pytest.raises(OutputError, match="is no submission and is not replaced"):
        write_submission([run], out, overwrite=True)
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("photos/cat.jpg", b"mine")
    with pytest.raises(OutputError, match="is no submission and is not replaced"):
        write_submission([run], out, overwrite=True)
    out.unlink()
    write_submission([run], out)
    write_submission([run], out, team="Curie_IdR", overwrite=True)
    assert check_submission(out)[0].label == "Curie_IdR_task2_1"


def _remove(run):
    next(run.glob("decision_result_3D*")).unlink()


def _shorten(run):
    path = next(run.glob("anomaly_score_3D*"))
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def _spoil(run):
    path = next(run.glob("anomaly_score_3D*"))
    path.write_text(path.read_text().replace("0003.wav,", "0003.wav,nan#"))


def _rename(run):
    path = next(run.glob("decision_result_3D*"))
    path.write_text(path.read_text().replace("0003.wav", "9993.wav"))


def _fail_a_machine(run):
    identity = json.loads((run / "run.json").read_text())
    identity["machines"].append("fan_section_00")
    (run / "run.json").write_text(json.dumps(identity))


def _unfinished(run):
    (run / "results.json").unlink()


def _damage(run):
    (run / "results.json").write_text('{"machines": 3}')


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (_remove, "decision_result_3DPrinter_section_00_test.csv: is missing"),
        (_shorten, "different clips"),
        (_spoil, r"row 4: score 'nan#.*' is not a number"),
        (_rename, "different clips"),
        (_fail_a_machine, "no result for fan_section_00"),
        (_unfinished, r"results.json: is missing.*let the run end"),
        (_damage, "not as a run writes it"),
    ],
)
def test_a_faulty_run_is_refused_in_one_line_and_no_zip_appears(tmp_path, fault, message):
    run = make_run(tmp_path / "run")
    fault(run)
    with pytest.raises(DatasetError, match=message) as caught:
        write_submission([run], tmp_path / "out.zip")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.zip").exists()


def test_both_tables_shorter_than_the_run_are_refused(tmp_path):
    run = make_run(tmp_path / "run")
    for path in run.glob("*_3DPrinter_*"):
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(DatasetError, match="7 rows, but the run scored 8 clips"):
        write_submission([run], tmp_path / "out.zip")


def test_runs_of_different_data_do_not_go_together(tmp_path):
    first = make_run(tmp_path / "first")
    with pytest.raises(DatasetError, match=r"only one of .* holds 3DPrinter_section_00"):
        second = make_run(tmp_path / "second", machines=("HomeCamera",))
        write_submission([first, second], tmp_path / "out.zip")
    with pytest.raises(DatasetError, match="score different clips"):
        third = make_run(tmp_path / "third", clips=10)
        write_submission([first, third], tmp_path / "out.zip")


def test_more_than_four_systems_and_unusable_team_names_are_refused(tmp_path):
    run = make_run(tmp_path / "run")
    with pytest.raises(ParameterError, match="5 runs: the challenge takes 1 to 4"):
        write_submission([run] * 5, tmp_path / "out.zip")
    assert len(write_submission([run] * 4, tmp_path / "out.zip")) == 4
    for team in ("", "a/b", "../up", "a b"):
        with pytest.raises(ParameterError, match="letters, digits"):
            write_submission([run], tmp_path / "new.zip", team)


def _edited(tmp_path, change):
    path = tmp_path / "out.zip"
    write_submission([make_run(tmp_path / "run")], path, "T")
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.update({"notes.txt": b""}), "notes.txt has no place"),
        (lambda f: f.update({"teams/T/T_task2_1/x.csv": b""}), "x.csv has no place"),
        (lambda f: f.update({"teams/U/U_task2_1/x.csv": b""}), "holds 2 teams"),
        (lambda f: f.update({"teams/T/../x.csv": b""}), "has no place"),
        (lambda f: f.pop("teams/T/T_task2_1/T_task2_1.meta.yaml"), "lacks a meta file"),
        (
            lambda f: f.pop("teams/T/T_task2_1/anomaly_score_3DPrinter_section_00_test.csv"),
            "lacks anomaly_score_3DPrinter_section_00_test.csv",
        ),
        (
            lambda f: f.update(
                {"teams/T/T_task2_1/anomaly_score_3DPrinter_section_00_test.csv": b"a.wav,inf\n"}
            ),
            r"T_task2_1/anomaly_score_3DPrinter_section_00_test.csv, row 1: .*not finite",
        ),
        (lambda f: f.clear(), "holds 0 systems"),
    ],
)
def test_an_edited_zip_is_read_strictly(tmp_path, change, message):
    path = _edited(tmp_path, change)
    with pytest.raises(DatasetError, match=message):
        check_submission(path)


def test_what_is_no_zip_is_refused(tmp_path):
    (tmp_path / "out.zip").write_text("hello")
    with pytest.raises(DatasetError, match="is no zip that can be read"):
        check_submission(tmp_path / "out.zip")


def test_a_zip_that_unpacks_to_more_than_a_submission_has_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "out.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("teams/A/A_1/A_1.meta.yaml", bytes(2_000_000))
    with pytest.raises(DatasetError, match="unpacks to 2 MB, expected 1 at most"):
        check_submission(tmp_path / "out.zip", most_bytes=1_000_000)


@pytest.mark.parametrize(
    "content",
    [
        {"a": "x: y # z", "b": None, "c": [1.5, "- q"], "d": {"e": True, "f": {}}, "g": []},
        {"on": "no", "3DPrinter": 'quo"te\\ \u2028\x7f\x85\U0001f600', "x": "\ttab\n"},
        {"list": [{"a": 1, "b": [1, 2]}, {"a": {"c": "d"}}], "long": "word " * 40},
    ],
)
def test_what_is_written_as_yaml_is_what_a_yaml_library_reads(content):
    assert yaml.safe_load("\n".join(write_yaml(content))) == content


def test_comments_stay_comments():
    text = "\n".join(write_yaml({"a": Note("v", "why: [unsure]"), "b": Note({"c": 1}, "x")}))
    assert yaml.safe_load(text) == {"a": "v", "b": {"c": 1}}
    assert "# why: [unsure]" in text


def test_the_command_names_every_system_and_the_zip(tmp_path):
    app = typer.Typer()
    app.command()(submit)
    run = make_run(tmp_path / "run")
    out = tmp_path / "new" / "out.zip"
    result = CliRunner().invoke(app, [str(run), "--out", str(out), "--team", "Curie_IdR"])
    assert result.exit_code == 0, result.output
    assert "Curie_IdR_task2_1: 2 sections, 16 clips" in result.output
    assert "--team" not in result.output
    again = CliRunner().invoke(app, [str(run), "--out", str(out), "--overwrite"])
    assert "give --team Lastname_Institute, your own" in again.output
    assert out.is_file()
    shutil.rmtree(run)
    assert check_submission(out)[0].label == "Lastname_Institute_task2_1"


def test_the_encoders_of_views_are_counted_and_described_once_each():
    system = load_system("recommended_fusion").model_dump(mode="json")
    cost = system_complexity(system)
    assert cost.parameters == 983_599
    spectra = load_encoder("spectra").macs(160000)
    assert cost.macs == 110_643_072 + spectra
