"""Transforms of embeddings before the distance: none, standardised per dimension, or whitened.

Input: training clips of both domains together (clips, values), every clip with the same weight.
Output: a map from embeddings to float32 embeddings of the same width. It consists of a few arrays,
which are saved and loaded without loss. The shrinkage of `whiten` is from Ledoit and Wolf, "A
well-conditioned estimator for large-dimensional covariance matrices", 2004, equation 14 with the
sums of lemma 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstshot.errors import DatasetError, NotFittedError, ParameterError
from firstshot.messages import choose_one_of
from firstshot.scoring.search.vectors import BLOCK_VALUES, Rows, make_points

Arrays: TypeAlias = dict[str, NDArray[Any]]

DEVIATION_FLOOR = 1e-2
"""Deviations are raised to this fraction of the median deviation of the dimensions that vary."""

VARIANCE_FLOOR = 1e-6
"""Variances of `whiten` are raised to this fraction of the mean variance."""

WHITEN_ROWS = 64
"""Rows per matrix product of `whiten`, always this many: see `Whiten.__call__`."""


class Transform(Protocol):
    """A map of embeddings, fitted once."""

    name: ClassVar[str]

    def fit(self, X: ArrayLike) -> Transform:
        """Learn from the training clips of both domains, stacked (clips, values)."""
        ...

    def __call__(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the mapped embeddings (clips, values)."""
        ...

    def arrays(self) -> Arrays:
        """Return what `transform_from_arrays` needs to make the same transform again."""
        ...


