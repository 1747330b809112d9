"""Views: what a detector compares of a clip, and how; and the sets of views that have a name.

A view is a layer of an encoder, pooled to one embedding, its transform, a metric, groups of
frequency bands, and a normaliser. A detector has one or more, and its score is their mean. For this
the scores of a view are standardised: over the normal clips, each scored without itself, they have
mean 0 and deviation 1.

The sets were found by experiment on machines with known faults, and tried once on others: see
docs/methods.md. `recommended` needs no weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

from firstshot.encoders.protocol import Encoder
from firstshot.encoders.weights.catalog import ENCODERS
from firstshot.encoders.weights.trained_file import SUFFIX, file_name_of, is_trained_name
from firstshot.errors import ParameterError
from firstshot.messages import choose_one_of, shown_value

MN04 = "efficientat_mn04"


@dataclass(frozen=True)
class View:
    """One view of a clip.

    Attributes
    ----------
    encoder : str or Encoder
        A name of `firstshot.list_encoders()`, the path of a file that `firstshot train` wrote, or
        an encoder object.
    layer : int
        Its layer, counted from 1.
    pooling : str
        How the layer's grid becomes one embedding, such as `temporal` or `rdp:4`.
    transform : str
        `none`, `standardize`, `half_standardize` or `whiten`, fitted on the normal clips.
    metric : str
        `euclidean`, `sqeuclidean` or `cosine`.
    groups : int
        Groups of neighbouring frequency bands, each compared by itself; 1 is the whole.
    over_groups : "max" or "mean"
        What is made of the groups' scores.
    normalizer, normalizer_settings
        As in `firstshot.scoring.normalizers.make_normalizer`.
    standardize : bool
        Whether scores are standardised by the normal clips' leave-one-out scores.
    encoder_settings : mapping
        What the encoder's constructor takes.
    name : str
        What it is called in results; "" takes the encoder and the layer.

    Examples
    --------
    >>> View("spectra", 1, transform="standardize", groups=8).label
    'spectra layer 1'
    """

    encoder: str | Encoder
    layer: int = 1
    pooling: str = "temporal"
    transform: str = "none"
    metric: str = "euclidean"
    groups: int = 1
    over_groups: str = "max"
    normalizer: str = "density"
    normalizer_settings: Mapping[str, Any] = field(default_factory=dict)
    standardize: bool = True
    encoder_settings: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""

    @property
    def encoder_name(self) -> str:
        """The encoder's name; of a trained encoder's file, the name without its folder."""
        return file_name_of(self.encoder) if isinstance(self.encoder, str) else self.encoder.name

    @property
    def label(self) -> str:
        """What it is called in results."""
        return self.name or f"{self.encoder_name} layer {self.layer}"


def _mn04(stage: int, name: str, **settings: Any) -> View:
    # The gain of the microphone must not matter, so the clip is brought to one level.
    return View(MN04, stage + 1, encoder_settings={"level": "rms"}, name=name, **settings)


_BANDS = View("spectra", 1, transform="standardize", groups=8, name="bands")
_FINE = View("spectra", 2, name="fine bands")
_CHANGE = View("spectra", 3, transform="half_standardize", name="change")
_LINES = View("spectra", 4, transform="half_standardize", name="lines")
_NETWORK = (
    _mn04(6, "mn04 stage 6", transform="standardize"),
    _mn04(8, "mn04 stage 8", metric="cosine", groups=8),
    _mn04(12, "mn04 stage 12", metric="cosine", groups=8, pooling="rdp:4"),
)
PRESETS: dict[str, tuple[View, ...]] = {
    "recommended": (_BANDS, _FINE, _CHANGE, _LINES),
    "recommended_small": (_BANDS, _FINE),
    "recommended_fusion": (_BANDS, _FINE, _CHANGE, _LINES, *_NETWORK),
    "embedded": (
        View(
            "logmel",
            1,
            transform="standardize",
            metric="sqeuclidean",
            normalizer="domain_local_density",
            standardize=False,
            name="layer 1",
        ),
    ),
}
"""Sets of views by name."""
AUTO = "auto"
"""Takes the preset of `default_preset`."""
JOINED = " + "
"""Stands between a preset and what joins it: `recommended + trained:my_encoder.safetensors`."""
LONGEST_NAME = 80
"""Characters of a name that stands for views."""
TRAINED = "trained:"
"""Begins the name of a view that compares a trained encoder's embeddings."""


