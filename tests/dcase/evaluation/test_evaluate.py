"""The official evaluator's own outputs, and small cases worked out by hand."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from firstshot.dcase.evaluation.evaluate import evaluate_scores
from firstshot.dcase.evaluation.ground_truth import read_truth
from firstshot.errors import DatasetError, FirstshotWarning, ParameterError

GOLDEN = Path(__file__).resolve().parents[3] / ".." / "shared" / "golden" / "dcase_evaluator"
INDEX = GOLDEN / "INDEX.json"
CASES: list[dict[str, Any]] = json.loads(INDEX.read_text())["cases"] if INDEX.exists() else []
needs_golden = pytest.mark.skipif(not CASES, reason="the evaluator's cases are not beside it")

# What the official evaluator takes without a word, and our complaint.
TAKEN_SILENTLY = {
    "ok_wrong_names_same_order": r"row 1: clip 'clip_0001\.wav' is not in the truth",
    "ok_unpadded_numbers": r"row 1: clip 'section_00_1\.wav' is not in the truth",
    "ok_one_name_twice_one_absent": r"row 12: clip 'section_00_0012\.wav' is there already, in",
    "ok_decision_floats": r"row 1: decision '[01]\.0' is not 0 or 1",
    "ok_third_column": "row 1: 3 columns; expected 2",
}
# What it crashes on or skips, and our complaint.
REFUSED = {
    "err_nan": r"row \d+: score 'nan' is not finite",
    "err_inf": r"row \d+: score 'inf' is not finite",
    "err_minus_inf": r"row \d+: score '-inf' is not finite",
    "err_empty_value": "row 4: score '' is not a number",
    "err_duplicate_row": r"row 201: clip 'section_00_0006\.wav' is there already, in row 6",
    "err_missing_row": r"1 of 200 clips have no row, the first of them 'section_00_0200\.wav'",
    "err_header_row": "row 1: score 'score' is not a number; the file must have no header",
    "err_decision_value_2": r"row \d+: decision '2' is not 0 or 1",
    "err_decision_bool": "row 1: decision '(True|False)' is not 0 or 1",
    "skip_missing_score_file": "anomaly_score_AirCompressor_section_00_test.csv is missing",
    "skip_missing_decision_file": "decision_result_AirCompressor_section_00_test.csv is missing",
}


def _name(case: dict[str, Any]) -> str:
    return f"{case['year']}-{case['case']}"


def _scores(case: dict[str, Any], tmp_path: Path) -> Path:
    """Lay out a case's files; a delta is laid over its base case."""
    year = GOLDEN / "scores" / str(case["year"])
    if case["kind"] == "full":
        return year / case["case"]
    folder = tmp_path / "scores"
    shutil.copytree(year / case["base"], folder)
    for name in case["removed"]:
        (folder / name).unlink()
    for path in (year / case["case"]).glob("*.csv") if case["changed"] else []:
        shutil.copy(path, folder)
    return folder


def _assert_equal(ours: Any, official: Any, where: str) -> None:
    """Compare all of the official numbers, leaving out notes and the misleading ci95."""
    if isinstance(official, dict):
        for key, value in official.items():
            if not key.startswith("note") and key != "official_score_ci95":
                _assert_equal(ours[key], value, f"{where}.{key}")
    else:
        assert ours == pytest.approx(official, abs=1e-9, rel=0), where


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if "expected" in case and case["case"] not in TAKEN_SILENTLY],
    ids=_name,
)
@needs_golden
def test_every_faultless_case_equals_the_official_output(case, tmp_path):
    truth = GOLDEN / "ground_truth" / str(case["year"])
    for lenient in (False, True):
        evaluation = evaluate_scores(_scores(case, tmp_path), truth, lenient_positions=lenient)
        _assert_equal(evaluation.to_json(), case["expected"], _name(case))


@pytest.mark.parametrize(
    "case", [case for case in CASES if case["case"] in TAKEN_SILENTLY], ids=_name
)
@needs_golden
def test_a_silently_accepted_fault_is_named_and_taken_only_when_lenient(case, tmp_path):
    truth = GOLDEN / "ground_truth" / str(case["year"])
    scores = _scores(case, tmp_path)
    with pytest.raises(DatasetError, match=TAKEN_SILENTLY[case["case"]]) as raised:
        evaluate_scores(scores, truth)
    assert "AirCompressor_section_00_test.csv" in str(raised.value)
    evaluation = evaluate_scores(scores, truth, lenient_positions=True)
    _assert_equal(evaluation.to_json(), case["expected"], _name(case))


