"""What the GenRep report leaves open, and how it is read here: data for the comparison.

Input: the name of one of the report's systems. Output: its readings, and what a run's settings
change against the packaged system of that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from firstshot.dcase.running.system import list_systems, load_system

_ALL = ("system1", "system2", "system3", "system4")
_FIVE = ("system1", "system2", "system3")
_DENSITY = ("system1", "system2", "system4")


@dataclass(frozen=True)
class Reading:
    """A choice that the report is silent about.

    Attributes
    ----------
    setting : str
        The field of the system file, or of an encoder.
    reading : str
        What is done here.
    silence : str
        What the report does not say, and what the reading rests on.
    systems : tuple of str
        The systems it is a part of.
    """

    setting: str
    reading: str
    silence: str
    systems: tuple[str, ...] = _ALL


READINGS = (
    Reading(
        "length",
        "fixed:10, zeros appended or the first 10 s kept",
        "clips last 6 to 12 s and no length is given; the authors' code of 2024 does this",
    ),
    Reading(
        "layers",
        "blocks counted from 1, the output after the block; the last one before its norm",
        "neither the first layer's number nor the place in a block is given",
    ),
    Reading(
        "pooling",
        "temporal: mean over time, frequency kept, the class token dropped",
        "not mentioned; the default of the authors' code of 2024",
    ),
    Reading(
        "combine",
        "score_mean: every layer is scored on its own, then the mean",
        "how two layers become one score is not said; concat is the other reading",
    ),
    Reading(
        "ensemble",
        "plain mean of the encoders' scores",
        "the average is stated, but not whether scores are brought to one scale before it",
        _FIVE,
    ),
    Reading(
        "metric",
        "sqeuclidean in equations 4 and 5 too",
        "d is squared Euclidean in equation 1 and undefined in 4 and 5; the paper that local "
        "density is from takes the cosine distance, the code of 2024 the plain Euclidean one",
        _DENSITY,
    ),
    Reading(
        "metric",
        "sqeuclidean",
        "equation 1; the authors' code of 2024 takes the plain Euclidean distance",
        ("system3",),
    ),
    Reading(
        "normalizer_settings",
        "sums over the K neighbours, exact duplicates counted once",
        "equations 4 and 5 have sums; duplicates are not mentioned",
        _DENSITY,
    ),
    Reading(
        "normalizer_settings",
        "population standard deviation",
        "population or sample is not said; with 10 target clips they differ by 5 %",
        ("system3",),
    ),
    Reading(
        "transform",
        "none: embeddings as the encoder gives them",
        "neither unit length nor whitening is mentioned",
    ),
    Reading(
        "weights",
        "the published fine-tuned checkpoint of each name",
        "names and repositories are given, files are not",
    ),
    Reading(
        "threshold",
        "gamma, 0.9 quantile of a gamma law on left-out normal scores",
        "no decision is described; this is the challenge's baseline's, and changes no AUC",
    ),
)
"""Every reading, in the order of a clip's way."""


def readings_of(system: str) -> tuple[Reading, ...]:
    """Return the readings that a published system's reproduction rests on.

    >>> [r.reading for r in readings_of("system3") if r.setting == "metric"]
    ['sqeuclidean']
    >>> readings_of("baseline_mse")
    ()
    """
    return tuple(reading for reading in READINGS if system in reading.systems)


def departures(settings: Mapping[str, Any], system: str) -> tuple[str, ...]:
    """Say which of a run's settings differ from the packaged system's of that name.

    >>> departures({"length": "native"}, "system4")
    ('length: native (packaged: fixed:10)',)
    """
    if system not in list_systems():
        return ()
    packaged = load_system(system).model_dump(mode="json")
    return tuple(
        f"{name}: {_show(settings[name])} (packaged: {_show(value)})"
        for name, value in packaged.items()
        if name not in ("name", "description") and name in settings and settings[name] != value
    )


def _show(value: Any) -> str:
    """Show a setting in a few letters: encoders by name and layers."""
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return "; ".join(
            f"{item['name']} {list(item.get('layers') or [])}"
            + (f" {item['settings']}" if item.get("settings") else "")
            for item in value
        )
    return str(value)
