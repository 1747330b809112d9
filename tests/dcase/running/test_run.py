"""A whole run: what it writes, whether its numbers agree, and how it takes bad data."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from firstshot import load_encoder
from firstshot.dcase.data.layout import read_layout
from firstshot.dcase.evaluation.evaluate import evaluate_scores
from firstshot.dcase.evaluation.score_files import read_decisions, read_scores
from firstshot.dcase.running.run import run_system
from firstshot.dcase.running.system import load_system
from firstshot.errors import DatasetError, OutputError, SoundError
from firstshot.scoring.metrics import harmonic_mean, section_metrics

EMBEDDED = load_system("embedded")
SECTIONS = ["SynthFan_section_00", "SynthValve_section_00"]


@pytest.fixture(scope="module")
def run(synthetic, store, tmp_path_factory):
    """The embedded system's run on the synthetic set: its output folder and what it returned."""
    out = tmp_path_factory.mktemp("out") / "first"
    return out, run_system(synthetic, EMBEDDED, out, store=store)


def outputs(folder: Path) -> dict[str, bytes]:
    """The score and decision files of a run."""
    return {path.name: path.read_bytes() for path in folder.glob("*_section_*.csv")}


def test_a_run_writes_every_file_it_promises_and_nothing_else(run):
    out, _ = run
    tables = [
        f"{kind}_{name}_test.csv"
        for kind in ("anomaly_score", "decision_result")
        for name in SECTIONS
    ]
    reports = ["report.html", "results.csv", "results.json", "run.json"]
    assert sorted(path.name for path in out.iterdir()) == sorted(tables + reports)


def test_the_json_has_the_promised_shape_in_fractions_of_one(run):
    results = json.loads((run[0] / "results.json").read_text())
    assert sorted(results["machines"]) == SECTIONS
    for machine in results["machines"].values():
        for name in ("auc_source", "auc_target", "pauc", "official_score"):
            assert 0.0 <= machine[name] <= 1.0
    values = [
        machine[name]
        for machine in results["machines"].values()
        for name in ("auc_source", "auc_target", "pauc")
    ]
    assert results["official_score"] == pytest.approx(6 / sum(1 / v for v in values), rel=1e-12)


def test_the_score_files_evaluate_to_the_json(run, synthetic):
    out, _ = run
    machines = json.loads((out / "results.json").read_text())["machines"]
    for section in read_layout(synthetic):
        scores = read_scores(out / f"anomaly_score_{section.name}_test.csv")
        decisions = read_decisions(out / f"decision_result_{section.name}_test.csv")
        assert scores.clips == decisions.clips == tuple(c.path.name for c in section.test)
        labels = np.array(["_anomaly_" in clip for clip in scores.clips], dtype=int)
        domains = ["target" if "_target_" in clip else "source" for clip in scores.clips]
        found = section_metrics(labels, scores.values, domains, decisions.values.astype(int))
        told = machines[section.name]
        assert found == {name: told[name] for name in found}
        above = scores.values > told["threshold"]
        assert above.tolist() == decisions.values.astype(bool).tolist()


def test_the_official_evaluation_of_the_files_gives_the_same_numbers(run, synthetic, tmp_path):
    out, _ = run
    for section in read_layout(synthetic):
        for kind, values in (
            ("data", [int("_anomaly_" in c.path.name) for c in section.test]),
            ("domain", [int("_target_" in c.path.name) for c in section.test]),
        ):
            path = tmp_path / f"ground_truth_{kind}" / f"ground_truth_{section.name}_test.csv"
            path.parent.mkdir(exist_ok=True)
            with path.open("w", newline="") as file:
                names = [c.path.name for c in section.test]
                csv.writer(file).writerows(zip(names, values, strict=True))
    evaluation = evaluate_scores(out, tmp_path)
    told = json.loads((out / "results.json").read_text())
    assert evaluation.official_score == pytest.approx(told["official_score"], rel=1e-12)
    for name, metrics in evaluation.sections.items():
        for metric, value in metrics.items():
            assert value == pytest.approx(told["machines"][name][metric], rel=1e-12), metric


