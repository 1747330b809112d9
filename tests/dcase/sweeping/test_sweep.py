"""A sweep gives the scores of the detectors it stands for, hears clips once, and warns."""

from __future__ import annotations

import csv
import json
import warnings
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from firstshot.cli.challenge.sweep import sweep as command
from firstshot.dcase.data.layout import read_layout
from firstshot.dcase.sweeping import section as sweep_section
from firstshot.dcase.sweeping.grid import OF_VIEWS, Combination, Grid, weights_of
from firstshot.dcase.sweeping.sweep import run_sweep
from firstshot.dcase.sweeping.table import (
    Row,
    Sweep,
    ranked_sections,
    sweep_csv,
    sweep_rows,
    warning_lines,
)
from firstshot.detector import Detector
from firstshot.disk.locks import hold_folder
from firstshot.encoders.logmel import LogMel
from firstshot.errors import DatasetError, FirstshotWarning, OutputError, ParameterError
from firstshot.scoring.metrics import OFFICIAL_METRICS, harmonic_mean, section_metrics
from firstshot.sound.synth.dataset import write_dataset
from firstshot.store import EmbeddingStore

pytestmark = pytest.mark.filterwarnings("ignore::firstshot.errors.FirstshotWarning")
MACHINES = ["SynthFan", "SynthValve"]
SMALL = Grid(("logmel",), ("1",), ("none",), ("euclidean",))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    counts = {"train_source": 14, "train_target": 5, "test_per_class": 4}
    write_dataset(root, MACHINES, clip_seconds=1.0, **counts)
    return root


def _row(found, combination):
    return next(row for row in found.rows if row.combination == combination)


@pytest.mark.parametrize("length", ["native", "windows:0.5"])
@pytest.mark.parametrize(
    "way",
    [
        Combination((1,), "domain_local_density", "sqeuclidean"),
        Combination((2,), "local_density", "cosine"),
        Combination((1, 2), "domain_zscore", "euclidean"),
        Combination((1, 2), "test_zscore", "sqeuclidean"),
    ],
)
def test_a_combination_has_the_metrics_of_a_detector_with_its_settings(data, tmp_path, way, length):
    text = "+".join(map(str, way.layers))
    grid = Grid(("logmel",), ("all", text), (way.normalizer, "none"), (way.metric,), length=length)
    found = _row(run_sweep(data, grid, tmp_path / "sweep"), way)
    every = []
    for section in read_layout(data):
        settings = {"normalizer": way.normalizer, "metric": way.metric, "length": length}
        detector = Detector("logmel", layers=way.layers, **settings)
        domains = [[c for c in section.train if c.domain == d] for d in ("source", "target")]
        scores = detector.fit(*domains).score(section.test)
        labels = [clip.label for clip in section.test]
        metrics = section_metrics(labels, scores, [clip.domain for clip in section.test])
        assert found.sections[section.name] == pytest.approx(metrics["official_score"], abs=1e-12)
        every.append(metrics)
    for metric in OFFICIAL_METRICS:
        expected = harmonic_mean(metrics[metric] for metrics in every)
        assert getattr(found, metric) == pytest.approx(expected, abs=1e-12)
    official = harmonic_mean(metrics[name] for metrics in every for name in OFFICIAL_METRICS)
    assert found.official_score == pytest.approx(official, abs=1e-12)


@pytest.mark.parametrize("length", ["native", "windows:0.5"])
def test_a_preset_has_the_metrics_of_its_detector_and_a_row_of_its_name(data, tmp_path, length):
    grid = replace(SMALL, presets=("recommended_small", "embedded"), length=length)
    found = run_sweep(data, grid, tmp_path / "sweep")
    assert sorted(row.encoder for row in found.rows) == ["embedded", "logmel", "recommended_small"]
    for preset in grid.presets:
        row = next(row for row in found.rows if row.encoder == preset)
        assert row.combination == OF_VIEWS
        for section in read_layout(data):
            detector = Detector(views=preset, length=length)
            domains = [[c for c in section.train if c.domain == d] for d in ("source", "target")]
            scores = detector.fit(*domains).score(section.test)
            labels = [clip.label for clip in section.test]
            metrics = section_metrics(labels, scores, [clip.domain for clip in section.test])
            assert row.sections[section.name] == pytest.approx(metrics["official_score"], abs=1e-12)
    lines = (tmp_path / "sweep" / "sweep.csv").read_text().splitlines()
    (line,) = [line for line in lines if ",recommended_small," in line]
    assert line.split(",")[1:6] == ["recommended_small", "", "", "", "no"]


