"""Batches train a network to tell classes apart; the network is then an encoder.

Input: `Batches`, and what a checkpoint is called. Output: a `TrainedNet`. AdamW over the batches of
every epoch, a constant learning rate, the last epoch's network is kept: nothing is chosen on clips
that are held out. Before the first step three passes without updates set the running means of the
batch norms, so that zero epochs give the network untrained, which is the control to compare with.

Every random choice comes from the seed and the number of the epoch alone, and torch computes on one
thread, so the numbers depend neither on where a training was cut off and taken up again nor on how
many cores there are. On a graphics card the last digits may differ from run to run.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from firstshot.disk.checkpoints import (
    Arrays,
    read_checkpoint,
    refuse_checkpoint,
    write_checkpoint,
)
from firstshot.encoders.models import build
from firstshot.errors import ParameterError
from firstshot.torch_states import (
    moment_shapes,
    one_thread,
    optimizer_arrays,
    restore_optimizer,
)
from firstshot.training.batches import Batch, Batches
from firstshot.training.losses import MOST_SCALE, AngularLoss

SCHEMA = 1
PASSES = 3
"""Passes without updates before the first epoch; they have the numbers 1 to 3 among the epochs."""
_HISTORY = "history"


@dataclass(frozen=True)
class Epoch:
    """One epoch: its number from 1, its mean loss, the share of clips whose class was found."""

    number: int
    loss: float
    found: float
    seconds: float = 0.0


@dataclass(frozen=True)
class TrainedNet:
    """A network after its last epoch, in evaluation mode, and the numbers of its training."""

    network: nn.Module
    epochs: tuple[Epoch, ...]


@dataclass
class _State:
    """A training between two epochs: everything that a checkpoint holds."""

    network: nn.Module
    loss: AngularLoss
    optimizer: torch.optim.Optimizer
    device: torch.device
    history: list[tuple[float, float]] = field(default_factory=list)

    @property
    def named(self) -> dict[str, Tensor]:
        """The tensors of network and loss."""
        parts = {"network": self.network, "loss": self.loss}
        return {f"{p}.{k}": v for p, part in parts.items() for k, v in part.state_dict().items()}


def checkpoint_name(batches: Batches, digests: Sequence[str], device: str = "cpu") -> str:
    """Return the file name of a training: a hash of all that decides its numbers."""
    decides = [
        SCHEMA,
        list(zip(digests, batches.classes.numbers.tolist(), strict=True)),
        batches.classes.names,
        batches.spec.window,
        batches.seed,
        asdict(batches.settings),
        torch.device(device).type,
    ]
    return f"{hashlib.sha256(json.dumps(decides).encode()).hexdigest()}.safetensors"


def train(
    batches: Batches,
    *,
    device: str = "cpu",
    checkpoint: Path | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> TrainedNet:
    """Train one network, or continue a training from its checkpoint.

    Parameters
    ----------
    batches : Batches
        Clips, classes, settings and seed.
    device : str
        Where torch computes: `cpu`, `cuda`.
    checkpoint : Path, optional
        Written after every epoch, see `checkpoint_name`. A later call continues from there. A
        damaged one is renamed with a warning, and the training starts again.
    on_epoch : callable, optional
        Called after every epoch.

    Raises
    ------
    ParameterError
        There are fewer clips than a batch needs, or the loss or its scale leaves all bounds: the
        message names the step and the cause.
    OutputError
        The checkpoint cannot be written.
    """
    if not batches.steps:
        raise ParameterError(
            f"{len(batches.waveforms)} clips are too few to train on; give five or more"
        )
    settings = batches.settings
    with one_thread(), torch.random.fork_rng(devices=[]):
        state = _resume(batches, device, checkpoint)
        if not state.history:
            _set_norms(state, batches)
        while len(state.history) < settings.epochs:
            began = time.monotonic()
            loss, found = _train_epoch(state, batches)
            state.history.append((loss, found))
            if checkpoint:
                write_checkpoint(checkpoint, _kept_arrays(state))
            if on_epoch:
                seconds = time.monotonic() - began
                on_epoch(Epoch(len(state.history), loss, found, seconds))
    epochs = tuple(Epoch(i, *numbers) for i, numbers in enumerate(state.history, start=1))
    return TrainedNet(state.network.eval(), epochs)


def _begin(batches: Batches, device: str) -> _State:
    settings = batches.settings
    torch.manual_seed(batches.seed)
    network = build(batches.spec).to(device)
    loss = AngularLoss(batches.labels, batches.spec.dim(1), settings.loss).to(device)
    learned = [p for part in (network, loss) for p in part.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        learned, lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    return _State(network, loss, optimizer, torch.device(device))


def _resume(batches: Batches, device: str, checkpoint: Path | None) -> _State:
    arrays = read_checkpoint(checkpoint) if checkpoint else None
    if checkpoint and arrays:
        state = _begin(batches, device)
        try:
            _restore(state, arrays, batches.settings.epochs)
            return state
        except (KeyError, ValueError, RuntimeError) as error:
            refuse_checkpoint(checkpoint, error)
    return _begin(batches, device)


def _set_norms(state: _State, batches: Batches) -> None:
    """Let the batch norms see every clip three times, while nothing is learned."""
    state.network.train()
    with torch.no_grad():
        for number in range(1, PASSES + 1):
            _seed(batches, number)
            for batch in batches.of_epoch(number):
                state.network(_on_device(batch, state)[0])


def _train_epoch(state: _State, batches: Batches) -> tuple[float, float]:
    """Return the mean loss and the share of clips whose class was found."""
    state.network.train()
    state.loss.train()
    epoch = len(state.history) + 1
    _seed(batches, epoch + PASSES)
    losses, found = [], []
    for number, batch in enumerate(batches.of_epoch(epoch + PASSES), start=1):
        features, labels = _on_device(batch, state)
        embeddings = state.network(features)
        loss = state.loss(embeddings, labels)
        losses.append(loss.item())
        _check_step(state, losses[-1], (epoch - 1) * batches.steps + number, batches)
        state.optimizer.zero_grad()
        loss.backward()
        state.optimizer.step()
        with torch.no_grad():
            right = state.loss.classify(embeddings) == labels.argmax(dim=1)
        found.append(right.double().mean().item())
    _check_values(state, epoch, batches)
    return float(np.mean(losses)), float(np.mean(found))


def _check_step(state: _State, loss: float, step: int, batches: Batches) -> None:
    """Stop a training whose loss or scale leaves all bounds, before the step is taken."""
    scale, rate = float(state.loss.scale), batches.settings.learning_rate
    if not np.isfinite(scale) or scale > MOST_SCALE:
        raise ParameterError(
            f"training stopped at step {step}: the scale of the loss has grown to {scale:g}, above "
            f"{MOST_SCALE:g}; choose a fixed scale"
        )
    if not np.isfinite(loss):
        raise ParameterError(
            f"training stopped at step {step}: the loss is {loss:g}; choose a learning rate below "
            f"{rate:g}"
        )


def _check_values(state: _State, epoch: int, batches: Batches) -> None:
    """Stop a training whose last step has left all bounds, before its state is kept."""
    for name, tensor in state.named.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ParameterError(
                f"training stopped at step {epoch * batches.steps}, the end of epoch {epoch}: "
                f"{name} is no longer finite; choose a learning rate below "
                f"{batches.settings.learning_rate:g}"
            )


def _seed(batches: Batches, epoch: int) -> None:
    """Set torch's generator, which decides what dropout leaves out in this epoch."""
    torch.manual_seed(int(np.random.SeedSequence((batches.seed, epoch)).generate_state(1)[0]))


