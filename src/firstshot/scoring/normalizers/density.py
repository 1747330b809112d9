"""`density`: the smallest distance to a clip beside that clip's own distances, clamped.

Input: banks, then queries. Output: scores, float64, higher = more anomalous. The width b(y) of a
bank clip y is its mean distance to its K nearest other bank clips, clamped to [low, high] times the
median of b over the bank; the score of x is

    r(x) = ln( min over y of d(x, y) / b(y) ),  at least ln 1e-9.

The mean, unlike the sums of the GenRep report's eq. 4 and 5, does not hang on how many clips a
domain has (local density normalisation, Wilkinghoff et al. 2025, in its ratio form). The clamp is
ours: a single odd clip, whose neighbours are far, would hide whatever sounds like it, and copies of
a clip, whose neighbours are at distance 0, would make everything else anomalous.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import DatasetError, ParameterError
from firstshot.scoring.normalizers.base import (
    BankNormalizer,
    OwnNeighbors,
    SavedState,
    Scores,
    warn_few,
)
from firstshot.scoring.search.exact import search
from firstshot.scoring.search.index import Index, Pairs
from firstshot.scoring.search.vectors import Points, concatenate

LEAST_RATIO = 1e-9
LEAST_WIDTH = 1e-12
"""Added to every width, for banks whose median is 0."""
JOINT = "joint"


@dataclass
class Density(BankNormalizer):
    """Widths from the bank of both domains, or with `per_domain` from each domain's own.

    >>> banks = {"source": [[0.0], [1.0], [2.0], [3.0]], "target": [[9.0]]}
    >>> normalizer = Density(metric="euclidean", k=1).fit(banks)
    >>> normalizer.score([[5.0]]).round(6).tolist()  # ln of 4 / 3, the width of 9 clamped from 6
    [0.287682]
    """

    name: ClassVar[str] = "density"
    metric: str = "sqeuclidean"
    k: int = 2
    low: float = 1 / 3
    high: float = 3.0
    per_domain: bool = False
    banks_: dict[str, _Bank] = field(init=False, repr=False)
    neighbors_: dict[str, OwnNeighbors] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.low <= 1 <= self.high:
            raise ParameterError(
                f"low={self.low} and high={self.high} cannot bound a width; give low from 0 to 1 "
                "and high from 1 on, as 0.333 and 3"
            )

    def _measure(self, banks: dict[str, Points]) -> None:
        self.neighbors_ = {}
        pooled = {JOINT: tuple(banks)} if not self.per_domain else {d: (d,) for d in banks}
        measured: dict[str, NDArray[np.float64]] = {}
        few = {}
        for what, domains in pooled.items():
            points = concatenate([banks[domain] for domain in domains])
            if len(points) < 2:
                raise DatasetError(
                    f"{self.name} needs at least 2 clips in the {what} bank; add normal clips"
                )
            if len(points) <= self.k:
                few[what] = (len(points), self.k + 1)
            index = Index.of(points)
            self.neighbors_[what] = neighbors = OwnNeighbors.of(index, self.k)
            widths = _widths(neighbors.counted.mean(axis=1), self)
            ends = np.cumsum([len(banks[domain]) for domain in domains])[:-1]
            measured.update(zip(domains, np.split(widths, ends), strict=True))
        warn_few(self.name, few)
        self.banks_ = {d: _Bank(Index.of(points), measured[d]) for d, points in banks.items()}

    def _measured(self) -> dict[str, NDArray[Any]]:
        """Return each domain's widths (clips,)."""
        return {f"{domain}.density": bank.widths for domain, bank in self.banks_.items()}

    def _restore(self, banks: dict[str, Points], state: SavedState) -> None:
        state.only({f"{domain}.density" for domain in banks})
        self.neighbors_ = {}  # searched again where a clip is left out
        self.banks_ = {
            domain: _Bank(Index.of(points), state.densities(f"{domain}.density", len(points)))
            for domain, points in banks.items()
        }

    def _terms(self, queries: Points) -> dict[str, Scores]:
        return {
            domain: _logarithms(search(queries, bank.index, 1, scale=bank.widths)[0][:, 0])
            for domain, bank in self.banks_.items()
        }

    def _left_out(self) -> dict[str, Scores]:
        """Widths are made without the clip; the bounds of the clamp stay those of the bank."""
        points = {domain: bank.index.points for domain, bank in self.banks_.items()}
        if not self.per_domain:
            widths = np.concatenate([bank.widths for bank in self.banks_.values()])
            ratios = self._own_ratios(Index.of(concatenate(list(points.values()))), widths, JOINT)
            ends = np.cumsum([len(p) for p in points.values()])[:-1]
            return dict(zip(points, np.split(_logarithms(ratios), ends), strict=True))
        scores = {}
        for domain, bank in self.banks_.items():
            ratios = self._own_ratios(bank.index, bank.widths, domain)
            for other, other_bank in self.banks_.items():
                if other != domain:
                    found = search(points[domain], other_bank.index, 1, scale=other_bank.widths)
                    ratios = np.minimum(ratios, found[0][:, 0])
            scores[domain] = _logarithms(ratios)
        return scores

    def _own_ratios(
        self, index: Index, widths: NDArray[np.float64], what: str
    ) -> NDArray[np.float64]:
        """Return each clip's least ratio to the others, whose widths are made without it."""
        count = len(index)
        if count < 3:
            raise DatasetError(
                f"leave_one_out of {self.name} needs at least 3 clips in a bank, got {count}; "
                "add normal clips"
            )
        neighbors = self.neighbors_.get(what) or OwnNeighbors.of(index, self.k)
        holders, left = neighbors.holders
        itself = np.arange(count)
        skip = Pairs.listed(count, np.append(left, itself), np.append(holders, itself))
        ratios = search(index.points, index, 1, scale=widths, skip=skip)[0][:, 0].copy()
        # A clip that counts another among its K nearest has another width without it.
        counted, nearest = neighbors.counted, range(neighbors.counted.shape[1])
        means = np.stack([neighbors.without(place).mean(axis=1) for place in nearest], axis=1)
        remade = _widths(means, self, float(np.median(counted.mean(axis=1))))
        np.minimum.at(ratios, left, (counted / remade).ravel())
        return ratios


@dataclass(frozen=True, eq=False)
class _Bank:
    """A domain's clips with their widths (clips,)."""

    index: Index
    widths: NDArray[np.float64]


def _widths(
    means: NDArray[np.float64], normalizer: Density, median: float | None = None
) -> NDArray[np.float64]:
    """Return mean distances clamped around their median, or around the one that is given."""
    middle = float(np.median(means)) if median is None else median
    clamped: NDArray[np.float64] = np.clip(means, normalizer.low * middle, normalizer.high * middle)
    return clamped + LEAST_WIDTH


def _logarithms(ratios: NDArray[np.float64]) -> NDArray[np.float64]:
    logarithms: NDArray[np.float64] = np.log(np.maximum(ratios, LEAST_RATIO))
    return logarithms
