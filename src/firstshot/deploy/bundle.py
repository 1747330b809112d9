"""A bundle becomes a detector that scores without torch.

Input: a folder that `firstshot export` wrote. Output: a `Detector` whose pre-trained encoders ONNX
Runtime runs; encoders without weights need no graph. The folder holds

- `bundle.json`: schema number, the constants of every pre-trained encoder, the SHA-256 of the other
  files and of itself, the score of the self-check clip, versions;
- `encoder.onnx`, `encoder_2.onnx` ...: a network each, up to the deepest layer used, one output per
  layer;
- `detector.firstshot`: bank, normaliser, threshold;
- `self_check.wav`: the clip that a bundle must score as it did where it was made, or it is refused.

To change the format: raise `SCHEMA`, and keep the branch that reads the old number.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.detector import Detector
from firstshot.detector.embedding import Clip, embed_clips
from firstshot.detector.loading import load_detector, self_checks_agree
from firstshot.disk.caches import digest_of_json
from firstshot.disk.documents import Table, read_json
from firstshot.disk.files import sha256_of
from firstshot.encoders.joint import join_encoders
from firstshot.encoders.pretrained_encoder import Layers, PretrainedEncoder
from firstshot.encoders.runtimes.compile import CompiledNetwork, compiled_encoder
from firstshot.encoders.runtimes.onnx import OnnxGraph
from firstshot.encoders.specs.as_json import read_spec
from firstshot.errors import DetectorFileError, FirstshotError, ParameterError, keep_warnings
from firstshot.messages import first_line
from firstshot.numbers import check_at_once
from firstshot.ordered_threads import count_threads

SCHEMA = 2
OF_ONE_ENCODER = 1
"""The schema of before, of one encoder with one graph."""
DESCRIPTION, DETECTOR, CLIP = "bundle.json", "detector.firstshot", "self_check.wav"
MOST_GRAPHS = 16
MOST_DESCRIPTION = 1 << 20
"""Bytes of a description, which has some thousand."""
MOST_SECONDS = 10
"""Of the self-check clip, which has one or as many as the encoder needs."""


def load_bundle(folder: str | Path, threads: int | None = None, workers: int = 1) -> Detector:
    """Return the detector in a bundle, once its self-check clip scored as it should.

    Parameters
    ----------
    folder : str or Path
        What `firstshot export` wrote.
    threads : int, optional
        Threads to compute with; None means OMP_NUM_THREADS, else all cores.
    workers : int
        Clips worked on at once.

    Raises
    ------
    DetectorFileError
        The folder is no bundle, a file of it is missing or altered, or its self-check clip scores
        differently here.
    MissingLibraryError, WeightsError
        ONNX Runtime is not installed, or cannot run the graph.
    """
    place = Path(folder)
    description = _read_description(place)
    try:
        encoders = [
            load_bundle_encoder(place / graph_name(number), values, threads, workers)
            for number, values in enumerate(_encoders(description))
        ]
        check = description.table("self_check")
        score = check.number("score") if "score" in check else None
    except ValueError as error:
        raise DetectorFileError(
            f"{place / DESCRIPTION}: {error}; export the detector anew"
        ) from error
    # One self-check is enough: the detector file's own is for where there is no other.
    fitted = load_detector(
        place / DETECTOR, join_encoders(encoders) if encoders else None, check=score is None
    )
    detector = Detector.from_fitted(fitted)
    found = _try_out(place, detector)
    if (score is None) != (found is None):
        raise DetectorFileError(f"{place}: its self-check score is missing; export anew")
    if (
        score is not None
        and found is not None
        and not self_checks_agree(fitted.recipe, found, score)
    ):
        raise DetectorFileError(
            f"{place}: its self-check clip scores {found:.9g} here and {score:.9g} where it was "
            "exported; this installation computes other numbers, export anew here"
        )
    return detector


def is_bundle(folder: Path) -> bool:
    """Return whether a folder looks like a bundle; nothing in it is checked."""
    try:
        description = read_json(folder / DESCRIPTION)
    except (OSError, ValueError):
        return False
    keys = description.keys() if isinstance(description, dict) else set()
    return {"schema", "sha256"} <= keys and bool({"encoder", "encoders"} & keys)


def graph_name(number: int) -> str:
    """Return the file of a graph, counted from 0.

    >>> graph_name(0), graph_name(1)
    ('encoder.onnx', 'encoder_2.onnx')
    """
    return f"encoder_{number + 1}.onnx" if number else "encoder.onnx"


def bundle_files() -> set[str]:
    """Return the names of all files that a bundle may hold."""
    return {DESCRIPTION, DETECTOR, CLIP, *map(graph_name, range(MOST_GRAPHS))}


def _encoders(description: Table) -> list[Mapping[str, Any]]:
    """Return what is written of every pre-trained encoder; ValueError where it is no list."""
    schema = description.whole("schema")
    if schema == OF_ONE_ENCODER:
        return [description.table("encoder").values]
    if schema > SCHEMA:
        return []  # whatever it holds is refused
    found = description.items("encoders")
    if len(found) > MOST_GRAPHS:
        raise ValueError(f"{len(found)} encoders, expected {MOST_GRAPHS} at most")
    return [Table.of(values, f"encoders[{i}]").values for i, values in enumerate(found)]


def load_bundle_encoder(
    graph: Path, values: Mapping[str, Any], threads: int | None = None, workers: int = 1
) -> PretrainedEncoder:
    """Return an encoder of a bundle, from its graph and what the description says of it."""
    table, spec = Table.of(values, "encoder"), read_spec(values)
    held: Layers = table.wholes("layers", 1, spec.depth)
    _check_graph(graph)

    def compile_layers(wanted: Layers, runs: int) -> OnnxGraph:
        if not set(wanted) <= set(held):
            raise ParameterError(
                f"layers {list(wanted)}: the bundle {graph.parent} holds layers {list(held)} "
                f"of {spec.name} only; "
                "export the detector with the layers you need"
            )
        return OnnxGraph(graph, "fp32", count_threads(threads), runs)

    network = CompiledNetwork(
        spec,
        compile_layers,
        runtime="onnx",
        precision="fp32",
        runs=check_at_once("workers", workers),
    )
    encoder = compiled_encoder(
        network,
        made_of=table.line("made_of"),
        parameters=table.whole("parameters"),
        workers=workers,
    )
    encoder.compile(held)
    return encoder


def self_check_score(detector: Detector, clip: Path) -> float | None:
    """Return a mono clip's score; None where no single clip of any length has one."""
    fitted = detector.fitted_
    if fitted.recipe.transductive or "spectral" in fitted.embedding_settings.poolings:
        return None
    waveform, rate = _read_clip(clip)
    settings = replace(detector.embedding_settings(), channel="mean")  # the clip has one channel
    with keep_warnings():  # of a clip that the user never gave
        embedded = list(embed_clips([Clip("self-check", waveform, rate)], settings, spectra=False))
        return detector.predict_embedded(embedded, neighbors=0)[0].score


