"""What a fitted normaliser keeps besides its banks, and the checks on reading it back.

Input: arrays by name, as a normaliser's `state()` gave them. Output: the same arrays, or an error
that says which does not fit the banks. A normaliser that is made of its banks and its state
measures nothing anew: densities of a million members take hours, reading them takes none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import ParameterError

State: TypeAlias = Mapping[str, NDArray[Any]]


def check_names(normalizer: str, state: State, wanted: set[str]) -> None:
    """Refuse a state that has other arrays than the normaliser's."""
    if set(state) != wanted:
        raise ParameterError(
            f"the saved state of {normalizer} has the arrays {sorted(state)}, and these banks need "
            f"{sorted(wanted)}"
        )


def read_statistics(normalizer: str, state: State, name: str) -> tuple[float, float]:
    """Return a saved (mean, deviation); the deviation is divided by."""
    values = _typed(normalizer, name, state[name], np.float64, 2)
    mean, deviation = values.tolist()
    if not (np.isfinite(values).all() and deviation > 0):
        raise ParameterError(
            f"the saved state of {normalizer}, {name}: mean {mean} and deviation {deviation}; "
            "expected finite numbers, the second above zero"
        )
    return mean, deviation


def read_copies(normalizer: str, state: State, name: str, clips: int) -> NDArray[np.int64]:
    """Return the saved row number of every clip's first copy (clips,)."""
    first: NDArray[np.int64] = _typed(normalizer, name, state[name], np.int64, clips)
    inside = bool((first >= 0).all() and (first <= np.arange(clips)).all())
    if not inside or (first[first] != first).any():
        raise ParameterError(
            f"the saved state of {normalizer}, {name}: not the row numbers of first copies"
        )
    return first


def read_densities(normalizer: str, state: State, name: str, clips: int) -> NDArray[np.float64]:
    """Return the saved densities (different clips,); they are divided by."""
    density: NDArray[np.float64] = _typed(normalizer, name, state[name], np.float64, clips)
    if not (np.isfinite(density).all() and (density > 0).all()):
        raise ParameterError(
            f"the saved state of {normalizer}, {name}: expected finite densities above zero"
        )
    return density


def _typed(normalizer: str, name: str, values: Any, kind: Any, count: int) -> NDArray[Any]:
    array = np.asarray(values)
    if array.dtype != kind or array.shape != (count,):
        raise ParameterError(
            f"the saved state of {normalizer}, {name}: {array.dtype} {array.shape}, and these "
            f"banks need {np.dtype(kind)} {(count,)}"
        )
    return array
