"""The report's system 4 from a checkpoint in the official format, its weights made up."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from tests.encoders import official_files as official

from firstshot import load_encoder
from firstshot.dcase.running.run import run_system
from firstshot.dcase.running.system import load_system
from firstshot.detector.embedding import EmbeddingSettings
from firstshot.encoders.weights.catalog import find_record
from firstshot.encoders.weights.find import keep_file
from firstshot.errors import ParameterError
from firstshot.scoring import make_normalizer
from firstshot.sound.audio import LengthPolicy, load_waveform
from firstshot.store import EmbeddingStore


@pytest.fixture
def _cached_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRSTSHOT_CACHE", str(tmp_path / "cache"))
    file = official.write_content(official.ced_hub("ced_tiny"), tmp_path / "model.safetensors")
    keep_file(find_record("ced_tiny"), file)


@pytest.mark.usefixtures("_cached_weights")
def test_system4_runs_from_the_cache_and_scores_as_the_report_defines(
    synthetic: Path, tmp_path: Path
) -> None:
    store = EmbeddingStore(tmp_path / "store")
    run = run_system(
        synthetic, load_system("system4"), tmp_path / "out", machines=["SynthFan"], store=store
    )
    (result,) = run.results
    encoder = load_encoder("ced_tiny")
    settings = EmbeddingSettings(encoder, (7, 10), length=LengthPolicy("fixed", 10.0))
    folder = synthetic / "SynthFan"

    def embed(paths: list[Path]) -> list[np.ndarray]:
        clips = [settings.length.apply(load_waveform(path, 16000), 16000)[0] for path in paths]
        return encoder.embed(clips, layers=(7, 10))

    banks = {d: embed(sorted((folder / "train").glob(f"*_{d}_*"))) for d in ("source", "target")}
    queries = embed([folder / "test" / name for name in result.clips[:4]])
    expected = np.mean(
        [
            make_normalizer("domain_local_density", k_source=16, k_target=9)
            .fit({domain: layers[i] for domain, layers in banks.items()})
            .score(queries[i])
            for i in range(2)
        ],
        axis=0,
    )
    np.testing.assert_allclose(result.scores[:4], expected, rtol=1e-6)
    written = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(written["machines"]) == {"SynthFan_section_00"}


@pytest.mark.usefixtures("_cached_weights")
def test_system4_by_another_runtime_gives_the_same_scores_and_says_what_ran_it(
    synthetic: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    scores = {}
    for runtime in ("torch", "onnx", "auto"):
        system, picked = (
            load_system("system4")
            .changed({"encoder_settings": {"runtime": runtime, "precision": "fp32"}})
            .pick_runtimes()
        )
        assert bool(picked) == (runtime == "auto")
        run = run_system(synthetic, system, tmp_path / runtime, machines=["SynthFan"])
        scores[runtime] = run.results[0].scores
        written = json.loads((tmp_path / runtime / "results.json").read_text())
        settings = written["settings"]["encoders"][0]["settings"]
        assert settings["precision"] == "fp32"
        assert settings["runtime"] == (runtime if runtime != "auto" else picked[0].split()[1])
    np.testing.assert_allclose(scores["onnx"], scores["torch"], rtol=1e-4)
    np.testing.assert_allclose(scores["auto"], scores["torch"], rtol=1e-4)


@pytest.mark.parametrize("system", ["embedded", "baseline_mse"])
def test_a_system_with_one_runtime_refuses_another(system: str) -> None:
    with pytest.raises(ParameterError, match="leave"):
        load_system(system).changed({"encoder_settings": {"runtime": "onnx"}}).pick_runtimes()


@pytest.mark.usefixtures("_cached_weights")
def test_another_runtime_computes_in_fp32_unless_told_and_what_it_cannot_is_refused_at_once() -> (
    None
):
    pytest.importorskip("openvino")
    system, _ = (
        load_system("system4")
        .changed({"encoder_settings": {"runtime": "openvino"}})
        .pick_runtimes()
    )
    assert system.encoders[0].settings == {"runtime": "openvino", "precision": "fp32"}
    with pytest.raises(ParameterError, match="fp16"):
        load_system("system4").changed(
            {"encoder_settings": {"runtime": "onnx", "precision": "fp16"}}
        ).pick_runtimes()


def test_a_runtime_that_is_not_known_is_refused_before_weights_are_looked_for() -> None:
    with pytest.raises(ParameterError, match="'foo' is not known"):
        load_encoder("ced_tiny", "nowhere.pt", runtime="foo")
