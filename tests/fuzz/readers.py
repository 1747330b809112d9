"""Every file and answer that firstshot reads, each with one place or more changed."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from tests.fuzz import mutations as change
from tests.fuzz.cases import Case, target
from tests.fuzz.samples import has, training_frames, training_settings, tree_of
from tests.fuzz.wire import answering

DIGITS = "0123456789abcdef"


def _copy(case: Case, name: str) -> Path:
    """Copy a sample, a file or a folder, into the case's folder."""
    source, place = case.samples / name, case.folder / Path(name).name
    if source.is_dir():
        shutil.copytree(source, place)
    else:
        shutil.copy(source, place)
    return place


def _change_one(case: Case, folder: Path) -> None:
    """Change one file of a folder in the way of its format, or take it away."""
    path = case.dice.choice(tree_of(folder))
    case.remember(changed=str(path.relative_to(case.folder)))
    if case.dice.random() < 0.05:
        path.unlink()
        if case.dice.random() < 0.5:
            path.mkdir()
        return
    data = path.read_bytes()
    ways: dict[str, Callable[[], bytes]] = {
        ".json": lambda: change.mutate_json(case.dice, json.loads(data)),
        ".csv": lambda: change.mutate_csv(case.dice, data),
        ".safetensors": lambda: change.mutate_safetensors(case.dice, data),
        ".yaml": lambda: change.mutate_text(case.dice, data.decode()),
    }
    way = ways.get(path.suffix, lambda: change.mutate_bytes(case.dice, data))
    path.write_bytes(way())


@target("audio", 40)
def read_audio(case: Case) -> None:
    from firstshot.dcase.data.check import read_clip_header
    from firstshot.sound.audio import load_waveform

    sample = case.dice.choice(tree_of(case.samples / "audio"))
    path = case.folder / sample.name
    path.write_bytes(change.mutate_bytes(case.dice, sample.read_bytes()))
    read_clip_header(path)
    load_waveform(path, 16000, channel=case.dice.choice(("mean", 0, 1)))


@target("detector file, as bytes", 8)
def read_detector_bytes(case: Case) -> None:
    sample = case.dice.choice(tree_of(case.samples / "detectors"))
    path = case.folder / sample.name
    path.write_bytes(change.mutate_zip(case.dice, sample.read_bytes()))
    _judge_by(case, path)


@target("detector file, digests made anew", 40)
def read_detector_fields(case: Case) -> None:
    from firstshot.detector.file import MemberRow, read_detector_file, write_detector_file

    sample = case.dice.choice(tree_of(case.samples / "detectors"))
    manifest, arrays, members = read_detector_file(sample)
    manifest.pop("sha256")
    part = case.dice.random()
    if part < 0.6:
        manifest = change.mutate_tree(case.dice, manifest)
    elif part < 0.85:
        arrays = _odd_arrays(case, dict(arrays))
    else:
        rows = [[m.clip, m.domain, m.digest] for m in members]
        row = case.dice.choice(rows)
        row[case.dice.randrange(3)] = case.dice.choice(change.TEXTS)
        members = [MemberRow(*row) for row in rows][case.dice.choice((0, 0, 1)) :]
    path = case.folder / sample.name
    try:
        write_detector_file(path, manifest, arrays, members)
    except (ValueError, KeyError, TypeError, AttributeError):
        return  # no file that could be written says this
    _judge_by(case, path)


def _odd_arrays(case: Case, arrays: dict[str, Any]) -> dict[str, Any]:
    name = case.dice.choice(sorted(arrays))
    array = np.array(arrays[name])
    match case.dice.randrange(7):
        case 0:
            del arrays[name]
        case 1:
            arrays[name] = array.reshape(-1)
        case 2:
            arrays[name] = array[:-1] if array.ndim and len(array) else array.reshape(1, 1)
        case 3:
            arrays[name] = array.astype(case.dice.choice(("<i8", "<f2", "|u1", "<f8", "<f4")))
        case 4:
            arrays[case.dice.choice(change.TEXTS)] = array
        case 5:
            arrays[name] = arrays[case.dice.choice(sorted(arrays))]
        case _ if array.size:
            flat = array.reshape(-1).copy()
            with np.errstate(all="ignore"):
                odd = np.array(case.dice.choice((np.nan, np.inf, -1.0, 1e30, 0.0)))
                flat[case.dice.randrange(flat.size)] = odd.astype(flat.dtype)
            arrays[name] = flat.reshape(array.shape)
        case _:
            pass
    return arrays