def test_the_csv_holds_the_same_numbers_as_the_json(run):
    out, _ = run
    with (out / "results.csv").open(newline="") as file:
        rows = {row["machine"]: row for row in csv.DictReader(file)}
    told = json.loads((out / "results.json").read_text())
    for name, machine in told["machines"].items():
        row = rows[name.removesuffix("_section_00")]
        assert float(row["AUC (source)"]) == machine["auc_source"]
        assert float(row["pAUC"]) == machine["pauc"]
        assert float(row["official score"]) == machine["official_score"]
    assert float(rows["harmonic mean"]["official score"]) == told["official_score"]


def test_the_same_run_again_gives_the_same_bytes_and_encodes_nothing(
    run, synthetic, store, monkeypatch
):
    out, _ = run
    before, results = outputs(out), (out / "results.json").read_bytes()
    monkeypatch.setattr(
        "firstshot.detector.embedding.batch_embedder.BatchEmbedder._encode", refuse_to_encode
    )
    run_system(synthetic, EMBEDDED, out, store=store)
    assert outputs(out) == before
    assert (out / "results.json").read_bytes() == results


def refuse_to_encode(*_: object) -> None:
    raise AssertionError("an embedding was computed again")


def test_without_a_store_the_numbers_are_the_same(run, synthetic, tmp_path):
    run_system(synthetic, EMBEDDED, tmp_path / "out", machines=["SynthFan"])
    name = "anomaly_score_SynthFan_section_00_test.csv"
    assert (tmp_path / "out" / name).read_bytes() == (run[0] / name).read_bytes()


@pytest.mark.parametrize(
    "name", ["none", "test_zscore", "domain_zscore", "local_density", "domain_local_density"]
)
def test_every_normaliser_runs_and_gives_scores_of_its_own(run, synthetic, store, tmp_path, name):
    found = run_system(
        synthetic, EMBEDDED.changed({"normalizer": name}), tmp_path / "out", store=store
    )
    assert [result.name for result in found.results] == SECTIONS
    for result, default in zip(found.results, run[1].results, strict=True):
        assert np.isfinite(result.scores).all()
        same = np.array_equal(result.scores, default.scores)
        assert same == (name == "domain_local_density")


def test_a_broken_clip_stops_its_own_machine_only(run, copied, store, tmp_path):
    broken = min((copied / "SynthFan" / "test").iterdir())
    broken.write_bytes(b"not sound")
    found = run_system(copied, EMBEDDED, tmp_path / "out", store=store)
    assert list(found.failures) == ["SynthFan_section_00"]
    assert str(broken) in found.failures["SynthFan_section_00"]
    name = "anomaly_score_SynthValve_section_00_test.csv"
    assert (tmp_path / "out" / name).read_bytes() == (run[0] / name).read_bytes()
    assert not list((tmp_path / "out").glob("*SynthFan*"))
    assert list(json.loads((tmp_path / "out" / "results.json").read_text())["machines"]) == [
        "SynthValve_section_00"
    ]


