"""A detector becomes a bundle: a folder that scores with ONNX Runtime, torch absent.

Input: a fitted detector. Output: the folder of `deploy.bundle`. The bank is the detector's own, bit
for bit; each pre-trained encoder is written as a graph that stops at the deepest layer used;
encoders without weights need none. What was written is loaded and scored before the folder gets its
name: a bundle that scores differently from its detector is never left behind. A bundle that is
replaced goes once the new one is in its place.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from firstshot.deploy.bundle import (
    CLIP,
    DESCRIPTION,
    DETECTOR,
    MOST_GRAPHS,
    SCHEMA,
    bundle_files,
    graph_name,
    is_bundle,
    load_bundle,
    load_bundle_encoder,
    self_check_score,
    with_digest,
)
from firstshot.detector import Detector
from firstshot.detector.fitted import NOT_FITTED
from firstshot.detector.loading import SELF_CHECK_TOLERANCE, self_checks_agree
from firstshot.detector.views import read_views
from firstshot.disk.files import sha256_of, write_result
from firstshot.disk.folders import check_folder_replaceable, folder_written, recover
from firstshot.encoders import WITHOUT_WEIGHTS
from firstshot.encoders.joint import join_encoders, layers_by_member, members_of
from firstshot.encoders.pretrained_encoder import PretrainedEncoder
from firstshot.encoders.protocol import Encoder
from firstshot.encoders.runtimes.compile import encoder_graph
from firstshot.encoders.runtimes.processor import installed_versions
from firstshot.encoders.specs.as_json import write_spec
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
        An encoder cannot be exported (a plug-in), two have one name, or the bank was made in less
        than fp32.
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
    networks = _exportable(detector)
    recover(place, is_bundle)
    check = partial(
        check_folder_replaceable, place, overwrite, bundle_files(), "firstshot export", is_bundle
    )
    with folder_written(place, check) as draft:
        _write(detector, networks, draft)
        _compare(detector, draft)
    return place


def _exportable(detector: Detector) -> list[TorchNetwork | None]:
    """Return the torch network of each encoder, None for those without weights."""
    if not hasattr(detector, "threshold_"):
        raise NotFittedError(NOT_FITTED)
    members = members_of(detector.embedding_settings().encoder)
    networks = [_network_of(member) for member in members]
    names = [network.spec.name for network in networks if network is not None]
    if len(set(names)) < len(names) or len(names) > MOST_GRAPHS:
        raise ParameterError(
            f"the detector has the pre-trained encoders {', '.join(names)}; a bundle holds "
            f"{MOST_GRAPHS} at most, each once"
        )
    return networks


def _network_of(encoder: Encoder) -> TorchNetwork | None:
    """Return the torch network that an encoder's numbers come from, in fp32."""
    if encoder.name in WITHOUT_WEIGHTS:
        return None
    if not isinstance(encoder, PretrainedEncoder):
        raise ParameterError(
            f"encoder {encoder.name!r} is a plug-in, which cannot be written as a graph; export "
            "detectors of firstshot's own encoders"
        )
    network: Any = encoder.network
    source: TorchNetwork | None = getattr(network, "source", network)
    if source is None:
        raise ParameterError("this detector comes from a bundle; copy that folder instead")
    if encoder.precision != "fp32":
        raise ParameterError(
            f"the bank was made with {encoder.name} in {encoder.precision} and a bundle computes "
            "in fp32; fit the detector with precision fp32 first"
        )
    return source


def _write(detector: Detector, networks: Sequence[TorchNetwork | None], draft: Path) -> None:
    settings = detector.embedding_settings()
    described: list[dict[str, Any]] = []
    members: list[Encoder] = []
    of_members = layers_by_member(settings.encoder, settings.layers)
    for network, (member, layers) in zip(networks, of_members, strict=True):
        if network is not None:
            graph = draft / graph_name(len(described))
            described.append(_write_graph(network, tuple(sorted(layers)), graph))
            member = load_bundle_encoder(graph, described[-1])
        members.append(member)
    moved = _with_encoders(detector, members)
    moved.save(draft / DETECTOR)
    _write_clip(settings.encoder, draft / CLIP)
    graphs = map(graph_name, range(len(described)))
    description = {
        "schema": SCHEMA,
        "encoders": described,
        "sha256": {name: sha256_of(draft / name) for name in (*graphs, DETECTOR, CLIP)},
        "self_check": {
            "score": self_check_score(moved, draft / CLIP),
            "tolerance": SELF_CHECK_TOLERANCE,
        },
        "versions": installed_versions(PACKAGES),
    }
    write_result(draft / DESCRIPTION, json.dumps(with_digest(description), indent=2))


def _write_graph(network: TorchNetwork, layers: tuple[int, ...], graph: Path) -> dict[str, Any]:
    """Write an encoder's graph, and return what the description says of the encoder."""
    write_result(graph, encoder_graph(network, layers))
    return {
        **write_spec(network.spec),
        "made_of": network.fingerprint,
        "parameters": network.parameters,
        "layers": list(layers),
        "input": "float32 (clips, frames, mels), the front-end's spectrogram",
        "outputs": [f"layer_{layer}: float32 (clips, time, freq, dim)" for layer in layers],
    }


def _with_encoders(detector: Detector, members: Sequence[Encoder]) -> Detector:
    """Return the same bank, normaliser and threshold behind other encoders."""
    fitted = detector.fitted_
    graphs = {one.name: one for one in members if isinstance(one, PretrainedEncoder)}
    settings = dict(fitted.settings)
    if settings["views"] is not None:
        # What made an encoder stays on the machine that exports, such as the path of its weights.
        settings["views"] = tuple(
            replace(view, encoder=graphs[view.encoder_name], encoder_settings={})
            if view.encoder_name in graphs
            else view
            for view in read_views(settings["views"])
        )
        settings["encoder_settings"] = None
    elif graphs:
        settings |= {
            "encoder": members[0],
            "layers": fitted.embedding_settings.layers,
            "encoder_settings": None,
        }
    behind = replace(fitted.embedding_settings, encoder=join_encoders(members))
    return Detector.from_fitted(replace(fitted, settings=settings, embedding_settings=behind))


def _write_clip(encoder: Encoder, path: Path) -> None:
    """Write seeded noise as floats, so that no rounding comes between the two scores."""
    import soundfile

    samples = max(round(SELF_CHECK_SECONDS * encoder.sample_rate), encoder.minimum_samples)
    noise = 0.1 * np.random.default_rng(SELF_CHECK_SEED).standard_normal(samples)
    try:
        soundfile.write(path, noise.astype(np.float32), encoder.sample_rate, subtype="FLOAT")
    except (OSError, RuntimeError) as error:
        raise OutputError(f"{path}: cannot be written ({error}); free some space") from error


def _compare(detector: Detector, draft: Path) -> None:
    """Load what was written, and hold its score to the detector's own."""
    expected = self_check_score(detector, draft / CLIP)
    found = self_check_score(load_bundle(draft), draft / CLIP)
    if expected is None or found is None:
        return
    if not self_checks_agree(detector.fitted_.recipe, found, expected):
        raise WeightsError(
            f"the bundle scores its self-check clip {found:.9g} and the detector {expected:.9g}; "
            "this onnxruntime computes other numbers than torch, try another version"
        )
