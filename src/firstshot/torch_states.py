"""What any training with torch does between two epochs: its optimiser kept, and one thread.

Input: an optimiser of the Adam family, or its arrays out of a checkpoint. Output: the arrays, or
the optimiser as it was. torch is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

MOMENTS = ("step", "exp_avg", "exp_avg_sq")
_PREFIX = "adam."


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread in this block, so that the order of its sums is fixed."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def optimizer_arrays(optimizer: torch.optim.Optimizer) -> dict[str, NDArray[Any]]:
    """Return an optimiser's moments by name: `adam.INDEX.MOMENT`."""
    states = optimizer.state_dict()["state"].items()
    return {
        f"{_PREFIX}{index}.{name}": value.cpu().numpy()
        for index, moments in states
        for name, value in moments.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Set an optimiser to the moments among a checkpoint's arrays, where it has some."""
    import torch

    states: dict[int, dict[str, torch.Tensor]] = {}
    for name, array in arrays.items():
        if name.startswith(_PREFIX):
            _, index, moment = name.split(".")
            states.setdefault(int(index), {})[moment] = torch.from_numpy(array.copy())
    if states:
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": states, "param_groups": groups})


def moment_shapes(parameters: list[tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every moment by name, for parameters of these shapes.

    >>> moment_shapes([(2, 3)])["adam.0.step"], moment_shapes([(2, 3)])["adam.0.exp_avg"]
    ((), (2, 3))
    """
    return {
        f"{_PREFIX}{index}.{name}": () if name == "step" else shape
        for index, shape in enumerate(parameters)
        for name in MOMENTS
    }
