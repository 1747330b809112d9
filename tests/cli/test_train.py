"""`firstshot train`, and its file wherever the command line takes an encoder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

pytest.importorskip("torch")

from firstshot.cli import app
from firstshot.detector import Detector
from firstshot.encoders.weights.trained_file import read_trained

QUICK = ("--recipe", "tiny", "--window", "0.5", "--epochs", "1", "--no-store")
pytestmark = pytest.mark.filterwarnings("ignore::firstshot.errors.FirstshotWarning")


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [*map(str, words)])


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "my.safetensors"
    done = run("train", dataset, "-o", path, *QUICK)
    assert done.exit_code == 0, done.output
    assert f"wrote {path}: loss " in done.output
    assert f"--view trained:{path}" in done.output
    return path


def test_the_file_tells_its_classes_its_seed_and_its_losses(trained: Path) -> None:
    facts = read_trained(trained).facts
    assert facts["seed"] == 0
    assert facts["settings"]["recipe"] == "tiny"
    assert sum(facts["classes"].values()) == 60
    assert len(facts["epochs"]) == 1


def test_every_epoch_is_told_with_loss_rate_and_time_left(
    dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="firstshot"):
        run("train", dataset, "-o", tmp_path / "a.safetensors", *QUICK, "--epochs", 2)
    told = [record.getMessage() for record in caplog.records]
    assert told[0].startswith("60 clips of ")
    epochs = [line for line in told if line.startswith("seed 0, epoch ")]
    assert len(epochs) == 2
    line = r"seed 0, epoch 2 of 2: loss [\d.]+, class found in \d+ %, learning rate 0.001, "
    assert re.fullmatch(line + "about 0 s left", epochs[1])


def test_several_seeds_are_as_many_files_and_a_mean_with_its_deviation(
    dataset: Path, tmp_path: Path
) -> None:
    done = run("train", dataset, "-o", tmp_path / "a.safetensors", *QUICK, "--seeds", 2)
    assert done.exit_code == 0, done.output
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["a_seed0.safetensors", "a_seed1.safetensors"]
    assert "2 seeds: loss " in done.output
    assert " +- " in done.output


def test_the_file_is_an_encoder_and_a_view_of_fit_and_of_a_run(
    trained: Path, dataset: Path, tmp_path: Path
) -> None:
    normal = dataset / "SynthFan" / "train"
    out = tmp_path / "a.firstshot"
    done = run("fit", normal, "-o", out, "--encoder", trained, "--no-store")
    assert done.exit_code == 0, done.output
    assert Detector.load(out).embedding_settings().encoder.name == "my.safetensors"
    out = tmp_path / "b.firstshot"
    view = f"trained:{trained}"
    done = run("fit", normal, "-o", out, "--preset", "recommended_small", "--view", view)
    assert done.exit_code == 0, done.output
    labels = [part.label for part in Detector.load(out).fitted_.recipe.parts]
    assert labels == ["bands", "fine bands", "trained my"]
    done = run(
        *("dcase", "run", dataset, "--machine", "SynthFan", "--view", view),
        *("--out", tmp_path / "run", "--no-store", "-q"),
    )
    assert done.exit_code == 0, done.output
    done = run(
        *("dcase", "sweep", dataset, "--encoder", trained, "--normalizer", "density"),
        *("--preset", f"recommended_small + {view}", "--metric", "cosine"),
        *("--out", tmp_path / "sweep", "--no-store", "-q"),
    )
    assert done.exit_code == 0, done.output


def test_embed_takes_the_file_as_an_encoder(trained: Path, dataset: Path, tmp_path: Path) -> None:
    normal = dataset / "SynthFan" / "train"
    done = run("embed", normal, "--encoder", trained, "-o", tmp_path / "e.npz", "--no-store")
    assert done.exit_code == 0, done.output
    assert "30 rows of my.safetensors, layers 1" in done.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--recipe", "spek"), "recipe 'spek' is not known; "),
        (("--epochs", "-1"), "epochs -1: expected a whole number from 0"),
        (("--seeds", "0"), "--seeds 0: expected a whole number from 1"),
        (("--loss", "arcfase"), "loss 'arcfase' is not known; "),
        (("--window", "0.1"), "window_seconds 0.1: expected a number from 0.5 to 30"),
        (("--device", "gpu"), "device 'gpu' cannot be used here"),
        (("-o", "my.pt"), "--out my.pt: expected a name that ends in .safetensors"),
    ],
)
def test_a_bad_option_is_refused_before_any_clip_is_read(
    words: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    done = run("train", tmp_path / "none", "-o", tmp_path / "a.safetensors", *words)
    assert said in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_what_another_program_wrote_is_not_replaced(dataset: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_text("mine")
    done = run("train", dataset, "-o", path, *QUICK, "--overwrite")
    assert "is no trained encoder and is not replaced" in str(done.exception)
    assert path.read_text() == "mine"


def test_clips_of_one_class_are_refused_in_one_line(dataset: Path, tmp_path: Path) -> None:
    only = tmp_path / "data" / "fan"
    only.mkdir(parents=True)
    for clip in sorted((dataset / "SynthFan" / "train").iterdir())[:6]:
        (only / clip.name).write_bytes(clip.read_bytes())
    done = run("train", tmp_path / "data", "-o", tmp_path / "a.safetensors", *QUICK)
    assert "6 clips of one class (fan/00/source)" in str(done.exception)
    assert not (tmp_path / "a.safetensors").exists()


def test_the_recipes_have_their_counts_among_the_encoders() -> None:
    done = run("encoders", "--complexity", "--json")
    assert '"name": "trained_spec"' in done.output
    assert '"parameters": 177280' in done.output