def _judge_by(case: Case, path: Path) -> None:
    """Load a detector as `firstshot score` does, judge a clip and explain it."""
    from firstshot.cli.options import open_detector

    detector = open_detector(path)
    clip = tree_of(case.samples / "data" / "fan" / "test")[0]
    json.dumps([vars(result) for result in detector.predict([clip])], default=vars)
    if case.dice.random() < 0.3:
        detector.explain(clip)
    detector.save(case.folder / "again.firstshot")


if has("torch") and has("onnx") and has("onnxruntime"):

    @target("bundle", 6)
    def read_bundle(case: Case) -> None:
        from firstshot.deploy.bundle import sha256_of

        folder = _copy(case, "bundle")
        _change_one(case, folder)
        description = folder / "bundle.json"
        if case.dice.random() < 0.7 and case.note["changed"] != "bundle/bundle.json":
            told = json.loads(description.read_bytes())
            names = [name for name in told["sha256"] if (folder / name).is_file()]
            told["sha256"] = {name: sha256_of(folder / name) for name in names}
            description.write_text(json.dumps(told))
        _judge_by(case, folder)


@target("store entry", 15)
def read_store(case: Case) -> None:
    from firstshot.detector import Detector
    from firstshot.store import EmbeddingStore

    folder = _copy(case, "store")
    for path in case.dice.sample(tree_of(folder), 3):
        if path.suffix == ".safetensors":
            path.write_bytes(change.mutate_safetensors(case.dice, path.read_bytes()))
        else:
            path.write_bytes(change.mutate_bytes(case.dice, path.read_bytes()))
    store = EmbeddingStore(folder)
    store.summary()
    Detector("logmel").fit([case.samples / "data" / "fan" / "train"], store=store)


@target("system file", 40)
def read_system(case: Case) -> None:
    from firstshot.dcase.running.system import System, list_systems, load_system

    name = case.dice.choice([name for name in list_systems() if name != "system4"])
    text = (resources.files("firstshot.dcase") / "systems" / f"{name}.toml").read_text()
    tree = tomllib.loads(text)
    if case.dice.random() < 0.5:  # all fields that there are, not only those that differ
        try:
            full = load_system(name).model_dump(mode="json")
            tree = {**full, **tree}
        except ValueError:
            pass
    path = case.folder / "mine.toml"
    path.write_bytes(change.mutate_toml(case.dice, tree))
    system = load_system(str(path))
    if isinstance(system, System):
        for choice in system.encoders:
            if choice.name == "logmel":
                system.detector(choice).embedding_settings()


@target("run by a system file", 5)
def run_system_file(case: Case) -> None:
    from firstshot.dcase.running.run import run_system
    from firstshot.dcase.running.system import load_system

    text = (resources.files("firstshot.dcase") / "systems" / "embedded.toml").read_text()
    tree = change.mutate_tree(case.dice, tomllib.loads(text))
    if not isinstance(tree, dict):
        return
    path = case.folder / "mine.toml"
    path.write_bytes(change.toml_text(tree).encode())
    system = load_system(str(path))
    if getattr(system, "autoencoder", None) is None:
        run_system(case.samples / "data", system, case.folder / "run")


@target("scores and truth", 30)
def read_scores(case: Case) -> None:
    from firstshot.dcase.evaluation.evaluate import evaluate_scores

    scores, truth = _copy(case, "run"), _copy(case, "truth")
    _change_one(case, case.dice.choice((scores, truth)))
    found = evaluate_scores(scores, truth, lenient_positions=case.dice.random() < 0.3)
    json.dumps(found.to_json())


