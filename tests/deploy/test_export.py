"""A bundle scores what its detector scores, and needs no torch for it."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tests.encoders import official_files as official  # noqa: E402
from tests.mutations import mutations, without_one  # noqa: E402
from tests.two_channels import record  # noqa: E402

from firstshot.deploy.bundle import load_bundle, with_digest  # noqa: E402
from firstshot.deploy.export import export_detector  # noqa: E402
from firstshot.detector import Detector  # noqa: E402
from firstshot.disk.files import sha256_of  # noqa: E402
from firstshot.encoders import WITHOUT_WEIGHTS, list_encoders, load_encoder  # noqa: E402
from firstshot.encoders.logmel import LogMel  # noqa: E402
from firstshot.encoders.runtimes.with_runtime import with_runtime  # noqa: E402
from firstshot.encoders.specs import SPECS  # noqa: E402
from firstshot.encoders.specs.as_json import read_spec, write_spec  # noqa: E402
from firstshot.errors import (  # noqa: E402
    DetectorFileError,
    FirstshotError,
    FirstshotWarning,
    OutputError,
    ParameterError,
    WeightsError,
)

NAMES = tuple(official.MINI)
_TOGETHER = {"normalizer": "test_zscore"}  # its clips are scored together, so it has no self-check
FAMILIES = ("ced_tiny", "eat", "beats_ft1", "m2d_clap", "efficientat_mn04")
BLOCK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "onnx", "huggingface_hub", "openvino", "safetensors"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
"""
pytestmark = pytest.mark.filterwarnings("ignore::firstshot.errors.FirstshotWarning")


@pytest.fixture(scope="module", autouse=True)
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as monkeypatch:
        official.use_mini(monkeypatch, folder / "cache")
        yield {name: official.write(name, folder) for name in official.MINI}


def noise(seconds: float, count: int = 1, seed: int = 0) -> list[np.ndarray]:
    draws = np.random.default_rng(seed)
    shape = (count, round(16000 * seconds))
    return list((0.1 * draws.standard_normal(shape)).astype(np.float32))


def clips_of(seconds: float, count: int = 1, seed: int = 0) -> list[tuple[np.ndarray, int]]:
    return [(samples, 16000) for samples in noise(seconds, count, seed)]


def fitted(files: dict[str, Path], name: str, **settings: Any) -> Detector:
    detector = Detector(name, encoder_settings={"weights": str(files[name])}, **settings)
    return detector.fit(clips_of(2.0, 6), clips_of(2.0, 3, seed=1))


def run(program: str, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stderr
    return done


@pytest.fixture(scope="module")
def exported(
    files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Detector, Path]]:
    folder = tmp_path_factory.mktemp("bundles")
    detectors = {name: fitted(files, name) for name in NAMES}
    return {name: (d, export_detector(d, folder / name)) for name, d in detectors.items()}


def test_every_pre_trained_encoder_is_held_to_its_detector() -> None:
    assert set(NAMES) == set(list_encoders()) - set(WITHOUT_WEIGHTS)
    assert len(NAMES) == 11


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_the_detectors_at_any_batch_size_and_length(
    exported: dict[str, tuple[Detector, Path]], name: str
) -> None:
    detector, folder = exported[name]
    bundle = load_bundle(folder)
    assert (bundle.embedding_settings().encoder.name, bundle.embedding_settings().layers) == (
        name,
        detector.embedding_settings().layers,
    )
    for batch in range(1, 10):
        clips = clips_of(3.0 + 1.5 * (batch - 1) + 0.013 * batch, batch, seed=batch)
        found, expected = bundle.predict(clips), detector.predict(clips)
        for one, other in zip(found, expected, strict=True):
            assert one.score == pytest.approx(other.score, rel=1e-4)
            assert (one.is_anomaly, one.domain) == (other.is_anomaly, other.domain)
            assert [n.clip for n in one.nearest] == [n.clip for n in other.nearest]
    assert bundle.threshold_ == detector.threshold_