def test_presets_alone_are_tried_and_read_again(data, tmp_path, monkeypatch):
    grid = Grid(presets=("recommended_small",))
    first = run_sweep(data, grid, tmp_path)
    monkeypatch.setattr("firstshot.dcase.sweeping.tried.score_preset", None)
    assert run_sweep(data, grid, tmp_path) == first
    assert "presets" not in SMALL.to_json()


def test_a_preset_that_cannot_be_fitted_is_told_and_left_out(tmp_path):
    counts = {"train_source": 3, "train_target": 1, "test_per_class": 4}
    write_dataset(tmp_path / "data", ["SynthFan"], clip_seconds=1.0, **counts)
    grid = replace(SMALL, presets=("recommended_small",))
    found = run_sweep(tmp_path / "data", grid, tmp_path / "out")
    assert [row.encoder for row in found.rows] == ["logmel"]
    assert any(note.startswith("recommended_small views is left out: ") for note in found.notes)


def test_the_grid_is_tried_whole_and_ranked(data, tmp_path):
    ways = ("none", "local_density"), ("cosine", "euclidean")
    grid = Grid(("logmel",), ("all", "1+2", "-1"), *ways)
    found = run_sweep(data, grid, tmp_path)
    assert len({(r.encoder, r.combination) for r in found.rows}) == len(found.rows) == 3 * 2 * 2
    assert all(a.official_score >= b.official_score for a, b in pairwise(found.rows))
    assert found.sections == ("SynthFan_section_00", "SynthValve_section_00")


@pytest.fixture
def heard(monkeypatch):
    """Names of the encoder's calls: how many clips were encoded each time, and which layers."""
    calls = []
    embed = LogMel.embed

    def counted(self, waveforms, sample_rate=16000, layers=None, pooling="temporal"):
        calls.append((len(list(waveforms)), tuple(layers or ())))
        return embed(self, waveforms, sample_rate, layers, pooling)

    measure = LogMel.measure

    def measured(self, waveforms, sample_rate=16000):
        calls.append((len(list(waveforms)), ()))
        return measure(self, waveforms, sample_rate)

    monkeypatch.setattr(LogMel, "embed", counted)
    monkeypatch.setattr(LogMel, "measure", measured)
    return calls


def test_every_clip_is_heard_once_for_all_combinations(data, tmp_path, heard):
    run_sweep(data, Grid(("logmel",), ("all", "1+2")), tmp_path)
    clips = sum(len(s.train) + len(s.test) for s in read_layout(data))
    assert sum(count for count, _ in heard) == clips
    assert {layers for _, layers in heard} == {(1, 2)}


def test_a_stopped_sweep_goes_on_and_gives_the_same_table(data, tmp_path, heard, monkeypatch):
    grid = Grid(("logmel",), ("all", "1+2"))
    whole = sweep_csv(run_sweep(data, grid, tmp_path / "whole"))
    normalizer, made = sweep_section.make_normalizer, []

    def stops(name, metric):
        made.append(name)
        if len(made) > 40:
            raise KeyboardInterrupt
        return normalizer(name, metric=metric)

    monkeypatch.setattr(sweep_section, "make_normalizer", stops)
    store = EmbeddingStore(tmp_path / "store")
    with pytest.raises(KeyboardInterrupt):
        run_sweep(data, grid, tmp_path / "out", store=store)
    again = []

    def counts(name, metric):
        again.append(name)
        return normalizer(name, metric=metric)

    monkeypatch.setattr(sweep_section, "make_normalizer", counts)
    heard.clear()
    assert sweep_csv(run_sweep(data, grid, tmp_path / "out", store=store)) == whole
    assert heard == []
    # 2 machines x 2 layers x 12 ways are 48; the first machine's 24 are not tried again.
    assert len(again) == 24


