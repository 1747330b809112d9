"""Valid inputs of every reader, small, made once by firstshot itself for a fuzz run.

What needs an optional library (torch, ONNX Runtime) is left out where that is not installed; the
targets that need it are left out then, too.
"""

from __future__ import annotations

import shutil
import sys
import warnings
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

DETECTOR_FILES = Path(__file__).parents[1] / "detector" / "files"
EXTENSIONS = {
    "OGG": "ogg",
    "MPEG": "mp3",
    "MP3": "mp3",
    "AIFF": "aiff",
    "WAV": "wav",
    "WAVEX": "wav",
}
RATE = 16000


def make_samples(folder: Path) -> None:
    """Write all samples into a new folder."""
    folder.mkdir(parents=True)
    _write_data_set(folder)
    _write_audio(folder / "audio")
    _write_detectors(folder)
    _write_runs(folder)
    _write_truth(folder / "truth")
    if has("torch"):
        _write_weights(folder)
        _write_checkpoint(folder)
        _write_trained(folder / "trained.safetensors")
        if has("onnx") and has("onnxruntime"):
            _write_bundle(folder)


def has(library: str) -> bool:
    """Tell whether a library is installed."""
    return find_spec(library) is not None


def tree_of(folder: Path) -> list[Path]:
    """Return the files below a folder, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _write_data_set(folder: Path) -> None:
    from firstshot.sound.synth.dataset import write_dataset

    write_dataset(
        folder / "made", ["SynthFan"], clip_seconds=0.3, train_source=6, train_target=3,
        test_per_class=2,
    )  # fmt: skip
    # A published machine's name, so that its results can be set beside the published ones.
    machine = folder / "data" / "fan"
    shutil.copytree(folder / "made" / "SynthFan", machine)
    for table in machine.glob("*.csv"):
        table.write_text(table.read_text().replace("SynthFan/", "fan/"))
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        for path in tree_of(machine)[:6]:
            archive.write(path, f"dev_data/raw/fan/{path.relative_to(machine)}")


def _write_audio(folder: Path) -> None:
    import soundfile

    folder.mkdir()
    tone = 0.3 * np.sin(np.arange(4000)[:, None] * np.array([0.05, 0.07]))
    for form in soundfile.available_formats():
        for subtype in soundfile.available_subtypes(form):
            path = folder / f"{form}_{subtype}.{EXTENSIONS.get(form, form.lower())}"
            for channels in (2, 1):
                try:
                    soundfile.write(path, tone[:, :channels], 8000, subtype, format=form)
                    break
                except (soundfile.LibsndfileError, ValueError, TypeError):
                    path.unlink(missing_ok=True)


def _write_detectors(folder: Path) -> None:
    from firstshot.detector import Detector

    normal = sorted((folder / "data" / "fan" / "train").glob("*source*.wav"))
    target = sorted((folder / "data" / "fan" / "train").glob("*target*.wav"))
    settings: dict[str, dict[str, object]] = {
        "plain": {},
        "windows": {"length": "windows:0.2:0.1", "normalizer": "local_density"},
        "whitened": {"transform": "whiten", "metric": "cosine", "normalizer": "domain_zscore"},
        "quantile": {"threshold": "quantile", "normalizer": "none", "bank_precision": "float16"},
    }
    (folder / "detectors").mkdir()
    for name, chosen in settings.items():
        detector = Detector(**chosen)  # type: ignore[arg-type]
        detector.fit(normal, target).save(folder / "detectors" / f"{name}.firstshot")
    for path in DETECTOR_FILES.glob("*.firstshot"):
        shutil.copy(path, folder / "detectors")


def _write_runs(folder: Path) -> None:
    from firstshot.dcase.running.run import run_system
    from firstshot.dcase.running.system import load_system
    from firstshot.dcase.submitting.submit import write_submission
    from firstshot.dcase.sweeping.grid import Grid
    from firstshot.dcase.sweeping.sweep import run_sweep
    from firstshot.store import EmbeddingStore

    store = EmbeddingStore(folder / "store")
    run_system(folder / "data", load_system("embedded"), folder / "run", store=store)
    grid = Grid(("logmel",), ("all",), ("none",), ("euclidean",))
    run_sweep(folder / "data", grid, folder / "sweep", store=store)
    write_submission([folder / "run"], folder / "submission.zip", team="Curie_IdR")


def _write_truth(folder: Path) -> None:
    """Write the evaluator's ground truth of the run's clips."""
    name = "fan_section_00_test.csv"
    rows = (folder.parent / "run" / f"anomaly_score_{name}").read_text().splitlines()
    clips = [row.split(",")[0] for row in rows]
    columns = {
        "data": [int("anomaly" in clip) for clip in clips],
        "domain": [int("target" in clip) for clip in clips],
        "attributes": [f"{clip.removesuffix('.wav')}_noAttribute" for clip in clips],
    }
    for kind, values in columns.items():
        path = folder / f"ground_truth_{kind}" / f"ground_truth_{name}"
        path.parent.mkdir(parents=True)
        path.write_text("".join(f"{c},{v}\n" for c, v in zip(clips, values, strict=True)))


def _write_weights(folder: Path) -> None:
    from tests.encoders import official_files as official

    (folder / "weights").mkdir()
    names = {record.spec.family: name for name, record in official.MINI.items()}
    for module, forms in official.FORMATS.items():
        for form in forms:
            official.write(names[module], folder / "weights", form)


def _write_checkpoint(folder: Path) -> None:
    from firstshot.autoencoder.training import train

    for name, epochs in (("finished", 1), ("begun", 1)):
        path = folder / f"{name}.safetensors"
        train(training_frames(), 1, training_settings(epochs), checkpoint=path)


def _write_trained(path: Path) -> None:
    from firstshot.encoders.models import build
    from firstshot.encoders.specs.trained import trained_spec
    from firstshot.encoders.weights.trained_file import pack_trained

    spec = trained_spec("tiny", 8000)
    path.write_bytes(pack_trained(spec, build(spec).state_dict(), {"seed": 0}))


def training_frames() -> object:
    """Return what a small autoencoder training learns from."""
    from firstshot.autoencoder.features import join_frames, log_mel

    noise = np.random.default_rng(0).standard_normal((2, 8000)).astype(np.float32)
    return join_frames([log_mel(clip) for clip in noise], [False, True])


def training_settings(epochs: int) -> object:
    """Return the settings of a training of seconds."""
    from firstshot.autoencoder.settings import TrainingSettings

    return TrainingSettings(epochs=epochs, batch=8)


def _write_bundle(folder: Path) -> None:
    from firstshot.deploy.export import export_detector
    from firstshot.detector import Detector

    weights = next((folder / "weights").glob("ced*"))
    noise = 0.1 * np.random.default_rng(0).standard_normal((9, 2 * RATE)).astype(np.float32)
    detector = Detector("ced_tiny", encoder_settings={"weights": str(weights)})
    export_detector(detector.fit(noise, sample_rate=RATE), folder / "bundle")


def small_defaults() -> None:
    """Let the pre-trained names be small networks, and the demo a machine of a few clips."""
    from firstshot.sound.synth import dataset

    dataset.write_dataset.__defaults__ = (("SynthFan",), 0, 0.2, 2, 2, 1, (0.2, 1.0), None)
    if has("torch"):
        from tests.encoders import official_files as official

        from firstshot.encoders.runtimes import auto as runtime_choice
        from firstshot.encoders.weights.catalog import ENCODERS

        runtime_choice.PROBE_SECONDS = 0.0
        ENCODERS.update(official.MINI)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    small_defaults()
    make_samples(Path(sys.argv[1]))
