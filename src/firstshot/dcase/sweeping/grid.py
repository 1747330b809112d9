"""What a sweep tries: encoders x layers x normalisers x metrics, and presets.

Input: names as a user writes them. Output: a checked `Grid`, its combinations, and the layers of
one encoder that they need.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from firstshot.detector.views import JOINED, PRESETS
from firstshot.encoders import list_encoders
from firstshot.encoders.logmel import LogMel
from firstshot.encoders.pooling import resolve_layers
from firstshot.encoders.weights.catalog import ENCODERS
from firstshot.encoders.weights.trained_file import is_trained_name
from firstshot.errors import ParameterError
from firstshot.messages import choose_one_of
from firstshot.scoring.normalizers import make_normalizer
from firstshot.scoring.search.vectors import METRICS
from firstshot.scoring.transform import make_transform
from firstshot.sound.audio import Channel

ALL_LAYERS = "all"
NORMALIZERS = ("none", "domain_zscore", "local_density", "domain_local_density")
"""The default: those of the report that use normal clips only."""


@dataclass(frozen=True)
class Combination:
    """One way to score: layers of one encoder (their scores averaged), a normaliser, a metric.

    Without layers it is a preset, whose views have their own.
    """

    layers: tuple[int, ...]
    normalizer: str
    metric: str

    def __str__(self) -> str:
        if not self.layers:
            return "views"
        return f"{show_layers(self.layers)} {self.normalizer} {self.metric}"


OF_VIEWS = Combination((), "", "")
"""What a preset is tried in."""


@dataclass(frozen=True)
class Grid:
    """The settings to try.

    Attributes
    ----------
    encoders : tuple of str
        Names; `NAME=PATH` gives the weights file of a pre-trained encoder.
    layers : tuple of str
        ``all`` for each layer alone, `7` for one, `7+10` for the mean of two layers' scores;
        negative numbers count from the end.
    normalizers, metrics : tuple of str
        With their default parameters.
    pooling, length, channel : str
        How clips are embedded; see `firstshot.Detector`.
    transform : str, optional
        None takes each encoder's default.
    presets : tuple of str
        Names of sets of views, each tried as it is; `NAME=PATH` gives the weights file of its
        pre-trained encoder. `layers`, `normalizers`, `metrics`, `pooling` and `transform` are for
        `encoders` alone.
    """

    encoders: tuple[str, ...] = ()
    layers: tuple[str, ...] = (ALL_LAYERS,)
    normalizers: tuple[str, ...] = NORMALIZERS
    metrics: tuple[str, ...] = METRICS
    pooling: str = "temporal"
    length: str = "native"
    channel: Channel = "mean"
    transform: str | None = None
    presets: tuple[str, ...] = ()

    def check(self) -> None:
        """Refuse invalid settings before a clip is read; raises ParameterError."""
        for name, values in (
            ("encoder or preset", self.encoders + self.presets),
            ("layers", self.layers),
        ):
            if not values:
                raise ParameterError(f"a sweep needs at least one {name}; name it")
        for preset in self.presets:
            name, _ = weights_of(preset)
            if name.partition(JOINED)[0] not in PRESETS:
                raise ParameterError(
                    f"preset {name!r} is not known; {choose_one_of(name, PRESETS)}"
                )
        for encoder in self.encoders:
            name = weights_of(encoder)[0]
            if name not in list_encoders() and not is_trained_name(name):
                raise ParameterError(
                    f"encoder {encoder!r} is not known; choose out of {', '.join(list_encoders())}"
                )
        for text in self.layers:
            if text != ALL_LAYERS and not re.fullmatch(r"-?\d+(\+-?\d+)*", text):
                raise ParameterError(f"layers {text!r}: write all, 7, -1 or 7+10")
        for encoder in self.encoders:
            name, _ = weights_of(encoder)
            if name in ENCODERS:
                self.combinations(name, ENCODERS[name].spec.depth)
            elif name == LogMel.name:
                self.combinations(name, LogMel.depth)
        for normalizer, metric in product(self.normalizers, self.metrics):
            make_normalizer(normalizer, metric=metric)
        if self.transform is not None:
            make_transform(self.transform)

    def combinations(self, encoder: str, depth: int) -> list[Combination]:
        """Return every combination for an encoder of so many layers, each once."""
        sets = dict.fromkeys(self._layer_sets(encoder, depth))
        return [
            Combination(layers, normalizer, metric)
            for layers, normalizer, metric in product(sets, self.normalizers, self.metrics)
        ]

    def _layer_sets(self, encoder: str, depth: int) -> Iterator[tuple[int, ...]]:
        for text in self.layers:
            if text == ALL_LAYERS:
                yield from ((layer,) for layer in range(1, depth + 1))
            else:
                numbers = [int(number) for number in text.split("+")]
                found = resolve_layers(numbers, depth, encoder)
                yield tuple(sorted(set(found)))

    def to_json(self) -> dict[str, Any]:
        """Return the grid as lists and strings; without presets, as sweeps of before wrote it."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if name != "presets" or value
        }


def weights_of(encoder: str) -> tuple[str, dict[str, str]]:
    """Split `NAME=PATH` into the name and the encoder's settings.

    >>> weights_of("ced_tiny=my/ced.pt"), weights_of("logmel")
    (('ced_tiny', {'weights': 'my/ced.pt'}), ('logmel', {}))
    """
    name, _, weights = encoder.partition("=")
    return name, {"weights": weights} if weights else {}


def show_layers(layers: Sequence[int]) -> str:
    """Write a set of layers as a user writes it.

    >>> show_layers((7, 10))
    '7+10'
    """
    return "+".join(map(str, layers))
