"""What the manifest of a detector file says, every field checked before anything is made of it.

Input: the plain values of `manifest.json`. Output: a `Manifest`, or a ValueError that names the
field. Its digest tells whether the file is what was written, but not who wrote it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from firstshot.documents import Table
from firstshot.scoring.threshold import METHODS, Threshold

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
    "index",
)
"""The constructor's arguments that a manifest keeps; older files lack some."""

_WORDS = ("pooling", "combine", "normalizer", "metric", "threshold", "bank_precision", "index")
_RATES = (1e-12, 1 - 1e-12)
_MOST_CHANNELS, _MOST_NEIGHBORS, _MOST_LAYERS = 1024, 2**31, 1000


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
    threshold: Threshold
    self_check_score: float | None

    @property
    def encoder_settings(self) -> dict[str, Any]:
        """What the encoder's constructor was given."""
        return dict(self.settings.get("encoder_settings") or {})


def read_manifest(values: Any) -> Manifest:
    """Check a manifest; raises ValueError for the first field of another type or out of range."""
    table = Table.of(values, "manifest")
    encoder = table.table("encoder")
    settings = _settings(table.table("settings"))
    # test_zscore needs several clips at once; every other detector has a self-check.
    unchecked = settings.get("normalizer") == "test_zscore" and "self_check_score" not in table
    return Manifest(
        schema=table.whole("schema"),
        encoder=encoder.line("name"),
        fingerprint=encoder.line("fingerprint"),
        layers=table.wholes("layers", 1, _MOST_LAYERS),
        length=table.line("length"),
        transform=table.line("transform"),
        settings=settings,
        threshold=_threshold(table.table("threshold")),
        self_check_score=None if unchecked else table.number("self_check_score"),
    )


def _settings(table: Table) -> dict[str, Any]:
    given = table.only(SETTINGS).values
    read: dict[str, Any] = {name: table.line(name) for name in _WORDS if name in given}
    if given.get("channel", "mean") != "mean":
        read["channel"] = table.whole("channel", 0, _MOST_CHANNELS)
    if "false_alarm_rate" in given:
        read["false_alarm_rate"] = table.number("false_alarm_rate", *_RATES)
    if "memmixup" in given:
        read["memmixup"] = table.flag("memmixup")
    if "normalizer_settings" in table:
        read["normalizer_settings"] = _parameters(table.table("normalizer_settings"))
    if "encoder_settings" in table:
        told = table.table("encoder_settings").values
        # How many cores are used is for this machine to say.
        read["encoder_settings"] = {
            name: value for name, value in told.items() if name not in ("threads", "workers")
        }
    return read


def _parameters(table: Table) -> dict[str, Any]:
    return {
        name: value if isinstance(value, bool) else table.whole(name, 1, _MOST_NEIGHBORS)
        for name, value in table.values.items()
    }


def _threshold(table: Table) -> Threshold:
    table.only(Threshold.__dataclass_fields__)
    promised = "promised_false_alarm_rate"
    return Threshold(
        value=table.number("value"),
        method=table.choice("method", METHODS),
        false_alarm_rate=table.number("false_alarm_rate", *_RATES),
        clips=table.whole("clips", low=1),
        promised_false_alarm_rate=table.number(promised, 0.0, 1.0) if promised in table else None,
        promise=table.line("promise"),
        parameters=table.table("parameters").numbers(),
    )
