"""A run's folder is read back as it was written, or refused by name."""

from __future__ import annotations

import json

import pytest
from tests.dcase.comparing.test_compare import TINY, make_run, make_section
from tests.mutations import mutations, without_one

from firstshot.dcase.comparing.compare import compare_run
from firstshot.dcase.running.run import run_system
from firstshot.dcase.running.stored_run import finished_run, read_run
from firstshot.dcase.running.system import load_system
from firstshot.errors import DatasetError, FirstshotError
from firstshot.scoring.details import Details
from firstshot.sound.synth.dataset import write_dataset


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    write_dataset(folder / "data", ["SynthFan"], **TINY)
    run_system(folder / "data", load_system("embedded"), folder / "run")
    return folder / "run"


def altered(finished, folder, name, old, new):
    """Copy a run with the first `old` text of one of its files replaced."""
    folder.mkdir()
    for path in finished.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))
    return folder


def test_one_number_that_changed_is_told_of(finished, tmp_path):
    auc = json.loads((finished / "results.json").read_text())["overall"]["auc_all"]
    old, new = f'"auc_all": {auc}', '"auc_all": 0.125'
    folder = altered(finished, tmp_path / "a", "results.json", old, new)
    with pytest.raises(DatasetError, match=r"results\.json: .* altered after the run"):
        read_run(folder)


@pytest.mark.parametrize("name", ["anomaly_score", "decision_result"])
def test_a_score_or_a_decision_that_changed_is_told_of(finished, tmp_path, name):
    (path,) = finished.glob(f"{name}_*.csv")
    text = path.read_text().rstrip()
    changed = text[:-1] + "10"[int(text[-1]) % 2]
    run = read_run(altered(finished, tmp_path / "a", path.name, text, changed))
    with pytest.raises(DatasetError, match=rf"{name}_.*: was altered after the run"):
        run.tables(run.sections[0])
    whole = read_run(finished)
    assert len(whole.tables(whole.sections[0])[0].clips) == whole.sections[0].clips


def test_a_run_of_before_tells_no_digests_and_is_read(finished, tmp_path):
    told = json.loads((finished / "results.json").read_text())
    text = json.dumps({k: v for k, v in told.items() if k not in ("files", "sha256")})
    old = (finished / "results.json").read_text()
    run = read_run(altered(finished, tmp_path / "a", "results.json", old, text))
    assert run.sections == read_run(finished).sections
    run.tables(run.sections[0])


def test_details_come_back_as_the_run_had_them(tmp_path):
    write_dataset(tmp_path / "data", ["SynthFan"], **TINY)
    run = run_system(tmp_path / "data", load_system("embedded"), tmp_path / "run")
    (section,) = read_run(tmp_path / "run").sections
    assert section.details == run.results[0].details
    assert section.details.attributes and section.details.parts and section.details.encoders


def test_a_run_from_before_details_has_none(finished, tmp_path):
    told = json.loads((finished / "results.json").read_text())
    del told["machines"]["SynthFan_section_00"]["details"], told["sha256"]
    old = (finished / "results.json").read_text()
    run = read_run(altered(finished, tmp_path / "a", "results.json", old, json.dumps(told)))
    assert run.sections[0].details == Details()


@pytest.mark.parametrize("system", ["system4", "baseline_mse"])
@pytest.mark.parametrize("name", ["results.json", "run.json"])
def test_every_wrong_value_is_refused_or_harmless(tmp_path, system, name):
    folder = make_run(tmp_path / "run", [make_section("fan", 0, clips=20)], system)
    document = json.loads((folder / name).read_text())
    document = {k: v for k, v in document.items() if k not in ("sha256", "versions", "overall")}
    for what, changed in (*mutations(document), *without_one(document)):
        (folder / name).write_text(json.dumps(changed))
        try:
            compare_run(read_run(folder))
        except FirstshotError as error:
            assert "\n" not in str(error), what
            assert len(str(error)) < 700, what


def test_a_name_of_a_section_that_leads_elsewhere_is_refused(tmp_path):
    folder = make_run(tmp_path / "run", [make_section("fan", 0, clips=20)])
    told = json.loads((folder / "results.json").read_text())
    told["machines"] = {"../../fan_section_00": told["machines"]["fan_section_00"]}
    del told["sha256"]
    (folder / "results.json").write_text(json.dumps(told))
    with pytest.raises(DatasetError, match=r"'\.\./\.\./fan_section_00' names no section"):
        read_run(folder)


def test_a_run_is_finished_where_its_identity_is_the_same_and_every_section_is_done(
    finished, tmp_path
):
    identity = json.loads((finished / "run.json").read_text())
    found = finished_run(finished, identity)
    assert found is not None
    assert [section.name for section in found.sections] == ["SynthFan_section_00"]
    other = identity | {"machines": [*identity["machines"], "SynthValve_section_00"]}
    assert finished_run(finished, other) is None
    assert finished_run(tmp_path / "nothing", identity) is None
    (scores,) = finished.glob("anomaly_score_*.csv")
    changed = altered(finished, tmp_path / "a", scores.name, ".wav,", ".wav,1")
    assert finished_run(changed, identity) is None
    started = altered(finished, tmp_path / "b", "run.json", "SynthFan", "SynthFan")
    (started / "results.json").unlink()
    assert finished_run(started, identity) is None


def test_a_run_with_a_section_that_stopped_is_not_finished(finished, tmp_path):
    both = '"SynthFan_section_00",\n    "SynthValve_section_00"'
    folder = altered(finished, tmp_path / "a", "run.json", '"SynthFan_section_00"', both)
    identity = json.loads((folder / "run.json").read_text())
    assert identity["machines"] == ["SynthFan_section_00", "SynthValve_section_00"]
    assert finished_run(folder, identity) is None