@pytest.mark.parametrize("name", FAMILIES)
def test_the_front_end_is_the_encoders_bit_for_bit(files: dict[str, Path], name: str) -> None:
    spec: Any = load_encoder(name, weights=files[name]).spec  # type: ignore[attr-defined]
    kinds = [spec, replace(spec, fixed_samples=64000)]
    kinds += [replace(spec, pooled="real")] if hasattr(spec, "pooled") else []
    for original in kinds:
        written = json.loads(json.dumps(write_spec(original)))
        read = read_spec(written)
        for samples in (original.minimum_samples, 16000, 79999, 160000, 161920, 196800, 240000):
            (clip,) = noise(samples / 16000)
            np.testing.assert_array_equal(read.front_end(clip), original.front_end(clip))
            assert read.macs(samples) == original.macs(samples)
            for layer in range(1, original.depth + 1):
                assert read.grid(samples, layer) == original.grid(samples, layer)
                assert read.pooled_time(samples, layer) == original.pooled_time(samples, layer)
        for name_ in ("name", "depth", "default_layers", "minimum_samples"):
            assert getattr(read, name_) == getattr(original, name_)
        for layer in range(1, original.depth + 1):
            assert read.dim(layer) == original.dim(layer)
            assert read.frequency_bands(layer) == original.frequency_bands(layer)


def test_a_description_with_one_list_of_bands_for_all_layers_is_still_read() -> None:
    spec = SPECS["ced_tiny"]
    written = json.loads(json.dumps(write_spec(spec)))
    (first, *_) = written["frequency_bands"]
    assert read_spec({**written, "frequency_bands": first}) == spec
    for wrong in (first[1:], written["frequency_bands"][1:], []):
        with pytest.raises(WeightsError, match="frequency_bands are"):
            read_spec({**written, "frequency_bands": wrong})


def test_constants_of_another_front_end_are_refused(files: dict[str, Path]) -> None:
    spec: Any = load_encoder("ced_tiny", weights=files["ced_tiny"]).spec  # type: ignore[attr-defined]
    written = write_spec(spec)
    written["front_end"] = {**written["front_end"], "top_db": 80.0}
    with pytest.raises(WeightsError, match=r"top_db 80\.0 and this firstshot 120\.0"):
        read_spec(written)
    with pytest.raises(WeightsError, match="cannot be used"):
        read_spec({**written, "geometry": {"dimension": 3}})


