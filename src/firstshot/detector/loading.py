"""A file becomes the detector that was saved.

Input: a file. Output: a `FittedDetector`. Nothing is fitted, except a normaliser without a
`state()`, such as those of schema 1, and the result is the same. The writer of the file is not
trusted: its fields and arrays are checked, and nothing is fetched. Weights come from the cache, or
from a plain file of this machine, whose reader runs no code. Where the self-check clip scores
differently than on the machine that made the file, every score would differ: the file is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.anomaly_map import MapBank
from firstshot.detector.embedding import EmbeddingSettings, with_far_noise
from firstshot.detector.embedding.batch_embedder import LOGMEL
from firstshot.detector.file import MappedFile, MemberRow, read_detector_file
from firstshot.detector.file.manifest import TRANSFER, Manifest, read_manifest
from firstshot.detector.file.origins import with_origins
from firstshot.detector.fitted import (
    Calibration,
    FittedDetector,
    NormalClips,
    build_parts,
    read_settings,
)
from firstshot.detector.fitted.parts import Recipe, SavedPart
from firstshot.detector.fitted.settings import ONE_WAY
from firstshot.detector.saving import ENCODER_FILE, MAP, self_check
from firstshot.detector.views import View
from firstshot.encoders import list_encoders
from firstshot.encoders.joint import members_of
from firstshot.encoders.loading import load_trained
from firstshot.encoders.protocol import Encoder
from firstshot.encoders.weights.trained_file import is_trained_name, unpack_trained
from firstshot.errors import (
    DatasetError,
    DetectorFileError,
    DownloadError,
    MissingLibraryError,
    WeightsError,
    keep_warnings,
)
from firstshot.scoring.threshold import Threshold
from firstshot.scoring.transform import transform_from_arrays
from firstshot.sound.near_far import Transfer

SELF_CHECK_TOLERANCE = 1e-4
"""Relative; other processors and thread counts round differently, other weights do far more."""

LONGEST_REASON = 300
"""Characters: what a message quotes of a file may be of any length."""
LEVELS = "levels"
SPECTRUM_VALUES = LOGMEL.dim(1) * len(LOGMEL.frequency_bands(1))
"""Of the spectra kept for explanations: the first layer of the embedded encoder."""


def read_detector(path: Path) -> tuple[Manifest, dict[str, NDArray[Any]], list[MemberRow]]:
    """Read and check a file; return (manifest, arrays, members), from which nothing is made yet.

    Raises
    ------
    DetectorFileError
        The file is not what was written, or a field or an array is not what a detector has.
    """
    values, arrays, rows = read_detector_file(path)
    try:
        manifest = read_manifest(values)
        _check_arrays(manifest, arrays, len(rows))
    except ValueError as error:
        raise _not_a_detector(path, error) from error
    return manifest, arrays, rows


def load_detector(
    path: Path, encoder: Encoder | None = None, *, check: bool = True
) -> FittedDetector:
    """Read a detector; `encoder` replaces finding it by name.

    Without `check` no self-check clip is scored: a bundle has one of its own.
    """
    mapped = MappedFile.of(path)
    manifest, arrays, rows = read_detector(path)
    try:
        fitted = replace(_rebuild(path, manifest, arrays, rows, encoder), mapped=mapped)
        if check:
            _compare_self_check(path, fitted, manifest.self_check_score)
    except (WeightsError, DownloadError, MissingLibraryError) as error:
        raise type(error)(f"{path}: {error}") from error
    except (*_MISFITS, DatasetError) as error:
        # Its digests are right, so it was written like this: by a plug-in, an older firstshot, or
        # on purpose.
        raise _not_a_detector(path, error) from error
    return fitted


def _rebuild(
    path: Path,
    manifest: Manifest,
    arrays: dict[str, NDArray[Any]],
    rows: Sequence[MemberRow],
    encoder: Encoder | None,
) -> FittedDetector:
    """Build the record of checked values; what the normalisers measured is not measured again."""
    settings, embedding_settings, recipe = _read_settings(path, manifest, arrays, encoder)
    if TRANSFER in arrays:
        rate = embedding_settings.encoder.sample_rate
        settings["far_noise"] = Transfer.from_array(arrays[TRANSFER], rate)
        embedding_settings = with_far_noise(embedding_settings, settings["far_noise"])
    parts = range(_count_parts(manifest))
    of_map = _named(arrays, MAP)
    anomaly_map = MapBank.from_arrays(of_map, len(rows)) if of_map else None
    normal_clips = NormalClips(
        with_origins(rows, manifest.additions),
        tuple(arrays[f"part_{i}.bank"] for i in parts),
        arrays["spectra"],
        # Older files lack them.
        arrays.get(LEVELS, np.full(len(rows), np.nan, dtype=np.float32)),
        manifest.fitted_seconds,
        anomaly_map.cells if anomaly_map else None,
    )
    saved = [
        _saved_part(manifest.schema, part.transform, arrays, f"part_{i}.")
        for i, part in enumerate(recipe.parts)
    ]
    with keep_warnings():
        # A warning about the bank (too few clips for K, say) was given when it was fitted.
        built = build_parts(recipe, normal_clips, saved)
    return FittedDetector(
        settings,
        embedding_settings,
        recipe,
        normal_clips,
        built,
        arrays["training_scores"],
        Calibration(manifest.threshold, arrays["calibration_scores"], manifest.calibration_windows),
        anomaly_map=anomaly_map,
    )


_MISFITS = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, MemoryError)
"""Raised where settings and arrays do not fit together."""


def _not_a_detector(path: Path, error: Exception) -> DetectorFileError:
    reason = " ".join(str(error).split()) or type(error).__name__
    reason = reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]}..."
    return DetectorFileError(
        f"{path}: not a detector that this firstshot can make again ({reason}); fit anew"
    )


def _read_settings(
    path: Path, manifest: Manifest, arrays: Mapping[str, NDArray[Any]], encoder: Encoder | None
) -> tuple[dict[str, Any], EmbeddingSettings, Recipe]:
    """Load the encoder of a manifest, check that it is the one it was, and return the settings.

    Nothing is fetched for it: a detector file may come from anyone. A trained encoder's file lies
    in the detector file; one of this machine is never opened for it.
    """
    given = {one.name: one for one in (members_of(encoder) if encoder else ())}
    objects = {**_encoders_inside(manifest, arrays, given), **given}
    views = None
    if manifest.views is not None:
        views = tuple(_view(values, objects) for values in manifest.views)
    wanted = [manifest.encoder] if views is None else [view.encoder_name for view in views]
    for name in wanted:
        if name in objects or (encoder is not None and views is None):
            continue
        if is_trained_name(name) or name not in list_encoders():
            raise DetectorFileError(
                f"{path}: made with the encoder {name!r}, which is not known here; install it, or "
                "give the object: Detector.load(path, encoder=...)"
            )
    settings: dict[str, Any] = {
        # Which older files do not state.
        "bank_precision": "float32",
        "far_noise": None,
        "sample_rate": None,
        "held_out": "single",
        "threshold_for": "pooled",
        **dict.fromkeys(ONE_WAY),
        **manifest.settings,
        "views": views,
        "length": manifest.length,
        "encoder_settings": None,
    }
    if views is None:
        settings |= {
            "encoder": encoder or objects.get(manifest.encoder) or manifest.encoder,
            "layers": manifest.layers,
            "transform": manifest.transform,
            "encoder_settings": _of_this_machine(manifest.encoder_settings) or None,
        }
    embedding_settings, recipe = read_settings(settings, fetch_missing=False)
    found = embedding_settings.encoder
    if found.fingerprint != manifest.fingerprint:
        raise DetectorFileError(
            f"{path}: made with {found.name} of other weights or settings "
            f"({ascii(manifest.fingerprint[:12])[1:-1]}) "
            f"than {found.name} here ({found.fingerprint[:12]}); give that encoder with "
            "Detector.load(path, encoder=...), or fit anew"
        )
    return settings, embedding_settings, recipe


def _encoders_inside(
    manifest: Manifest, arrays: Mapping[str, NDArray[Any]], given: Collection[str]
) -> dict[str, Encoder]:
    """Load the trained encoders whose files lie in the detector file, except those given."""
    settings = {manifest.encoder: manifest.encoder_settings}
    if manifest.views is not None:
        settings = {view["encoder"]: view["encoder_settings"] for view in manifest.views}
    return {
        name: load_trained(
            unpack_trained(name, array.tobytes()), **_of_this_machine(settings.get(name, {}))
        )
        for name, array in _named(dict(arrays), ENCODER_FILE).items()
        if name in settings and name not in given
    }


def _view(values: Mapping[str, Any], encoders: Mapping[str, Encoder]) -> View:
    """Make a view of a manifest's values; its encoder is the object given, if there is one."""
    own = _of_this_machine(dict(values["encoder_settings"]))
    name = values["encoder"]
    return View(**{**values, "encoder": encoders.get(name, name), "encoder_settings": own})