@pytest.mark.parametrize("case", [case for case in CASES if "expected" not in case], ids=_name)
@needs_golden
def test_what_the_official_script_cannot_evaluate_is_refused_either_way(case, tmp_path):
    truth = GOLDEN / "ground_truth" / str(case["year"])
    scores = _scores(case, tmp_path)
    with pytest.raises(DatasetError, match=REFUSED[case["case"]]) as raised:
        evaluate_scores(scores, truth)
    assert "AirCompressor" in str(raised.value)
    with pytest.raises(DatasetError, match="AirCompressor"):
        evaluate_scores(scores, truth, lenient_positions=True)


@needs_golden
def test_every_case_of_the_index_is_tested():
    faults = {case["case"] for case in CASES if "expected" not in case}
    assert faults == set(REFUSED)
    assert {case["case"] for case in CASES} >= set(TAKEN_SILENTLY)


@needs_golden
def test_2021_equals_the_official_table_domain_by_domain():
    evaluation = evaluate_scores(
        GOLDEN / "scores" / "2021" / "random_shift", GOLDEN / "ground_truth" / "2021"
    )
    names = {
        "AUC": "auc", "pAUC": "pauc", "precision": "precision", "recall": "recall",
        "F1 score": "f1",
    }  # fmt: skip
    path = GOLDEN / "outputs" / "2021" / "random_shift" / "random_shift_result.csv"
    machine, compared = "", 0
    with path.open(newline="") as file:
        for row in csv.reader(file):
            if len(row) == 1:
                machine = row[0]
            elif row and row[0] == "section":
                columns = row
            elif row and row[0].isdigit():
                section = evaluation.sections[f"{machine}_section_{row[0]}"]
                for column, text in zip(columns[2:], row[2:], strict=True):
                    ours = section[f"{names[column]}_{row[1]}"]
                    assert ours == pytest.approx(float(text), abs=1e-9)
                    compared += 1
            elif row and "over all machine types" in row[0]:
                kind = row[0].split(" over ")[0].replace(" ", "_")
                for name, text in zip(names.values(), row[2:], strict=True):
                    ours = getattr(evaluation, kind)[name]
                    assert ours == pytest.approx(float(text), abs=1e-9)
                    compared += 1
    assert compared == 7 * 3 * 2 * 5 + 4 * 5


# A section of eight clips: scores are chosen so that every metric can be counted by hand.
CLIPS = {
    # clip: (label, domain, score, decision, labelled name)
    "section_00_0000.wav": (0, 0, 0.1, 0, "section_00_source_test_normal_0000_noAttribute"),
    "section_00_0001.wav": (0, 0, 0.5, 1, "section_00_source_test_normal_0001_noAttribute"),
    "section_00_0002.wav": (0, 1, 0.3, 0, "section_00_target_test_normal_0000_noAttribute"),
    "section_00_0003.wav": (0, 1, 0.7, 1, "section_00_target_test_normal_0001_noAttribute"),
    "section_00_0004.wav": (1, 0, 0.4, 0, "section_00_source_test_anomaly_0000_noAttribute"),
    "section_00_0005.wav": (1, 0, 0.6, 1, "section_00_source_test_anomaly_0001_noAttribute"),
    "section_00_0006.wav": (1, 1, 0.8, 1, "section_00_target_test_anomaly_0000_noAttribute"),
    "section_00_0007.wav": (1, 1, 0.9, 1, "section_00_target_test_anomaly_0001_noAttribute"),
}
EXPECTED = {
    "auc_source": 7 / 8,  # 0.1 loses to all four anomalies, 0.5 to three
    "auc_target": 6 / 8,  # 0.3 loses to all four, 0.7 to two
    "auc_all": 13 / 16,
    # Up to a rate of 0.1 two of four anomalies are found: area 0.05 of 0.1, chance area 0.005.
    "pauc": 0.5 * (1 + (0.05 - 0.005) / (0.1 - 0.005)),
    "precision_source": 1 / 2, "recall_source": 1 / 2, "f1_source": 1 / 2,
    "precision_target": 2 / 3, "recall_target": 1.0, "f1_target": 4 / 5,
}  # fmt: skip


