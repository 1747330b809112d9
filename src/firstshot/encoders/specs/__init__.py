"""What the pre-trained encoders are without their weights and without torch, by name."""

from __future__ import annotations

from firstshot.encoders.specs.base import Spec
from firstshot.encoders.specs.beats import BEATS_FT1
from firstshot.encoders.specs.ced import CED_BASE, CED_MINI, CED_SMALL, CED_TINY
from firstshot.encoders.specs.eat import EAT_BASE, EAT_LARGE, SSLAM
from firstshot.encoders.specs.efficientat import EFFICIENTAT_MN04, EFFICIENTAT_MN10
from firstshot.encoders.specs.m2d import M2D_CLAP

_ALL: tuple[Spec, ...] = (
    BEATS_FT1,
    M2D_CLAP,
    EAT_BASE,
    EAT_LARGE,
    SSLAM,
    CED_TINY,
    CED_MINI,
    CED_SMALL,
    CED_BASE,
    EFFICIENTAT_MN04,
    EFFICIENTAT_MN10,
)
__all__ = ["SPECS", "Spec"]

SPECS: dict[str, Spec] = {spec.name: spec for spec in _ALL}
"""Every pre-trained encoder by the name it is loaded under."""
