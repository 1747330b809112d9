"""A data set's normal clips become trained encoders, one file for each seed.

Input: training clips, settings and seeds. Output: files that are encoders. Each seed is a training
of its own; seeds differ as much as losses do, so a claim about a recipe rests on several.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firstshot.disk.files import write_result
from firstshot.encoders.specs.base import SAMPLE_RATE
from firstshot.encoders.specs.trained import trained_spec
from firstshot.encoders.spectra import Spectra
from firstshot.encoders.weights.trained_file import pack_trained
from firstshot.ordered_threads import count_workers
from firstshot.training.batches import Batches
from firstshot.training.classes import Classes, classify_clips
from firstshot.training.clips import LoadedClips, window_samples
from firstshot.training.settings import TrainingSettings
from firstshot.training.training import Epoch, checkpoint_name, train


@dataclass(frozen=True)
class Run:
    """One training of several: its seed, its file, and its epochs."""

    seed: int
    path: Path
    epochs: tuple[Epoch, ...]


@dataclass(frozen=True)
class Plan:
    """What is trained: clips, their classes, and samples of a window."""

    loaded: LoadedClips
    classes: Classes
    settings: TrainingSettings
    window: int


def make_plan(loaded: LoadedClips, settings: TrainingSettings) -> Plan:
    """Find the classes of clips and the length of a window.

    Raises
    ------
    ParameterError
        All clips are of one class.
    """
    features = _sounds_like if settings.pseudo_attributes else None
    classes = classify_clips(loaded, features)
    return Plan(
        loaded, classes, settings, window_samples(loaded.waveforms, settings.window_seconds)
    )


def _sounds_like(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return mean, deviation and steps of a clip's bands, on which clusters are made."""
    (layer,) = Spectra().embed([waveform], SAMPLE_RATE, [1])
    row: NDArray[np.float32] = layer[0]
    return row


def seed_paths(out: Path, seeds: Sequence[int]) -> tuple[Path, ...]:
    """Return the file of each seed: the one named, or with each seed in its name.

    >>> [path.name for path in seed_paths(Path("a.safetensors"), [0, 1])]
    ['a_seed0.safetensors', 'a_seed1.safetensors']
    """
    if len(seeds) == 1:
        return (out,)
    return tuple(out.with_name(f"{out.stem}_seed{seed}{out.suffix}") for seed in seeds)


def train_seeds(
    plan: Plan,
    seeds: Sequence[int],
    out: Path,
    *,
    device: str = "cpu",
    checkpoints: Path | None = None,
    on_epoch: Callable[[int, Epoch], None] | None = None,
    workers: int | None = None,
) -> tuple[Run, ...]:
    """Train one encoder per seed, one after the other, and write all files at the end.

    A kill before the end leaves the checkpoint of every finished training, and no file.

    Parameters
    ----------
    plan : Plan
        What is trained.
    seeds : sequence of int
        One per training.
    out : Path
        The file, or with several seeds what `seed_paths` makes of it.
    device : str
        Where torch computes.
    checkpoints : Path, optional
        The folder of checkpoints; they are removed once all files are written.
    on_epoch : callable, optional
        Called with a seed and its epoch.
    workers : int, optional
        Threads that make batches ahead; no number depends on it.
    """
    runs, kept = [], []
    contents: dict[Path, bytes] = {}
    spec = trained_spec(plan.settings.recipe, plan.window)
    for seed, path in zip(seeds, seed_paths(out, seeds), strict=True):
        batches = Batches(
            plan.loaded.waveforms, plan.classes, spec, plan.settings, seed, count_workers(workers)
        )
        name = checkpoint_name(batches, plan.loaded.digests, device)
        checkpoint = None if checkpoints is None else checkpoints / name

        def report(epoch: Epoch, seed: int = seed) -> None:
            if on_epoch is not None:
                on_epoch(seed, epoch)

        trained = train(batches, device=device, checkpoint=checkpoint, on_epoch=report)
        facts = {
            "seed": seed,
            "settings": asdict(plan.settings),
            "classes": plan.classes.sizes,
            "epochs": [[epoch.loss, epoch.found] for epoch in trained.epochs],
        }
        contents[path] = pack_trained(spec, trained.network.state_dict(), facts)
        runs.append(Run(seed, path, trained.epochs))
        kept += [] if checkpoint is None else [checkpoint]
    for path, content in contents.items():
        write_result(path, content)
    for checkpoint in kept:
        checkpoint.unlink(missing_ok=True)
    return tuple(runs)
