"""Small synthetic sets in the challenge's layout, made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from firstshot.sound.synth.dataset import write_dataset
from firstshot.store import EmbeddingStore

MACHINES = ["SynthFan", "SynthValve"]


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two machines, half-second clips: 20 source, 10 target, 4 test clips per domain and label."""
    root = tmp_path_factory.mktemp("synthetic") / "data"
    write_dataset(root, MACHINES, 3, 0.5, train_source=20, train_target=10, test_per_class=4)
    return root


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingStore:
    """One store for all runs, as on a user's machine."""
    return EmbeddingStore(tmp_path_factory.mktemp("store"))


@pytest.fixture
def copied(synthetic: Path, tmp_path: Path) -> Path:
    """A copy of the set that a test may spoil."""
    return Path(shutil.copytree(synthetic, tmp_path / "data"))
