"""A spec as JSON values, and the spec that such values describe: what a bundle holds of an encoder.

Input: a spec. Output: JSON values, and from them a spec with the same front-end, grids and pooled
time steps, bit for bit. Every constant of the front-end is written down, and compared with this
firstshot's own on reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from firstshot.disk.documents import Table
from firstshot.encoders.specs.base import PATCH, POOLED, Geometry, Spec
from firstshot.encoders.specs.beats import BeatsGeometry, BeatsSpec
from firstshot.encoders.specs.ced import CedGeometry, CedSpec
from firstshot.encoders.specs.eat import EatGeometry, EatSpec
from firstshot.encoders.specs.efficientat import LEVELS, EfficientAtGeometry, EfficientAtSpec
from firstshot.encoders.specs.m2d import M2dGeometry, M2dSpec
from firstshot.encoders.specs.trained import RECIPES
from firstshot.errors import ParameterError, WeightsError

FAMILIES: dict[str, tuple[type[Spec], type[Geometry]]] = {
    "beats": (BeatsSpec, BeatsGeometry),
    "ced": (CedSpec, CedGeometry),
    "eat": (EatSpec, EatGeometry),
    "efficientat": (EfficientAtSpec, EfficientAtGeometry),
    "m2d": (M2dSpec, M2dGeometry),
    **{kind.family: (kind, geometry) for kind, geometry in RECIPES.values()},
}
_CHOICES = {"pooled": POOLED, "level": LEVELS}
"""Settings that some specs have: their values, the default first."""
_LARGEST, _WIDEST = 1 << 20, 16.0
_LONGEST = 48000 * 3600
"""Samples: an hour, the longest that a clip may be made."""


def write_spec(spec: Spec) -> dict[str, Any]:
    """Return a spec as JSON values."""
    return {
        "name": spec.name,
        "family": spec.family,
        "geometry": asdict(spec.geometry),
        "front_end": spec.front_end_constants(),
        "fixed_samples": spec.fixed_samples,
        "pooled": getattr(spec, "pooled", "all"),
        **({"level": spec.level} if isinstance(spec, EfficientAtSpec) else {}),
        "default_layers": list(spec.default_layers),
        "minimum_samples": spec.minimum_samples,
        "frequency_bands": [spec.frequency_bands(layer) for layer in range(1, spec.depth + 1)],
    }


def read_spec(values: Mapping[str, Any]) -> Spec:
    """Return the spec that `write_spec` wrote down.

    Raises
    ------
    WeightsError
        A value is missing or unknown, or a front-end constant is not what this firstshot has.
    """
    try:
        table = Table.of(values, "encoder")
        spec = _read(table)
        _check_derived(spec, table)
        found = table.table("front_end").values
    except (ParameterError, TypeError, ValueError) as error:
        raise WeightsError(
            f"the encoder's description cannot be used ({error}); export the detector anew"
        ) from error
    known = spec.front_end_constants()
    for name in (*known, *found):
        if found.get(name) != known.get(name):
            raise WeightsError(
                f"{spec.name}: its front-end has {name} {found.get(name)!r} and this firstshot "
                f"{known.get(name)!r}; export the detector anew with this firstshot"
            )
    return spec


def _read(table: Table) -> Spec:
    kind, geometry_kind = FAMILIES[table.choice("family", FAMILIES)]
    sizes = table.table("geometry").only(geometry_kind.__dataclass_fields__)
    geometry = geometry_kind(
        **{
            name: sizes.number(name, 0.0, _WIDEST)
            if name == "width"
            else sizes.whole(name, 0, _LARGEST)
            for name in sizes.values
        }
    )
    if min(geometry.dim_of(1), geometry.depth, geometry.mels // PATCH) < 1:
        raise ValueError("encoder.geometry has no layers, rows or values")
    fields = kind.__dataclass_fields__
    given: dict[str, Any] = {
        name: table.choice(name, known) for name, known in _CHOICES.items() if name in fields
    }
    if "pooled" not in fields and table.text("pooled") != "all":
        raise ValueError(f"pooled is {table.text('pooled')!r}, expected 'all'")
    return kind(
        table.line("name"),
        geometry,
        fixed_samples=table.whole("fixed_samples", 0, _LONGEST),
        default_layers=table.wholes("default_layers", 1, geometry.depth),
        **given,
    )


def _check_derived(spec: Spec, table: Table) -> None:
    """Raise ValueError where a value that follows from the others is another one."""
    if spec.geometry.mels != spec.mel.mels:
        raise ValueError(f"geometry.mels is {spec.geometry.mels}, expected {spec.mel.mels}")
    if table.whole("minimum_samples", 1, _LONGEST) != spec.minimum_samples:
        raise ValueError(f"minimum_samples is not {spec.minimum_samples}")
    found = table.items("frequency_bands")
    if found and np.ndim(found[0]) == 1:  # written when all layers of an encoder had one grid
        found = [found] * spec.depth
    if len(found) != spec.depth:
        raise ValueError(f"frequency_bands are of {len(found)} layers, expected {spec.depth}")
    for layer, bands in enumerate(found, start=1):
        known = spec.frequency_bands(layer)
        # Another processor's mel scale may differ in the last digit.
        if np.shape(bands) != np.shape(known) or not np.allclose(bands, known, rtol=1e-6):
            raise ValueError(f"frequency_bands are not the {len(known)} of layer {layer}")