def test_a_bundle_scores_where_torch_is_absent(
    exported: dict[str, tuple[Detector, Path]], tmp_path: Path
) -> None:
    import soundfile

    detector, folder = exported["ced_tiny"]
    (clip,) = noise(4.0, seed=9)
    soundfile.write(tmp_path / "clip.wav", clip, 16000, subtype="FLOAT")
    program = (
        f"{BLOCK}\n"
        "from firstshot.deploy.bundle import load_bundle\n"
        "print(repr(load_bundle(sys.argv[1]).predict(sys.argv[2]).score))\n"
        "heavy = ('torch', 'scipy.stats', 'pydantic', 'matplotlib')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = run(program, str(folder), str(tmp_path / "clip.wav"))
    score, heavy = done.stdout.splitlines()
    expected = detector.predict(tmp_path / "clip.wav").score
    assert float(score) == pytest.approx(expected, rel=1e-4)
    assert heavy == "[]"


@pytest.mark.parametrize("name", FAMILIES)
def test_the_command_line_scores_a_folder_where_torch_is_absent(
    exported: dict[str, tuple[Detector, Path]], tmp_path: Path, name: str
) -> None:
    import soundfile

    detector, folder = exported[name]
    (tmp_path / "clips").mkdir()
    for i, clip in enumerate(noise(3.0, 3, seed=4)):
        soundfile.write(tmp_path / "clips" / f"{i}.wav", clip, 16000, subtype="FLOAT")
    (tmp_path / "clips" / "torn.wav").write_bytes(b"RIFF")
    program = f"{BLOCK}\nfrom firstshot.cli import main\nsys.argv[0] = 'firstshot'\nmain()\n"
    arguments = ("score", str(folder), str(tmp_path / "clips"), "--format", "json")
    done = run(program, *arguments, status=2)
    assert "torn.wav: not readable as audio" in done.stderr
    assert "Traceback" not in done.stderr
    (tmp_path / "clips" / "torn.wav").unlink()
    found = json.loads(run(program, *arguments).stdout)["results"]
    expected = detector.predict(tmp_path / "clips")
    assert [Path(one["clip"]).name for one in found] == ["0.wav", "1.wav", "2.wav"]
    for one, other in zip(found, expected, strict=True):
        assert one["score"] == pytest.approx(other.score, rel=1e-4)
        assert one["is_anomaly"] == other.is_anomaly
    why = run(program, "explain", str(folder), str(tmp_path / "clips" / "0.wav"))
    assert "against the nearest:" in why.stdout


def test_a_bundle_is_watched_where_torch_is_absent(
    exported: dict[str, tuple[Detector, Path]], tmp_path: Path
) -> None:
    import soundfile

    detector, folder = exported["ced_tiny"]
    (clip,) = noise(8.0, seed=4)
    soundfile.write(tmp_path / "long.wav", clip, 16000, subtype="FLOAT")
    program = f"{BLOCK}\nfrom firstshot.cli import main\nsys.argv[0] = 'firstshot'\nmain()\n"
    arguments = ("watch", str(folder), "--input", f"file:{tmp_path}/long.wav", "--speed", "max")
    windows = [json.loads(line) for line in run(program, *arguments).stdout.splitlines()]
    starts = [window["score"] for window in windows if window["type"] == "window"]
    assert len(starts) == 7
    for start, score in enumerate(starts):
        expected = detector.score((clip[16000 * start : 16000 * (start + 2)], 16000))[0]
        assert score == pytest.approx(expected, rel=1e-3)


def test_bench_measures_a_bundle_where_torch_is_absent(
    exported: dict[str, tuple[Detector, Path]],
) -> None:
    program = f"{BLOCK}\nfrom firstshot.cli import main\nsys.argv[0] = 'firstshot'\nmain()\n"
    folder = str(exported["ced_tiny"][1])
    arguments = ("bench", "--encoder", folder, "--seconds", "1", "--clips", "2")
    report = json.loads(run(program, *arguments, "--json").stdout)
    assert (report["encoder"], report["runtime"], report["precision"]) == (
        "ced_tiny",
        "onnx",
        "fp32",
    )
    assert report["layers"] == [1, 2]
    assert not report["random_weights"]
    refused = run(program, *arguments, "--runtime", "torch", status=2)
    assert "has a runtime and weights of its own" in refused.stderr


@pytest.mark.parametrize("file", ["encoder.onnx", "detector.firstshot", "self_check.wav"])
def test_an_altered_file_is_refused(
    exported: dict[str, tuple[Detector, Path]], tmp_path: Path, file: str
) -> None:
    import shutil

    folder = shutil.copytree(exported["eat"][1], tmp_path / "copy")
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    with pytest.raises(DetectorFileError, match="altered after the export"):
        load_bundle(folder)
    (folder / file).unlink()
    with pytest.raises(DetectorFileError, match="missing"):
        load_bundle(folder)


def test_the_self_check_runs_at_load(
    exported: dict[str, tuple[Detector, Path]], tmp_path: Path
) -> None:
    import shutil

    folder = shutil.copytree(exported["eat"][1], tmp_path / "copy")
    description = json.loads((folder / "bundle.json").read_text())
    description["self_check"]["score"] *= 1.001
    (folder / "bundle.json").write_text(json.dumps(description))
    with pytest.raises(DetectorFileError, match=r"bundle\.json: altered after the export"):
        load_bundle(folder)
    (folder / "bundle.json").write_text(json.dumps(with_digest(description)))
    with pytest.raises(DetectorFileError, match="self-check clip scores"):
        load_bundle(folder)


@pytest.mark.parametrize(("name", "settings"), [("eat", {}), ("ced_tiny", _TOGETHER)])
def test_every_wrong_value_in_a_description_is_refused_or_harmless(
    files: dict[str, Path], tmp_path: Path, name: str, settings: dict[str, Any]
) -> None:
    folder = export_detector(fitted(files, name, **settings), tmp_path / "bundle")
    description = json.loads((folder / "bundle.json").read_text())
    (clip, other), scored = clips_of(2.0, 2), set()
    (told,) = description["encoders"]
    del description["versions"], told["input"], told["outputs"]
    for what, changed in (*mutations(description), *without_one(description)):
        if isinstance(changed.get("sha256"), dict):
            changed = with_digest(changed)
        (folder / "bundle.json").write_text(json.dumps(changed))
        try:
            scores = load_bundle(folder).score([clip, other])
        except FirstshotError as error:
            assert "\n" not in str(error), what
        else:
            assert np.isfinite(scores).all(), what
            scored.add(what.removeprefix("without ").split(" = ")[0])
    # What is only told, what is checked by nothing but its range, and what has a default.
    of_encoder = ("frequency_bands", "geometry", "default_layers", "minimum_samples")
    of_encoder += ("fixed_samples", "name", "parameters", "front_end")
    free: tuple[str, ...] = tuple(f"encoders.0.{field}" for field in of_encoder)
    free += ("self_check.tolerance", "sha256.bundle.json")
    free += ("self_check",) if settings else ()
    assert {place for place in scored if not place.startswith(free)} == set()


def test_a_graph_that_names_other_files_is_refused(
    exported: dict[str, tuple[Detector, Path]], tmp_path: Path
) -> None:
    import shutil

    import onnx

    folder = shutil.copytree(exported["eat"][1], tmp_path / "copy")
    model = onnx.load(folder / "encoder.onnx")
    onnx.save(
        model, folder / "encoder.onnx", save_as_external_data=True, size_threshold=0, location="x"
    )
    description = json.loads((folder / "bundle.json").read_text())
    description["sha256"]["encoder.onnx"] = sha256_of(folder / "encoder.onnx")
    (folder / "bundle.json").write_text(json.dumps(with_digest(description)))
    with pytest.raises(DetectorFileError, match=r"encoder\.onnx: names other files to be read"):
        load_bundle(folder)


@pytest.mark.parametrize(("seconds", "channels"), [(11, 1), (1, 2)])
def test_a_self_check_clip_longer_than_it_may_be_is_not_read(
    exported: dict[str, tuple[Detector, Path]], tmp_path: Path, seconds: int, channels: int
) -> None:
    import shutil

    import soundfile

    folder = shutil.copytree(exported["eat"][1], tmp_path / "copy")
    soundfile.write(folder / "self_check.wav", np.zeros((16000 * seconds, channels)), 16000)
    description = json.loads((folder / "bundle.json").read_text())
    description["sha256"]["self_check.wav"] = sha256_of(folder / "self_check.wav")
    (folder / "bundle.json").write_text(json.dumps(with_digest(description)))
    with pytest.raises(DetectorFileError, match="expected one channel and 10 s at most"):
        load_bundle(folder)


def test_a_bundle_of_before_has_no_digest_of_its_description(
    exported: dict[str, tuple[Detector, Path]], tmp_path: Path
) -> None:
    import shutil

    folder = shutil.copytree(exported["eat"][1], tmp_path / "copy")
    expected = load_bundle(folder).score(clips_of(3.0))
    description = json.loads((folder / "bundle.json").read_text())
    del description["sha256"]["bundle.json"]
    (folder / "bundle.json").write_text(json.dumps(description))
    np.testing.assert_array_equal(load_bundle(folder).score(clips_of(3.0)), expected)


def test_a_bundle_of_schema_1_scores_as_before(
    exported: dict[str, tuple[Detector, Path]], tmp_path: Path
) -> None:
    import shutil

    folder = shutil.copytree(exported["eat"][1], tmp_path / "copy")
    expected = load_bundle(folder).score(clips_of(3.0))
    description = json.loads((folder / "bundle.json").read_text())
    (encoder,) = description.pop("encoders")
    before = with_digest({**description, "schema": 1, "encoder": encoder})
    (folder / "bundle.json").write_text(json.dumps(before))
    np.testing.assert_array_equal(load_bundle(folder).score(clips_of(3.0)), expected)
    fitted_anew = export_detector(exported["eat"][0], folder, overwrite=True)
    assert json.loads((fitted_anew / "bundle.json").read_text())["schema"] == 2


def test_what_is_no_bundle_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DetectorFileError, match=r"no bundle, it has no bundle\.json"):
        load_bundle(tmp_path)
    (tmp_path / "bundle.json").write_text("{")
    with pytest.raises(DetectorFileError, match="cannot be read"):
        load_bundle(tmp_path)
    (tmp_path / "bundle.json").write_text('{"schema": 9, "sha256": {}}')
    with pytest.raises(DetectorFileError, match="schema 9"):
        load_bundle(tmp_path)
    (tmp_path / "bundle.json").write_text('{"schema": 2, "sha256": {}, "encoders": {}}')
    with pytest.raises(DetectorFileError, match=r"encoders is \{\}, expected a list"):
        load_bundle(tmp_path)


