"""The published tables are the seeds' own, and agree with each other where they overlap."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from firstshot.complexity import PUBLISHED
from firstshot.dcase.comparing.published import (
    MISPRINTS,
    published_machines,
    published_overall,
    published_result,
    published_source,
    published_systems,
)
from firstshot.errors import ParameterError

PAPER = Path(__file__).resolve().parents[3] / ".." / "shared" / "golden" / "paper"
# Table 2 as printed: AUC source, AUC target, pAUC and official score over all seven machines.
# "baseline" is Table 1's MSE baseline, up to 0.03.
TABLE_2 = {
    "baseline": (66.78, 51.39, 52.94, 56.26),
    "system1": (76.11, 61.66, 58.36, 64.53),
    "system2": (63.42, 68.73, 59.69, 63.74),
    "system3": (67.96, 61.46, 56.23, 61.51),
    "system4": (72.56, 60.01, 56.10, 62.15),
}
PAIRS = [(s, m) for s in published_systems() for m in published_machines()]


def _golden(name: str) -> list[dict[str, str]]:
    if not (PAPER / name).is_file():
        pytest.skip(f"{name} of the shared golden files is absent")
    with (PAPER / name).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", ["baseline_table1.csv", "genrep_table3.csv"])
def test_every_number_is_the_one_in_the_golden_tables(name):
    rows = _golden(name)
    assert len(rows) == {"baseline_table1.csv": 14, "genrep_table3.csv": 28}[name]
    for row in rows:
        found = published_result(row["system"], row["machine"])
        assert found.auc_source == float(row["auc_source"])
        assert found.auc_target == float(row["auc_target"])
        assert found.pauc == float(row["pauc"])
        if "official" in row:
            assert found.printed == float(row["official"])


@pytest.mark.parametrize(("system", "machine"), PAIRS)
def test_printed_official_scores_follow_from_their_row_but_for_the_one_misprint(system, machine):
    found = published_result(system, machine)
    printed = found.printed
    if printed is None:
        assert system.startswith("baseline")
        return
    mean = 3 / (1 / found.auc_source + 1 / found.auc_target + 1 / found.pauc)
    if (system, machine) in MISPRINTS:
        assert MISPRINTS[system, machine] == (printed, round(mean, 2)) == (53.00, 54.00)
    else:
        assert printed == pytest.approx(mean, abs=0.011)


@pytest.mark.parametrize("row", TABLE_2)
def test_table_2_is_the_harmonic_mean_of_the_tables_per_machine(row):
    found = published_overall("baseline_mse" if row == "baseline" else row)
    ours = (found.auc_source, found.auc_target, found.pauc, found.official_score)
    assert ours == pytest.approx(TABLE_2[row], abs=0.031 if row == "baseline" else 0.011)


def test_an_overall_score_may_be_taken_over_some_machines():
    one = published_overall("system4", ["fan"])
    assert one.official_score == published_result("system4", "fan").official_score == 54.00
    both = published_overall("system1", ["fan", "valve"])
    values = (72.44, 47.28, 51.63, 81.52, 82.46, 73.58)
    assert both.official_score == pytest.approx(6 / sum(1 / v for v in values), abs=0.005)


def test_only_the_baselines_have_deviations_of_their_five_trainings():
    assert published_result("baseline_mahala", "valve").deviation("auc_target") == 2.98
    assert published_result("baseline_mse", "ToyCar").deviation("official_score") is None
    assert published_result("system1", "ToyCar").deviation("auc_source") is None
    assert published_source("baseline_mse") == "task paper, Table 1"


def test_what_was_not_published_is_refused_with_what_was():
    with pytest.raises(ParameterError, match=r"system 'embedded'.*baseline_mse.*system4"):
        published_result("embedded", "fan")
    with pytest.raises(ParameterError, match=r"machine 'pump'.*ToyCar"):
        published_result("system1", "pump")


def test_table_4_names_what_the_systems_are_made_of():
    assert PUBLISHED["system4"] == (1.34, 5.49)
    assert PUBLISHED["eat_large"] == (155.16, 302.57)