def default_preset() -> tuple[str, str]:
    """Return the preset that `auto` stands for, and why.

    `recommended_fusion` where the weights of EfficientAT mn04 are in the cache and torch is
    installed, else `recommended`.
    """
    from firstshot.encoders.weights.cache import read_pointer

    if read_pointer(ENCODERS[MN04], None) is None:
        return "recommended", (
            f"the weights of {MN04} are not here; `firstshot encoders fetch {MN04}` gets them, and "
            "auto then means recommended_fusion"
        )
    if find_spec("torch") is None:
        return "recommended", f"torch, which {MN04} needs, is not installed"
    return "recommended_fusion", f"the weights of {MN04} are here; --preset recommended needs none"


def read_views(views: str | Sequence[View | Mapping[str, Any]]) -> tuple[View, ...]:
    """Return the views of a preset's name, or views given as such or as plain values.

    Raises ParameterError for a name that is not known, or an empty set.

    Examples
    --------
    >>> [view.name for view in read_views("recommended_small + trained:my.safetensors")]
    ['bands', 'fine bands', 'trained my']
    """
    if isinstance(views, str):
        found = _of_preset(*views.split(JOINED))
    elif isinstance(views, Sequence):
        found = tuple(view if isinstance(view, View) else _view_of(view) for view in views)
    else:
        raise ParameterError(f"views {shown_value(views)}: give a preset's name, or some views")
    if not found:
        raise ParameterError("views is empty; give one view or more, or the name of a preset")
    labels = [view.label for view in found]
    for label in labels:
        if labels.count(label) > 1:
            raise ParameterError(f"two views are called {label!r}; give each a name of its own")
    return found


def with_default_preset(views: str) -> str:
    """Return a preset's name, with what joins it, that of `default_preset` in place of `auto`.

    >>> with_default_preset("recommended + trained:my.safetensors")
    'recommended + trained:my.safetensors'
    """
    preset, *joined = views.split(JOINED)
    return JOINED.join([default_preset()[0] if preset == AUTO else preset, *joined])


def name_of_views(views: str) -> str:
    """Return a name for the views of a preset's name, as a folder may have it.

    >>> name_of_views("recommended + trained:models/my fan.safetensors")
    'recommended+trained_my_fan'
    """
    preset, *joined = views.split(JOINED)
    labels = [_trained_view(name).label for name in joined]
    name = "+".join([preset, *(re.sub(r"[^\w.-]", "_", label) for label in labels)])
    return name[:LONGEST_NAME]


def _of_preset(preset: str, *joined: str) -> tuple[View, ...]:
    """Return the views of a preset, and those that join it by their names."""
    name = with_default_preset(preset)
    if name not in PRESETS:
        known = choose_one_of(name, (AUTO, *PRESETS))
        raise ParameterError(f"preset {name!r} is not known; {known}")
    return (*PRESETS[name], *map(_trained_view, joined))


def _trained_view(name: str) -> View:
    """Return the view of `trained:FILE`: cosine distances of the file's embeddings."""
    path = name.removeprefix(TRAINED)
    if path == name or not is_trained_name(path):
        raise ParameterError(
            f"view {name!r} is not known; name a file of `firstshot train`, as "
            f"{TRAINED}my_encoder{SUFFIX}"
        )
    label = f"trained {file_name_of(path).removesuffix(SUFFIX)}"
    return View(path, metric="cosine", name=label)


def _view_of(values: Any) -> View:
    if not isinstance(values, Mapping):
        raise ParameterError(f"{shown_value(values)} is no view; give a firstshot.View")
    for name in values:
        if name not in View.__dataclass_fields__:
            known = choose_one_of(name, View.__dataclass_fields__)
            raise ParameterError(f"a view has no {name!r}; {known}")
    if "encoder" not in values:
        raise ParameterError('a view has no encoder; name one, as "spectra"')
    return View(**values)


def with_encoder_settings(
    views: Sequence[View], given: Mapping[str, Any] | None
) -> tuple[View, ...]:
    """Give the pre-trained encoders of views further settings, such as a runtime.

    Raises ParameterError where no encoder takes one of them, or several would get one weights file.
    """
    if not given:
        return tuple(views)
    named = [view for view in views if isinstance(view.encoder, str)]
    takers = {
        v.encoder_name for v in named if v.encoder in ENCODERS or is_trained_name(str(v.encoder))
    }
    if not takers:
        names = ", ".join(dict.fromkeys(view.encoder_name for view in views))
        raise ParameterError(
            f"{', '.join(given)}: none of the encoders here ({names}) has such settings; leave "
            "them out, or name the encoder with --encoder (in Python encoder=)"
        )
    if "weights" in given and len(takers) > 1:
        raise ParameterError(f"weights for {len(takers)} encoders; set them in each view instead")
    return tuple(
        replace(view, encoder_settings={**view.encoder_settings, **given})
        if view.encoder_name in takers
        else view
        for view in views
    )
