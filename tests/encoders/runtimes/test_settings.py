"""Runtime and precision reach the encoder: by settings, detector file and command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tests.encoders import official_files as official  # noqa: E402

from firstshot import Detector  # noqa: E402
from firstshot.cli import app  # noqa: E402
from firstshot.encoders import load_encoder  # noqa: E402
from firstshot.encoders.pretrained_encoder import PretrainedEncoder  # noqa: E402
from firstshot.errors import DetectorFileError  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::firstshot.errors.FirstshotWarning")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as monkeypatch:
        official.use_mini(monkeypatch, folder / "cache")
        yield official.write("ced_tiny", folder)


def noise(count: int, seed: int) -> list[np.ndarray]:
    draws = np.random.default_rng(seed)
    return list((0.1 * draws.standard_normal((count, 32000))).astype(np.float32))


def test_load_encoder_takes_the_runtime(weights: Path) -> None:
    encoder = load_encoder("ced_tiny", weights, runtime="onnx", precision="fp32", threads=1)
    assert isinstance(encoder, PretrainedEncoder)
    expected = load_encoder("ced_tiny", weights).embed(noise(2, 0))
    for found, wanted in zip(encoder.embed(noise(2, 0)), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def test_a_file_holds_what_auto_picked(weights: Path, tmp_path: Path) -> None:
    asked = {"weights": str(weights), "runtime": "onnx", "precision": "auto", "threads": 1}
    detector = Detector("ced_tiny", encoder_settings=asked).fit(noise(9, 1), sample_rate=16000)
    detector.save(tmp_path / "fan.firstshot")
    loaded = Detector.load(tmp_path / "fan.firstshot")
    assert loaded.encoder_settings is not None
    assert loaded.encoder_settings["precision"] == "fp32"
    assert "threads" not in loaded.encoder_settings
    encoder = loaded.embedding_settings().encoder
    assert isinstance(encoder, PretrainedEncoder)
    assert (encoder.runtime, encoder.precision) == ("onnx", "fp32")
    clips = [(clip, 16000) for clip in noise(3, 2)]
    np.testing.assert_allclose(loaded.score(clips), detector.score(clips), rtol=1e-5)


def test_a_bank_is_not_asked_by_another_runtime(weights: Path, tmp_path: Path) -> None:
    asked = {"weights": str(weights), "runtime": "onnx"}
    Detector("ced_tiny", encoder_settings=asked).fit(noise(9, 1), sample_rate=16000).save(
        tmp_path / "a.firstshot"
    )
    with pytest.raises(DetectorFileError, match="other weights or settings"):
        Detector.load(tmp_path / "a.firstshot", encoder=load_encoder("ced_tiny", weights))


def test_fit_export_and_score_by_the_command_line(weights: Path, tmp_path: Path) -> None:
    normal = tmp_path / "normal"
    normal.mkdir()
    for index, clip in enumerate(noise(9, 3)):
        soundfile.write(normal / f"{index}.wav", clip, 16000)
    soundfile.write(tmp_path / "new.wav", noise(1, 4)[0], 16000)
    file, bundle = str(tmp_path / "fan.firstshot"), str(tmp_path / "bundle")

    def run(*words: str) -> str:
        done = CliRunner().invoke(app, words, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    fit = ["fit", str(normal), "-o", file, "--encoder", "ced_tiny", "--weights", str(weights)]
    run(*fit, "--runtime", "onnx", "--precision", "fp32", "--no-store", "-q")
    assert "its self-check passed" in run("export", file, "--out", bundle)
    new = str(tmp_path / "new.wav")
    rows = [run("score", place, new, "--format", "csv") for place in (file, bundle)]
    assert rows[0] == rows[1]
