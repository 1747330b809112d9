"""Layer outputs (clips, time, freq, dim) become embeddings (clips, values).

GenRep pools over time and keeps frequency, flattened so that value f*dim + d is dimension d of
frequency row f. `spectral` and `all` are the two other poolings of the authors' 2024 code. The
poolings with a parameter, written `name:value`, keep frequency too; for x_t the tokens of a time
step t (of all rows), they are

| name | value of a row and dimension | source |
|---|---|---|
| `mean_deviation` | mean over t, then population deviation over t | |
| `gem:p` | (mean over t of max(x_t, 0)^p)^(1/p) | generalised mean (Radenovic et al. 2019) |
| `gwrp:r` | sum of r^(n-1) x_(n) / sum of r^(n-1), x_(n) in descending order | Kolesnikov 2016 |
| `rdp:g` | sum of w_t x_t, w_t ~ (1 + |x_t - mean| / max |x_t - mean|)^g | arXiv 2603.04605 |
| `rdp_gem:g` | (sum of w_t max(x_t, 0)^3)^(1/3) with the weights of `rdp:g` | arXiv 2603.04605 |
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import ParameterError
from firstshot.messages import choose_one_of, shown_value

AVERAGES = ("temporal", "spectral", "all", "mean_deviation")
WITH_PARAMETER = {
    "gem": (1.0, 100.0),
    "gwrp": (0.0, 1.0),
    "rdp": (0.0, 100.0),
    "rdp_gem": (0.0, 100.0),
}
"""Poolings with a parameter, and its least and greatest value."""
POOLINGS = (*AVERAGES, *(f"{name}:VALUE" for name in WITH_PARAMETER))
EQUAL_STEPS = 1e-8
"""Deviations of time steps below this are taken as none."""
HYBRID_POWER = 3.0


def pool(tokens: NDArray[np.float32], pooling: str = "temporal") -> NDArray[np.float32]:
    """Pool tokens (clips, time, freq, dim) to one float32 vector per clip.

    `temporal` averages over time and keeps freq*dim values; `spectral` averages over frequency and
    keeps time*dim (clips must then be of one length); `all` averages over both and keeps dim. The
    others are described above; `mean_deviation` keeps 2*freq*dim values, the rest freq*dim.

    >>> tokens = np.arange(12, dtype=np.float32).reshape(1, 2, 3, 2)
    >>> pool(tokens).tolist()
    [[3.0, 4.0, 5.0, 6.0, 7.0, 8.0]]
    >>> pool(tokens, "gwrp:0").tolist()
    [[6.0, 7.0, 8.0, 9.0, 10.0, 11.0]]
    """
    name, parameter = check_pooling(pooling)
    if name == "temporal":
        pooled = tokens.mean(axis=1)
    elif name == "spectral":
        pooled = tokens.mean(axis=2)
    elif name == "all":
        pooled = tokens.mean(axis=(1, 2))
    elif name == "mean_deviation":
        pooled = np.concatenate([tokens.mean(axis=1), tokens.std(axis=1)], axis=-1)
    elif name == "gem":
        pooled = _generalised_mean(tokens, None, parameter)
    elif name == "gwrp":
        weights = parameter ** np.arange(tokens.shape[1], dtype=np.float64)
        ranked = np.sort(tokens, axis=1)[:, ::-1]
        pooled = np.einsum("t,ctfd->cfd", weights / weights.sum(), ranked)
    elif name == "rdp":
        pooled = np.einsum("ct,ctfd->cfd", _deviation_weights(tokens, parameter), tokens)
    else:
        pooled = _generalised_mean(tokens, _deviation_weights(tokens, parameter), HYBRID_POWER)
    return np.ascontiguousarray(pooled.reshape(len(tokens), -1), dtype=np.float32)


def pool_layers(
    outputs: Sequence[NDArray[np.float32]], pooling: str | Sequence[str]
) -> list[NDArray[np.float32]]:
    """Pool each layer (clips, time, freq, dim) by its own pooling, or all by one.

    Examples
    --------
    >>> tokens = np.arange(12, dtype=np.float32).reshape(1, 2, 3, 2)
    >>> [len(row) for rows in pool_layers([tokens, tokens], ["temporal", "all"]) for row in rows]
    [6, 2]
    """
    each = pooling_per_layer(pooling, len(outputs))
    return [pool(tokens, one) for tokens, one in zip(outputs, each, strict=True)]


def pooling_per_layer(pooling: str | Sequence[str], layers: int) -> tuple[str, ...]:
    """Return the checked pooling of each of that many layers.

    Raises ParameterError where one is not known, or there are not as many as layers.

    >>> pooling_per_layer("temporal", 2)
    ('temporal', 'temporal')
    """
    each = (pooling,) * layers if isinstance(pooling, str) else tuple(pooling)
    if len(each) != layers:
        raise ParameterError(
            f"pooling {list(each)} for {layers} layers: give one for all, or one per layer"
        )
    for one in each:
        check_pooling(one)
    return each


def check_pooling(pooling: str) -> tuple[str, float]:
    """Return a pooling's name and parameter (0 where it has none).

    Raises ParameterError where it is not known, or its parameter is out of range.

    >>> check_pooling("rdp:4")
    ('rdp', 4.0)
    """
    name, colon, text = pooling.partition(":")
    if name in AVERAGES and not colon:
        return name, 0.0
    if name in WITH_PARAMETER:
        least, greatest = WITH_PARAMETER[name]
        try:
            parameter = float(text)
        except ValueError:
            parameter = float("nan")
        if not least <= parameter <= greatest:
            raise ParameterError(
                f"pooling {shown_value(pooling)}: expected {name}: and a number from {least:g} to "
                f"{greatest:g}"
            )
        return name, parameter
    raise ParameterError(
        f"pooling {shown_value(pooling)} is not known; {choose_one_of(pooling, POOLINGS)}"
    )


def keeps_frequency(pooling: str) -> bool:
    """Tell whether the values of an embedding follow each other by frequency row.

    >>> keeps_frequency("rdp:4"), keeps_frequency("spectral"), keeps_frequency("all")
    (True, False, False)
    """
    return check_pooling(pooling)[0] not in ("spectral", "all")


def _deviation_weights(tokens: NDArray[np.float32], gamma: float) -> NDArray[np.float64]:
    """Return the weight of each time step (clips, time): the further from the mean, the more."""
    offsets = (tokens - tokens.mean(axis=1, keepdims=True)).reshape(*tokens.shape[:2], -1)
    deviations = np.linalg.norm(offsets.astype(np.float64), axis=2)
    largest = deviations.max(axis=1, keepdims=True)
    relative = np.where(largest > EQUAL_STEPS, deviations / np.maximum(largest, EQUAL_STEPS), 0.0)
    weights = (1.0 + relative) ** gamma
    shares: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return shares


def _generalised_mean(
    tokens: NDArray[np.float32], weights: NDArray[np.float64] | None, power: float
) -> NDArray[np.float64]:
    positive = np.maximum(tokens, 0.0).astype(np.float64)
    largest = positive.max(axis=1, keepdims=True)
    # Relative to the largest step, so that no power leaves the range of numbers.
    relative = np.divide(positive, largest, out=np.zeros_like(positive), where=largest > 0) ** power
    means = (
        relative.mean(axis=1) if weights is None else np.einsum("ct,ctfd->cfd", weights, relative)
    )
    pooled: NDArray[np.float64] = largest[:, 0] * means ** (1.0 / power)
    return pooled


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


def resolve_layer(layer: int, depth: int, encoder: str) -> int:
    """Turn one layer's number into a 1-based one; see `resolve_layers`."""
    return resolve_layers((layer,), depth, encoder)[0]
