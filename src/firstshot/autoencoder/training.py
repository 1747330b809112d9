"""Vectors of normal clips train an autoencoder, which then scores clips.

Input: the `TrainingFrames` of a machine's normal clips, and a seed. Output: a `TrainedAutoencoder`:
network, covariances of its residuals, the losses of every epoch. Recipe of the published code: a
tenth of the vectors is kept for validation (vectors, not clips; it stops nothing early), Adam with
a rate of 1e-3, 100 epochs over shuffled batches of 256, mean squared error; the last epoch's
network is kept, and one more pass in evaluation mode gives the covariances.

Every random choice comes from the seed and the number of the epoch alone, and training runs on one
thread, so the numbers depend neither on where a training was cut off and taken up again nor on how
many cores there are. Other clips than the normal ones are never seen here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import mse_loss

from firstshot.autoencoder.checkpoint import check_arrays
from firstshot.autoencoder.features import VECTOR, TrainingFrames, stack_frames
from firstshot.autoencoder.network import Autoencoder
from firstshot.autoencoder.scores import ScoreName, residual_covariances, score_residuals
from firstshot.autoencoder.settings import TrainingSettings
from firstshot.disk.checkpoints import (
    Arrays,
    read_checkpoint,
    refuse_checkpoint,
    write_checkpoint,
)
from firstshot.domains import DOMAINS
from firstshot.errors import ParameterError
from firstshot.torch_states import optimizer_arrays, restore_optimizer


class TrainingStoppedError(Exception):
    """Another training of the same run failed, or the user stopped the run."""


@dataclass(frozen=True)
class TrainedAutoencoder:
    """A network after its last epoch, and the numbers of its training.

    Attributes
    ----------
    seed, settings
        Those of the training.
    network : Autoencoder
        In evaluation mode.
    covariances : dict of str to float64 (128, 128)
        Covariance of residual blocks by domain, see `residual_covariances`.
    losses : float64 (epochs, 2)
        Mean loss of the training batches and of the validation batches, by epoch.
    batch_losses : float64 (batches,)
        Loss of each training batch of the last epoch, measured while the weights still changed,
        then of each validation batch. The release fits the threshold of the MSE score to these.
    """

    seed: int
    settings: TrainingSettings
    network: Autoencoder
    covariances: dict[str, NDArray[np.float64]]
    losses: NDArray[np.float64]
    batch_losses: NDArray[np.float64]

    def residuals(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return reconstruction minus vector (frames - 4, 640) of one clip's frames."""
        return _residuals(self.network, torch.tensor(stack_frames(frames)))

    def score_batches(
        self, data: TrainingFrames, score: ScoreName, precisions: Sequence[NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """Return the scores of mini-batches (batches,), from which the release sets its threshold.

        For the MSE score they are the last epoch's losses. For the others each shuffled batch of
        training and validation vectors is scored like a clip. `data` are the training clips.
        """
        if score == "mse":
            return self.batch_losses
        vectors, settings = _as_vectors(data), self.settings
        fitted, kept = split_vectors(len(data.starts), self.seed, settings.validation_share)
        batches = [
            *_shuffled_batches(fitted, self.seed, settings.epochs + 1, settings.batch),
            *_cut(kept, settings.batch),
        ]
        residuals = (_residuals(self.network, vectors.gather(rows)) for rows in batches)
        return np.array([score_residuals(errors, score, precisions) for errors in residuals])


@dataclass
class _Progress:
    """A training between two epochs: everything that a checkpoint holds."""

    network: Autoencoder
    optimizer: torch.optim.Adam
    losses: list[tuple[float, float]] = field(default_factory=list)
    batch_losses: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True)
class _Vectors:
    """The training vectors, gathered from the frames batch by batch."""

    flat: Tensor
    starts: Tensor
    is_target: NDArray[np.bool_]

    def gather(self, rows: NDArray[np.int64]) -> Tensor:
        stacks = self.flat.as_strided((self.flat.shape[0] - VECTOR + 1, VECTOR), (1, 1))
        return stacks[self.starts[torch.from_numpy(rows)]]


def train(
    data: TrainingFrames,
    seed: int,
    settings: TrainingSettings | None = None,
    *,
    checkpoint: Path | None = None,
    on_epoch: Callable[[int], None] | None = None,
    stop: threading.Event | None = None,
) -> TrainedAutoencoder:
    """Train one autoencoder, or continue a training from its checkpoint.

    Parameters
    ----------
    data : TrainingFrames
        The normal clips.
    seed : int
        First weights, split and order depend on it.
    settings : TrainingSettings, optional
        None means those of the release.
    checkpoint : Path, optional
        Written after every epoch. A later call with the same data, seed and settings continues
        from there, or returns a finished training at once. The caller must ensure that they are the
        same, see `checkpoint.checkpoint_name`. A damaged one is renamed with a warning, and the
        training starts again.
    on_epoch : callable, optional
        Called with the number of epochs done.
    stop : threading.Event, optional
        Once set, training ends with `TrainingStoppedError`.

    Raises
    ------
    ParameterError
        The loss is no longer finite: the learning rate is too high.
    OutputError
        The checkpoint cannot be written.
    """
    settings = settings or TrainingSettings()
    state, covariances = _resume(seed, settings, checkpoint)
    vectors = _as_vectors(data)
    fitted, kept = split_vectors(len(data.starts), seed, settings.validation_share)
    while len(state.losses) < settings.epochs:
        _train_epoch(state, vectors, fitted, kept, seed, settings, stop)
        if checkpoint:
            write_checkpoint(checkpoint, _kept_arrays(state))
        if on_epoch:
            on_epoch(len(state.losses))
    network = state.network.eval()
    if covariances is None:
        batches = _shuffled_batches(fitted, seed, settings.epochs + 1, settings.batch)
        covariances = residual_covariances(
            (_residuals(network, vectors.gather(rows)), data.is_target[rows]) for rows in batches
        )
        if checkpoint:
            write_checkpoint(checkpoint, _kept_arrays(state, covariances))
    return TrainedAutoencoder(
        seed, settings, network, covariances, np.array(state.losses), state.batch_losses
    )


def split_vectors(
    vectors: int, seed: int, share: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows for training and the rows for validation, both shuffled.

    >>> fitted, kept = split_vectors(1416, seed=13711, share=0.1)
    >>> len(fitted), len(kept)
    (1274, 142)
    """
    shuffled = np.random.default_rng(seed).permutation(vectors)
    kept = int(np.ceil(share * vectors))
    return shuffled[kept:], shuffled[:kept]


def _begin(seed: int, settings: TrainingSettings) -> _Progress:
    network = Autoencoder(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, fused=True)
    return _Progress(network, optimizer)


def _resume(
    seed: int, settings: TrainingSettings, checkpoint: Path | None
) -> tuple[_Progress, dict[str, NDArray[np.float64]] | None]:
    """Return the state to continue from, and the covariances of a finished training."""
    arrays = read_checkpoint(checkpoint) if checkpoint else None
    if checkpoint and arrays:
        state = _begin(seed, settings)
        try:
            network = {k: tuple(v.shape) for k, v in state.network.state_dict().items()}
            parameters = [tuple(values.shape) for values in state.network.parameters()]
            check_arrays(arrays, network, parameters, settings)
            return state, _restore(state, arrays)
        except (KeyError, ValueError, RuntimeError) as error:
            refuse_checkpoint(checkpoint, error)
    return _begin(seed, settings), None


def _as_vectors(data: TrainingFrames) -> _Vectors:
    flat = torch.from_numpy(np.ascontiguousarray(data.frames)).reshape(-1)
    return _Vectors(flat, torch.from_numpy(data.starts * data.frames.shape[1]), data.is_target)


def _shuffled_batches(
    rows: NDArray[np.int64], seed: int, epoch: int, size: int
) -> list[NDArray[np.int64]]:
    """Return an epoch's batches; a last one of a single row, which has no variance, is left out."""
    shuffled = np.random.default_rng((seed, epoch)).permutation(rows)
    return [batch for batch in _cut(shuffled, size) if len(batch) > 1]


def _cut(rows: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return np.split(rows, range(size, len(rows), size))


def _train_epoch(
    state: _Progress,
    vectors: _Vectors,
    fitted: NDArray[np.int64],
    kept: NDArray[np.int64],
    seed: int,
    settings: TrainingSettings,
    stop: threading.Event | None,
) -> None:
    epoch = len(state.losses) + 1
    state.network.train()
    losses = []
    for rows in _shuffled_batches(fitted, seed, epoch, settings.batch):
        if stop is not None and stop.is_set():
            raise TrainingStoppedError
        batch = vectors.gather(rows)
        loss = mse_loss(state.network(batch)[0], batch)
        state.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        state.optimizer.step()
        losses.append(loss.item())
    state.network.eval()
    validation = []
    for rows in _cut(kept, settings.batch):
        residuals = _residuals(state.network, vectors.gather(rows))
        validation.append(float(np.square(residuals, dtype=np.float64).mean()))
    if not np.isfinite([*losses, *validation]).all():
        raise ParameterError(
            f"training diverged in epoch {epoch}: the loss is not finite; choose a learning rate "
            f"below {settings.learning_rate:g}"
        )
    state.losses.append((float(np.mean(losses)), float(np.mean(validation))))
    state.batch_losses = np.array(losses + validation)


def _residuals(network: Autoencoder, vectors: Tensor) -> NDArray[np.float32]:
    with torch.inference_mode():
        residuals: NDArray[np.float32] = (network(vectors)[0] - vectors).numpy()
    return residuals


def _kept_arrays(
    state: _Progress, covariances: Mapping[str, NDArray[np.float64]] | None = None
) -> Arrays:
    """Return what a checkpoint holds; that of a finished training has no optimiser state."""
    arrays: Arrays = {f"network.{k}": v.numpy() for k, v in state.network.state_dict().items()}
    arrays |= {"losses": np.array(state.losses), "batch_losses": state.batch_losses}
    if covariances is not None:
        return arrays | {f"covariance.{domain}": c for domain, c in covariances.items()}
    return arrays | optimizer_arrays(state.optimizer)


def _restore(state: _Progress, arrays: Arrays) -> dict[str, NDArray[np.float64]] | None:
    """Set a new state to a checkpoint's; return the covariances of a finished training."""
    named = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    prefix = "network."
    state.network.load_state_dict(
        {name.removeprefix(prefix): t for name, t in named.items() if name.startswith(prefix)}
    )
    state.losses = [(float(a), float(b)) for a, b in arrays["losses"]]
    state.batch_losses = arrays["batch_losses"]
    restore_optimizer(state.optimizer, arrays)
    if f"covariance.{DOMAINS[0]}" not in arrays:
        return None
    return {domain: arrays[f"covariance.{domain}"] for domain in DOMAINS}
