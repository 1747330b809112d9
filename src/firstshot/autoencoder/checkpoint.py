"""What an autoencoder's checkpoint is called, and what must be in it.

Input: what a training's numbers depend on: clips, domains, seed and settings. Output: the name of
its checkpoint, which `firstshot.disk.checkpoints` writes and reads after every epoch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TypeAlias

import numpy as np

from firstshot.autoencoder.features import MEL
from firstshot.autoencoder.settings import TrainingSettings
from firstshot.disk.checkpoints import Arrays
from firstshot.domains import DOMAINS
from firstshot.torch_states import moment_shapes

Shape: TypeAlias = tuple[int, ...]
SCHEMA = 2
"""Files of schema 1 had no digest; their trainings start again."""


def checkpoint_name(
    digests: Sequence[str], is_target: Sequence[bool], seed: int, settings: TrainingSettings
) -> str:
    """Return the file name of a training.

    Parameters
    ----------
    digests : sequence of str
        The hash of each training clip's samples, in the order of training.
    is_target : sequence of bool
        Whether each clip is of the target domain.
    seed, settings
        As `training.train` takes them.

    Examples
    --------
    >>> checkpoint_name(["a"], [False], 13711, TrainingSettings())[:8]
    'a3830c11'
    """
    clips = [[digest, bool(target)] for digest, target in zip(digests, is_target, strict=True)]
    text = json.dumps([SCHEMA, clips, seed, asdict(settings)])
    return f"{hashlib.sha256(text.encode()).hexdigest()}.safetensors"


def check_arrays(
    arrays: Arrays,
    network: Mapping[str, Shape],
    parameters: Sequence[Shape],
    settings: TrainingSettings,
) -> None:
    """Raise ValueError where the arrays are not those of a training's checkpoint.

    Parameters
    ----------
    arrays : dict of str to array
        As `read_checkpoint` returns them.
    network, parameters
        The shapes of the network's values by name, and of those that the optimiser changes.
    settings : TrainingSettings
        Those of the training.
    """
    finished = any(name.startswith("covariance.") for name in arrays)
    shapes = {f"network.{name}": shape for name, shape in network.items()}
    if finished:
        shapes |= {f"covariance.{domain}": (MEL.mels, MEL.mels) for domain in DOMAINS}
    else:
        shapes |= moment_shapes(list(parameters))
    others = arrays.keys() - shapes.keys()
    if others != {"losses", "batch_losses"} or shapes.keys() - arrays.keys():
        raise ValueError("it does not hold the arrays of one training")
    epochs = len(np.atleast_1d(arrays["losses"]))
    shapes |= {"losses": (epochs, 2), "batch_losses": (arrays["batch_losses"].size,)}
    for name, shape in shapes.items():
        if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} is not finite or not of shape {shape}")
    if not 1 <= epochs <= settings.epochs or (finished and epochs < settings.epochs):
        raise ValueError(f"it has the losses of {epochs} epochs of {settings.epochs}")
