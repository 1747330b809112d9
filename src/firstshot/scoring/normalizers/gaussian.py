"""`mahalanobis` and `pca_residual`: how far a clip is from one cloud of normal clips.

Input: banks, then queries. Output: scores, float64, higher = more anomalous. Both domains are one
cloud, with the mean and the covariance of their clips:

- `mahalanobis`: the squared Mahalanobis distance, the covariance shrunk towards a multiple of the
  identity as Ledoit and Wolf (2004) do;
- `pca_residual`: the squared distance from the subspace of the leading principal directions that
  hold `share` of the variance, and never of all directions: one at least is left to differ in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import DatasetError, ParameterError
from firstshot.scoring.normalizers.base import BankNormalizer, Scores
from firstshot.scoring.search.vectors import Points, concatenate
from firstshot.scoring.transform import ledoit_wolf


@dataclass
class Mahalanobis(BankNormalizer):
    """The squared Mahalanobis distance from the clips of both domains; needs `euclidean`.

    >>> bank = {"source": np.random.default_rng(0).standard_normal((50_000, 2))}
    >>> float(Mahalanobis().fit(bank).score([[3.0, 0.0]])[0].round())
    9.0
    """

    name: ClassVar[str] = "mahalanobis"
    metric: str = "euclidean"
    banks_: dict[str, Points] = field(init=False, repr=False)
    cloud_: _Cloud = field(init=False, repr=False)

    def _measure(self, banks: dict[str, Points]) -> None:
        if sum(map(len, banks.values())) < 3:
            raise DatasetError(
                f"{self.name} needs at least 3 clips in source and target together; "
                "add normal clips"
            )
        self.banks_, self.cloud_ = banks, self._of(_rows(banks))

    def _of(self, rows: NDArray[np.float64]) -> _Cloud:
        return _shrunk_cloud(rows)

    def _terms(self, queries: Points) -> dict[str, Scores]:
        """Return the same for every domain that holds clips: the cloud is of both."""
        return dict.fromkeys(self.banks_, self.cloud_(queries.rows.astype(np.float64)))

    def _left_out(self) -> dict[str, Scores]:
        # The cloud is that of the other clips.
        rows = _rows(self.banks_)
        scores = np.array(
            [
                self._of(np.delete(rows, number, axis=0))(rows[number : number + 1])[0]
                for number in range(len(rows))
            ]
        )
        ends = np.cumsum([len(points) for points in self.banks_.values()])[:-1]
        return dict(zip(self.banks_, np.split(scores, ends), strict=True))


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
        count = int(np.searchsorted(held, self.share)) + 1
        kept = directions[: min(count, len(directions) - 1)]
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
        # Clip by clip, so that a score has the same bits in any company.
        along = np.array([np.square(self.directions @ row) @ self.gains for row in centred])
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
    return concatenate(list(banks.values())).rows.astype(np.float64)