def _of_this_machine(encoder_settings: dict[str, Any]) -> dict[str, Any]:
    """Leave out a path of weights that is of the machine that fitted the detector.

    The cache may have the same weights; the fingerprint shows whether it does.
    """
    if not _is_local_file(encoder_settings.get("weights")):
        encoder_settings.pop("weights", None)
    return encoder_settings


def _is_local_file(weights: Any) -> bool:
    """Tell whether a path of weights leads to a plain file, and not to another computer's."""
    local = isinstance(weights, str) and not weights.startswith(("//", "\\\\"))
    return local and Path(weights).is_file()


def _count_parts(manifest: Manifest) -> int:
    if manifest.views is not None:
        return len(manifest.views)
    return 1 if manifest.settings.get("combine") == "concat" else len(manifest.layers)


def _check_arrays(manifest: Manifest, arrays: dict[str, NDArray[Any]], members: int) -> None:
    """Raise ValueError where arrays are not those of the manifest's parts and members.

    Those of a transform, of a normaliser and of the anomaly map are checked where they are used,
    and the bank's values where it is indexed.
    """
    parts = range(_count_parts(manifest))
    kinds = {"spectra": 2, "training_scores": 1, "calibration_scores": 1}
    kinds |= {f"part_{i}.bank": 2 for i in parts}
    kinds |= {LEVELS: 1} if LEVELS in arrays else {}  # older files lack them
    kinds |= {TRANSFER: 2} if TRANSFER in arrays else {}
    inner = tuple(f"part_{i}.{what}." for i in parts for what in ("transform", "normalizer"))
    inner = (*inner, MAP, ENCODER_FILE)
    for name, dimensions in kinds.items():
        if name not in arrays:
            raise ValueError(f"the array {name} is missing")
        array = arrays[name]
        if array.dtype.kind != "f" or array.ndim != dimensions or not array.size:
            raise ValueError(f"the array {name} is {array.dtype} of shape {array.shape}")
        if dimensions == 2 and name != TRANSFER and len(array) != members:
            raise ValueError(f"the array {name} has {len(array)} rows for {members} members")
        if not name.endswith(".bank") and not np.isfinite(array).all():
            raise ValueError(f"the array {name} has a value that is not finite")
    for name in arrays:
        if name not in kinds and not name.startswith(inner):
            raise ValueError(f"the array {name[:80]!r} belongs to none of its {len(parts)} parts")
    if arrays["spectra"].shape[1] != SPECTRUM_VALUES:
        raise ValueError(f"a spectrum has {arrays['spectra'].shape[1]} values")
    if len(arrays.get(LEVELS, arrays["spectra"])) != members:
        raise ValueError(f"it has {len(arrays[LEVELS])} levels for {members} members")
    if len(arrays["training_scores"]) > members:
        raise ValueError(f"it has more held-out scores than its {members} members")
    _check_threshold(manifest.threshold, arrays["calibration_scores"])