@target("run folder", 30)
def read_run_folder(case: Case) -> None:
    from firstshot.cli import app
    from firstshot.dcase.comparing.compare import compare_runs
    from firstshot.dcase.submitting.submit import write_submission

    folder = _copy(case, "run")
    _change_one(case, folder)
    match case.dice.randrange(4):
        case 0:
            write_submission([folder], case.folder / "submission.zip", team="Curie_IdR")
        case 1:
            words = ["dcase", "run", str(case.samples / "data"), "--out", str(folder), "--no-store"]
            app(words)
        case _:
            compare_runs([folder], case.dice.choice((None, "system1")))
            app(["dcase", "compare", str(folder), "--csv", "c.csv", "--page", "p.html"])
            app(["dcase", "show", str(folder), "--format", "latex"])


@target("sweep folder", 8)
def read_sweep_folder(case: Case) -> None:
    from firstshot.cli import app

    folder = _copy(case, "sweep")
    _change_one(case, folder)
    words = ["--encoder", "logmel", "--normalizer", "none", "--metric", "euclidean", "--overwrite"]
    app(["dcase", "sweep", str(case.samples / "data"), "--out", str(folder), "--no-store", *words])


@target("submission", 20)
def read_submission(case: Case) -> None:
    from firstshot.dcase.submitting.submit import check_submission

    def inside(name: str, content: bytes) -> bytes:
        if name.endswith(".csv"):
            return change.mutate_csv(case.dice, content)
        return change.mutate_text(case.dice, content.decode())

    path = case.folder / "submission.zip"
    data = (case.samples / "submission.zip").read_bytes()
    path.write_bytes(change.mutate_zip(case.dice, data, inside))
    check_submission(path)


@target("archive", 20)
def read_archive(case: Case) -> None:
    from firstshot.dcase.data.unpack import unpack

    path = case.folder / "archive.zip"
    data = (case.samples / "archive.zip").read_bytes()
    path.write_bytes(change.mutate_zip(case.dice, data))
    unpack(path, case.folder / "data" / "fan")
    outside = [
        p for p in tree_of(case.folder) if p.parts[: len(case.folder.parts)] != case.folder.parts
    ]
    assert not outside, f"written outside of its folder: {outside}"


@target("attributes and clip names", 25)
def read_data_set(case: Case) -> None:
    from firstshot.dcase.data.check import check
    from firstshot.dcase.data.layout import read_layout

    root = case.folder / "data"
    for path in tree_of(case.samples / "data"):
        place = root / path.relative_to(case.samples / "data")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.hardlink_to(path)
    for _ in range(case.dice.choice((1, 1, 2))):
        path = case.dice.choice(tree_of(root))
        if path.suffix == ".csv":
            data = path.read_bytes()
            path.unlink()
            path.write_bytes(change.mutate_csv(case.dice, data))
        else:
            _rename(case, path)
    read_layout(root, strict=case.dice.random() < 0.5)
    check(root).lines()


def _rename(case: Case, path: Path) -> None:
    words = path.stem.split("_")
    words[case.dice.randrange(len(words))] = case.dice.choice(change.TEXTS)
    name = "_".join(words).replace("/", "").replace("\0", "")[:200] + path.suffix
    try:
        name = os.fsdecode(os.fsencode(name)[:250])
        path.rename(path.with_name(name))
    except (OSError, UnicodeEncodeError):
        return  # no name that a file can have


@target("record of an archive", 25)
def read_record(case: Case) -> None:
    from firstshot.dcase.data.resume import fetch
    from firstshot.dcase.data.zenodo import Connection, choose_file, list_files

    content = (case.samples / "archive.zip").read_bytes()
    url = "http://records.invalid/api"
    entry = {
        "key": "dev_fan.zip", "size": len(content), "checksum": "md5:" + "0" * 32,
        "links": {"self": f"{url}/f", "content": f"{url}/f/content"},
    }  # fmt: skip
    record = {"id": 7, "files": [entry]}
    listing = change.mutate_json(case.dice, record)
    if case.dice.random() < 0.5:
        listing = json.dumps(record).encode()
    connection = Connection(url, tries=2, first_pause=0.0)
    with answering(case, [listing, content]):
        entries = list_files(7, connection)
        file = choose_file(entries, ["dev_fan.zip"], connection.record_url(7))
        fetch(file, case.folder / "dev_fan.zip", connection)


