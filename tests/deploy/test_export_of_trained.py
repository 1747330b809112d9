"""A detector with a trained network becomes a bundle that scores without torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tests.deploy.test_export_of_views import WITHOUT_TORCH, clips_of
from tests.encoders.test_trained import write

from firstshot.deploy.bundle import load_bundle
from firstshot.deploy.export import export_detector
from firstshot.detector import Detector

pytestmark = pytest.mark.filterwarnings("ignore::firstshot.errors.FirstshotWarning")


@pytest.mark.parametrize("recipe", ["tiny", "spec", "fmlp", "cnn"])
def test_a_bundle_scores_what_its_detector_scores(recipe: str, tmp_path: Path) -> None:
    views = f"recommended_small + trained:{write(recipe, tmp_path)}"
    detector = Detector(views=views).fit(clips_of(1.2, 9))
    bundle = load_bundle(export_detector(detector, tmp_path / "bundle"))
    np.testing.assert_allclose(
        bundle.score(clips_of(1.7, 3, 5)), detector.score(clips_of(1.7, 3, 5)), rtol=1e-4, atol=1e-4
    )


def test_a_bundle_of_a_trained_encoder_needs_no_torch(tmp_path: Path) -> None:
    import subprocess
    import sys

    import soundfile

    detector = Detector(encoder=str(write("spec", tmp_path))).fit(clips_of(1.2, 9))
    export_detector(detector, tmp_path / "bundle")
    soundfile.write(tmp_path / "clip.wav", clips_of(1.2)[0][0], 16000)
    done = subprocess.run(
        [
            *(sys.executable, "-c", WITHOUT_TORCH.replace("[:N]", "[:1]")),
            *("score", str(tmp_path / "bundle"), str(tmp_path / "clip.wav")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "clip.wav" in done.stdout
