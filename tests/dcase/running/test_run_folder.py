"""An output folder belongs to one run; nothing in it is lost unasked."""

from __future__ import annotations

import json
import os

import pytest

from firstshot.dcase.running.run_folder import claim_folder, claimed
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


def names(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(path.relative_to(folder).as_posix() for path in files)


def write_scores_of(*machines):
    """Return what writes the score files of some machines, with a trial's, and results.json."""

    def write(folder):
        for machine in machines:
            for place in (folder, folder / "trials" / "13711"):
                place.mkdir(parents=True, exist_ok=True)
                (place / f"anomaly_score_{machine}_section_00_test.csv").write_text("a.wav,1.0\n")
        (folder / "results.json").write_text("{}")

    return write


def test_overwriting_replaces_what_runs_write_and_nothing_else(tmp_path):
    claim_folder(tmp_path, FIRST)
    for name in ("anomaly_score_fan_section_00_test.csv", "results.csv", "notes.txt"):
        (tmp_path / name).write_text("old")
    claim = claim_folder(tmp_path, OTHER, overwrite=True)
    # Until there are new results, the folder is the earlier run's.
    assert json.loads((tmp_path / "run.json").read_text())["system"]["settings"]["k"] == 1
    assert (tmp_path / "results.csv").read_text() == "old"
    claim.replace_results(write_scores_of("pump"))
    assert names(tmp_path) == [
        "anomaly_score_pump_section_00_test.csv",
        "notes.txt",
        "results.json",
        "run.json",
        "trials/13711/anomaly_score_pump_section_00_test.csv",
    ]
    assert json.loads((tmp_path / "run.json").read_text())["system"]["settings"]["k"] == 2


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"thesis\.tex, not a run of firstshot; choose anoth"):
            claim_folder(tmp_path, FIRST, overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_the_results_of_another_program_are_never_overwritten(tmp_path):
    """Other programs write a run.json too."""
    for name in ("run.json", "results.csv", "report.html"):
        (tmp_path / name).write_text('{"id": 1}')
    with pytest.raises(OutputError, match="not a run of firstshot"):
        claim_folder(tmp_path, FIRST, overwrite=True)
    assert names(tmp_path) == ["report.html", "results.csv", "run.json"]


def test_a_file_in_the_folders_place_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    with (
        pytest.raises(OutputError, match="is a file"),
        claimed(tmp_path / "out", FIRST, overwrite=True),
    ):
        raise AssertionError("never reached")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        claim_folder(tmp_path / "file" / "out", FIRST)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_write_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        claim_folder(tmp_path, FIRST)


def test_a_section_without_new_results_goes_with_its_trials_and_a_longer_name_stays(tmp_path):
    claim_folder(tmp_path, FIRST).replace_results(write_scores_of("fan", "toy_fan"))
    claim_folder(tmp_path, FIRST).replace_results(write_scores_of("toy_fan"))
    scores = "anomaly_score_toy_fan_section_00_test.csv"
    assert names(tmp_path) == [scores, "results.json", "run.json", f"trials/13711/{scores}"]


def test_a_fault_in_writing_leaves_the_earlier_results(tmp_path):
    claim_folder(tmp_path, FIRST).replace_results(write_scores_of("fan"))
    before = names(tmp_path)

    def breaks(folder):
        write_scores_of("pump")(folder)
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=r"No space left on device.; free some space"):
        claim_folder(tmp_path, OTHER, overwrite=True).replace_results(breaks)
    assert names(tmp_path) == before
    assert json.loads((tmp_path / "run.json").read_text())["system"]["settings"]["k"] == 1


def test_a_kill_while_results_are_replaced_leaves_a_run_that_has_not_ended(tmp_path, monkeypatch):
    claim_folder(tmp_path, FIRST).replace_results(write_scores_of("fan"))

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.replace", stop)
    monkeypatch.setattr("firstshot.dcase.running.run_folder.write_result", lambda path, _: path)
    with pytest.raises(KeyboardInterrupt):
        claim_folder(tmp_path, FIRST).replace_results(write_scores_of("fan"))
    assert not (tmp_path / "results.json").exists()
    monkeypatch.undo()
    with claimed(tmp_path, FIRST) as claim:
        claim.replace_results(write_scores_of("fan"))
    scores = "anomaly_score_fan_section_00_test.csv"
    assert names(tmp_path) == [scores, "results.json", "run.json", f"trials/13711/{scores}"]


def test_what_a_killed_run_left_half_written_is_removed(tmp_path):
    claim_folder(tmp_path, FIRST)
    write_scores_of("fan")(tmp_path / ".results.part")
    (tmp_path / ".results.json.ab3c9def.part").write_text("{")
    with claimed(tmp_path, FIRST) as claim:
        assert not (tmp_path / ".results.part").exists()
        claim.replace_results(write_scores_of("fan"))
    assert not [name for name in names(tmp_path) if name.startswith(".")]


def test_a_second_run_is_refused_while_the_first_one_works(tmp_path):
    with (
        claimed(tmp_path / "out", FIRST),
        pytest.raises(OutputError, match=r"another firstshot is writing to it .process"),
        claimed(tmp_path / "out", OTHER, overwrite=True),
    ):
        raise AssertionError("never reached")
    assert json.loads((tmp_path / "out" / "run.json").read_text())["system"]["settings"]["k"] == 1


@pytest.mark.parametrize("there", [False, True])
def test_a_fault_that_leaves_nothing_but_the_claim_takes_that_back(tmp_path, there):
    folder = tmp_path / "out"
    if there:
        folder.mkdir()
    with pytest.raises(OutputError), claimed(folder, FIRST):
        raise OutputError("a full disk")
    assert list(tmp_path.rglob("*")) == ([folder] if there else [])


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


def test_a_damaged_identity_is_replaced_where_asked_and_without_results_unasked(tmp_path):
    claim_folder(tmp_path, FIRST)
    whole = (tmp_path / "run.json").read_text()
    (tmp_path / "run.json").write_text(whole[:40])
    claim_folder(tmp_path, FIRST)
    assert (tmp_path / "run.json").read_text() == whole
    (tmp_path / "results.csv").write_text("kept")
    (tmp_path / "run.json").write_text(whole[:40])
    with pytest.raises(OutputError, match=r"run\.json is damaged.*--overwrite to start the run"):
        claim_folder(tmp_path, FIRST)
    assert claim_folder(tmp_path, FIRST, overwrite=True).stands
    (tmp_path / "thesis.txt").write_text("mine")
    (tmp_path / "run.json").write_text(whole[:40])
    with pytest.raises(OutputError, match="not a run of firstshot"):
        claim_folder(tmp_path, FIRST, overwrite=True)