@dataclass
class Unchanged:
    """`none`: embeddings as they are, float32.

    >>> Unchanged().fit([[1.0]])([[2.5]]).tolist()
    [[2.5]]
    """

    name: ClassVar[str] = "none"

    def fit(self, X: ArrayLike) -> Unchanged:
        """Learn nothing."""
        make_points(X, "euclidean", "training")
        return self

    def __call__(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return X as float32."""
        return make_points(X, "euclidean", "clips").rows.astype(np.float32, copy=False)

    def arrays(self) -> Arrays:
        """Return nothing: there is nothing to save."""
        return {}


@dataclass
class Standardize:
    """`standardize`: subtract each dimension's mean, divide by its population deviation.

    A deviation below 1 % of the median deviation (of the dimensions that vary) is raised to that.
    Otherwise nearly constant dimensions would outweigh all others.

    >>> Standardize().fit([[0.0, 10.0], [2.0, 50.0]])([[3.0, 30.0]]).tolist()
    [[2.0, 0.0]]
    """

    name: ClassVar[str] = "standardize"
    mean_: NDArray[np.float64] = field(init=False, repr=False)
    scale_: NDArray[np.float64] = field(init=False, repr=False)

    def fit(self, X: ArrayLike) -> Standardize:
        """Learn mean and deviation of every dimension."""
        rows, self.mean_ = _checked_training(X, self.name)
        squares = np.zeros(rows.shape[1])
        for block in _blocks(rows):
            squares += np.square(rows[block] - self.mean_).sum(axis=0)
        deviation = np.sqrt(squares / len(rows))
        self.scale_ = np.maximum(deviation, DEVIATION_FLOOR * np.median(deviation[deviation > 0]))
        return self

    def __call__(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the standardised embeddings."""
        rows = _checked_rows(X, getattr(self, "mean_", None), self.name)
        mapped = np.empty(rows.shape, dtype=np.float32)
        for block in _blocks(rows):
            mapped[block] = (rows[block] - self.mean_) / self.scale_
        return mapped

    def arrays(self) -> Arrays:
        """Return mean and scale, float64 (values,)."""
        return {"mean": self.mean_, "scale": self.scale_}


@dataclass
class HalfStandardize(Standardize):
    """`half_standardize`: subtract the mean, divide by sqrt(deviation x median deviation).

    Half way, on a logarithmic scale, between leaving the deviations as they are and making them
    equal. Deviations are raised as those of `standardize`.

    Examples
    --------
    >>> mapped = HalfStandardize().fit([[0.0, 0.0], [2.0, 8.0]])([[3.0, 4.0]])
    >>> [round(value, 3) for value in mapped[0].tolist()]
    [1.265, 0.0]
    """

    name: ClassVar[str] = "half_standardize"

    def fit(self, X: ArrayLike) -> HalfStandardize:
        """Learn mean and deviation of every dimension."""
        super().fit(X)
        self.scale_ = np.sqrt(self.scale_ * np.median(self.scale_))
        return self


@dataclass
class Whiten:
    """`whiten`: make the shrunk covariance of the training clips the identity.

    The covariance S is shrunk to (1 - s) S + s m I, m its mean variance and s by Ledoit and Wolf.
    Its inverse square root is applied: along each principal direction of S by its shrunk variance,
    along all other directions (where n clips of many values do not vary) by one gain, from s m. No
    matrix is larger than clips x values or the smaller of both squared.

    >>> X = np.random.default_rng(0).standard_normal((500, 2)) * [1.0, 2.0]
    >>> np.cov(Whiten().fit(X)(X).T).round(1).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    name: ClassVar[str] = "whiten"
    mean_: NDArray[np.float64] = field(init=False, repr=False)
    directions_: NDArray[np.float64] = field(init=False, repr=False)
    gains_: NDArray[np.float64] = field(init=False, repr=False)
    rest_: NDArray[np.float64] = field(init=False, repr=False)

    def fit(self, X: ArrayLike) -> Whiten:
        """Learn mean, directions (r, values), their gains (r,), and the gain of the rest (1,)."""
        rows, self.mean_ = _checked_training(X, self.name)
        centred = rows - self.mean_
        norms = np.square(centred).sum(axis=1)
        _, singular, directions = np.linalg.svd(centred, full_matrices=False)
        variances = np.square(singular) / len(rows)
        average = variances.sum() / rows.shape[1]
        shrinkage = ledoit_wolf(variances, norms, rows.shape[1])
        floor = VARIANCE_FLOOR * average
        shrunk = np.maximum((1 - shrinkage) * variances + shrinkage * average, floor)
        # Directions without variance belong to the rest; only the others are kept.
        kept = singular > singular[0] * 1e-12
        self.directions_ = np.ascontiguousarray(directions[kept])
        self.gains_ = 1 / np.sqrt(shrunk[kept])
        self.rest_ = np.array([1 / np.sqrt(max(shrinkage * average, floor))])
        return self

    def __call__(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the whitened embeddings.

        The order of the sums of a matrix product may depend on its shape. Every product here has
        the same shape, with zeros after the last rows, so a clip's result is the same bit for bit
        whatever other clips are in the call.
        """
        rows = _checked_rows(X, getattr(self, "mean_", None), self.name)
        mapped = np.empty(rows.shape, dtype=np.float32)
        padded = np.zeros((WHITEN_ROWS, rows.shape[1]))
        for start in range(0, len(rows), WHITEN_ROWS):
            block = rows[start : start + WHITEN_ROWS] - self.mean_
            padded[: len(block)], padded[len(block) :] = block, 0.0
            along = (padded @ self.directions_.T) * (self.gains_ - self.rest_)
            whitened = padded * self.rest_ + along @ self.directions_
            mapped[start : start + WHITEN_ROWS] = whitened[: len(block)]
        return mapped

    def arrays(self) -> Arrays:
        """Return mean (values,), directions (r, values), gains (r,), rest (1,), all float64."""
        return {
            "mean": self.mean_,
            "directions": self.directions_,
            "gains": self.gains_,
            "rest": self.rest_,
        }


TRANSFORMS: dict[str, type[Unchanged] | type[Standardize] | type[Whiten]] = {
    kind.name: kind for kind in (Unchanged, Standardize, HalfStandardize, Whiten)
}


def make_transform(name: str) -> Transform:
    """Return an unfitted transform: `none`, `standardize`, `half_standardize` or `whiten`.

    >>> make_transform("whiten").name
    'whiten'
    """
    if name not in TRANSFORMS:
        raise ParameterError(f"transform {name!r} is not known; {choose_one_of(name, TRANSFORMS)}")
    return TRANSFORMS[name]()


def transform_from_arrays(name: str, arrays: Mapping[str, NDArray[Any]]) -> Transform:
    """Return the fitted transform whose `arrays()` these are.

    >>> fitted = Standardize().fit([[0.0], [2.0]])
    >>> transform_from_arrays("standardize", fitted.arrays())([[3.0]]).tolist()
    [[2.0]]
    """
    transform = make_transform(name)
    wanted = {
        setting.removesuffix("_")
        for setting in getattr(transform, "__dataclass_fields__", {})
        if setting.endswith("_")
    }
    if set(arrays) != wanted:
        raise ParameterError(
            f"transform {name} is made from the arrays {sorted(wanted)}, got {sorted(arrays)}"
        )
    _check_saved(name, arrays)
    for key, values in arrays.items():
        setattr(transform, f"{key}_", np.array(values, dtype=np.float64, order="C"))
    return transform


def _check_saved(name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Refuse arrays that are not finite numbers in the shapes that the fitted transform has."""
    dim, kept = (len(np.atleast_1d(arrays.get(key, 0.0))) for key in ("mean", "directions"))
    shapes: dict[str, tuple[int, ...]] = {"directions": (kept, dim), "gains": (kept,)}
    shapes |= {"mean": (dim,), "scale": (dim,), "rest": (1,)}
    for key, values in arrays.items():
        whole = values.shape == shapes[key] and np.isfinite(values).all()
        if not whole or (key in ("scale", "gains", "rest") and not (values > 0).all()):
            raise ParameterError(
                f"the saved transform {name}, {key}: expected finite numbers of shape "
                f"{shapes[key]}, those that it multiplies or divides by above zero"
            )


def ledoit_wolf(variances: NDArray[np.float64], norms: NDArray[np.float64], dim: int) -> float:
    """Return the Ledoit-Wolf shrinkage, 0 to 1.

    Parameters
    ----------
    variances : float64 (r,)
        Eigenvalues of the population covariance; zeros may be left out.
    norms : float64 (n,)
        Squared norms of the centred clips.
    dim : int
        Values per clip.

    Examples
    --------
    >>> round(ledoit_wolf(np.array([4.0, 1.0]), np.array([5.0, 5.0, 5.0, 5.0]), 2), 3)
    0.444
    """
    average = variances.sum() / dim
    # ||S - m I||^2 and mean ||x x' - S||^2 / n, from the eigenvalues and norms alone.
    spread = np.square(variances).sum() - dim * average**2
    noise = (np.square(norms).mean() - np.square(variances).sum()) / len(norms)
    if spread <= 0:
        return 1.0
    return float(np.clip(noise / spread, 0.0, 1.0))


def _checked_training(X: ArrayLike, name: str) -> tuple[Rows, NDArray[np.float64]]:
    """Check training clips; return them and the mean of every dimension."""
    rows = make_points(X, "euclidean", "training").rows
    if len(rows) < 2 or not (rows[1:] != rows[0]).any():
        raise DatasetError(
            f"{name} needs at least 2 different training clips, got {len(rows)} "
            "with nothing that varies; add clips that differ"
        )
    # Relative to the first clip: a constant dimension's mean is exact and its deviation zero.
    mean = rows[0] + np.mean(rows - rows[0].astype(np.float64), axis=0)
    return rows, mean


def _checked_rows(X: ArrayLike, mean: NDArray[np.float64] | None, name: str) -> Rows:
    """Check clips against the fitted number of values."""
    if mean is None:
        raise NotFittedError(f"transform {name} has learned nothing yet; call fit first")
    rows = make_points(X, "euclidean", "clips").rows
    if rows.shape[1] != len(mean):
        raise ParameterError(
            f"clips have {rows.shape[1]} values and the transform was fitted on {len(mean)}; "
            "embed both with the same encoder and layers"
        )
    return rows


def _blocks(rows: Rows) -> list[slice]:
    step = max(1, BLOCK_VALUES // max(1, rows.shape[1]))
    return [slice(start, start + step) for start in range(0, len(rows), step)]
