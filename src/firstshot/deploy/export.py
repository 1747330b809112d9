"""A detector becomes a bundle: a folder that scores with ONNX Runtime, torch absent.

Input: a fitted detector with a pre-trained encoder. Output: the folder of `deploy.bundle`. The
bank is the detector's own, bit for bit; the encoder is written as a graph that stops at the deepest
layer used. What was written is loaded and scored before the folder gets its name: a bundle that
scores differently from its detector is never left behind. A bundle that is replaced goes once the
new one is in its place.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from firstshot.deploy.bundle import (
    CLIP,
    DESCRIPTION,
    DETECTOR,
    FILES,
    GRAPH,
    SCHEMA,
    TOLERANCE,
    close,
    is_bundle,
    load_bundle,
    load_bundle_encoder,
    self_check_score,
    with_digest,
)
from firstshot.detector import Detector
from firstshot.detector.fitted import NOT_FITTED
from firstshot.disk.files import sha256_of, write_result
from firstshot.disk.folders import check_folder_replaceable, folder_written, recover
from firstshot.encoders import WITHOUT_WEIGHTS
from firstshot.encoders.joint import JointEncoder
from firstshot.encoders.pretrained_encoder import PretrainedEncoder
from firstshot.encoders.runtimes.compile import encoder_graph
from firstshot.encoders.runtimes.processor import installed_versions
from firstshot.encoders.specs.as_json import write_spec
from firstshot.encoders.specs.base import Spec
from firstshot.errors import NotFittedError, OutputError, ParameterError, WeightsError

if TYPE_CHECKING:
    from firstshot.encoders.runtimes.torch import TorchNetwork

SELF_CHECK_SECONDS, SELF_CHECK_SEED = 1.0, 2025
PACKAGES = ("firstshot", "numpy", "onnx", "onnxruntime", "torch")


def export_detector(detector: Detector, folder: str | Path, overwrite: bool = False) -> Path:
    """Write a fitted detector as a bundle and return its folder.

    Raises
    ------
    ParameterError
        The detector's encoder needs no export (`logmel`) or cannot be exported (a plug-in), or its
        bank was made in less than fp32.
    NotFittedError
        The detector was not fitted.
    OutputError
        The folder is there already, or cannot be written. With `overwrite`, a bundle is replaced,
        and a folder of anything else is refused all the same.
    MissingLibraryError
        onnx or ONNX Runtime is not installed.
    WeightsError
        The bundle scores differently from the detector.
    """
    place = Path(folder)
    network = _exportable(detector)
    recover(place, is_bundle)
    check = partial(
        check_folder_replaceable, place, overwrite, set(FILES), "firstshot export", is_bundle
    )
    with folder_written(place, check) as draft:
        _write(detector, network, draft)
        _compare(detector, draft)
    return place


def _exportable(detector: Detector) -> TorchNetwork:
    """Return the torch network that the detector's numbers come from, in fp32."""
    if not hasattr(detector, "threshold_"):
        raise NotFittedError(NOT_FITTED)
    encoder = detector.embedding_settings().encoder
    if encoder.name in WITHOUT_WEIGHTS:
        raise ParameterError(
            f"encoder {encoder.name!r} needs neither torch nor an export: the detector file scores "
            "as it is"
        )
    if isinstance(encoder, JointEncoder):
        raise ParameterError(
            f"the detector has the encoders {encoder.name}, and a bundle holds one; fit one of "
            "them alone, or use the detector file, which scores where torch is installed"
        )
    if not isinstance(encoder, PretrainedEncoder):
        raise ParameterError(
            f"encoder {encoder.name!r} is a plug-in, which cannot be written as a graph; export "
            "detectors of the pre-trained encoders"
        )
    network: Any = encoder.network
    source: TorchNetwork | None = getattr(network, "source", network)
    if source is None:
        raise ParameterError("this detector comes from a bundle; copy that folder instead")
    if encoder.precision != "fp32":
        raise ParameterError(
            f"the bank was made in {encoder.precision} and a bundle computes in fp32; fit the "
            "detector with precision fp32 first"
        )
    return source


def _write(detector: Detector, network: TorchNetwork, draft: Path) -> None:
    layers = tuple(sorted(detector.embedding_settings().layers))
    write_result(draft / GRAPH, encoder_graph(network, layers))
    described = {
        **write_spec(network.spec),
        "made_of": network.fingerprint,
        "parameters": network.parameters,
        "layers": list(layers),
        "input": "float32 (clips, frames, mels), the front-end's spectrogram",
        "outputs": [f"layer_{layer}: float32 (clips, time, freq, dim)" for layer in layers],
    }
    moved = _with_encoder(detector, load_bundle_encoder(draft, described))
    moved.save(draft / DETECTOR)
    _write_clip(network.spec, draft / CLIP)
    description = {
        "schema": SCHEMA,
        "encoder": described,
        "sha256": {name: sha256_of(draft / name) for name in (GRAPH, DETECTOR, CLIP)},
        "self_check": {"score": self_check_score(moved, draft / CLIP), "tolerance": TOLERANCE},
        "versions": installed_versions(PACKAGES),
    }
    write_result(draft / DESCRIPTION, json.dumps(with_digest(description), indent=2))


def _with_encoder(detector: Detector, encoder: PretrainedEncoder) -> Detector:
    """Return the same bank, normaliser and threshold behind another encoder."""
    fitted = detector.fitted_
    settings = {**fitted.settings, "encoder_settings": None}
    if settings["views"] is None:
        settings |= {"encoder": encoder, "layers": fitted.embedding_settings.layers}
    behind = replace(fitted.embedding_settings, encoder=encoder)
    return Detector.from_fitted(replace(fitted, settings=settings, embedding_settings=behind))


def _write_clip(spec: Spec, path: Path) -> None:
    """Write seeded noise as floats, so that no rounding comes between the two scores."""
    import soundfile

    samples = max(round(SELF_CHECK_SECONDS * spec.sample_rate), spec.minimum_samples)
    noise = 0.1 * np.random.default_rng(SELF_CHECK_SEED).standard_normal(samples)
    try:
        soundfile.write(path, noise.astype(np.float32), spec.sample_rate, subtype="FLOAT")
    except (OSError, RuntimeError) as error:
        raise OutputError(f"{path}: cannot be written ({error}); free some space") from error


def _compare(detector: Detector, draft: Path) -> None:
    """Load what was written, and hold its score to the detector's own."""
    expected = self_check_score(detector, draft / CLIP)
    found = self_check_score(load_bundle(draft), draft / CLIP)
    if expected is not None and found is not None and not close(found, expected):
        raise WeightsError(
            f"the bundle scores its self-check clip {found:.9g} and the detector {expected:.9g}; "
            "this onnxruntime computes other numbers than torch, try another version"
        )