def _check_threshold(threshold: Threshold, scores: NDArray[np.float64]) -> None:
    """Raise ValueError for a threshold that its calibration scores cannot have given."""
    if threshold.clips != len(scores):
        raise ValueError(
            f"its threshold rests on {threshold.clips} scores, and {len(scores)} are there"
        )
    low, high = float(scores.min()), float(scores.max())
    if threshold.method == "gamma":
        low, high = _bounds_of_law(threshold, scores)
    room = 1e-9 * max(abs(low), abs(high))
    if not low - room <= threshold.value <= high + room:
        raise ValueError(
            f"its threshold {threshold.value:g} lies outside of {low:g} to {high:g}, where the "
            "scores that it was set on put it"
        )


def _bounds_of_law(threshold: Threshold, scores: NDArray[np.float64]) -> tuple[float, float]:
    """Return between what the quantile of a gamma law lies, by Cantelli's inequality.

    The law's mean is that of the scores it was fitted to; any law with that mean and deviation has
    its quantile 1 - r within sqrt((1 - r) / r) deviations of the mean.
    """
    law, rate = threshold.parameters, threshold.false_alarm_rate
    if law.keys() != {"shape", "location", "scale"} or min(law["shape"], law["scale"]) <= 0:
        raise ValueError(f"its gamma law has the parameters {sorted(law)}, two of them above zero")
    mean, deviation = (
        law["location"] + law["shape"] * law["scale"],
        law["scale"] * law["shape"] ** 0.5,
    )
    if not abs(mean - scores.mean()) <= 1e-6 * max(abs(mean), np.abs(scores).max()):
        raise ValueError(f"its gamma law has the mean {mean:g}, and its scores {scores.mean():g}")
    return (
        mean - deviation * (rate / (1 - rate)) ** 0.5,
        mean + deviation * ((1 - rate) / rate) ** 0.5,
    )


def _saved_part(schema: int, name: str, arrays: dict[str, NDArray[Any]], part: str) -> SavedPart:
    transform = transform_from_arrays(name, _named(arrays, f"{part}transform."))
    if schema == 1:
        return SavedPart(transform)
    return SavedPart(transform, _named(arrays, f"{part}normalizer."))


def _named(arrays: dict[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name[len(prefix) :]: x for name, x in arrays.items() if name.startswith(prefix)}


def self_checks_agree(recipe: Recipe, found: float, expected: float) -> bool:
    """Tell whether two scores of one self-check clip are the same but for rounding.

    A standardised score is in deviations of normal clips, and may be near 0 by chance.
    """
    unit = 1.0 if recipe.standardized else 1e-12
    return abs(found - expected) <= SELF_CHECK_TOLERANCE * max(abs(expected), unit)  # NaN never is


def _compare_self_check(path: Path, fitted: FittedDetector, saved: float | None) -> None:
    found = self_check(fitted)
    if saved is None or found is None:
        return
    if not self_checks_agree(fitted.recipe, found, saved):
        raise DetectorFileError(
            f"{path}: its self-check clip scores {found:.9g} here and {saved:.9g} where made; "
            "this installation computes other numbers, fit anew here"
        )