def test_a_finished_sweep_reads_no_clip_and_a_wider_one_only_what_is_new(data, tmp_path, heard):
    run_sweep(data, SMALL, tmp_path)
    heard.clear()
    run_sweep(data, SMALL, tmp_path)
    assert heard == []
    wider = Grid(("logmel",), ("1", "2"), ("none",), ("euclidean",))
    with pytest.raises(
        OutputError, match=r"another sweep \(grid layers: .*choose another folder, or add --over"
    ):
        run_sweep(data, wider, tmp_path)
    assert len(run_sweep(data, wider, tmp_path, overwrite=True).rows) == 2
    assert {layers for _, layers in heard} == {(2,)}


def test_a_changed_clip_or_length_is_scored_anew(data, tmp_path, heard):
    run_sweep(data, SMALL, tmp_path)
    longer = Grid(**{**vars(SMALL), "length": "fixed:0.5"})
    heard.clear()
    run_sweep(data, longer, tmp_path, overwrite=True)
    assert heard != []
    clip = read_layout(data)[0].test[0].path
    content = clip.read_bytes()
    try:
        heard.clear()
        clip.write_bytes(content[:-200] + bytes(200))
        run_sweep(data, SMALL, tmp_path, overwrite=True)
        assert sum(count for count, _ in heard) == len(
            read_layout(data)[0].train + read_layout(data)[0].test
        )
    finally:
        clip.write_bytes(content)


def test_an_unreadable_clip_stops_its_machine_only(data, tmp_path):
    clip = read_layout(data)[0].test[0].path
    content = clip.read_bytes()
    try:
        clip.write_bytes(b"no sound")
        found = run_sweep(data, SMALL, tmp_path)
    finally:
        clip.write_bytes(content)
    assert found.sections == ("SynthValve_section_00",)
    assert str(clip) in found.failures["SynthFan_section_00"]
    assert set(found.rows[0].sections) == {"SynthValve_section_00"}


def test_an_earlier_table_stays_until_a_better_one_stands(data, tmp_path):
    run_sweep(data, SMALL, tmp_path)
    before = (tmp_path / "sweep.csv").read_bytes()
    clip = read_layout(data)[0].test[0].path
    content = clip.read_bytes()
    try:
        clip.write_bytes(b"no sound")
        with pytest.raises(DatasetError) as caught:
            run_sweep(data, SMALL, tmp_path)
        assert (tmp_path / "sweep.csv").read_bytes() == before
        run_sweep(data, SMALL, tmp_path, overwrite=True)
    finally:
        clip.write_bytes(content)
    assert str(clip) in str(caught.value)
    assert f"the earlier table in {tmp_path} stays as it is" in str(caught.value)
    assert "SynthFan" not in (tmp_path / "sweep.csv").read_text().splitlines()[3]


def test_the_table_of_another_sweep_stays_with_its_identity_until_it_is_overwritten(
    data, tmp_path, monkeypatch
):
    run_sweep(data, SMALL, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("sweep.*")}

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("firstshot.dcase.sweeping.tried.embed_section", stop)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(data, Grid(("logmel",), ("2",)), tmp_path, overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("sweep.*")} == before


def test_a_second_sweep_into_the_folder_of_one_that_works_is_refused(data, tmp_path):
    with hold_folder(tmp_path), pytest.raises(OutputError, match="another firstshot is writing"):
        run_sweep(data, SMALL, tmp_path, overwrite=True)


