"""A training's state after an epoch becomes a file, from which the training can continue.

A checkpoint is one safetensors file of arrays. It is replaced as a whole after every epoch, so a
training that was killed continues from the last complete epoch. Its name is the hash of everything
that the training's numbers depend on: clips, domains, seed and settings. Its header holds that hash
and the digest of the arrays. A file that does not agree with them is renamed, with a warning.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from firstshot.autoencoder.features import MEL
from firstshot.autoencoder.settings import TrainingSettings
from firstshot.disk.caches import pack_arrays, unpack_arrays, warn_of_damage
from firstshot.disk.files import write_result
from firstshot.domains import DOMAINS
from firstshot.errors import warn

Arrays: TypeAlias = dict[str, NDArray[Any]]
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


def write_checkpoint(path: Path, arrays: Arrays) -> None:
    """Replace the checkpoint as a whole; raises `OutputError` where it cannot be written."""
    write_result(path, pack_arrays(path.stem, arrays))


def read_checkpoint(path: Path) -> Arrays | None:
    """Return a checkpoint's arrays, or None where there is none; a damaged one is renamed."""
    try:
        return unpack_arrays(path.stem, path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        warn(f"{path}: not readable as a checkpoint ({reason}); training starts again")
    except ValueError as error:
        refuse_checkpoint(path, error)
    return None


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
        for index, shape in enumerate(parameters):
            moments = {"step": (), "exp_avg": shape, "exp_avg_sq": shape}
            shapes |= {f"adam.{index}.{name}": of for name, of in moments.items()}
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


def refuse_checkpoint(path: Path, reason: Exception) -> None:
    """Rename a checkpoint from which training cannot continue, and warn."""
    text = " ".join(str(reason).split())
    warn_of_damage(path, f"not readable as a checkpoint ({text})", "training starts again")
