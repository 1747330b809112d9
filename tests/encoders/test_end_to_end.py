"""A detector with CED tiny, from a checkpoint in the hub's format, on recordings of real machines.

The weights are made up, so what is asked is that everything fits together: layers, banks, decision,
file and command line, on real sound.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.encoders import official_files as official  # noqa: E402

import firstshot  # noqa: E402
from firstshot.errors import FirstshotWarning  # noqa: E402

MACHINE = Path(__file__).resolve().parents[2] / ".." / "shared" / "data/real_machines/MimiiFan"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("hub") / "model.safetensors"
    return official.write_content(official.ced_hub("ced_tiny"), file)


@pytest.fixture(scope="module")
def clips() -> dict[str, list[Path]]:
    if not MACHINE.is_dir():
        pytest.skip("the recordings of real machines are not beside this checkout")
    train, test = sorted((MACHINE / "train").iterdir()), sorted((MACHINE / "test").iterdir())
    source = [path for path in train if "_source_" in path.name]
    return {
        "source": source[:10],
        "target": [path for path in train if "_target_" in path.name][:3],
        "new": [path for path in test if "_normal_" in path.name][:2]
        + [path for path in test if "_anomaly_" in path.name][:2],
    }


def test_a_detector_learns_and_judges_real_machines(
    weights: Path, clips: dict[str, list[Path]], tmp_path: Path
) -> None:
    detector = firstshot.Detector(
        encoder="ced_tiny",
        layers=(7, 10),
        encoder_settings={"weights": str(weights)},
        normalizer_settings={"k_source": 4, "k_target": 2},
    )
    detector.fit(clips["source"], clips["target"])
    assert [part.bank.embeddings.shape for part in detector.parts_] == [(13, 4 * 192)] * 2
    results = detector.predict(clips["new"])
    assert all(np.isfinite(result.score) and 0.0 <= result.p_value <= 1.0 for result in results)
    assert len({result.score for result in results}) == 4
    # A clip of the bank is its own nearest neighbour, whatever the weights.
    with pytest.warns(FirstshotWarning, match="the same samples as the normal clip"):
        (again,) = detector.predict(clips["source"][:1])
    assert Path(again.nearest[0].clip).name == clips["source"][0].name
    assert again.score < min(result.score for result in results)
    detector.save(tmp_path / "fan.firstshot")
    loaded = firstshot.Detector.load(tmp_path / "fan.firstshot")
    assert [result.score for result in loaded.predict(clips["new"])] == [
        result.score for result in results
    ]


def test_the_command_line_does_the_same(
    weights: Path, clips: dict[str, list[Path]], tmp_path: Path
) -> None:
    for name in ("source", "target", "new"):
        (tmp_path / name).mkdir()
        for path in clips[name]:
            (tmp_path / name / path.name).symlink_to(path.resolve())

    def firstshot_(*arguments: str) -> str:
        command = [sys.executable, "-m", "firstshot", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    fit = ("fit", "source", "--target", "target", "-o", "fan.firstshot", "--no-store")
    firstshot_(*fit, "--encoder", "ced_tiny", "--weights", str(weights), "--layers", "7,10")
    results = json.loads(firstshot_("score", "fan.firstshot", "new", "--format", "json"))["results"]
    assert sorted(Path(result["clip"]).name for result in results) == sorted(
        path.name for path in clips["new"]
    )

    missing = subprocess.run(
        [sys.executable, "-m", "firstshot", *fit[:-2], "other.firstshot", "--encoder", "beats_ft1"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        env={"FIRSTSHOT_CACHE": str(tmp_path / "cache"), "PATH": ""},
    )
    assert missing.returncode == 2
    (line,) = missing.stderr.strip().splitlines()
    assert line.startswith("error: beats_ft1: its weights are not on this machine; get BEATs_iter3")