def test_a_combination_that_cannot_be_scored_is_told_and_left_out(tmp_path):
    counts = {"train_source": 6, "train_target": 1, "test_per_class": 2}
    write_dataset(tmp_path / "data", ["SynthFan"], clip_seconds=0.5, **counts)
    grid = Grid(("logmel",), ("1",), ("domain_local_density", "none"), ("euclidean",))
    found = run_sweep(tmp_path / "data", grid, tmp_path / "out")
    assert [row.combination.normalizer for row in found.rows] == ["none"]
    assert any("domain_local_density euclidean is left out" in note for note in found.notes)
    alone = Grid(("logmel",), ("1",), ("domain_local_density",), ("euclidean",))
    with pytest.raises(DatasetError, match="no combination could be scored"):
        run_sweep(tmp_path / "data", alone, tmp_path / "alone")


def test_sets_without_labels_cannot_be_ranked(data, tmp_path):
    for machine in MACHINES:
        for split in ("train", "test"):
            folder = tmp_path / "data" / machine / split
            folder.mkdir(parents=True)
            for i, clip in enumerate(sorted((data / machine / split).glob("*.wav"))):
                hidden = f"section_00_{i:04d}.wav" if split == "test" else clip.name
                (folder / hidden).write_bytes(clip.read_bytes())
    with pytest.raises(DatasetError, match="ranks by labels"):
        run_sweep(tmp_path / "data", SMALL, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoders": ()}, "at least one encoder or preset"),
        (
            {"presets": ("recomended",)},
            "preset 'recomended' is not known; choose one of recommended, ",
        ),
        ({"encoders": ("whisper",)}, "'whisper' is not known"),
        ({"layers": ("7-10",)}, r"layers '7-10': write all, 7, -1 or 7\+10"),
        ({"layers": ("3",)}, "layer 3 does not exist: logmel has layers 1 to 2"),
        ({"encoders": ("ced_tiny",), "layers": ("13",)}, "ced_tiny has layers 1 to 12"),
        ({"encoders": ("ced_tiny", "logmel"), "layers": ("7",)}, "logmel has layers 1 to 2"),
        ({"normalizers": ("softmax",)}, "'softmax' is not known"),
        ({"metrics": ("manhattan",)}, "'manhattan' is not known"),
        ({"transform": "pca"}, "pca"),
        ({"length": "10"}, "10"),
    ],
)
def test_what_cannot_be_tried_is_refused_before_a_clip_is_heard(
    data, tmp_path, heard, changes, message
):
    with pytest.raises(ParameterError, match=message):
        run_sweep(data, Grid(**{**vars(SMALL), **changes}), tmp_path)
    assert heard == []


