"""`mahalanobis` and `pca_residual`: how far a clip is from one cloud of normal clips.

Input: banks, then queries. Output: scores, float64, higher = more anomalous. Both domains are one
cloud, with the mean and the covariance of their clips:

- `mahalanobis`: the squared Mahalanobis distance, the covariance shrunk towards a multiple of the
  identity as Ledoit and Wolf (2004) do;
- `pca_residual`: the squared distance from the subspace of the leading principal directions that
  hold `share` of the variance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstshot.errors import DatasetError, ParameterError
from firstshot.scoring.normalizers.domains import (
    BankArrays,
    BankNames,
    Scores,
    check_banks,
    check_fitted,
    per_domain,
)
from firstshot.scoring.normalizers.states import State, check_names
from firstshot.scoring.search.rows import joined
from firstshot.scoring.search.vectors import Points, make_points
from firstshot.scoring.transform import ledoit_wolf


@dataclass
class Mahalanobis:
    """The squared Mahalanobis distance from the clips of both domains; needs `euclidean`.

    >>> bank = {"source": np.random.default_rng(0).standard_normal((50_000, 2))}
    >>> float(Mahalanobis().fit(bank).score([[3.0, 0.0]])[0].round())
    9.0
    """

    name: ClassVar[str] = "mahalanobis"
    metric: str = "euclidean"
    banks_: dict[str, Points] = field(init=False, repr=False)
    cloud_: _Cloud = field(init=False, repr=False)

    def fit(self, banks: BankArrays, names: BankNames | None = None) -> Mahalanobis:
        """Hold the banks and their mean and covariance."""
        self.banks_ = _checked(self.name, banks, names)
        self.cloud_ = self._of(_rows(self.banks_))
        return self

    def _of(self, rows: NDArray[np.float64]) -> _Cloud:
        return _shrunk_cloud(rows)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return nothing: the banks are all there is."""
        check_fitted(self)
        return {}

    def restore(self, banks: BankArrays, state: State) -> Mahalanobis:
        """Hold the banks; `state` is empty."""
        check_names(self.name, state, set())
        return self.fit(banks)

    def score(self, Q: ArrayLike, names: Sequence[str] | None = None) -> Scores:
        """Return the scores of queries (q, values)."""
        check_fitted(self)
        return self.cloud_(make_points(Q, "euclidean", "query", names).rows.astype(np.float64))

    def domain_scores(self, Q: ArrayLike, names: Sequence[str] | None = None) -> dict[str, Scores]:
        """Return the score for every domain that holds clips: the cloud is of both."""
        scores = self.score(Q, names)
        return dict.fromkeys(self.banks_, scores)

    def leave_one_out(self) -> dict[str, Scores]:
        """Return every clip's score by the cloud of the others."""
        check_fitted(self)
        rows = _rows(self.banks_)
        scores = np.array(
            [
                self._of(np.delete(rows, number, axis=0))(rows[number : number + 1])[0]
                for number in range(len(rows))
            ]
        )
        ends = np.cumsum([len(points) for points in self.banks_.values()])[:-1]
        return per_domain(dict(zip(self.banks_, np.split(scores, ends), strict=True)))


@dataclass
class PcaResidual(Mahalanobis):
    """The squared distance from the leading principal directions of both domains' clips.

    >>> bank = {"source": [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.1]]}
    >>> PcaResidual(share=0.9).fit(bank).score([[9.0, 2.0]]).round(1).tolist()
    [3.1]
    """

    name: ClassVar[str] = "pca_residual"
    share: float = 0.95

    def __post_init__(self) -> None:
        if not 0.0 < self.share < 1.0:
            raise ParameterError(f"share {self.share!r}: expected a number between 0 and 1")

    def _of(self, rows: NDArray[np.float64]) -> _Cloud:
        mean = rows.mean(axis=0)
        _, singular, directions = np.linalg.svd(rows - mean, full_matrices=False)
        held = np.cumsum(np.square(singular)) / max(float(np.square(singular).sum()), 1e-300)
        kept = directions[: int(np.searchsorted(held, self.share)) + 1]
        # |z|^2 - |z's part in the subspace|^2: a gain of -1 along the kept directions.
        return _Cloud(mean, kept, np.full(len(kept), -1.0), 1.0)


@dataclass(frozen=True, eq=False)
class _Cloud:
    """A quadratic form around a mean: rest |z|^2 + sum of gains (direction . z)^2."""

    mean: NDArray[np.float64]
    directions: NDArray[np.float64]
    gains: NDArray[np.float64]
    rest: float

    def __call__(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        centred = rows - self.mean
        squares = self.rest * np.square(centred).sum(axis=1)
        along = np.square(centred @ self.directions.T) @ self.gains
        form: NDArray[np.float64] = np.maximum(squares + along, 0.0)
        return form


def _shrunk_cloud(rows: NDArray[np.float64]) -> _Cloud:
    """Return the inverse of the shrunk covariance as gains along its directions."""
    mean = rows.mean(axis=0)
    centred = rows - mean
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    variances, dim = np.square(singular) / len(rows), rows.shape[1]
    shrinkage = ledoit_wolf(variances, np.square(centred).sum(axis=1), dim)
    floor = shrinkage * variances.sum() / dim
    floor = floor if floor > 0 else 1e-12 * max(float(variances.max(initial=0.0)), 1e-12)
    inverse = 1.0 / ((1.0 - shrinkage) * variances + floor)
    return _Cloud(mean, directions, inverse - 1.0 / floor, 1.0 / floor)


def _rows(banks: dict[str, Points]) -> NDArray[np.float64]:
    return joined(banks).rows.astype(np.float64)


def _checked(name: str, banks: BankArrays, names: BankNames | None) -> dict[str, Points]:
    checked = check_banks(banks, names, "euclidean")
    count = sum(map(len, checked.values()))
    if count < 3:
        raise DatasetError(
            f"{name} needs at least 3 clips in source and target together, got {count}; "
            "add normal clips"
        )
    return checked
