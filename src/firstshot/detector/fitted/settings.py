"""The constructor's arguments become embedding settings and a recipe of parts.

Input: the arguments of `Detector` by name. Output: checked `EmbeddingSettings`, and the `Recipe`.
A detector is given by its views, or by an encoder, its layers and one way to compare them; then
every layer is a view whose scores are not standardised. Where neither is given, a preset is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from firstshot.detector.embedding import (
    EmbeddingSettings,
    make_embedding_settings,
    with_far_noise,
)
from firstshot.detector.fitted.parts import PartRecipe, Recipe
from firstshot.detector.sources import list_far_noise
from firstshot.detector.views import (
    AUTO,
    View,
    read_views,
    with_default_preset,
    with_encoder_settings,
)
from firstshot.encoders import load_encoder
from firstshot.encoders.joint import join_encoders, one_if_same
from firstshot.encoders.pooling import check_pooling, resolve_layer
from firstshot.encoders.protocol import Encoder
from firstshot.errors import ParameterError
from firstshot.messages import choose_one_of, shown_value
from firstshot.scoring.threshold import METHODS
from firstshot.sound.audio import LengthPolicy

ONE_WAY = {
    "encoder": "logmel",
    "layers": None,
    "pooling": "temporal",
    "normalizer": "domain_local_density",
    "normalizer_settings": None,
    "metric": "sqeuclidean",
    "transform": None,
}
"""The arguments that describe one way to compare layers, and what None means for each."""
HELD_OUT = ("block", "single")
THRESHOLD_FOR = ("pooled", "each_domain")


def resolve_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with every None that stands for a choice replaced by that choice.

    Raises ParameterError for views beside arguments that describe one way to compare.
    """
    found = dict(settings)
    given = [name for name in ONE_WAY if found[name] is not None]
    if found["views"] is None and not given:
        found["views"] = AUTO
    if isinstance(found["views"], str):
        found["views"] = with_default_preset(found["views"])
    if found["views"] is not None and given:
        raise ParameterError(
            f"{given[0]} {shown_value(found[given[0]])} beside views: each view has its own; leave "
            "out one of the two"
        )
    if found["views"] is None:
        found |= {name: usual for name, usual in ONE_WAY.items() if found[name] is None}
        standardized = False
    else:
        standardized = all(view.standardize for view in read_views(found["views"]))
    if found["held_out"] is None:
        found["held_out"] = "block" if standardized else "single"
    return found


def read_settings(
    settings: Mapping[str, Any], fetch_missing: bool = True
) -> tuple[EmbeddingSettings, Recipe]:
    """Check resolved arguments and load the encoders, their weights fetched where allowed.

    Raises
    ------
    ParameterError
        A setting has a value that cannot be used; the message names both. No clip is read before.
    SoundError, DatasetError
        A recording of `far_noise` cannot be read.
    """
    for name, known in (
        ("threshold", METHODS),
        ("held_out", HELD_OUT),
        ("threshold_for", THRESHOLD_FOR),
    ):
        if settings[name] not in known:
            raise ParameterError(
                f"{name} {settings[name]!r}: {choose_one_of(settings[name], known)}"
            )
    rate = settings["false_alarm_rate"]
    if not isinstance(rate, int | float | np.number) or not 0 < rate < 1:
        raise ParameterError(
            f"false_alarm_rate {shown_value(rate)}: it must lie between 0 and 1, as 0.05"
        )
    for name in ("encoder_settings", "normalizer_settings"):
        if not isinstance(settings[name] or {}, Mapping):
            raise ParameterError(f"{name} {shown_value(settings[name])}: give a dict")
    found = _of_views if settings["views"] is not None else _of_layers
    embedding_settings, recipe = found(settings, fetch_missing)
    recipe.check()
    noise = list_far_noise(settings["far_noise"], settings["sample_rate"])
    return with_far_noise(embedding_settings, noise), recipe


