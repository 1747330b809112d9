"""The tables: the evaluator's columns and means, missing metrics, atomic files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from firstshot.disk.names import read_name
from firstshot.errors import OutputError
from firstshot.report.table import (
    overall_metrics,
    results_json,
    results_rows,
    write_results_csv,
    write_results_json,
)
from firstshot.report.terminal import terminal_table
from firstshot.results import SectionResult

MakeSection = Callable[..., SectionResult]
OFFICIAL = ("auc_source", "auc_target", "pauc")


@pytest.fixture
def sections(make_section: MakeSection) -> list[SectionResult]:
    return [make_section(name, seed, examples=0) for seed, name in enumerate(("fan", "pump"))]


def test_official_score_is_the_harmonic_mean_of_every_auc_and_pauc(
    sections: list[SectionResult],
) -> None:
    values = [section.metrics[name] for section in sections for name in OFFICIAL]
    by_hand = len(values) / sum(1 / value for value in values)
    assert overall_metrics(sections)["official_score"] == pytest.approx(by_hand, rel=1e-14)


def test_an_auc_of_zero_is_clipped_as_the_evaluator_clips_it(make_section: MakeSection) -> None:
    inverted = replace(
        make_section(examples=0), metrics={"auc_source": 1.0, "auc_target": 0.0, "pauc": 9 / 19}
    )
    overall = overall_metrics([inverted] * 7)
    # Both numbers are the official evaluator's own, for a perfect source and an inverted target.
    assert overall["auc_target"] == pytest.approx(2.220446049250313e-16, rel=1e-12)
    assert overall["official_score"] == pytest.approx(6.661338147750933e-16, rel=1e-12)


def test_rows_carry_each_section_and_then_both_means(sections: list[SectionResult]) -> None:
    rows = results_rows(sections)
    assert [row["machine"] for row in rows] == ["fan", "pump", "arithmetic mean", "harmonic mean"]
    sources = [section.metrics["auc_source"] for section in sections]
    assert rows[2]["AUC (source)"] == pytest.approx(np.mean(sources), rel=1e-14)
    assert rows[3]["AUC (source)"] == pytest.approx(2 / np.sum(1 / np.array(sources)), rel=1e-14)
    assert rows[3]["official score"] == overall_metrics(sections)["official_score"]
    assert rows[3]["clips"] == 200


def test_csv_reads_back_to_the_same_numbers_under_the_evaluators_columns(
    tmp_path: Path, sections: list[SectionResult]
) -> None:
    written = write_results_csv(tmp_path / "results.csv", sections)
    rows = list(csv.DictReader(io.StringIO(written.read_text(encoding="utf-8"))))
    assert list(rows[0])[:13] == [
        "machine", "section", "AUC (all)", "AUC (source)", "AUC (target)", "pAUC",
        "precision (source)", "precision (target)", "recall (source)", "recall (target)",
        "F1 score (source)", "F1 score (target)", "official score",
    ]  # fmt: skip
    assert float(rows[1]["pAUC"]) == sections[1].metrics["pauc"]
    assert float(rows[0]["recall (target)"]) == sections[0].metrics["recall_target"]


def test_sections_without_labels_have_counts_and_empty_metrics(
    tmp_path: Path, make_section: MakeSection
) -> None:
    unlabelled = make_section("pump", 3, examples=0, labelled=False)
    rows = results_rows([unlabelled])
    assert len(rows) == 1
    assert rows[0]["AUC (all)"] is None
    assert rows[0]["called anomalous"] == int(unlabelled.decisions.sum())
    assert results_json([unlabelled])["official_score"] is None
    assert f"pump,00{',' * 12}" in write_results_csv(tmp_path / "r.csv", [unlabelled]).read_text()


def test_a_missing_metric_is_left_out_of_the_means_and_not_counted_as_zero(
    make_section: MakeSection,
) -> None:
    whole = replace(make_section(examples=0), metrics=dict.fromkeys(OFFICIAL, 0.8))
    part = replace(whole, metrics={"auc_source": 0.8, "pauc": 0.8})
    assert overall_metrics([whole, part]) == pytest.approx(
        {"auc_source": 0.8, "auc_target": 0.8, "pauc": 0.8}
    )  # and no official score: one of the sections lacks what it is made of


def test_json_has_the_promised_shape_and_no_nan(
    tmp_path: Path, sections: list[SectionResult], settings: dict[str, object]
) -> None:
    odd = {**settings, "layers": np.array([7, 10]), "gain": np.float32("nan"), "root": tmp_path}
    path = write_results_json(tmp_path / "results.json", sections, odd)

    def refuse(constant: str) -> None:
        raise AssertionError(f"JSON has no {constant}")

    read = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    assert read["official_score"] == overall_metrics(sections)["official_score"]
    assert read["machines"]["fan_section_00"]["auc_source"] == sections[0].metrics["auc_source"]
    assert read["settings"]["layers"] == [7, 10]
    assert read["settings"]["gain"] is None
    assert read["settings"]["root"] == str(tmp_path)
    assert read["versions"]["numpy"] == np.__version__


def test_terminal_table_shows_percent_and_the_mean_row(sections: list[SectionResult]) -> None:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=100)
    console.print(terminal_table(sections, "[bold]kept as text"[6:]))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"{100 * sections[0].metrics['auc_source']:.2f}" in shown
    assert f"{100 * overall_metrics(sections)['official_score']:.2f}" in shown
    assert "Section" not in shown


def test_terminal_table_shows_sections_where_a_machine_has_several_and_keeps_brackets(
    make_section: MakeSection,
) -> None:
    from rich.console import Console

    first = make_section("fan [red]", 1, examples=0)
    console = Console(file=io.StringIO(), width=120)
    console.print(terminal_table([first, replace(first, section="01")]))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "fan [red]" in shown
    assert "Section" in shown


def test_a_failed_write_leaves_the_old_file_and_no_litter(
    tmp_path: Path, sections: list[SectionResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.csv"
    path.write_text("old", encoding="utf-8")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match=r"results\.csv: cannot be written \(No space left"):
        write_results_csv(path, sections)
    assert [entry.name for entry in tmp_path.iterdir()] == ["results.csv"]
    assert path.read_text(encoding="utf-8") == "old"


def test_a_folder_in_the_way_is_named(tmp_path: Path, sections: list[SectionResult]) -> None:
    (tmp_path / "results.csv").mkdir()
    with pytest.raises(OutputError, match=r"results\.csv: cannot be written"):
        write_results_csv(tmp_path / "results.csv", sections)


def test_machines_of_any_name_come_back_from_csv_and_json(
    make_section: MakeSection, tmp_path: Path
) -> None:
    name = "f\ra\n,n\udce9"
    section = make_section(name, examples=0)
    text = write_results_csv(tmp_path / "a.csv", [section]).read_bytes().decode("utf-8")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert read_name(rows[0]["machine"]) == name
    text = write_results_json(tmp_path / "a.json", [section]).read_text(encoding="utf-8")
    (key,) = json.loads(text)["machines"]
    assert read_name(key) == f"{name}_section_{section.section}"
    key.encode("utf-8")
