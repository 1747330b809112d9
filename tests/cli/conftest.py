"""The program as a user starts it, and one small synthetic data set for all tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAM = [sys.executable, "-m", "firstshot"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One thread, and a store of embeddings that only these tests know."""
    cache = tmp_path_factory.mktemp("cache")
    return {**os.environ, "FIRSTSHOT_CACHE": str(cache), "OMP_NUM_THREADS": "1", "COLUMNS": "80"}


@pytest.fixture(scope="session")
def firstshot(environment: dict[str, str]) -> Run:
    """Start the program with arguments and wait for it."""

    def run(*words: object, **settings: object) -> subprocess.CompletedProcess[str]:
        command = [*PROGRAM, *map(str, words)]
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            command,
            **{
                "capture_output": True,
                "text": True,
                "env": environment,
                "timeout": 120,
                "check": False,
                **settings,
            },
        )

    return run


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory, firstshot: Run) -> Path:
    """Two synthetic machines: 20 source and 10 target training clips, 16 test clips each."""
    root = tmp_path_factory.mktemp("synthetic") / "data"
    words = "--machine SynthFan --machine SynthValve --seconds 1 --source 20 --target 10 --test 4"
    made = firstshot("synth", root, *words.split())
    assert made.returncode == 0, made.stderr
    return root


@pytest.fixture(scope="session")
def normal(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a fan's normal sound: `source` and `target`."""
    folder = tmp_path_factory.mktemp("normal")
    for domain in ("source", "target"):
        (folder / domain).mkdir()
        for clip in (dataset / "SynthFan" / "train").glob(f"*_{domain}_*"):
            (folder / domain / clip.name).symlink_to(clip)
    return {domain: folder / domain for domain in ("source", "target")}


@pytest.fixture(scope="session")
def detector(
    normal: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, firstshot: Run
) -> Path:
    """A detector file of the fan."""
    out = tmp_path_factory.mktemp("detector") / "fan.firstshot"
    made = firstshot("fit", normal["source"], "--target", normal["target"], "-o", out)
    assert made.returncode == 0, made.stderr
    return out


@pytest.fixture(scope="session")
def test_clips(dataset: Path) -> Path:
    """The folder of the fan's test clips."""
    return dataset / "SynthFan" / "test"


@pytest.fixture(scope="session")
def finished(dataset: Path, tmp_path_factory: pytest.TempPathFactory, firstshot: Run) -> Path:
    """The output folder of a run of the embedded system."""
    out = tmp_path_factory.mktemp("runs") / "embedded"
    done = firstshot("dcase", "run", dataset, "--out", out)
    assert done.returncode == 0, done.stderr
    return out
