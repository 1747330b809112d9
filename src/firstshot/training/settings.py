"""What decides a training besides its clips and its seed: a recipe's values, each to be changed.

Input: the name of a recipe. Output: its settings. The recipes are those that were tried on few
clips, on a processor: docs/trained.md has their networks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from firstshot.encoders.specs.trained import RECIPES, WINDOW_SECONDS
from firstshot.errors import ParameterError
from firstshot.messages import choose_one_of
from firstshot.numbers import check_number, check_whole

LOSSES = ("sub_cluster_adacos", "adacos", "adaproj", "arcface")
SUB_CLUSTERS, SUBSPACE = 16, 32
ARCFACE_SCALE, ARCFACE_MARGIN = 30.0, 0.5
LEAST_SCALE = 1.0
MOST_EPOCHS, LEAST_BATCH, MOST_BATCH = 10**6, 5, 10**5


@dataclass(frozen=True)
class LossSettings:
    """Which loss, and how.

    Attributes
    ----------
    name : str
        One of `LOSSES`.
    trainable : bool
        Whether the centres are learned; otherwise they stay where they began.
    dynamic : bool
        Whether the scale follows the training; for AdaCos with or without sub-clusters.
    margin : float
        Radians added to the true class's angle, for ArcFace.
    per_class : int
        Vectors of a class; 0 takes the loss's usual number (16 sub-clusters, a subspace of 32).

    Examples
    --------
    >>> round(LossSettings("adacos").scale(classes=4), 6)
    1.553672
    """

    name: str = "sub_cluster_adacos"
    trainable: bool = True
    dynamic: bool = False
    margin: float = ARCFACE_MARGIN
    per_class: int = 0

    def __post_init__(self) -> None:
        if self.name not in LOSSES:
            raise ParameterError(
                f"loss {self.name!r} is not known; {choose_one_of(self.name, LOSSES)}"
            )
        if self.dynamic and self.name not in LOSSES[:2]:
            raise ParameterError(
                f"a dynamic scale with the loss {self.name}: it is defined for {LOSSES[1]} and "
                f"{LOSSES[0]}; leave it out"
            )
        check_number("margin", self.margin, 0.0, math.pi / 2, "radians")
        check_whole("per_class", self.per_class, 0, 1024)

    @property
    def vectors(self) -> int:
        """Vectors of a class."""
        usual = {"sub_cluster_adacos": SUB_CLUSTERS, "adaproj": SUBSPACE}
        return (self.per_class or usual.get(self.name, 1)) if self.name in usual else 1

    def scale(self, classes: int) -> float:
        """Return the first scale, which is the fixed one: sqrt(2) ln(centres - 1), at least 1."""
        if self.name == "arcface":
            return ARCFACE_SCALE
        centres = classes * (self.vectors if self.name == "sub_cluster_adacos" else 1)
        return max(LEAST_SCALE, math.sqrt(2) * math.log(max(2, centres) - 1))


@dataclass(frozen=True)
class TrainingSettings:
    """What decides a training besides its clips and its seed.

    Attributes
    ----------
    recipe : str
        One of `firstshot.encoders.specs.trained.RECIPES`: features and network.
    epochs : int
        Times that a window of every clip is seen.
    batch : int
        Clips of a mini-batch; a last one of fewer than five is left out.
    learning_rate, weight_decay : float
        AdamW's.
    window_seconds : float
        What the network gets of a clip at once; 0 takes the shortest clip, between 1 and 2 s.
    mixup : float
        Share of the clips that are mixed with another one, waveforms and labels alike.
    transforms : bool
        Whether five changes of the sound (`augmentation.TRANSFORMS`) are classes of their own.
    pseudo_attributes : bool
        Whether clusters stand for attributes that a machine does not give.
    loss : LossSettings
        What is learned from the classes.

    Raises
    ------
    ParameterError
        A value cannot be used.
    """

    recipe: str
    epochs: int
    batch: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    window_seconds: float = 0.0
    mixup: float = 0.5
    transforms: bool = False
    pseudo_attributes: bool = False
    loss: LossSettings = field(default_factory=LossSettings)

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise ParameterError(
                f"recipe {self.recipe!r} is not known; {choose_one_of(self.recipe, RECIPES)}"
            )
        check_whole("epochs", self.epochs, 0, MOST_EPOCHS)
        check_whole("batch", self.batch, LEAST_BATCH, MOST_BATCH)
        check_number("learning_rate", self.learning_rate, 1e-12, 1e6)
        check_number("weight_decay", self.weight_decay, 0.0, 1e6)
        check_number("mixup", self.mixup, 0.0, 1.0)
        if self.window_seconds:
            check_number(
                "window_seconds", self.window_seconds, *WINDOW_SECONDS, "0 takes the shortest clip"
            )


def make_settings(recipe: str, **changes: Any) -> TrainingSettings:
    """Return a recipe's settings, some of them changed; None leaves a value as it is.

    >>> make_settings("tiny").epochs, make_settings("fmlp", epochs=2).transforms
    (40, True)
    """
    given = {name: value for name, value in changes.items() if value is not None}
    return replace(_RECIPES[recipe], **given) if recipe in _RECIPES else TrainingSettings(recipe, 1)


_RECIPES = {
    "spec": TrainingSettings("spec", epochs=16),
    "fmlp": TrainingSettings("fmlp", epochs=10, transforms=True, pseudo_attributes=True),
    "cnn": TrainingSettings("cnn", epochs=15, transforms=True),
    "tiny": TrainingSettings("tiny", epochs=40),
}