def test_a_folder_of_something_else_is_left_alone(data, tmp_path):
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(OutputError, match=r"holds run.json, not a sweep"):
        run_sweep(data, SMALL, tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
    (tmp_path / "run.json").rename(tmp_path / "sweep.json")  # other programs sweep too
    with pytest.raises(OutputError, match=r"holds sweep.json, not a sweep"):
        run_sweep(data, SMALL, tmp_path, overwrite=True)
    assert (tmp_path / "sweep.json").read_text() == "{}"


def test_a_damaged_identity_is_replaced_only_on_request(data, tmp_path):
    table = sweep_csv(run_sweep(data, SMALL, tmp_path))
    identity = (tmp_path / "sweep.json").read_text()
    (tmp_path / "sweep.json").write_text(identity[:30])
    with pytest.raises(OutputError, match=r"sweep\.json is damaged.*start the sweep again"):
        run_sweep(data, SMALL, tmp_path)
    assert (tmp_path / "sweep.csv").read_text() == table
    run_sweep(data, SMALL, tmp_path, overwrite=True)
    assert (tmp_path / "sweep.json").read_text() == identity


def test_a_sweep_that_failed_without_a_result_leaves_no_claim(tmp_path):
    counts = {"train_source": 6, "train_target": 1, "test_per_class": 2}
    write_dataset(tmp_path / "data", ["SynthFan"], clip_seconds=0.5, **counts)
    for clip in (tmp_path / "data").rglob("*.wav"):
        clip.write_bytes(b"no sound")
    with pytest.raises(DatasetError):
        run_sweep(tmp_path / "data", SMALL, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_damaged_scores_are_made_again(data, tmp_path):
    first = sweep_csv(run_sweep(data, SMALL, tmp_path))
    for path in (tmp_path / "scored").iterdir():
        path.write_text("[1, 2")
    assert sweep_csv(run_sweep(data, SMALL, tmp_path)) == first


def test_one_digit_that_changed_in_kept_scores_is_told_of_and_made_again(data, tmp_path):
    whole = run_sweep(data, SMALL, tmp_path)
    path = next((tmp_path / "scored").iterdir())
    content = path.read_text()
    place = content.index('"auc_source": ') + len('"auc_source": ')
    path.write_text(content[:place] + str(1 - int(content[place])) + content[place + 1 :])
    with pytest.warns(FirstshotWarning, match=r"the digest differs.*scored again"):
        assert run_sweep(data, SMALL, tmp_path).rows == whole.rows
    assert path.read_text() == content


def test_the_csv_warns_before_its_first_row_and_marks_what_looks_at_test_clips(data, tmp_path):
    grid = Grid(("logmel",), ("1",), ("none", "test_zscore"), ("euclidean",))
    found = run_sweep(data, grid, tmp_path)
    lines = sweep_csv(found).splitlines()
    assert [line.startswith("#") for line in lines] == [True] * 3 + [False] * 3
    assert "not to choose" in lines[0]
    assert "forbids" in lines[2]
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    assert {row["normalizer"]: row["transductive"] for row in rows} == {
        "none": "no",
        "test_zscore": "yes",
    }
    best = found.rows[0]
    assert float(rows[0]["official score"]) == pytest.approx(100 * best.official_score, abs=1e-4)
    values = [float(rows[0][f"official score {name}"]) for name in found.sections]
    assert np.mean(values) == pytest.approx(100 * np.mean(list(best.sections.values())), abs=1e-4)


def test_the_command_prints_the_best_and_the_warning(data, tmp_path):
    app = typer.Typer()
    app.command()(command)
    out = tmp_path / "out"
    options = ["--encoder", "logmel", "--layers", "1,1+2", "--normalizer", "none", "--top", "2"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = CliRunner().invoke(app, [str(data), *options, "--out", str(out), "--no-store"])
    assert result.exit_code == 0, result.output
    grid = Grid(("logmel",), ("1", "1+2"), ("none",))
    found = run_sweep(data, grid, out)
    for row in sweep_rows(found, 2):
        assert all(cell in result.output for cell in row)
    assert all(line in result.output for line in warning_lines(found))
    assert (out / "sweep.csv").read_text() == sweep_csv(found)
    assert json.loads((out / "sweep.json").read_text())["grid"]["layers"] == ["1", "1+2"]


def test_weights_of_a_pre_trained_encoder_are_named_with_it():
    assert weights_of("ced_tiny=/a=b/ced.pt") == ("ced_tiny", {"weights": "/a=b/ced.pt"})


def test_the_terminal_names_weights_only_where_the_encoders_name_is_not_enough():
    way = Combination((1,), "none", "euclidean")
    encoders = ("ced_tiny=a.pt", "ced_tiny=b.pt", "ced_base=c.pt")
    found = Sweep(tuple(Row(name, way, 0.9, 0.8, 0.7, 0.8, {}) for name in encoders), ())
    shown = [row[0] for row in sweep_rows(found, 3)]
    assert shown == ["ced_tiny=a.pt", "ced_tiny=b.pt", "ced_base"]


@pytest.mark.parametrize("content", ["a\rb,c", "", "# only a remark", "\0", "x" * 200_000])
def test_a_table_that_is_none_ranks_nothing(tmp_path, content):
    (tmp_path / "sweep.csv").write_text(content)
    assert ranked_sections(tmp_path) == []
