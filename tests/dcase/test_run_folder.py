"""An output folder belongs to one run; nothing in it is lost unasked."""

from __future__ import annotations

import json
import os

import pytest

from firstshot.dcase.run_folder import claim_folder, claimed, remove_section
from firstshot.errors import OutputError

FIRST = {"data": "/data", "system": {"name": "a", "settings": {"k": 1, "layers": (1, 2)}}}
OTHER = {"data": "/data", "system": {"name": "a", "settings": {"k": 2, "layers": (1, 2)}}}


def test_the_same_run_goes_on_in_its_folder(tmp_path):
    claim_folder(tmp_path / "out", FIRST)
    (tmp_path / "out" / "results.csv").write_text("kept")
    claim_folder(tmp_path / "out", FIRST)
    assert (tmp_path / "out" / "results.csv").read_text() == "kept"


def test_another_runs_results_are_refused_and_the_setting_is_named(tmp_path):
    claim_folder(tmp_path, FIRST)
    (tmp_path / "results.csv").write_text("kept")
    with pytest.raises(OutputError) as caught:
        claim_folder(tmp_path, OTHER)
    assert str(caught.value) == (
        f"{tmp_path}: holds the results of another run (system settings k: 1, now 2); "
        "choose another folder, or add --overwrite"
    )
    assert json.loads((tmp_path / "run.json").read_text())["system"]["settings"]["k"] == 1


def test_a_claim_without_results_does_not_stand_in_the_way(tmp_path):
    """A run that failed on a wrong setting must not refuse the corrected one."""
    claim_folder(tmp_path, FIRST)
    claim_folder(tmp_path, OTHER)
    assert json.loads((tmp_path / "run.json").read_text())["system"]["settings"]["k"] == 2


def test_a_setting_that_one_run_lacks_is_a_difference(tmp_path):
    claim_folder(tmp_path, {**FIRST, "machines": ["fan"]})
    (tmp_path / "report.html").write_text("kept")
    with pytest.raises(OutputError, match=r"machines: \['fan'\], now None"):
        claim_folder(tmp_path, FIRST)


def test_overwriting_removes_what_runs_write_and_nothing_else(tmp_path):
    claim_folder(tmp_path, FIRST)
    for name in ("anomaly_score_fan_section_00_test.csv", "results.json", "notes.txt"):
        (tmp_path / name).write_text("old")
    claim_folder(tmp_path, OTHER, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "run.json"]


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(OutputError, match=r"thesis\.tex, not a run of firstshot"):
        claim_folder(tmp_path, FIRST)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_folders_place_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="is a file"):
        claim_folder(tmp_path / "out", FIRST, overwrite=True)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        claim_folder(tmp_path / "file" / "out", FIRST)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_write_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        claim_folder(tmp_path, FIRST)


def test_one_sections_files_go_and_those_of_a_longer_name_stay(tmp_path):
    for machine in ("fan", "toy_fan"):
        (tmp_path / f"anomaly_score_{machine}_section_00_test.csv").write_text("old")
    remove_section(tmp_path, "fan", "00")
    assert [p.name for p in tmp_path.iterdir()] == ["anomaly_score_toy_fan_section_00_test.csv"]


def test_removing_a_section_takes_its_trials_along(tmp_path):
    names = [f"anomaly_score_{machine}_section_00_test.csv" for machine in ("fan", "pump")]
    for folder in (tmp_path, tmp_path / "trials" / "13711"):
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / name).write_text("a.wav,1.0\n")
    remove_section(tmp_path, "fan", "00")
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.csv"))
    assert left == [names[1], f"trials/13711/{names[1]}"]


@pytest.mark.parametrize("there", [False, True])
def test_a_fault_that_leaves_nothing_but_the_claim_takes_that_back(tmp_path, there):
    folder = tmp_path / "out"
    if there:
        folder.mkdir()
    with pytest.raises(OutputError), claimed(folder, FIRST):
        raise OutputError("a full disk")
    assert list(tmp_path.rglob("*")) == []


def test_a_claim_stays_with_results_with_an_earlier_run_and_with_an_interruption(tmp_path):
    with pytest.raises(OutputError), claimed(tmp_path / "results", FIRST):
        (tmp_path / "results" / "results.csv").write_text("kept")
        raise OutputError("a full disk")
    claim_folder(tmp_path / "earlier", FIRST)
    with pytest.raises(OutputError), claimed(tmp_path / "earlier", FIRST):
        raise OutputError("a full disk")
    with pytest.raises(KeyboardInterrupt), claimed(tmp_path / "interrupted", FIRST):
        raise KeyboardInterrupt
    for name in ("results", "earlier", "interrupted"):
        assert (tmp_path / name / "run.json").is_file()
