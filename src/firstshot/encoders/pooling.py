"""Layer outputs (clips, time, freq, dim) become embeddings (clips, values).

GenRep pools over time and keeps frequency, flattened so that value f*dim + d is dimension d of
frequency row f. `spectral` and `all` are the two other poolings of the authors' 2024 code.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import ParameterError
from firstshot.messages import choose_one_of

_AXES: dict[str, int | tuple[int, ...]] = {"temporal": 1, "spectral": 2, "all": (1, 2)}
POOLINGS = tuple(_AXES)


def pool(tokens: NDArray[np.float32], pooling: str = "temporal") -> NDArray[np.float32]:
    """Average tokens (clips, time, freq, dim) to one float32 vector per clip.

    `temporal` averages over time and keeps freq*dim values; `spectral` averages over frequency and
    keeps time*dim (clips must then be of one length); `all` averages over both and keeps dim.

    >>> tokens = np.arange(12, dtype=np.float32).reshape(1, 2, 3, 2)
    >>> pool(tokens).tolist()
    [[3.0, 4.0, 5.0, 6.0, 7.0, 8.0]]
    """
    check_pooling(pooling)
    pooled = tokens.mean(axis=_AXES[pooling])
    return np.ascontiguousarray(pooled.reshape(len(tokens), -1), dtype=np.float32)


def check_pooling(pooling: str) -> None:
    """Raise `ParameterError` for a pooling that does not exist."""
    if pooling not in POOLINGS:
        raise ParameterError(
            f"pooling {pooling!r} is not known; {choose_one_of(pooling, POOLINGS)}"
        )


def resolve_layers(layers: Sequence[int], depth: int, encoder: str) -> tuple[int, ...]:
    """Turn 1-based or negative layer numbers into 1-based ones, or say which one does not exist.

    >>> resolve_layers((7, -1), depth=12, encoder="ced_tiny")
    (7, 12)
    """
    try:
        numbers = [operator.index(layer) for layer in layers]
    except TypeError as error:
        raise ParameterError(
            f"layers {layers!r}: expected whole numbers in a list, as [7, 10] or [-1]"
        ) from error
    resolved = tuple(layer if layer > 0 else depth + 1 + layer for layer in numbers)
    for given, layer in zip(numbers, resolved, strict=True):
        if given == 0 or not 1 <= layer <= depth:
            raise ParameterError(
                f"layer {given} does not exist: {encoder} has layers 1 to {depth}, "
                f"or -{depth} to -1 counted from the end"
            )
    if not resolved:
        raise ParameterError(f"no layer was given; {encoder} has layers 1 to {depth}")
    if len(set(resolved)) < len(resolved):
        raise ParameterError(
            f"layers {list(layers)}: one of {encoder} is named twice; name it once"
        )
    return resolved