def _of_layers(
    settings: Mapping[str, Any], fetch_missing: bool
) -> tuple[EmbeddingSettings, Recipe]:
    embedding_settings = make_embedding_settings(
        settings["encoder"],
        settings["encoder_settings"],
        **{name: settings[name] for name in ("layers", "pooling", "length", "channel")},
        fetch_missing=fetch_missing,
    )
    encoder = embedding_settings.encoder
    transform = settings["transform"] or getattr(encoder, "default_transform", "none")
    labels = [f"layer {layer}" for layer in embedding_settings.layers]
    columns = tuple(range(len(labels)))
    if settings["combine"] == "concat":
        labels = [" + ".join(labels)]
    parts = tuple(
        PartRecipe(
            label,
            transform,
            settings["normalizer"],
            settings["metric"],
            settings["normalizer_settings"] or {},
        )
        for label in labels
    )
    return embedding_settings, _recipe(settings, parts, columns)


def _of_views(settings: Mapping[str, Any], fetch_missing: bool) -> tuple[EmbeddingSettings, Recipe]:
    views = with_encoder_settings(read_views(settings["views"]), settings["encoder_settings"])
    if settings["combine"] == "concat":
        raise ParameterError("combine concat: views are not joined; choose score_mean or score_min")
    encoders: dict[Any, Encoder] = {}
    for view in views:
        key = _encoder_key(view)
        if key not in encoders:
            encoders[key] = _load(view, fetch_missing)
    members = list(encoders.values())
    _check_files(members)
    offsets = {key: sum(m.depth for m in members[:i]) for i, key in enumerate(encoders)}
    taps: dict[int, str] = {}
    columns = []
    for view in views:
        check_view(view)
        encoder = encoders[_encoder_key(view)]
        layer = offsets[_encoder_key(view)] + resolve_layer(view.layer, encoder.depth, encoder.name)
        if taps.setdefault(layer, view.pooling) != view.pooling:
            raise ParameterError(
                f"view {view.label!r}: its layer is pooled by {taps[layer]} in another view; one "
                "pooling per layer can be used"
            )
        columns.append(list(taps).index(layer))
    length = settings["length"]
    embedding_settings = EmbeddingSettings(
        join_encoders(members),
        tuple(taps),
        one_if_same(list(taps.values())),
        LengthPolicy.parse(length) if isinstance(length, str) else length,
        settings["channel"],
    )
    return embedding_settings, _recipe(settings, tuple(map(_part_of, views)), tuple(columns))


def _check_files(encoders: Sequence[Encoder]) -> None:
    """Refuse trained encoders of one file name: a detector file knows them by it."""
    names = [one.name for one in encoders if getattr(one, "file_content", b"")]
    for name in names:
        if names.count(name) > 1:
            raise ParameterError(f"two trained encoders are called {name}; rename one of the files")


def check_view(view: View) -> None:
    """Raise ParameterError for a pooling, transform, metric or normaliser that cannot be."""
    check_pooling(view.pooling)
    _part_of(view).check()


def _recipe(
    settings: Mapping[str, Any], parts: tuple[PartRecipe, ...], columns: tuple[int, ...]
) -> Recipe:
    return Recipe(
        parts, columns, settings["memmixup"], settings["combine"], settings["bank_precision"]
    )


def _part_of(view: View) -> PartRecipe:
    return PartRecipe(
        view.label,
        view.transform,
        view.normalizer,
        view.metric,
        dict(view.normalizer_settings),
        view.groups,
        view.over_groups,
        view.standardize,
    )


def _encoder_key(view: View) -> Any:
    if not isinstance(view.encoder, str):
        return id(view.encoder)
    return view.encoder, tuple(sorted((k, str(v)) for k, v in view.encoder_settings.items()))


def _load(view: View, fetch_missing: bool) -> Encoder:
    if not isinstance(view.encoder, str):
        return view.encoder
    return load_encoder(view.encoder, fetch_missing=fetch_missing, **dict(view.encoder_settings))
