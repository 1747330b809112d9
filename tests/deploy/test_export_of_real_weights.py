"""A bundle of the fusion with the published weights scores what its detector scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from firstshot.deploy.bundle import load_bundle
from firstshot.deploy.export import export_detector
from firstshot.detector import Detector
from firstshot.detector.views import MN04, PRESETS
from firstshot.encoders import load_encoder

WEIGHTS = Path(__file__).resolve().parents[3] / "shared" / "weights" / "mn04_as_mAP_432.pt"


@pytest.mark.filterwarnings("ignore::firstshot.errors.FirstshotWarning")
@pytest.mark.skipif(not WEIGHTS.is_file(), reason="the published weights of mn04 are not here")
def test_the_fusion_with_the_published_weights_scores_as_its_detector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRSTSHOT_CACHE", str(tmp_path / "cache"))
    encoder = load_encoder(MN04, weights=WEIGHTS, level="rms")
    views = [
        replace(view, encoder=encoder, encoder_settings={}) if view.encoder == MN04 else view
        for view in PRESETS["recommended_fusion"]
    ]
    times, draws = np.arange(32000), np.random.default_rng(0)
    tones = [0.3 * np.sin(0.3 * times + draws.uniform(0, 6)) for _ in range(12)]
    normal = [(tone + 0.1 * draws.standard_normal(len(times)), 16000) for tone in tones]
    faulty = [(0.3 * np.sin(pitch * times), 16000) for pitch in (0.32, 0.9)]
    detector = Detector(views=views).fit(normal)
    bundle = load_bundle(export_detector(detector, tmp_path / "bundle"))
    assert [view.name for view in bundle.fitted_.settings["views"]][-1] == "mn04 stage 12"
    np.testing.assert_allclose(bundle.score(faulty), detector.score(faulty), rtol=1e-4)
