"""What training on few clips must do on recordings of four real machines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from firstshot.dcase.data.training_clips import list_training_clips
from firstshot.dcase.running.run import run_system
from firstshot.dcase.running.system import load_system
from firstshot.report.table import overall_metrics
from firstshot.store import EmbeddingStore
from firstshot.training.clips import load_clips
from firstshot.training.seeds import make_plan, train_seeds
from firstshot.training.settings import make_settings

RECORDINGS = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "real_machines"
SEEDS = (0, 1, 2)

pytestmark = [
    pytest.mark.skipif(
        not RECORDINGS.is_dir(),
        reason="the recordings of real machines are not beside this checkout",
    ),
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::firstshot.errors.FirstshotWarning"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingStore:
    return EmbeddingStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """`spec` by three seeds: trained as its recipe says, and untrained."""
    loaded = load_clips(list_training_clips([RECORDINGS]))
    folder, found = tmp_path_factory.mktemp("files"), {}
    for name, epochs in (("untrained", 0), ("trained", None)):
        plan = make_plan(loaded, make_settings("spec", epochs=epochs))
        runs = train_seeds(plan, SEEDS, folder / f"{name}.safetensors")
        found[name] = [run.path for run in runs]
    return found


def official_score(settings: dict[str, object], out: Path, store: EmbeddingStore) -> float:
    """The official score in percent, harmonic mean over the four machines."""
    run = run_system(RECORDINGS, load_system("embedded").changed(settings), out, store=store)
    assert run.failures == {}
    return 100 * overall_metrics(run.results)["official_score"]


def test_a_trained_spectrum_network_beats_itself_untrained(
    files: dict[str, list[Path]], tmp_path: Path, store: EmbeddingStore
) -> None:
    alone = {"metric": "cosine", "normalizer": "density"}
    means = {
        name: np.mean(
            [official_score({"encoder": str(p), **alone}, tmp_path / p.stem, store) for p in paths]
        )
        for name, paths in files.items()
    }
    assert means["trained"] > means["untrained"] + 5


def test_it_does_not_lower_the_recommended_setting_as_a_fifth_view(
    files: dict[str, list[Path]], tmp_path: Path, store: EmbeddingStore
) -> None:
    plain = official_score({"views": "recommended"}, tmp_path / "plain", store)
    joined = [
        official_score({"views": f"recommended + trained:{path}"}, tmp_path / path.stem, store)
        for path in files["trained"]
    ]
    assert np.mean(joined) >= plain
