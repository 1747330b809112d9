"""A bundle becomes a detector that scores without torch.

Input: a folder that `firstshot export` wrote. Output: a `Detector` whose encoder ONNX Runtime runs.
The folder holds

- `bundle.json`: schema number, the encoder's constants, the SHA-256 of the other files, the score
  of the self-check clip, versions;
- `encoder.onnx`: the network up to the deepest layer used, one output per layer;
- `detector.firstshot`: bank, normaliser, threshold;
- `self_check.wav`: the clip that a bundle must score as it did where it was made, or it is refused.

To change the format: raise `SCHEMA`, and keep the branch that reads the old number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from firstshot.detector import Detector
from firstshot.detector.saving import load_detector
from firstshot.encoders.exported_spec import read_spec
from firstshot.encoders.precision import count_threads
from firstshot.encoders.runtime_encoder import Layers, RuntimeEncoder
from firstshot.encoders.runtime_onnx import OnnxNetwork
from firstshot.errors import DetectorFileError, ParameterError
from firstshot.scoring.approximate import exactly

SCHEMA = 1
DESCRIPTION = "bundle.json"
GRAPH, DETECTOR, CLIP = "encoder.onnx", "detector.firstshot", "self_check.wav"
FILES = (DESCRIPTION, GRAPH, DETECTOR, CLIP)
TOLERANCE = 1e-4
"""Relative, of the self-check score: other processors round differently."""


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
    WeightsError
        ONNX Runtime is missing or cannot run the graph.
    """
    place = Path(folder)
    description = _read_description(place)
    try:
        encoder = load_bundle_encoder(place, description["encoder"], threads, workers)
        score = description["self_check"]["score"]
    except (KeyError, TypeError) as error:
        raise DetectorFileError(
            f"{place / DESCRIPTION}: has no {error}; export the detector anew"
        ) from error
    # One self-check is enough: the detector file's own is for where there is no other.
    detector = load_detector(place / DETECTOR, Detector, encoder, check=score is None)
    found = self_check_score(detector, place / CLIP)
    if score is not None and found is not None and not close(found, score):
        raise DetectorFileError(
            f"{place}: its self-check clip scores {found:.9g} here and {score:.9g} where it was "
            "exported; this installation computes other numbers, export anew here"
        )
    return detector


def is_bundle(folder: Path) -> bool:
    """Tell whether a folder says of itself that `firstshot export` wrote it; nothing is checked."""
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(description, dict) and {"schema", "encoder", "sha256"} <= description.keys()


def load_bundle_encoder(
    folder: Path, values: Mapping[str, Any], threads: int | None = None, workers: int = 1
) -> RuntimeEncoder:
    """Return the encoder of a bundle, from the entry `encoder` of its description."""
    held: Layers = tuple(values["layers"])

    def compile_layers(wanted: Layers, runs: int) -> OnnxNetwork:
        if not set(wanted) <= set(held):
            raise ParameterError(
                f"layers {list(wanted)}: the bundle {folder} holds layers {list(held)} only; "
                "export the detector with the layers you need"
            )
        return OnnxNetwork(folder / GRAPH, "fp32", count_threads(threads), runs)

    encoder = RuntimeEncoder(
        read_spec(values),
        compile_layers,
        made_of=values["made_of"],
        runtime="onnx",
        precision="fp32",
        parameters=values["parameters"],
        workers=workers,
    )
    encoder.compile(held)
    return encoder


def self_check_score(detector: Detector, clip: Path) -> float | None:
    """Return a mono clip's score; None where no single clip of any length has one."""
    if detector.normalizer == "test_zscore" or detector.pooling == "spectral":
        return None
    import soundfile

    waveform, rate = soundfile.read(clip, dtype="float32")
    with exactly():
        return float(detector.score([waveform], sample_rate=rate)[0])


def close(found: float, expected: float) -> bool:
    """Tell whether two scores of one clip agree.

    >>> close(1.00001, 1.0), close(1.001, 1.0)
    (True, False)
    """
    return abs(found - expected) <= TOLERANCE * max(abs(expected), 1e-12)


def sha256_of(path: Path) -> str:
    """Return the hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    try:
        description: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        schema, promised = description["schema"], dict(description["sha256"])
    except FileNotFoundError as error:
        raise DetectorFileError(
            f"{folder}: no bundle, it has no {DESCRIPTION}; "
            f"`firstshot export fan.firstshot --out {folder}` makes one"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DetectorFileError(
            f"{path}: cannot be read ({error or type(error).__name__}); copy the bundle again"
        ) from error
    if schema != SCHEMA:
        raise DetectorFileError(
            f"{path}: schema {schema}, this firstshot reads {SCHEMA}; update firstshot"
        )
    for name in (GRAPH, DETECTOR, CLIP):
        if not (folder / name).is_file() or sha256_of(folder / name) != promised.get(name):
            raise DetectorFileError(
                f"{folder / name}: missing, or altered after the export; copy the bundle again"
            )
    return description