def _read_clip(path: Path) -> tuple[NDArray[np.float32], int]:
    """Read a self-check clip; its header says how long it is before anything is read."""
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            if file.channels != 1 or file.frames > MOST_SECONDS * file.samplerate:
                raise DetectorFileError(
                    f"{path}: {file.channels} channels and {file.frames} samples, expected one "
                    f"channel and {MOST_SECONDS} s at most; copy the bundle again"
                )
            return file.read(dtype="float32"), file.samplerate
    except (OSError, RuntimeError) as error:
        raise DetectorFileError(
            f"{path}: not readable as audio ({error}); copy the bundle again"
        ) from error


def _try_out(folder: Path, detector: Detector) -> float | None:
    """Return the self-check clip's score; None where it has none, and is embedded instead."""
    try:
        found = self_check_score(detector, folder / CLIP)
        if found is None:
            encoder = detector.embedding_settings().encoder
            waveform, rate = _read_clip(folder / CLIP)
            encoder.embed([waveform], rate, detector.embedding_settings().layers)
    except FirstshotError:
        raise
    except Exception as error:  # ONNX Runtime's own classes have no base but Exception
        reason = first_line(error)
        raise DetectorFileError(
            f"{folder}: its description and its graph do not go together ({reason}); export anew"
        ) from error
    return found


def _check_graph(path: Path) -> None:
    """Refuse a graph that has its values in other files, which may be any on this machine."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(b"location") >= 0:
            raise DetectorFileError(
                f"{path}: names other files to be read; export the detector anew"
            )


def with_digest(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return a description with the digest of itself among those of the files."""
    others = {k: v for k, v in description["sha256"].items() if k != DESCRIPTION}
    plain = json.loads(json.dumps({**description, "sha256": others}))
    return {**plain, "sha256": {**others, DESCRIPTION: digest_of_json(plain)}}


def _read_description(folder: Path) -> Table:
    path = folder / DESCRIPTION
    try:
        description = Table.of(read_json(path, MOST_DESCRIPTION))
        schema = description.whole("schema")
        promised = description.table("sha256").values
        graphs = [graph_name(i) for i in range(len(_encoders(description)))]
    except FileNotFoundError as error:
        raise DetectorFileError(
            f"{folder}: no bundle, it has no {DESCRIPTION}; "
            f"`firstshot export fan.firstshot --out {folder}` makes one"
        ) from error
    except (OSError, ValueError) as error:
        raise DetectorFileError(
            f"{path}: cannot be read ({error or type(error).__name__}); copy the bundle again"
        ) from error
    if schema not in (OF_ONE_ENCODER, SCHEMA):
        raise DetectorFileError(
            f"{path}: schema {schema}, this firstshot reads up to {SCHEMA}; update firstshot"
        )
    # Bundles of before have no digest of the description itself.
    if DESCRIPTION in promised and with_digest(description.values) != description.values:
        raise DetectorFileError(f"{path}: altered after the export; copy the bundle again")
    for name in (*graphs, DETECTOR, CLIP):
        if not (folder / name).is_file() or sha256_of(folder / name) != promised.get(name):
            raise DetectorFileError(
                f"{folder / name}: missing, or altered after the export; copy the bundle again"
            )
    return description
