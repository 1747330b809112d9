"""What the manifest of a detector file says, every field checked before anything is made of it.

Input: the plain values of `manifest.json`. Output: a `Manifest`, or a ValueError that names the
field. Its digest tells whether the file is what was written, but not who wrote it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from firstshot.detector.file.origins import Additions, read_additions, read_seconds
from firstshot.disk.documents import Table
from firstshot.scoring.threshold import METHODS, Threshold
from firstshot.sound.near_far import NEAR_FAR

SETTINGS = (
    "pooling",
    "combine",
    "normalizer",
    "normalizer_settings",
    "metric",
    "channel",
    "threshold",
    "false_alarm_rate",
    "memmixup",
    "bank_precision",
    "encoder_settings",
    "held_out",
    "threshold_for",
)
"""The constructor's arguments that a manifest keeps."""

TRANSFER = "transfer"
"""The array (2, frequencies): real and imaginary parts of what far explains of near."""
_ADDED = ("bank_precision", "held_out", "threshold_for")
"""Settings that older files lack; their default applies."""
_OF_VIEWS = ("pooling", "normalizer", "metric", "normalizer_settings", "encoder_settings")
"""Settings that each view has of its own, where there are views."""
_REMOVED = ("index",)
"""Settings of older files that changed no fitted value and no longer exist."""
_WORDS = (
    *("pooling", "combine", "normalizer", "metric", "threshold", "bank_precision"),
    *("held_out", "threshold_for"),
)
_VIEW_WORDS = ("encoder", "pooling", "transform", "metric", "over_groups", "normalizer", "name")
_RATES = (1e-12, 1 - 1e-12)
_MOST_CHANNELS, _MOST_NEIGHBORS, _MOST_LAYERS, _MOST_GROUPS = 1024, 2**31, 1000, 2**20


@dataclass(frozen=True)
class Manifest:
    """A checked manifest; `settings` are arguments of `Detector`, by name."""

    schema: int
    encoder: str
    fingerprint: str
    layers: tuple[int, ...]
    length: str
    transform: str
    settings: dict[str, Any]
    views: tuple[dict[str, Any], ...] | None
    threshold: Threshold
    calibration_windows: int | None
    fitted_seconds: tuple[float, float] | None
    additions: Additions
    self_check_score: float | None

    @property
    def encoder_settings(self) -> dict[str, Any]:
        """What the encoder's constructor was given."""
        return dict(self.settings.get("encoder_settings") or {})


def read_manifest(values: Any) -> Manifest:
    """Check a manifest; raises ValueError for the first field of another type or out of range."""
    table = Table.of(values, "manifest")
    encoder = table.table("encoder")
    views = None
    if "views" in table:
        views = tuple(_view(v, i) for i, v in enumerate(table.items("views")))
        if not views:
            raise ValueError("views is empty")
    settings = _settings(table.table("settings"), views is not None)
    # test_zscore needs several clips at once; every other detector has a self-check.
    normalizers = [settings.get("normalizer"), *(view["normalizer"] for view in views or ())]
    unchecked = "test_zscore" in normalizers and "self_check_score" not in table
    return Manifest(
        schema=table.whole("schema"),
        encoder=encoder.line("name"),
        fingerprint=encoder.text("fingerprint", 1 << 16),
        layers=table.wholes("layers", 1, _MOST_LAYERS),
        length=table.line("length"),
        transform=table.line("transform"),
        settings=settings,
        views=views,
        threshold=_threshold(table.table("threshold")),
        # Older files lack it.
        calibration_windows=table.whole("calibration_windows", low=1)
        if table.values.get("calibration_windows") is not None
        else None,
        fitted_seconds=read_seconds(table),
        additions=read_additions(table),
        self_check_score=None if unchecked else table.number("self_check_score"),
    )


def _view(value: Any, number: int) -> dict[str, Any]:
    """Check a view; its fields are those of `firstshot.detector.views.View`."""
    table = Table.of(value, f"views[{number}]")
    table.only(
        (*_VIEW_WORDS, "layer", "groups", "standardize", "normalizer_settings", "encoder_settings")
    )
    return {
        **{name: table.line(name) for name in _VIEW_WORDS},
        "layer": table.whole("layer", 1, _MOST_LAYERS),
        "groups": table.whole("groups", 1, _MOST_GROUPS),
        "standardize": table.flag("standardize"),
        "normalizer_settings": dict(table.table("normalizer_settings").values),
        "encoder_settings": _for_here(table.table("encoder_settings")) or {},
    }


def _settings(table: Table, views: bool) -> dict[str, Any]:
    given = table.only((*SETTINGS, *_REMOVED)).values
    own = [n for n in _WORDS if not (views and n in _OF_VIEWS)]
    words = {n: table.line(n) for n in own if n in given or n not in _ADDED}
    channel = given["channel"] if given.get("channel") in ("mean", NEAR_FAR) else None
    return {
        **words,
        "channel": channel or table.whole("channel", 0, _MOST_CHANNELS),
        "false_alarm_rate": table.number("false_alarm_rate", *_RATES),
        "memmixup": table.flag("memmixup"),
        "normalizer_settings": None
        if views
        else _parameters(table.table_or_none("normalizer_settings")),
        "encoder_settings": None if views else _for_here(table.table_or_none("encoder_settings")),
    }


def _parameters(table: Table | None) -> dict[str, Any] | None:
    if table is None:
        return None
    found: dict[str, Any] = {}
    for name, value in table.values.items():
        if isinstance(value, (bool, str)):
            found[name] = value
        elif isinstance(value, float):
            found[name] = table.number(name)
        else:
            found[name] = table.whole(name, 1, _MOST_NEIGHBORS)
    return found


def _for_here(table: Table | None) -> dict[str, Any] | None:
    """Leave out how many cores are used, which is for this machine to say."""
    if table is None:
        return None
    return {k: v for k, v in table.values.items() if k not in ("threads", "workers")}


def _threshold(table: Table) -> Threshold:
    table.only(Threshold.__dataclass_fields__)
    promised = "promised_false_alarm_rate"
    by_law = table.values.get("method") == "gamma" and promised not in table
    return Threshold(
        value=table.number("value"),
        method=table.choice("method", METHODS),
        false_alarm_rate=table.number("false_alarm_rate", *_RATES),
        clips=table.whole("clips", low=1),
        promised_false_alarm_rate=None if by_law else table.number(promised, _RATES[0], 1.0),
        promise=table.line("promise", longest=500),
        parameters=table.table("parameters").numbers(),
    )
