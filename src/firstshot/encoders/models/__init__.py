"""The networks of the encoders with weights as torch modules, by their specs.

Input: a spec, and a published checkpoint's tensors. Output: a module whose `tokens_by_layer` maps
spectrograms (clips, frames, mels) to tokens (clips, time, freq, dim), and its tensors by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from firstshot.encoders.models import beats, ced, eat, efficientat, m2d, trained
from firstshot.encoders.models.checkpoint_names import check_tensors
from firstshot.encoders.specs.base import Spec
from firstshot.encoders.specs.trained import RECIPES

_FAMILIES: dict[str, tuple[Any, Any]] = {
    "beats": (beats.Beats, beats.rename),
    "ced": (ced.Ced, ced.rename),
    "eat": (eat.Eat, eat.rename),
    "efficientat": (efficientat.EfficientAt, efficientat.rename),
    "m2d": (m2d.M2d, m2d.rename),
    **{f"trained_{recipe}": (trained.build_trained, trained.own_names) for recipe in RECIPES},
}


def build(spec: Spec) -> nn.Module:
    """Return the network of a spec, its weights not yet loaded."""
    network: nn.Module = _FAMILIES[spec.family][0](spec)
    return network


def expected_shapes(spec: Spec) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every tensor that the network needs; no memory for values is taken.

    >>> from firstshot.encoders.specs import SPECS
    >>> expected_shapes(SPECS["ced_tiny"])["time_pos_embed"]
    (1, 192, 1, 63)
    """
    with torch.device("meta"):
        network = build(spec)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def map_names(spec: Spec, state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return a published checkpoint's tensors under the network's own names.

    Raises
    ------
    WeightsError
        A tensor is missing, too many or misshapen; the message lists them.
    """
    renamed: dict[str, Tensor] = _FAMILIES[spec.family][1](state, spec)
    check_tensors(renamed, expected_shapes(spec), spec.name)
    return renamed
