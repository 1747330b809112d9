"""Clips become points on a plane: the first two principal components of their embeddings.

Input: embeddings of the same clips at several layers. Output: two coordinates per clip, and the
share of the variance that each of them holds. Every dimension is standardised by the normal clips,
and every layer has the same weight whatever its number of dimensions. Only products between clips
are kept, (clips, clips), so that layers and encoders are added one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_POINTS = 500
"""Clips on one map; more cannot be told apart, and the products grow with their square."""


@dataclass(frozen=True)
class MappedClip:
    """What a map says of one clip: `learned` tells a normal clip of the bank from a clip scored.

    `domain` is "" and `label` (1 anomalous, 0 normal) None where not known; `score` and
    `is_anomaly` are None of a learned clip. `attributes` are its attribute values.
    """

    clip: str
    learned: bool
    domain: str = ""
    label: int | None = None
    score: float | None = None
    is_anomaly: bool | None = None
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ClipMap:
    """Clips as points.

    Attributes
    ----------
    clips : tuple of MappedClip
    points : float64 (clips, 2)
        First and second principal component.
    shares : tuple of float
        The shares (0 to 1) of the variance that the two components hold.
    """

    clips: tuple[MappedClip, ...]
    points: NDArray[np.float64]
    shares: tuple[float, float]


def choose_clips(normal: int, test: int, most: int = MOST_POINTS) -> NDArray[np.intp]:
    """Choose at most `most` of `normal` clips followed by `test` clips; return their rows.

    Test clips come first, up to four fifths of the map. Of those that do not fit, evenly spaced
    ones are taken.

    Examples
    --------
    >>> choose_clips(3, 2, most=4)
    array([0, 2, 3, 4])
    """
    tests = min(test, max(most - normal, most * 4 // 5))
    normals = min(normal, most - tests)
    return np.concatenate([_spaced(normal, normals), normal + _spaced(test, tests)])


def _spaced(count: int, chosen: int) -> NDArray[np.intp]:
    return np.unique(np.linspace(0, count - 1, chosen).round().astype(np.intp))


def clip_products(
    layers: Iterable[NDArray[np.floating]], normal: Sequence[int] | NDArray[np.intp] | slice
) -> NDArray[np.float64]:
    """Return the products (clips, clips) of standardised embeddings, the mean over the layers.

    Parameters
    ----------
    layers : iterable of arrays (clips, values)
    normal : rows
        The rows of the normal clips, which set mean and deviation.
    """
    products = []
    for layer in layers:
        values = np.asarray(layer, dtype=np.float64)
        learned = values[normal]
        spread = learned.std(axis=0)
        # A dimension that hardly varies among the normal clips must not hide all others.
        floor = 0.1 * float(np.median(spread)) + 1e-12
        standard = (values - learned.mean(axis=0)) / np.maximum(spread, floor)
        products.append(standard @ standard.T / standard.shape[1])
    return np.asarray(np.mean(products, axis=0))


def principal_points(
    products: NDArray[np.float64],
) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Return the points (clips, 2) whose products are nearest to those given, and their shares.

    The sign of a component says nothing; here its largest value is positive.

    Examples
    --------
    >>> line = np.array([[-2.0], [0.0], [2.0]])
    >>> points, shares = principal_points(line @ line.T)
    >>> abs(points.round(6)).tolist(), shares
    ([[2.0, 0.0], [0.0, 0.0], [2.0, 0.0]], (1.0, 0.0))
    """
    clips = len(products)
    centred = products - products.mean(axis=0) - products.mean(axis=1)[:, np.newaxis]
    centred = centred + products.mean()
    values, vectors = np.linalg.eigh(centred)
    values = np.maximum(values, 0.0)
    points = np.zeros((clips, 2))
    for place, i in enumerate(range(clips - 1, max(clips - 3, -1), -1)):
        vector = vectors[:, i]
        sign = 1.0 if vector[np.argmax(np.abs(vector))] > 0 else -1.0
        points[:, place] = sign * vector * np.sqrt(values[i])
    total = float(values.sum())
    held = [float(value) / total if total > 0 else 0.0 for value in values[::-1][:2]]
    return points, (held[0], held[1] if len(held) > 1 else 0.0)