def test_layers_that_a_bundle_lacks_are_refused(files: dict[str, Path], tmp_path: Path) -> None:
    bundle = load_bundle(export_detector(fitted(files, "eat", layers=(1,)), tmp_path / "one"))
    encoder = bundle.embedding_settings().encoder
    assert encoder.embed(noise(1.0), layers=(1,))[0].shape == (1, 8 * 48)
    for layers in ((2,), (1, 2), None):
        with pytest.raises(ParameterError, match=r"holds layers \[1\] of eat only"):
            encoder.layers(noise(1.0), layers=layers)
    assert encoder.embed(noise(1.0), layers=(1,))[0].shape == (1, 8 * 48)


@pytest.mark.parametrize(
    "settings",
    [
        {"normalizer": "test_zscore"},
        {"pooling": "all", "combine": "concat", "transform": "standardize"},
        {"length": "windows:1:0.5", "metric": "cosine", "channel": 0},
    ],
)
def test_settings_travel_with_the_bundle(
    files: dict[str, Path], tmp_path: Path, settings: dict[str, Any]
) -> None:
    detector = fitted(files, "ced_tiny", **settings)
    bundle = load_bundle(export_detector(detector, tmp_path / "bundle"))
    clips = clips_of(2.5, 4, seed=5)
    np.testing.assert_allclose(bundle.score(clips), detector.score(clips), rtol=1e-4)


