"""A baseline is run, told and resumed like any other system."""

from __future__ import annotations

import gc
import json
import weakref
from pathlib import Path

import numpy as np
import pytest

from firstshot.autoencoder.settings import TrainingSettings
from firstshot.dcase.evaluation.score_files import read_decisions, read_scores
from firstshot.dcase.running.run import run_system
from firstshot.dcase.running.system import BaselineSystem, EncoderChoice, System, load_system
from firstshot.detector.embedding import settings
from firstshot.encoders.protocol import Encoder
from firstshot.errors import ParameterError, WeightsError
from firstshot.report.terminal import terminal_table
from firstshot.scoring.metrics import section_metrics
from firstshot.store import EmbeddingStore

QUICK = BaselineSystem(
    name="quick", autoencoder="mse", seeds=(3, 4), training=TrainingSettings(epochs=1)
)


def test_a_baseline_tells_means_and_deviations_and_keeps_each_trial(
    synthetic: Path, tmp_path: Path
) -> None:
    store = EmbeddingStore(tmp_path / "store")
    run = run_system(synthetic, QUICK, tmp_path / "out", machines=["SynthFan"], store=store)
    (result,) = run.results
    labels, domains = result.labels, result.domains
    assert labels is not None
    trials = [
        read_scores(
            tmp_path / "out" / "trials" / str(seed) / "anomaly_score_SynthFan_section_00_test.csv"
        ).values
        for seed in QUICK.seeds
    ]
    metrics = [section_metrics(labels, scores, domains)["auc_source"] for scores in trials]
    assert result.metrics["auc_source"] == pytest.approx(np.mean(metrics), abs=1e-12)
    assert result.deviations["auc_source"] == pytest.approx(np.std(metrics, ddof=1), abs=1e-12)
    np.testing.assert_array_equal(result.scores, trials[0])
    assert not np.array_equal(trials[0], trials[1])
    written = json.loads((tmp_path / "out" / "results.json").read_text())
    assert written["machines"]["SynthFan_section_00"]["deviations"].keys() == result.metrics.keys()
    decided = read_decisions(tmp_path / "out" / "decision_result_SynthFan_section_00_test.csv")
    np.testing.assert_array_equal(decided.values, result.decisions)
    assert "±" in str(terminal_table(run.results).columns[1]._cells)
    assert len(result.examples) == 3
    # What was trained is kept: the same run again trains nothing and gives the same numbers.
    kept = {p: p.stat().st_mtime_ns for p in (store.folder / "autoencoder").glob("*.safetensors")}
    assert len(kept) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "store"]
    again = run_system(synthetic, QUICK, tmp_path / "out", machines=["SynthFan"], store=store)
    np.testing.assert_array_equal(again.results[0].scores, result.scores)
    assert {p: p.stat().st_mtime_ns for p in kept} == kept


def test_the_packaged_baselines_are_as_released() -> None:
    for name, score in (("baseline_mse", "mse"), ("baseline_mahala", "mahala")):
        system = load_system(name)
        assert isinstance(system, BaselineSystem)
        assert (system.autoencoder, system.training.epochs) == (score, 100)
        assert len(system.seeds) == 5


def test_a_baseline_has_no_normaliser() -> None:
    with pytest.raises(ParameterError, match="has none; leave it out"):
        QUICK.changed({"normalizer": "none"})


def _two_encoders(second: str) -> System:
    return System(
        name="two",
        encoders=(EncoderChoice(name="logmel"), EncoderChoice(name=second, layers=(2,))),
        normalizer="none",
    )


def test_missing_weights_are_told_of_before_a_clip_is_heard(
    synthetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setenv("FIRSTSHOT_CACHE", str(tmp_path / "cache"))
    store = EmbeddingStore(tmp_path / "store")
    with pytest.raises(WeightsError, match="m2d_clap"):
        run_system(synthetic, _two_encoders("m2d_clap"), tmp_path / "out", store=store)
    assert store.summary().entries == 0


def test_encoders_are_never_in_memory_together(
    synthetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[weakref.ref[Encoder]] = []
    most = 0
    load = settings.load_encoder

    def watched(name: str, **settings: object) -> Encoder:
        nonlocal most
        gc.collect()
        most = max(most, sum(encoder() is not None for encoder in alive) + 1)
        encoder = load(name, **settings)
        alive.append(weakref.ref(encoder))
        return encoder

    monkeypatch.setattr(settings, "load_encoder", watched)
    run = run_system(synthetic, _two_encoders("logmel"), tmp_path / "out")
    assert len(alive) == 4  # each once to see that it can be had, and once to hear all machines
    assert most == 1
    assert len(run.results) == 2
