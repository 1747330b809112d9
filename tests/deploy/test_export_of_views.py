"""A bundle of several encoders, or of none that has weights, scores what its detector scores."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tests.encoders import official_files as official

from firstshot.deploy.bundle import load_bundle
from firstshot.deploy.export import export_detector
from firstshot.detector import Detector
from firstshot.detector.views import MN04, PRESETS, View
from firstshot.errors import DetectorFileError, ParameterError

WITHOUT_TORCH = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "onnx", "onnxruntime", "openvino")[:N]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
from firstshot.cli import main
sys.argv[0] = "firstshot"
main()
"""
pytestmark = pytest.mark.filterwarnings("ignore::firstshot.errors.FirstshotWarning")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as monkeypatch:
        official.use_mini(monkeypatch, folder / "cache")
        yield {name: official.write(name, folder) for name in (MN04, "ced_tiny")}


def clips_of(seconds: float, count: int = 1, seed: int = 0) -> list[tuple[np.ndarray, int]]:
    """Noise and a tone, each clip with another one, so that clips differ by more than rounding."""
    draws = np.random.default_rng(seed)
    times = np.arange(round(16000 * seconds))
    clips = []
    for _ in range(count):
        tone = np.sin(draws.uniform(0.1, 2.5) * times) * draws.uniform(0.02, 0.5)
        noise = draws.uniform(0.02, 0.3) * draws.standard_normal(len(times))
        clips.append(((tone + noise).astype(np.float32), 16000))
    return clips


def of_mn04(files: dict[str, Path], layer: int, **settings: Any) -> View:
    # Deep stages of a random network differ between clips by little more than rounding.
    how = {"weights": str(files[MN04]), "level": "rms"}
    return View(MN04, layer, transform="standardize", encoder_settings=how, **settings)


def fusion(files: dict[str, Path]) -> tuple[View, ...]:
    """Views of two networks, and of an encoder without weights between them."""
    return (
        View("ced_tiny", 2, encoder_settings={"weights": str(files["ced_tiny"])}),
        *PRESETS["recommended"],
        of_mn04(files, 3, name="early"),
        of_mn04(files, 4, groups=2, pooling="rdp:4", name="late"),
    )


@pytest.fixture(scope="module")
def exported(
    files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Detector, Path]:
    detector = Detector(views=fusion(files)).fit(clips_of(2.0, 12), clips_of(2.0, 5, seed=1))
    return detector, export_detector(detector, tmp_path_factory.mktemp("bundles") / "fusion")


def command(*words: str | Path, blocked: int, status: int = 0) -> str:
    program = WITHOUT_TORCH.replace("[:N]", f"[:{blocked}]")
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done.stdout


def test_a_fusion_scores_as_its_detector(exported: tuple[Detector, Path]) -> None:
    detector, folder = exported
    bundle = load_bundle(folder)
    for seconds, count in ((2.0, 3), (3.3, 1), (0.9, 2)):
        clips = clips_of(seconds, count, seed=count)
        found, expected = bundle.predict(clips), detector.predict(clips)
        for one, other in zip(found, expected, strict=True):
            assert one.score == pytest.approx(other.score, rel=1e-4, abs=1e-4)
            assert one.parts == pytest.approx(other.parts, rel=1e-4, abs=2e-4)
            assert (one.is_anomaly, one.domain) == (other.is_anomaly, other.domain)
    assert bundle.threshold_ == detector.threshold_


def test_each_pre_trained_encoder_has_a_graph_and_those_without_weights_have_none(
    exported: tuple[Detector, Path], files: dict[str, Path]
) -> None:
    folder = exported[1]
    assert sorted(path.name for path in folder.iterdir()) == [
        "bundle.json",
        "detector.firstshot",
        "encoder.onnx",
        "encoder_2.onnx",
        "self_check.wav",
    ]
    encoders = json.loads((folder / "bundle.json").read_text())["encoders"]
    assert [(one["name"], one["layers"]) for one in encoders] == [
        ("ced_tiny", [2]),
        (MN04, [3, 4]),
    ]
    assert encoders[1]["level"] == "rms"
    written = b"".join(path.read_bytes() for path in folder.iterdir())
    assert not [file for file in files.values() if str(file).encode() in written]


def test_a_fusion_is_scored_by_the_command_line_where_torch_is_absent(
    exported: tuple[Detector, Path], tmp_path: Path
) -> None:
    import soundfile

    detector, folder = exported
    ((clip, rate),) = clips_of(2.5, seed=7)
    soundfile.write(tmp_path / "clip.wav", clip, rate, subtype="FLOAT")
    found = command("score", folder, tmp_path / "clip.wav", "--format", "json", blocked=2)
    expected = detector.predict(tmp_path / "clip.wav")
    assert json.loads(found)["results"][0]["score"] == pytest.approx(
        expected.score, rel=1e-4, abs=1e-4
    )


def test_a_missing_second_graph_is_named(exported: tuple[Detector, Path], tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(exported[1], tmp_path / "copy")
    (folder / "encoder_2.onnx").unlink()
    with pytest.raises(DetectorFileError, match=r"encoder_2\.onnx: missing"):
        load_bundle(folder)


@pytest.mark.parametrize("settings", [{"views": "recommended"}, {"encoder": "logmel"}])
def test_a_detector_without_weights_is_exported_without_a_graph(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    import soundfile

    if "encoder" in settings:
        settings = {**settings, "encoder_settings": {"keep_level": True}}
    detector = Detector(**settings).fit(clips_of(1.0, 12))
    folder = export_detector(detector, tmp_path / "bundle")
    assert sorted(path.name for path in folder.iterdir()) == [
        "bundle.json",
        "detector.firstshot",
        "self_check.wav",
    ]
    ((clip, rate),) = clips_of(1.5, seed=7)
    soundfile.write(tmp_path / "clip.wav", 0.3 * clip, rate, subtype="FLOAT")
    expected = detector.predict(tmp_path / "clip.wav").score
    assert load_bundle(folder).predict(tmp_path / "clip.wav").score == expected
    found = command("score", folder, tmp_path / "clip.wav", "--format", "json", blocked=4)
    assert json.loads(found)["results"][0]["score"] == expected


def test_two_pre_trained_encoders_of_one_name_are_refused(
    files: dict[str, Path], tmp_path: Path
) -> None:
    one = of_mn04(files, 3, name="rms")
    views = [one, replace(one, encoder_settings={"weights": str(files[MN04])}, name="kept")]
    with pytest.raises(ParameterError, match="a bundle holds 16 at most, each once"):
        export_detector(Detector(views=views).fit(clips_of(1.0, 12)), tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_takes_the_weights_of_the_only_pre_trained_encoder(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from firstshot.cli.export import export

    views = tuple(view for view in fusion(files) if view.encoder != "ced_tiny")
    Detector(views=views).fit(clips_of(1.0, 12)).save(tmp_path / "fan.firstshot")
    export(tmp_path / "fan.firstshot", tmp_path / "bundle", files[MN04])
    assert "spectra layers 1, 2, 3, 4 and efficientat_mn04 layers 3, 4" in (capsys.readouterr().out)
    Detector(views="recommended").fit(clips_of(1.0, 12)).save(tmp_path / "plain.firstshot")
    with pytest.raises(ParameterError, match=r"has 0 encoders with weights \(none\)"):
        export(tmp_path / "plain.firstshot", tmp_path / "other", files[MN04])