@pytest.mark.parametrize("channel", [1, "near-far"])
def test_a_bundle_of_two_channels_scores_as_its_detector(
    files: dict[str, Path], tmp_path: Path, channel: Any
) -> None:
    clips = [(record(seed), 16000) for seed in range(12)]
    noise_alone = [(record(seed, running=False), 16000) for seed in range(50, 53)]
    detector = Detector(
        "ced_tiny",
        encoder_settings={"weights": str(files["ced_tiny"])},
        channel=channel,
        far_noise=noise_alone if channel == "near-far" else None,
    ).fit(clips[:10])
    bundle = load_bundle(export_detector(detector, tmp_path / "bundle"))
    unlearned = clips[10:]
    np.testing.assert_allclose(bundle.score(unlearned), detector.score(unlearned), rtol=1e-4)


def test_a_bank_is_exported_in_the_precision_it_was_made_in(
    files: dict[str, Path], tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    source: Any = load_encoder("ced_tiny", weights=files["ced_tiny"])
    detector = Detector(with_runtime(source, "openvino", "fp32")).fit(clips_of(2.0, 9))
    bundle = load_bundle(export_detector(detector, tmp_path / "full"))
    np.testing.assert_allclose(
        bundle.score(clips_of(3.0)), detector.score(clips_of(3.0)), rtol=1e-4
    )
    half = Detector(with_runtime(source, "torch", "bf16")).fit(clips_of(2.0, 9))
    with pytest.raises(ParameterError, match="fit the detector with precision fp32"):
        export_detector(half, tmp_path / "half")
    with pytest.raises(ParameterError, match="copy that folder"):
        export_detector(bundle, tmp_path / "again")


class Plugin(LogMel):
    """An encoder of somebody's own."""

    name = "mine"


def test_what_cannot_be_exported_leaves_nothing_behind(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ParameterError, match="'mine' is a plug-in, which cannot be written"):
        export_detector(Detector(Plugin()).fit(clips_of(1.0, 9)), tmp_path / "mine")
    with pytest.raises(FirstshotError, match="learned nothing"):
        export_detector(
            Detector("ced_tiny", encoder_settings={"weights": str(files["ced_tiny"])}),
            tmp_path / "empty",
        )
    detector = fitted(files, "ced_tiny")
    monkeypatch.setattr("firstshot.deploy.export.self_checks_agree", lambda *_: False)
    with pytest.raises(WeightsError, match="scores its self-check clip"):
        export_detector(detector, tmp_path / "different")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_replaced_only_where_asked(files: dict[str, Path], tmp_path: Path) -> None:
    detector = fitted(files, "ced_tiny")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "note.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"is there already and holds note\.txt"):
            export_detector(detector, tmp_path / "there", overwrite)
    assert (tmp_path / "there" / "note.txt").read_text() == "mine"
    (tmp_path / "there" / "note.txt").unlink()
    bundle = export_detector(detector, tmp_path / "there")
    (bundle / "encoder.onnx").write_bytes(b"damaged")
    with pytest.raises(OutputError, match="is there already; choose another folder, or add --over"):
        export_detector(detector, bundle)
    export_detector(detector, bundle, overwrite=True)
    assert sorted(path.name for path in bundle.iterdir()) == [
        "bundle.json",
        "detector.firstshot",
        "encoder.onnx",
        "self_check.wav",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert load_bundle(bundle).score(clips_of(3.0)).shape == (1,)


def test_a_folder_that_appears_during_an_export_stays(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "bundle"

    def appear(*_: object) -> None:
        place.mkdir()
        (place / "note.txt").write_text("mine")

    monkeypatch.setattr("firstshot.deploy.export._compare", appear)
    with pytest.raises(OutputError, match=r"bundle: is there already and holds note\.txt"):
        export_detector(fitted(files, "ced_tiny"), place)
    assert (place / "note.txt").read_text() == "mine"
    assert list(tmp_path.iterdir()) == [place]


def test_an_export_warns_of_no_clip_of_its_own(files: dict[str, Path], tmp_path: Path) -> None:
    detector = fitted(files, "ced_tiny")
    with warnings.catch_warnings():
        warnings.simplefilter("error", FirstshotWarning)
        load_bundle(export_detector(detector, tmp_path / "bundle"))


def test_a_full_disk_names_the_bundle_that_was_asked_for(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError) as caught:
        export_detector(fitted(files, "ced_tiny"), tmp_path / "bundle")
    assert str(caught.value).startswith(
        f"{tmp_path / 'bundle' / 'encoder.onnx'}: cannot be written"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_that_is_to_be_replaced_stays_where_the_new_one_fails(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = fitted(files, "ced_tiny")
    bundle = export_detector(detector, tmp_path / "bundle")
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    monkeypatch.setattr("firstshot.deploy.export.self_checks_agree", lambda *_: False)
    with pytest.raises(WeightsError, match="scores its self-check clip"):
        export_detector(detector, bundle, overwrite=True)
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before
    assert list(tmp_path.iterdir()) == [bundle]


def test_a_bundle_that_a_kill_left_set_aside_is_restored_by_the_next_export(
    files: dict[str, Path], tmp_path: Path
) -> None:
    detector = fitted(files, "ced_tiny")
    bundle = export_detector(detector, tmp_path / "bundle")
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    bundle.rename(tmp_path / ".bundle.0123abcd.old")
    (tmp_path / ".bundle.4567cdef.part").mkdir()
    with pytest.raises(OutputError, match="is there already; choose another folder, or add --over"):
        export_detector(detector, bundle)
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before
    assert list(tmp_path.iterdir()) == [bundle]