def _write(path: Path, rows: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{clip},{value}\n" for clip, value in rows.items()))


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    root = tmp_path / "truth"
    name = "ground_truth_fan_section_00_test.csv"
    for kind, column in (("data", 0), ("domain", 1), ("attributes", 4)):
        rows = {clip: row[column] for clip, row in CLIPS.items()}
        _write(root / f"ground_truth_{kind}" / name, rows)
    return root


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    folder = tmp_path / "system"
    for kind, column in (("anomaly_score", 2), ("decision_result", 3)):
        rows = {clip: row[column] for clip, row in CLIPS.items()}
        _write(folder / f"{kind}_fan_section_00_test.csv", rows)
    return folder


def test_a_section_counted_by_hand(scores, truth):
    result = evaluate_scores(scores, truth).to_json()
    section = result["sections"]["fan_section_00"]
    expected = EXPECTED | {
        "official_score": 3 / sum(1 / EXPECTED[m] for m in ("auc_source", "auc_target", "pauc"))
    }
    assert section == pytest.approx(expected, abs=1e-12)
    assert result["official_score"] == pytest.approx(expected["official_score"], abs=1e-12)
    assert result["arithmetic_mean"]["auc"] == pytest.approx(13 / 16)
    assert result["harmonic_mean"]["auc"] == pytest.approx(2 / (8 / 7 + 8 / 6))
    assert result["source_harmonic_mean"]["recall"] == pytest.approx(1 / 2)
    assert result["target_harmonic_mean"]["f1"] == pytest.approx(4 / 5)
    assert "bootstrap" not in result
    json.dumps(result)


def test_the_order_of_rows_does_not_matter(scores, truth):
    expected = evaluate_scores(scores, truth)
    for path in scores.iterdir():
        path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    assert evaluate_scores(scores, truth) == expected


def test_labelled_names_and_the_baselines_file_names_are_understood(scores, truth):
    expected = evaluate_scores(scores, truth)
    for path in list(scores.iterdir()):
        text = path.read_text()
        for clip, row in CLIPS.items():
            text = text.replace(clip, f"{row[4]}.wav")
        kind = "_".join(path.name.split("_")[:2])
        path.unlink()
        name = f"{kind}_DCASE2024T2fan_section_00_test_seed13711_id(0_)_Eval.csv"
        (scores / name).write_text(text)
    assert evaluate_scores(scores, truth) == expected


def test_a_clip_under_both_of_its_names_is_there_twice(scores, truth):
    path = scores / "anomaly_score_fan_section_00_test.csv"
    path.write_text(path.read_text() + f"{CLIPS['section_00_0002.wav'][4]}.wav,0.3\n")
    with pytest.raises(DatasetError, match=r"row 9: .* already, in row 3, under its other name"):
        evaluate_scores(scores, truth)


def test_the_truth_is_found_from_any_reasonable_folder(scores, truth, tmp_path):
    expected = evaluate_scores(scores, truth)
    assert evaluate_scores(scores, truth / "ground_truth_data") == expected
    nested = tmp_path / "evaluator" / "checkout"
    shutil.copytree(truth, nested / "2023")
    assert evaluate_scores(str(scores), str(tmp_path / "evaluator")) == expected
    shutil.copytree(truth, nested / "2024")
    with pytest.raises(DatasetError, match=r"several challenges: .*2023, .*2024"):
        evaluate_scores(scores, nested)


def test_a_truth_folder_without_truth_is_named(scores, truth, tmp_path):
    with pytest.raises(DatasetError, match="absent does not exist"):
        evaluate_scores(scores, tmp_path / "absent")
    with pytest.raises(DatasetError, match=r"holds no folder ground_truth_data$"):
        evaluate_scores(scores, scores)
    (scores / "eval_data_list.csv").write_text("fan\n")
    with pytest.raises(DatasetError, match="the list of 2020 is not supported"):
        evaluate_scores(scores, scores)
    shutil.rmtree(truth / "ground_truth_domain")
    with pytest.raises(DatasetError, match=r"ground_truth_domain.*cannot be read"):
        evaluate_scores(scores, truth)


def test_a_folder_of_scores_without_scores_says_where_they_are(scores, truth, tmp_path):
    with pytest.raises(DatasetError, match=r"is missing; there are some in .*system"):
        evaluate_scores(tmp_path, truth)
    with pytest.raises(DatasetError, match="absent does not exist"):
        evaluate_scores(tmp_path / "absent", truth)


@pytest.mark.parametrize(
    "name",
    [
        "anomaly_score_fan_section_0_test.csv",
        "anomaly_score_Fan_section_00_test.csv",
        "decision_result_fan_section_01_test.csv",
        "anomaly_score_fan_00.csv",
        "anomaly_score_fan_section_00_source_test.csv",
    ],
)
def test_a_file_of_no_known_section_is_named(scores, truth, name):
    shutil.copy(scores / "anomaly_score_fan_section_00_test.csv", scores / name)
    with pytest.raises(DatasetError, match=f"{name}: the name belongs to no section"):
        evaluate_scores(scores, truth)
    with pytest.warns(FirstshotWarning, match="it is left out"):
        evaluate_scores(scores, truth, lenient_positions=True)


def test_two_files_of_one_section_are_named(scores, truth):
    name = "anomaly_score_DCASE2024T2fan_section_00_test_seed13711_id(0_)_Eval.csv"
    shutil.copy(scores / "anomaly_score_fan_section_00_test.csv", scores / name)
    with pytest.raises(DatasetError, match="are both for fan section 00; keep one"):
        evaluate_scores(scores, truth)


def test_other_files_beside_the_scores_are_left_alone(scores, truth):
    expected = evaluate_scores(scores, truth)
    (scores / "results.csv").write_text("anything\n")
    assert evaluate_scores(scores, truth) == expected


def test_faults_of_the_truth_are_named(scores, truth):
    domain = truth / "ground_truth_domain" / "ground_truth_fan_section_00_test.csv"
    whole = domain.read_text()
    domain.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    with pytest.raises(DatasetError, match=r"'section_00_0007\.wav' of ground_truth_data is miss"):
        evaluate_scores(scores, truth)
    domain.write_text("".join(f"{clip},0\n" for clip in CLIPS))
    shutil.rmtree(truth / "ground_truth_attributes")
    with pytest.raises(DatasetError, match="no normal clip gives auc_target"):
        evaluate_scores(scores, truth)
    domain.write_text(whole)
    data = truth / "ground_truth_data" / "ground_truth_fan_section_00_test.csv"
    data.write_text("".join(f"{clip},0\n" for clip in CLIPS))
    with pytest.raises(DatasetError, match="truth of fan_section_00: no anomalous clip"):
        evaluate_scores(scores, truth)


def test_labelled_names_that_contradict_the_truth_are_reported(scores, truth):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate_scores(scores, truth)
    attributes = truth / "ground_truth_attributes" / "ground_truth_fan_section_00_test.csv"
    rows = {clip: row[4] for clip, row in CLIPS.items()}
    rows["section_00_0001.wav"] = "section_00_source_test_anomaly_0101_noAttribute"
    rows["section_00_0005.wav"] = "section_00_target_test_anomaly_0105_noAttribute"
    _write(attributes, rows)
    with pytest.warns(FirstshotWarning, match=r"fan_section_00: .* for 2 of 8"):
        evaluate_scores(scores, truth)


def test_attributes_with_a_header_keep_the_labelled_name_in_the_last_column(truth):
    attributes = truth / "ground_truth_attributes" / "ground_truth_fan_section_00_test.csv"
    rows = {"file_name": "d1p,d1v,file_name_with_attributes"}
    rows |= {clip: f"vel,6,{row[4]}.wav" for clip, row in CLIPS.items()}
    _write(attributes, rows)
    (section,) = read_truth(truth)
    assert section.plain_names[f"{CLIPS['section_00_0004.wav'][4]}.wav"] == "section_00_0004.wav"
    assert len(section.plain_names) == len(CLIPS)


def test_a_year_with_a_file_for_each_domain_averages_both_paucs(scores, truth, tmp_path):
    old_truth, old_scores = tmp_path / "truth2021", tmp_path / "system2021"
    for number, domain in enumerate(("source", "target")):
        of_domain = {clip: row for clip, row in CLIPS.items() if row[1] == number}
        name = f"fan_section_00_{domain}_test.csv"
        _write(
            old_truth / "ground_truth_data" / f"ground_truth_{name}",
            {clip: row[0] for clip, row in of_domain.items()},
        )
        for kind, column in (("anomaly_score", 2), ("decision_result", 3)):
            rows = {clip: row[column] for clip, row in of_domain.items()}
            _write(old_scores / f"{kind}_{name}", rows)
    evaluation = evaluate_scores(old_scores, old_truth)
    section = evaluation.sections["fan_section_00"]
    # Source: 0.4 and 0.6 against 0.1 and 0.5. Target: 0.8 and 0.9 against 0.3 and 0.7.
    assert section["auc_source"] == 0.75
    assert section["auc_target"] == 1.0
    assert section["pauc_source"] == pytest.approx(0.5 * (1 + 0.045 / 0.095))
    assert section["pauc_target"] == pytest.approx(1.0)
    assert "pauc" not in section
    expected = 4 / (1 / 0.75 + 1 + 1 + 1 / section["pauc_source"])
    assert evaluation.official_score == pytest.approx(expected)
    with pytest.raises(ParameterError, match="2021"):
        evaluate_scores(old_scores, old_truth, resamples=10)


def test_bootstrap_intervals_hold_the_score_and_say_what_they_are(scores, truth):
    result = evaluate_scores(scores, truth, resamples=200, level=0.9, seed=1).to_json()
    bootstrap = result["bootstrap"]
    low, high = bootstrap["official_score"]
    assert 0 < low < result["official_score"] < high <= 1
    assert set(bootstrap["sections"]["fan_section_00"]) == {
        "auc_source", "auc_target", "pauc", "official_score"
    }  # fmt: skip
    assert (bootstrap["level"], bootstrap["resamples"], bootstrap["seed"]) == (0.9, 200, 1)
    assert "percentile bootstrap" in bootstrap["about"]
    json.dumps(result)


def test_evaluation_imports_numpy_and_nothing_heavier():
    code = (
        "import sys, firstshot.dcase.evaluation.evaluate\n"
        "heavy = {'scipy', 'torch', 'matplotlib', 'pandas', 'sklearn', 'pydantic', 'soundfile'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
