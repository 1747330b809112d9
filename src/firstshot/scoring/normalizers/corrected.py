"""`corrected`: published corrections of a distance by the neighbourhood of the bank clip.

Input: banks, then queries. Output: scores, float64, higher = more anomalous. Both domains are one
bank. With b(y) the width of a bank clip y, made from its distances to the others y_1, y_2, ... in
ascending order, and the score the minimum over y:

| correction | term of y | source |
|---|---|---|
| `none` | d(x, y) | |
| `ratio` | d(x, y) / b(y) | local density normalisation, Wilkinghoff et al. 2025 |
| `difference` | d(x, y) - b(y) | the same |
| `varmin` | d(x, y) - a b(y) | variance-minimising rescaling, Matsumoto et al. 2025 |
| `log_varmin` | ln d(x, y) - w ln b(y) | the same in log distances, arXiv 2603.04605 |

| width | b(y) | source |
|---|---|---|
| `mean` | the mean of the K smallest distances | Wilkinghoff et al. 2025 |
| `ranked` | sum of r^(k-1) d(y, y_k) / sum of r^(k-1), over all others | the same |
| `exits` | the mean of the distances before the first jump of the K smallest | arXiv 2602.18777 |

a and w are the slopes that make the leave-one-out scores of the normal clips vary least, by
regression of a clip's distance to its nearest other clip on the width of that clip. Every distance
is measured directly, and memory grows with the square of the bank: this is for comparing methods;
`density` is for use.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstshot.errors import DatasetError, ParameterError
from firstshot.scoring.normalizers.base import BankNormalizer, SavedState, Scores
from firstshot.scoring.search.exact import distances
from firstshot.scoring.search.vectors import Points, concatenate

CORRECTIONS = ("none", "ratio", "difference", "varmin", "log_varmin")
WIDTHS = ("mean", "ranked", "exits")
LEAST = 1e-12
"""The least distance and width; what is below counts as this."""
JUMP_QUANTILE = 0.04
"""Of the ratios of neighbouring distances of all clips: a ratio below it is a jump."""


@dataclass
class Corrected(BankNormalizer):
    """The corrected distance to the nearest clip.

    >>> banks = {"source": [[0.0], [1.0], [2.0], [3.0]], "target": [[9.0]]}
    >>> Corrected(metric="euclidean", k=1).fit(banks).score([[5.0]]).round(6).tolist()  # 4 / 6
    [0.666667]
    """

    name: ClassVar[str] = "corrected"
    metric: str = "sqeuclidean"
    correction: str = "ratio"
    width: str = "mean"
    k: int = 1
    rank: float = 0.9
    banks_: dict[str, Points] = field(init=False, repr=False)
    widths_: NDArray[np.float64] = field(init=False, repr=False)
    slope_: float = field(init=False, repr=False)
    left_out_: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for what, value, known in (
            ("correction", self.correction, CORRECTIONS),
            ("width", self.width, WIDTHS),
        ):
            if value not in known:
                raise ParameterError(f"{what} {value!r}: choose one of {', '.join(known)}")
        if not 0.0 <= self.rank <= 1.0:
            raise ParameterError(f"rank {self.rank!r}: expected a number from 0 to 1")

    def _measure(self, banks: dict[str, Points]) -> None:
        """Hold the banks and measure widths, slope and leave-one-out scores."""
        self.banks_ = banks
        rows = concatenate(list(banks.values())).rows
        if len(rows) < 3:
            raise DatasetError(
                f"{self.name} needs at least 3 clips in source and target together, got "
                f"{len(rows)}; add normal clips"
            )
        gaps = _all_distances(rows, rows, self.metric)
        np.fill_diagonal(gaps, np.inf)
        # `ranked` looks at all others; else K, and one more for when a clip is left out.
        looked_at = len(rows) - 1 if self.width == "ranked" else min(self.k + 1, len(rows) - 1)
        order = np.argsort(gaps, axis=1, kind="stable")[:, :looked_at]
        ascending = np.take_along_axis(gaps, order, axis=1)
        self.widths_ = self._widths(ascending)
        self.slope_ = self._slope(gaps)
        self.left_out_ = np.array(
            [self._own_score(number, gaps, order, ascending) for number in range(len(rows))]
        )

    def _measured(self) -> dict[str, NDArray[Any]]:
        """Return the widths (clips,), the slope (1,) and the leave-one-out scores (clips,)."""
        slope = np.array([self.slope_])
        return {"widths": self.widths_, "slope": slope, "left_out": self.left_out_}

    def _restore(self, banks: dict[str, Points], state: SavedState) -> None:
        state.only({"widths", "slope", "left_out"})
        count = sum(map(len, banks.values()))
        self.banks_, self.widths_ = banks, state.densities("widths", count)
        self.slope_ = float(state.numbers("slope", 1)[0])
        self.left_out_ = state.numbers("left_out", count)

    def _terms(self, queries: Points) -> dict[str, Scores]:
        widths = self._by_domain(self.widths_)
        return {
            domain: self._corrected(
                _all_distances(queries.rows, points.rows, self.metric), widths[domain]
            ).min(axis=1)
            for domain, points in self.banks_.items()
        }

    def _left_out(self) -> dict[str, Scores]:
        """Widths are made without the clip; the slope stays that of the bank."""
        return self._by_domain(self.left_out_)

    def _by_domain(self, values: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        ends = np.cumsum([len(points) for points in self.banks_.values()])[:-1]
        return dict(zip(self.banks_, np.split(values, ends), strict=True))

    def _widths(self, ascending: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return b of clips from their distances to the others (clips, others), ascending."""
        if self.width == "ranked":
            weights = self.rank ** np.arange(ascending.shape[1], dtype=np.float64)
            widths: NDArray[np.float64] = ascending @ (weights / weights.sum())
        elif self.width == "mean":
            widths = ascending[:, : self.k].mean(axis=1)
        else:
            inside = ascending[:, : self.k]
            counted = np.arange(inside.shape[1]) < _before_the_jump(ascending, self.k)[:, None]
            widths = (inside * counted).sum(axis=1) / counted.sum(axis=1)
        return np.maximum(widths, LEAST)

    def _slope(self, gaps: NDArray[np.float64]) -> float:
        """Return a or w; 1 for the corrections that have none, 0 where all widths are equal."""
        if "varmin" not in self.correction:
            return 1.0
        nearest = gaps.argmin(axis=1)
        distance, width = gaps.min(axis=1), self.widths_[nearest]
        if self.correction == "log_varmin":
            distance, width = np.log(np.maximum(distance, LEAST)), np.log(width)
        variance = float(np.var(width))
        if variance < LEAST:
            return 0.0
        return float(np.mean((distance - distance.mean()) * (width - width.mean())) / variance)

    def _corrected(
        self, gaps: NDArray[np.float64], widths: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the terms of distances (queries, clips)."""
        if self.correction == "none":
            return gaps
        if self.correction == "ratio":
            return gaps / widths
        if self.correction == "log_varmin":
            return np.log(np.maximum(gaps, LEAST)) - self.slope_ * np.log(widths)
        difference: NDArray[np.float64] = gaps - self.slope_ * widths
        return difference

    def _own_score(
        self,
        number: int,
        gaps: NDArray[np.float64],
        order: NDArray[np.int64],
        ascending: NDArray[np.float64],
    ) -> float:
        """Return a clip's score by the others, whose widths are made without it."""
        others = np.flatnonzero(np.arange(len(gaps)) != number)
        kept = order[others] != number
        kept[kept.all(axis=1), -1] = False  # the clip is not among them: the last is one too many
        shorter = ascending[others][kept].reshape(len(others), -1)
        return float(self._corrected(gaps[number, others], self._widths(shorter)).min())


def _all_distances(Q: ArrayLike, X: ArrayLike, metric: str) -> NDArray[np.float64]:
    """Return all distances (queries, clips)."""
    return np.stack([row for _, row in distances(Q, X, metric)])


def _before_the_jump(ascending: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Return how many of the k nearest clips lie before a clip's first jump.

    A jump leads out of the clip's cluster: the ratio d_j / d_(j+1), averaged with the next one, is
    below the 4 % quantile of those ratios of all clips. There are k - 2 such averages; a clip
    without a jump keeps so many neighbours. Fewer than 4 neighbours are all kept.
    """
    looked_at = np.maximum(ascending[:, :k], LEAST)
    count = looked_at.shape[1]
    if count < 4:
        return np.full(len(ascending), count)
    ratios = looked_at[:, :-1] / looked_at[:, 1:]
    smooth = (ratios[:, :-1] + ratios[:, 1:]) / 2
    jumps = smooth < np.quantile(smooth, JUMP_QUANTILE)
    counts: NDArray[np.int64] = np.where(jumps.any(axis=1), jumps.argmax(axis=1) + 1, count - 2)
    return counts
