"""A checkpoint's tensors against the tensors that a module has: the same names, the same shapes.

Input: renamed tensors and the module's names and shapes. Output: nothing, or one error that lists
what is missing, what is too many and what has another shape. No tensor is ever loaded otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from firstshot.errors import WeightsError

LISTED = 5
"""How many names of each list a message shows; a wrong file differs in a hundred."""


def unwrap(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the tensors of a checkpoint, out of the `model` wrapper that some files have.

    >>> unwrap({"model": {"norm.bias": 0}, "epoch": 30})
    {'norm.bias': 0}
    """
    inner = state.get("model")
    return inner if isinstance(inner, Mapping) else state


def check_tensors(
    state: Mapping[str, Any], expected: Mapping[str, tuple[int, ...]], encoder: str
) -> None:
    """Raise `WeightsError` unless the tensors have exactly the expected names and shapes.

    >>> import numpy as np
    >>> check_tensors({"a": np.zeros(3), "c": 0}, {"a": (2,), "b": (1,)}, "ced_tiny")
    Traceback (most recent call last):
    ...
    firstshot.errors.WeightsError: the tensors are not those of ced_tiny: missing 1 (b); extra 1 \
(c); misshapen 1 (a is (3,), expected (2,)); give the file published for ced_tiny
    """
    misshapen = [
        f"{name} is {tuple(state[name].shape)}, expected {shape}"
        for name, shape in expected.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    faults = {
        "missing": [name for name in expected if name not in state],
        "extra": [name for name in state if name not in expected],
        "misshapen": misshapen,
    }
    found = [f"{kind} {len(names)} ({_some(names)})" for kind, names in faults.items() if names]
    if found:
        raise WeightsError(
            f"the tensors are not those of {encoder}: {'; '.join(found)}; "
            f"give the file published for {encoder}"
        )


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f", and {len(listed) - LISTED} more" if len(listed) > LISTED else ""
    return ", ".join(listed[:LISTED]) + more
