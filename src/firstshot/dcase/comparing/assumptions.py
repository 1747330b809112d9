"""Assumptions of the packaged systems where the GenRep report does not specify a setting.

Input: the name of one of the report's systems. Output: its assumptions, and the settings of a run
that differ from the packaged system of that name.
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
class Assumption:
    """A setting that the report does not specify.

    Attributes
    ----------
    setting : str
        The field of the system file, or of an encoder.
    value : str
        The value that is used here.
    reason : str
        What the report does not say, and the source of the value.
    systems : tuple of str
        The systems that use it.
    """

    setting: str
    value: str
    reason: str
    systems: tuple[str, ...] = _ALL


ASSUMPTIONS = (
    Assumption(
        "length",
        "fixed:10, zeros appended or the first 10 s kept",
        "clips last 6 to 12 s and no length is given; the authors' code of 2024 does this",
    ),
    Assumption(
        "layers",
        "blocks counted from 1, the output after the block; the last one before its norm",
        "neither the number of the first layer nor the point in a block is given",
    ),
    Assumption(
        "pooling",
        "temporal: mean over time, frequency kept, the class token dropped",
        "not mentioned; the default of the authors' code of 2024",
    ),
    Assumption(
        "combine",
        "score_mean: each layer has its own score, then the mean",
        "not mentioned how two layers become one score; concat is the alternative",
    ),
    Assumption(
        "ensemble",
        "plain mean of the encoders' scores",
        "the average is stated, but not whether scores are rescaled before it",
        _FIVE,
    ),
    Assumption(
        "metric",
        "sqeuclidean in equations 4 and 5 too",
        "d is squared Euclidean in equation 1 and undefined in 4 and 5; the original paper of "
        "local density uses the cosine distance, the code of 2024 the Euclidean distance",
        _DENSITY,
    ),
    Assumption(
        "metric",
        "sqeuclidean",
        "equation 1; the authors' code of 2024 uses the Euclidean distance",
        ("system3",),
    ),
    Assumption(
        "normalizer_settings",
        "sums over the K neighbours, exact duplicates counted once",
        "equations 4 and 5 have sums; duplicates are not mentioned",
        _DENSITY,
    ),
    Assumption(
        "normalizer_settings",
        "population standard deviation",
        "population or sample is not specified; with 10 target clips they differ by 5 %",
        ("system3",),
    ),
    Assumption(
        "transform",
        "none: the embeddings of the encoder, unchanged",
        "neither unit length nor whitening is mentioned",
    ),
    Assumption(
        "weights",
        "the published fine-tuned checkpoint of each name",
        "names and repositories are given, files are not",
    ),
    Assumption(
        "threshold",
        "gamma: 0.9 quantile of a gamma law, fitted to held-out normal scores",
        "no decision is described; the challenge's baseline does this, and it changes no AUC",
    ),
)
"""All assumptions, in the order of a clip's processing steps."""


def assumptions_of(system: str) -> tuple[Assumption, ...]:
    """Return the assumptions in a published system's reproduction.

    >>> [a.value for a in assumptions_of("system3") if a.setting == "metric"]
    ['sqeuclidean']
    >>> assumptions_of("baseline_mse")
    ()
    """
    return tuple(a for a in ASSUMPTIONS if system in a.systems)


def changed_settings(settings: Mapping[str, Any], system: str) -> tuple[str, ...]:
    """Return which of a run's settings differ from the packaged system of that name.

    >>> changed_settings({"length": "native"}, "system4")
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
    """Show a setting briefly: encoders by name and layers."""
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return "; ".join(
            f"{item['name']} {list(item.get('layers') or [])}"
            + (f" {item['settings']}" if item.get("settings") else "")
            for item in value
        )
    return str(value)