@target("what a download left", 10)
def read_download_folder(case: Case) -> None:
    from firstshot.dcase.data.archives import select_archives
    from firstshot.dcase.data.download import download
    from firstshot.dcase.data.zenodo import Connection

    archive = select_archives(2020, ["dev"], ["fan"])[0]
    folder = case.folder / "data" / "dcase2020t2" / "downloads"
    folder.mkdir(parents=True)
    marker = {
        "schema": 1, "record": archive.record, "archive": archive.name, "size": 1,
        "checksum": "md5:00", "folder": archive.folder, "files": {"train/a.wav": 3},
    }  # fmt: skip
    (folder / f"{archive.name}.json").write_bytes(change.mutate_json(case.dice, marker))
    connection = Connection("http://records.invalid", tries=1)
    with answering(case, []):
        download(2020, case.folder / "data", parts=["dev"], machines=["fan"], connection=connection)


if has("torch"):

    @target("weights file", 25)
    def read_weights(case: Case) -> None:
        from firstshot.encoders import load_encoder

        sample = case.dice.choice(tree_of(case.samples / "weights"))
        path = case.folder / sample.name
        data = sample.read_bytes()
        if sample.suffix == ".safetensors":
            path.write_bytes(change.mutate_safetensors(case.dice, data))
        else:
            path.write_bytes(change.mutate_zip(case.dice, data))
        name = sample.name.partition("-")[0]
        encoder = load_encoder(name, path)
        encoder.embed(np.zeros((1, 16000), np.float32), 16000, encoder.default_layers)

    @target("weights cache", 10)
    def read_weights_cache(case: Case) -> None:
        from firstshot.encoders import load_encoder
        from firstshot.encoders.weights.catalog import find_record
        from firstshot.encoders.weights.find import keep_file

        os.environ["FIRSTSHOT_CACHE"] = str(case.folder / "cache")
        sample = next((case.samples / "weights").glob("eat*pretrained.safetensors"), None)
        sample = sample or tree_of(case.samples / "weights")[0]
        name = sample.name.partition("-")[0]
        keep_file(find_record(name), sample)
        _change_one(case, case.folder / "cache")
        with answering(case, []):
            load_encoder(name)

    @target("answer of the hub", 10)
    def read_hub(case: Case) -> None:
        from firstshot.cli import app

        os.environ["FIRSTSHOT_CACHE"] = str(case.folder / "cache")
        os.environ["HF_ENDPOINT"] = "http://hub.invalid"
        content = next((case.samples / "weights").glob("ced*hub.safetensors")).read_bytes()
        with answering(case, [b"", content]):
            app(["encoders", "fetch", "ced_tiny"])

    @target("training checkpoint", 6)
    def read_checkpoint(case: Case) -> None:
        from firstshot.autoencoder.training import train

        sample = case.samples / case.dice.choice(("finished", "begun"))
        sample = sample.with_suffix(".safetensors")
        path = case.folder / sample.name
        path.write_bytes(change.mutate_safetensors(case.dice, sample.read_bytes()))
        epochs = 1 if sample.stem == "finished" else 2
        frames: Any = training_frames()
        settings: Any = training_settings(epochs)
        train(frames, 1, settings, checkpoint=path)

    @target("trained encoder", 6)
    def read_trained(case: Case) -> None:
        from firstshot.encoders.weights.trained_file import read_trained

        path = case.folder / "my.safetensors"
        sample = case.samples / "trained.safetensors"
        path.write_bytes(change.mutate_safetensors(case.dice, sample.read_bytes()))
        read_trained(path)

    @target("remembered runtimes", 3)
    def read_choices(case: Case) -> None:
        from firstshot.encoders import load_encoder
        from firstshot.encoders.runtimes.auto import Choice, choose

        os.environ["FIRSTSHOT_CACHE"] = str(case.folder / "cache")
        sample = next((case.samples / "weights").glob("ced*hub.safetensors"))
        encoder: Any = load_encoder(sample.name.partition("-")[0], sample)
        choose(encoder)
        _change_one(case, case.folder / "cache")
        assert isinstance(choose(encoder), Choice)
