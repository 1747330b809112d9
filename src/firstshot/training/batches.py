"""Clips become batches of features and soft labels: windows drawn, changed and mixed.

Input: waveforms with the numbers of their classes. Output: features (clips, values) and labels
(clips, classes), whose rows sum to 1. Every choice comes from the seed, the epoch and the number of
the batch alone, so that a batch is the same wherever and whenever it is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstshot.encoders.specs.trained import TrainedSpec
from firstshot.ordered_threads import in_order
from firstshot.training.augmentation import TRANSFORMS, draw_window
from firstshot.training.classes import Classes
from firstshot.training.settings import LEAST_BATCH, TrainingSettings


@dataclass(frozen=True)
class Batch:
    """Features float32 (clips, values) and labels float32 (clips, classes)."""

    features: NDArray[np.float32]
    labels: NDArray[np.float32]


@dataclass(frozen=True)
class Batches:
    """What batches are made of."""

    waveforms: tuple[NDArray[np.float32], ...]
    classes: Classes
    spec: TrainedSpec
    settings: TrainingSettings
    seed: int
    workers: int = 1

    @property
    def labels(self) -> int:
        """Number of classes that the network tells apart."""
        return len(self.classes.names) * len(self._transforms)

    @property
    def steps(self) -> int:
        """Batches of an epoch; a last one of fewer than five clips is left out."""
        clips, batch = len(self.waveforms), self.settings.batch
        return clips // batch + (clips % batch >= LEAST_BATCH)

    def of_epoch(self, epoch: int) -> Iterator[Batch]:
        """Yield an epoch's batches, made ahead in other threads."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.waveforms))
        size = self.settings.batch
        rows = [order[step * size : (step + 1) * size] for step in range(self.steps)]

        def make(step: int) -> Batch:
            return self._make(rows[step], np.random.default_rng((self.seed, epoch, step)))

        for outcome in in_order(make, range(self.steps), self.workers):
            yield outcome.get()

    @property
    def _transforms(self) -> tuple[str, ...]:
        return TRANSFORMS if self.settings.transforms else TRANSFORMS[:1]

    def _make(self, rows: NDArray[np.int64], draw: np.random.Generator) -> Batch:
        kinds = draw.integers(len(self._transforms), size=len(rows))
        windows = np.stack(
            [
                draw_window(self.waveforms[row], self.spec.window, draw, self._transforms[kind])
                for row, kind in zip(rows, kinds, strict=True)
            ]
        )
        numbers = self.classes.numbers[rows] * len(self._transforms) + kinds
        labels = np.zeros((len(rows), self.labels), dtype=np.float32)
        labels[np.arange(len(rows)), numbers] = 1.0
        mixed, labels = mix(windows, labels, self.settings.mixup, draw)
        return Batch(np.stack([self.spec.features(window) for window in mixed]), labels)


def mix(
    windows: NDArray[np.float32],
    labels: NDArray[np.float32],
    share: float,
    draw: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mix that share of a batch with others of it (mixup, Zhang et al. 2018), labels alike.

    >>> rows = np.eye(2, dtype=np.float32)
    >>> _, mixed = mix(rows, rows, 1.0, np.random.default_rng(1))
    >>> mixed.sum(axis=1).tolist()
    [1.0, 1.0]
    """
    partners = draw.permutation(len(windows))
    shares = draw.uniform(size=(len(windows), 1))
    shares = np.where(draw.uniform(size=shares.shape) < share, shares, 1.0)
    kept: NDArray[np.float32] = shares.astype(np.float32)
    other = np.float32(1) - kept
    return kept * windows + other * windows[partners], kept * labels + other * labels[partners]
