"""A detector's settings, as a user writes them, become how it hears and how its parts are built.

Input: the constructor's arguments of `Detector`. Output: a `Hearing` and a `Recipe`. Every value
that can be refused before a clip is read is refused here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firstshot.detector.hearing import Hearing, make_hearing
from firstshot.detector.parts import Recipe
from firstshot.errors import ParameterError
from firstshot.scoring.threshold import METHODS


def read_settings(
    settings: Mapping[str, Any], fetch_missing: bool = True
) -> tuple[Hearing, Recipe]:
    """Check the settings and load the encoder, its weights fetched where that is allowed.

    Raises
    ------
    ParameterError
        A setting has a value that cannot be used; the message names both.
    """
    if settings["threshold"] not in METHODS:
        raise ParameterError(
            f"threshold {settings['threshold']!r}: choose one of {', '.join(METHODS)}"
        )
    rate = settings["false_alarm_rate"]
    if not 0 < rate < 1:
        raise ParameterError(f"false_alarm_rate {rate}: it must lie between 0 and 1, as 0.05")
    hearing = make_hearing(
        settings["encoder"],
        settings["encoder_settings"],
        **{name: settings[name] for name in ("layers", "pooling", "length", "channel")},
        fetch_missing=fetch_missing,
    )
    recipe = Recipe(
        settings["transform"] or getattr(hearing.encoder, "default_transform", "none"),
        settings["normalizer"],
        settings["metric"],
        settings["normalizer_settings"] or {},
        settings["memmixup"],
        settings["combine"],
        settings["bank_precision"],
    )
    recipe.check()
    return hearing, recipe


def settled(encoder: Any, told: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return an encoder's settings, with the runtime that `auto` picked and not what was asked."""
    if getattr(encoder, "runtime", "torch") == "torch":
        # Run by torch: whatever was asked led there.
        asked = {"runtime", "precision"} & set(told or {})
        run_by = {"runtime": "torch"} if asked else {}
    else:
        run_by = {"runtime": encoder.runtime, "precision": encoder.precision}
    # How many cores there are is the machine's own, and decides no number.
    kept = {k: v for k, v in (told or {}).items() if k not in ("runtime", "threads", "workers")}
    return {**kept, **run_by} or None
