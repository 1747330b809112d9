"""Differences are hand arithmetic on stored results; what does not match is said plainly."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from firstshot.cli.challenge.compare import compare as command
from firstshot.dcase.comparing.assumptions import ASSUMPTIONS, assumptions_of, changed_settings
from firstshot.dcase.comparing.compare import compare_run, compare_runs
from firstshot.dcase.comparing.page import render_comparison
from firstshot.dcase.comparing.published import (
    published_machines,
    published_overall,
    published_result,
)
from firstshot.dcase.comparing.table import comparison_csv, comparison_rows, standing_rows
from firstshot.dcase.evaluation.score_files import write_decisions, write_scores
from firstshot.dcase.running.run import run_system
from firstshot.dcase.running.stored_run import read_run
from firstshot.dcase.running.system import list_systems, load_system
from firstshot.errors import DatasetError, OutputError, ParameterError
from firstshot.report.table import write_results_json
from firstshot.results import Interval, SectionResult
from firstshot.scoring.bootstrap import bootstrap_intervals, bootstrap_official_interval
from firstshot.scoring.metrics import section_metrics
from firstshot.sound.synth.dataset import write_dataset

TINY = {"clip_seconds": 0.5, "train_source": 12, "train_target": 4, "test_per_class": 3}


def make_section(machine, number, section="00", clips=200, named=True):
    """Make up a section's result; clip names tell label and domain as the challenge's do."""
    labels = np.arange(clips) % 2
    domains = tuple(np.repeat(["source", "target"], clips // 2).tolist())
    words = ("normal", "anomaly")
    names = [
        f"section_00_{domain}_test_{words[label]}_{i:04d}.wav"
        for i, (domain, label) in enumerate(zip(domains, labels, strict=True))
    ]
    scores = np.random.default_rng(number).normal(size=clips) + 0.8 * labels
    found = bootstrap_intervals(labels, scores, domains, resamples=100)
    return SectionResult(
        machine=machine,
        section=section,
        clips=tuple(names) if named else tuple(f"section_00_{i:04d}.wav" for i in range(clips)),
        scores=scores,
        p_values=scores,
        threshold=0.5,
        decisions=(scores > 0.5).astype(np.int64),
        labels=labels,
        domains=domains,
        training_scores=scores,
        metrics=section_metrics(labels, scores, domains),
        intervals={name: Interval(low, high, 0.95) for name, (low, high) in found.items()},
    )


def make_run(folder, sections, system="system4", **changes):
    settings = load_system(system).model_copy(update=changes).model_dump(mode="json")
    folder.mkdir(parents=True)
    names = [section.name for section in sections]
    (folder / "run.json").write_text(json.dumps({"data": "x", "machines": names}))
    for s in sections:
        write_scores(folder, s.machine, s.section, s.clips, s.scores)
        write_decisions(folder, s.machine, s.section, s.clips, s.decisions)
    write_results_json(folder / "results.json", sections, {"data": "x", **settings})
    return folder


def all_machines():
    return [make_section(machine, i) for i, machine in enumerate(published_machines())]


def test_a_difference_is_the_result_minus_the_namesakes_published_value(tmp_path):
    sections = all_machines()
    found = compare_run(read_run(make_run(tmp_path / "run", sections)))
    assert found.published == "system4"
    assert found.source == "GenRep report, Table 3"
    for line, section in zip(found.lines, sections, strict=True):
        published = published_result("system4", section.machine)
        for metric, cell in line.cells.items():
            assert cell.here == pytest.approx(100 * section.metrics[metric])
            assert cell.published == getattr(published, metric)
            assert cell.difference == pytest.approx(cell.here - cell.published)
            interval = section.intervals[metric]
            assert cell.within == (100 * interval.low <= cell.published <= 100 * interval.high)
    assert any(c.within for line in found.lines for c in line.cells.values())
    assert any(not c.within for line in found.lines for c in line.cells.values())


def test_the_fans_official_score_is_the_right_one_not_the_misprint(tmp_path):
    found = compare_run(read_run(make_run(tmp_path / "run", [make_section("fan", 0)])))
    assert found.lines[0].cells["official_score"].published == 54.00


def test_means_are_harmonic_and_over_the_machines_that_both_have(tmp_path):
    sections = [make_section("fan", 0), make_section("valve", 1), make_section("MyPump", 2)]
    found = compare_run(read_run(make_run(tmp_path / "run", sections)))
    values = [
        100 * s.metrics[m] for s in sections[:2] for m in ("auc_source", "auc_target", "pauc")
    ]
    official = found.overall.cells["official_score"]
    assert official.here == pytest.approx(6 / sum(1 / v for v in values))
    assert official.published == published_overall("system4", ["fan", "valve"]).official_score
    labelled = [(s.labels, s.scores, s.domains) for s in sections[:2]]
    low, high = bootstrap_official_interval(labelled)
    assert official.interval.low == pytest.approx(100 * low)
    assert official.interval.high == pytest.approx(100 * high)
    assert found.lines[2].cells["pauc"].published is None
    said = " | ".join(found.notes)
    assert "MyPump_section_00: not in the published tables" in said
    assert "ToyCar, ToyTrain, bearing, gearbox, slider: not in this run" in said


def test_standings_hold_all_published_systems_best_first(tmp_path):
    found = compare_run(read_run(make_run(tmp_path / "run", all_machines())))
    assert [s.name for s in found.standings][:2] == ["system1", "system2"]
    assert [s.official_score for s in found.standings] == sorted(
        [64.53, 63.74, 61.51, 62.15, 56.25, 55.34], reverse=True
    )
    here = found.overall.cells["official_score"].here
    assert found.standings[0].difference == pytest.approx(here - 64.53)


def test_other_machines_are_said_plainly_and_compared_with_nothing(tmp_path):
    sections = [make_section("BearingSlow", 0), make_section("fan", 1, section="01")]
    found = compare_run(read_run(make_run(tmp_path / "run", sections)))
    assert found.published is None
    assert found.standings == ()
    assert found.notes[0].startswith("no machine of this run (BearingSlow_section_00, fan_section_")
    assert found.overall.cells["official_score"].here is not None
    assert all(row[1] in ("here", "95 % interval") for row in comparison_rows(found))


def test_a_system_of_another_name_is_set_beside_the_one_asked_for(tmp_path):
    run = read_run(make_run(tmp_path / "run", [make_section("fan", 0)], "embedded"))
    found = compare_run(run)
    assert found.published is None
    assert found.assumptions == ()
    assert len(found.standings) == 6
    assert any("nothing is published of a system named 'embedded'" in n for n in found.notes)
    found = compare_run(run, "baseline_mahala")
    cell = found.lines[0].cells["auc_source"]
    assert (cell.published, cell.deviation) == (77.99, 0.23)
    assert comparison_rows(found)[0][:2] == ["fan", "here"]
    assert "77.99 ±0.23" in comparison_rows(found)[2]
    assert any("five trainings" in note for note in found.notes)
    with pytest.raises(ParameterError, match=r"of system 'system9'; choose one of baseline_mse"):
        compare_run(run, "system9")


def test_another_number_of_test_clips_is_other_data(tmp_path):
    run = make_run(tmp_path / "run", [make_section("fan", 0, clips=100)])
    assert any("100 test clips here, 200" in note for note in compare_run(read_run(run)).notes)


def test_names_without_labels_leave_the_overall_interval_out(tmp_path):
    run = make_run(tmp_path / "run", [make_section("fan", 0, named=False)])
    cells = compare_run(read_run(run)).overall.cells
    assert cells["official_score"].interval is None
    assert cells["official_score"].difference is not None


def test_a_run_without_labels_is_refused(tmp_path):
    section = make_section("fan", 0)
    section = SectionResult(**{**vars(section), "metrics": {}, "intervals": {}, "labels": None})
    with pytest.raises(DatasetError, match="no labels"):
        compare_runs([make_run(tmp_path / "run", [section])])
    with pytest.raises(DatasetError, match="no such folder"):
        compare_runs([tmp_path / "nowhere"])


def test_changed_settings_are_told_against_the_packaged_system(tmp_path):
    run = make_run(tmp_path / "run", [make_section("fan", 0)], length="native", metric="cosine")
    assert compare_run(read_run(run)).changed_settings == (
        "metric: cosine (packaged: sqeuclidean)",
        "length: native (packaged: fixed:10)",
    )
    packaged = load_system("system1").model_dump(mode="json")
    assert changed_settings(packaged, "system1") == ()
    (said,) = changed_settings({**packaged, "encoders": packaged["encoders"][:1]}, "system1")
    assert said.startswith("encoders: beats_ft1 [11, 12] (packaged: beats_ft1 [11, 12]; m2d_clap")


def test_assumptions_agree_with_the_packaged_systems():
    for name in ("system1", "system2", "system3", "system4"):
        settings = load_system(name).model_dump(mode="json")
        told = {a.setting: a.value for a in assumptions_of(name)}
        for field in ("length", "pooling", "combine", "metric", "transform", "threshold"):
            value = told[field].split()[0].rstrip(":,")
            assert settings[field] == value, field
    assert all(set(a.systems) <= set(list_systems()) for a in ASSUMPTIONS)


def test_the_csv_holds_every_value_once(tmp_path):
    sections = [make_section("fan", 0), make_section("MyPump", 1)]
    runs = [make_run(tmp_path / name, sections, name) for name in ("system1", "embedded")]
    rows = list(csv.DictReader(io.StringIO(comparison_csv(compare_runs(runs)))))
    assert len(rows) == 2 * 3 * 4
    row = next(r for r in rows if r["system"] == "system1" and r["metric"] == "auc_target")
    assert (row["machine"], row["section"], row["published"]) == ("fan", "00", "47.28")
    assert float(row["difference"]) == pytest.approx(float(row["here"]) - 47.28, abs=1e-3)
    assert row["published in interval"] in ("yes", "no")
    assert next(r for r in rows if r["machine"] == "MyPump")["published"] == ""


class _Text(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.words, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_is_whole_offline_and_holds_the_numbers(tmp_path):
    sections = [make_section("fan", 0), make_section("<b>x</b>", 1)]
    section = SectionResult(**{**vars(sections[1]), "machine": "<i>evil"})
    run = read_run(make_run(tmp_path / "run", [sections[0]]))
    found = compare_run(run)
    page = render_comparison([found, compare_run(read_run(_hostile(tmp_path, section)))])
    text = _Text()
    text.feed(page)
    assert text.open == []
    words = " ".join(" ".join(text.words).split())
    assert "published 67.88" in words
    assert f"{found.lines[0].cells['auc_source'].here:.2f}" in words
    assert "printed 53.00 as official score" in words
    assert "Assumptions" in words
    assert all(assumed.reason in words for assumed in found.assumptions)
    assert "<i>evil" not in page
    assert "&lt;i&gt;evil" in page
    assert not [a for a in text.attributes if a[0] in ("src", "href") and a[1][0] != "#"]
    assert "<script" not in page
    with pytest.raises(ParameterError, match="one run or more"):
        render_comparison([])


def _hostile(tmp_path, section):
    folder = tmp_path / "hostile"
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    write_results_json(folder / "results.json", [section], {"name": "mine"})
    write_scores(folder, "x", "00", section.clips, section.scores)
    write_decisions(folder, "x", "00", section.clips, section.decisions)
    for path in folder.glob("*_x_*"):
        path.rename(path.with_name(path.name.replace("_x_", "_<i>evil_")))
    return folder


def test_the_command_compares_a_real_run_and_writes_no_file_twice(tmp_path, monkeypatch):
    write_dataset(tmp_path / "data", ["SynthFan"], **TINY)
    (tmp_path / "data" / "SynthFan").rename(tmp_path / "data" / "fan")
    run_system(tmp_path / "data", load_system("embedded"), tmp_path / "run")
    app = typer.Typer()
    app.command()(command)
    files = ["--csv", str(tmp_path / "c.csv"), "--page", str(tmp_path / "c.html")]
    result = CliRunner().invoke(app, [str(tmp_path / "run"), "--against", "system4", *files])
    assert result.exit_code == 0, result.output
    found = compare_run(read_run(tmp_path / "run"), "system4")
    assert found.overall.cells["official_score"].interval is not None
    for row in (*comparison_rows(found), *standing_rows(found)):
        assert all(cell in result.output for cell in row)
    assert "12 test clips here, 200 in the published tables" in result.output
    assert (tmp_path / "c.html").read_text().startswith("<!doctype html>")
    again = CliRunner().invoke(app, [str(tmp_path / "run"), *files])
    assert isinstance(again.exception, OutputError)
    for option, name in (("--csv", "late.csv"), ("--page", "late.html")):
        path = tmp_path / name
        with monkeypatch.context() as patch:
            patch.setattr(f"{command.__module__}._print", lambda _, path=path: path.touch())
            late = CliRunner().invoke(app, [str(tmp_path / "run"), option, str(path)])
        assert "another program has made it meanwhile" in str(late.exception)
        assert path.read_text() == ""
    replaced = CliRunner().invoke(app, [str(tmp_path / "run"), *files, "--overwrite"])
    assert replaced.exit_code == 0, replaced.output
    for name in ("c.csv", "c.html"):
        (tmp_path / name).write_text("<title>mine</title>")
        refused = CliRunner().invoke(app, [str(tmp_path / "run"), *files, "--overwrite"])
        assert isinstance(refused.exception, OutputError)
        assert f"{name}: is no comparison and is not replaced" in str(refused.exception)
        assert (tmp_path / name).read_text() == "<title>mine</title>"
        (tmp_path / name).unlink()


def test_the_tables_of_other_formats_hold_the_same_cells_and_nothing_else_is_printed(tmp_path):
    run = make_run(tmp_path / "run", all_machines())
    found = compare_run(read_run(run))
    app = typer.Typer()
    app.command()(command)
    for form, closed in (("markdown", " |"), ("latex", r" \\")):
        result = CliRunner().invoke(
            app, [str(run), "--format", form, "--csv", str(tmp_path / f"{form}.csv")]
        )
        assert result.exit_code == 0, result.output
        assert "the values" not in result.stdout
        assert "the values" in result.stderr
        rows = [line for line in result.stdout.splitlines() if line.endswith(closed)]
        for row in (*comparison_rows(found), *standing_rows(found)):
            numbers = [cell for cell in row if re.fullmatch(r"[\d.]+", cell)]
            assert any(all(cell in line for cell in numbers) for line in rows)
    told = json.loads(CliRunner().invoke(app, [str(run), "--format", "json"]).stdout)
    assert told["schema"] == 1
    (comparison,) = told["comparisons"]
    cell = comparison["overall"]["cells"]["official_score"]
    assert cell["here"] == found.overall.cells["official_score"].here