def _on_device(batch: Batch, state: _State) -> tuple[Tensor, Tensor]:
    return (
        torch.from_numpy(batch.features).to(state.device),
        torch.from_numpy(batch.labels).to(state.device),
    )


def _kept_arrays(state: _State) -> Arrays:
    arrays: Arrays = {name: tensor.cpu().numpy() for name, tensor in state.named.items()}
    return arrays | optimizer_arrays(state.optimizer) | {_HISTORY: np.array(state.history)}


def _restore(state: _State, arrays: Arrays, epochs: int) -> None:
    """Set a new state to a checkpoint's; ValueError where it is not one of this training."""
    learned = [tuple(p.shape) for p in state.optimizer.param_groups[0]["params"]]
    shapes = {name: tuple(tensor.shape) for name, tensor in state.named.items()}
    shapes |= moment_shapes(learned) | {_HISTORY: (len(arrays[_HISTORY]), 2)}
    if {name: array.shape for name, array in arrays.items()} != shapes:
        raise ValueError("it does not hold the arrays of one training")
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} is not finite")
    if not 1 <= len(arrays[_HISTORY]) <= epochs:
        raise ValueError(f"it has {len(arrays[_HISTORY])} epochs of {epochs}")
    for prefix, part in (("network.", state.network), ("loss.", state.loss)):
        named = {
            name.removeprefix(prefix): torch.from_numpy(array.copy())
            for name, array in arrays.items()
            if name.startswith(prefix)
        }
        part.load_state_dict(named)
    restore_optimizer(state.optimizer, arrays)
    state.history = [(float(loss), float(found)) for loss, found in arrays[_HISTORY]]