def content(folder: Path) -> dict[str, bytes]:
    """All that lies in a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_results_stay_until_better_ones_stand(copied, store, tmp_path):
    out = tmp_path / "out"
    run_system(copied, EMBEDDED, out, store=store)
    before = content(out)
    broken = min((copied / "SynthFan" / "train").iterdir())
    broken.write_bytes(b"")
    with pytest.raises(DatasetError) as caught:
        run_system(copied, EMBEDDED, out, store=store)
    message = str(caught.value)
    assert message.startswith("SynthFan_section_00: ")
    assert str(broken) in message
    assert message.endswith(
        f"; the earlier results in {out} stay as they are; mend the clips, or add --overwrite to "
        "keep only what could be run now"
    )
    assert content(out) == before
    for clip in copied.rglob("*.wav"):
        clip.write_bytes(b"")
    for overwrite in (False, True):
        with pytest.raises(
            DatasetError, match=r"1 more could not be run\); the earlier results in"
        ):
            run_system(copied, EMBEDDED, out, store=store, overwrite=overwrite)
        assert content(out) == before


def test_another_runs_results_stay_until_those_that_overwrite_them_stand(copied, store, tmp_path):
    out = tmp_path / "out"
    run_system(copied, EMBEDDED, out, store=store)
    before = content(out)
    broken = min((copied / "SynthFan" / "train").iterdir())
    sound = broken.read_bytes()
    broken.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"the earlier results in .* stay as they are"):
        run_system(copied, EMBEDDED, out, machines=["SynthFan"], store=store, overwrite=True)
    assert content(out) == before
    broken.write_bytes(sound)
    run_system(copied, EMBEDDED, out, machines=["SynthFan"], store=store, overwrite=True)
    assert json.loads((out / "run.json").read_text())["machines"] == ["SynthFan_section_00"]
    assert not list(out.glob("*SynthValve*"))


def test_scores_of_a_machine_that_broke_since_do_not_stay_where_results_are_overwritten(
    copied, store, tmp_path
):
    run_system(copied, EMBEDDED, tmp_path / "out", store=store)
    min((copied / "SynthFan" / "train").iterdir()).write_bytes(b"")
    run_system(copied, EMBEDDED, tmp_path / "out", store=store, overwrite=True)
    assert not list((tmp_path / "out").glob("*SynthFan*"))
    assert len(list((tmp_path / "out").glob("*SynthValve*"))) == 2
    # The same run again has nothing to lose any more.
    found = run_system(copied, EMBEDDED, tmp_path / "out", store=store)
    assert list(found.failures) == ["SynthFan_section_00"]


def test_a_full_disk_while_results_are_written_leaves_the_earlier_ones(
    copied, store, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    run_system(copied, EMBEDDED, out, store=store)
    before = content(out)

    def full(path, *_, **__):
        raise OutputError(f"{path}: cannot be written (No space left on device); free some space")

    monkeypatch.setattr("firstshot.dcase.running.run.write_page", full)
    with pytest.raises(OutputError, match="No space left") as caught:
        run_system(copied, EMBEDDED, out, store=store)
    assert str(caught.value).startswith(f"{out / 'report.html'}: ")
    assert content(out) == before


def test_files_of_a_run_keep_their_rights_and_a_read_only_one_is_refused(copied, store, tmp_path):
    out = tmp_path / "out"
    run_system(copied, EMBEDDED, out, store=store)
    for path in out.iterdir():
        path.chmod(0o640)
    run_system(copied, EMBEDDED, out, store=store)
    assert {path.stat().st_mode & 0o777 for path in out.iterdir()} == {0o640}
    (out / "report.html").chmod(0o440)
    before = content(out)
    with pytest.raises(
        OutputError, match=r"report\.html: cannot be written .it is marked read-only"
    ):
        run_system(copied, EMBEDDED, out, store=store, overwrite=True)
    assert content(out) == before


def test_too_few_clips_for_the_rate_stop_that_machine_only(copied, store, tmp_path):
    """A promise of 4% needs 24 normal clips; 20 + 10 are there in one machine, 20 in the other."""
    for clip in (copied / "SynthFan" / "train").glob("*_target_*"):
        clip.unlink()
    careful = EMBEDDED.model_copy(update={"threshold": "conformal", "false_alarm_rate": 0.04})
    found = run_system(copied, careful, tmp_path / "out", store=store)
    assert [result.machine for result in found.results] == ["SynthValve"]
    assert "cannot be promised from 20 normal clips" in found.failures["SynthFan_section_00"]


def test_a_missing_target_folder_is_told_and_scored(copied, store, tmp_path):
    for clip in copied.glob("*/train/*_target_*"):
        clip.unlink()
    found = run_system(copied, EMBEDDED, tmp_path / "out", store=store)
    assert [result.name for result in found.results] == SECTIONS
    assert any(note.startswith("no target training clips") for note in found.warnings())


def test_one_training_clip_is_too_few_and_the_section_is_named(copied, store, tmp_path):
    for clip in sorted(copied.glob("SynthFan/train/*"))[1:]:
        clip.unlink()
    with pytest.raises(DatasetError, match=r"SynthFan_section_00: .*at least 2 normal clips"):
        run_system(copied, EMBEDDED, tmp_path / "out", machines=["SynthFan"], store=store)


def test_a_test_clip_that_was_trained_on_is_told(copied, store, tmp_path):
    test, train = (min((copied / "SynthFan" / part).iterdir()) for part in ("test", "train"))
    shutil.copy(train, test)
    found = run_system(copied, EMBEDDED, tmp_path / "out", store=store)
    (told,) = [note for note in found.warnings() if "the same samples" in note]
    assert test.name in told
    assert train.name in told
    assert found.warnings()[told] == ["SynthFan_section_00"]


def test_attributes_may_be_missing(run, copied, store, tmp_path):
    for table in copied.glob("*/attributes_00.csv"):
        table.unlink()
    run_system(copied, EMBEDDED, tmp_path / "out", store=store)
    assert outputs(tmp_path / "out") == outputs(run[0])


def test_a_name_outside_the_grammar_is_refused_before_anything_is_written(copied, tmp_path):
    shutil.copy(min((copied / "SynthFan" / "test").iterdir()), copied / "SynthFan/test/hello.wav")
    with pytest.raises(DatasetError, match=r"hello\.wav: a name outside"):
        run_system(copied, EMBEDDED, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unlabelled_set_gets_scores_and_decisions_but_no_metrics(run, copied, store, tmp_path):
    """The same clips under the names of an evaluation set have the same scores."""
    scores = []
    named = read_scores(run[0] / "anomaly_score_SynthFan_section_00_test.csv")
    for i, clip in enumerate(named.clips):
        (copied / "SynthFan/test" / clip).rename(copied / f"SynthFan/test/section_00_{i:04d}.wav")
        scores.append((f"section_00_{i:04d}.wav", named.values[i]))
    found = run_system(copied, EMBEDDED, tmp_path / "out", machines=["SynthFan"], store=store)
    table = read_scores(tmp_path / "out" / "anomaly_score_SynthFan_section_00_test.csv")
    assert list(zip(table.clips, table.values, strict=True)) == scores
    assert found.results[0].metrics == {}
    told = json.loads((tmp_path / "out" / "results.json").read_text())
    assert told["official_score"] is None
    assert (tmp_path / "out" / "report.html").is_file()


def test_names_of_2020_run_without_domains(synthetic, store, tmp_path):
    for part in ("train", "test"):
        folder = tmp_path / "data" / "fan" / part
        folder.mkdir(parents=True)
        for i, clip in enumerate(sorted((synthetic / "SynthFan" / part).iterdir())):
            label = "anomaly" if "_anomaly_" in clip.name else "normal"
            shutil.copy(clip, folder / f"{label}_id_04_{i:08d}.wav")
    (result,) = run_system(tmp_path / "data", EMBEDDED, tmp_path / "out", store=store).results
    assert result.name == "fan_section_04"
    assert result.domains is None
    assert {"auc_all", "pauc"} <= set(result.metrics)
    assert "official_score" not in result.metrics


def test_an_ensemble_scores_the_mean_of_its_encoders(run, synthetic, store, tmp_path):
    (first,) = EMBEDDED.encoders
    other = first.model_copy(update={"layers": (2,)})
    found = {}
    for name, encoders in {"one": (first,), "two": (other,), "both": (first, other)}.items():
        system = EMBEDDED.model_copy(update={"name": name, "encoders": encoders})
        done = run_system(synthetic, system, tmp_path / name, store=store, machines=["SynthFan"])
        found[name] = done.results[0]
    expected = (found["one"].scores + found["two"].scores) / 2
    np.testing.assert_allclose(found["both"].scores, expected, rtol=1e-14)
    held_out = (found["one"].training_scores + found["two"].training_scores) / 2
    np.testing.assert_allclose(found["both"].training_scores, held_out, rtol=1e-14)
    assert found["one"].scores.tolist() == run[1].results[0].scores.tolist()


def test_each_encoder_is_loaded_once_for_all_machines(synthetic, store, tmp_path, monkeypatch):
    import firstshot.detector.embedding.settings as module

    load, loaded = module.load_encoder, []

    def count(name, **settings):
        loaded.append(name)
        return load(name, **settings)

    monkeypatch.setattr(module, "load_encoder", count)
    run_system(synthetic, EMBEDDED, tmp_path / "out", store=store)
    assert loaded == ["logmel"]


def test_a_full_store_stops_the_run_and_not_one_machine(synthetic, store, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OutputError("no space")

    monkeypatch.setattr("firstshot.dcase.running.sections.score_section", full)
    with pytest.raises(OutputError, match="no space"):
        run_system(synthetic, EMBEDDED, tmp_path / "out", store=store)


def test_the_overall_score_is_the_harmonic_mean_over_machines(run):
    metrics = [result.metrics for result in run[1].results]
    names = ("auc_source", "auc_target", "pauc")
    expected = harmonic_mean([m[name] for m in metrics for name in names])
    told = json.loads((run[0] / "results.json").read_text())
    assert told["official_score"] == pytest.approx(expected, rel=1e-14)


def test_a_failing_page_names_the_clip(copied, store, tmp_path, monkeypatch):
    """A clip that vanishes between scoring and the page stops its machine only."""
    gone = min((copied / "SynthFan" / "test").iterdir())

    def vanish(clip, *_: object):
        if clip.path.parent == gone.parent:
            raise SoundError(f"{gone}: does not exist")
        return np.zeros(1600, np.float32)

    monkeypatch.setattr("firstshot.dcase.running.section._read_waveform", vanish)
    found = run_system(copied, EMBEDDED, tmp_path / "out", store=store)
    assert str(gone) in found.failures["SynthFan_section_00"]
    assert [result.machine for result in found.results] == ["SynthValve"]


def test_a_machine_that_could_not_be_run_is_named_in_every_result(copied, store, tmp_path):
    clip = min((copied / "SynthFan" / "test").glob("*.wav"))
    clip.write_bytes(clip.read_bytes()[:100])
    run_system(copied, EMBEDDED, tmp_path / "out", store=store)
    written = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(written["machines"]) == ["SynthValve_section_00"]
    assert clip.name in written["failures"]["SynthFan_section_00"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "1 of 2 sections failed and are not shown below" in page
    assert clip.name in page


def test_results_tell_which_weights_and_constants_gave_them(run):
    out, found = run
    fingerprint = load_encoder("logmel").fingerprint
    assert found.results[0].fingerprints == {"logmel": fingerprint}
    settings = json.loads((out / "results.json").read_text())["settings"]
    assert settings["fingerprints"] == {"logmel": fingerprint}


def test_how_many_workers_there_are_is_in_no_result_and_no_runs_identity(synthetic, tmp_path):
    found = []
    for workers in (1, 4):
        out = tmp_path / str(workers)
        run_system(synthetic, EMBEDDED, out, machines=["SynthFan"], workers=workers)
        found.append({p.name: p.read_bytes() for p in out.iterdir() if p.suffix != ".html"})
    assert found[0] == found[1]
    assert "run.json" in found[0]
    # The same run in the same folder, whoever works on it.
    run_system(synthetic, EMBEDDED, tmp_path / "1", machines=["SynthFan"], workers=2)


def test_a_name_with_an_at_sign_is_no_window(copied, store, tmp_path):
    for clip in (copied / "SynthFan" / "train").iterdir():
        clip.rename(clip.with_name(f"{clip.stem}_mic@2.wav"))
    found = run_system(copied, EMBEDDED, tmp_path / "out", machines=["SynthFan"], store=store)
    (result,) = found.results
    assert all(example.nearest.endswith("_mic@2.wav") for example in result.examples)


def test_a_data_set_in_a_folder_of_any_bytes_is_run(synthetic, store, tmp_path):
    root = shutil.copytree(synthetic, tmp_path / os.fsdecode(b"m\xfchle"))
    out = tmp_path / "out"
    for _ in range(2):  # the second one finds its own folder again
        run_system(root, EMBEDDED, out, machines=["SynthFan"], store=store)
    for name in ("run.json", "results.json"):
        text = (out / name).read_text(encoding="utf-8")
        assert r"m\\xfchle" in text
        assert r"\udc" not in text
    assert r"m\xfchle" in (out / "report.html").read_text(encoding="utf-8")


def test_a_run_refuses_a_name_before_any_work(copied, tmp_path):
    clip = min((copied / "SynthValve" / "test").iterdir())
    clip.rename(clip.with_name(f"{clip.stem}\r.wav"))
    with pytest.raises(DatasetError, match="score files cannot hold"):
        run_system(copied, EMBEDDED, tmp_path / "out")
    assert not (tmp_path / "out").exists()
