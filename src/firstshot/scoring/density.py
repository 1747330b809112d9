"""Normalisers on local density: joint (the GenRep report, eq. 4) and domain-wise (eq. 5).

Input: banks, then queries. Output: scores, float64, higher = more anomalous. A member's density is
the sum of its distances to its K nearest other members, self excluded: of the joint bank
(`local_density`), or of its own domain (`domain_local_density`). The score of y is the minimum of
d(y, f) / density(f) over every member f, not only over the nearest.

Exact duplicates count once: a bank that holds a clip twice gives the scores of the bank that holds
it once, and no density is zero. Duplicates are clips at distance exactly 0, so under `cosine` a
clip and its multiple too. Two different clips are the least that has a density.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstshot.errors import DatasetError, FirstshotWarning
from firstshot.scoring.domains import (
    BankArrays,
    BankNames,
    OwnNeighbors,
    Scores,
    check_banks,
    check_fitted,
    per_domain,
    smallest,
    warn_few,
)
from firstshot.scoring.neighbors import search
from firstshot.scoring.points import Points, first_copies, make_points
from firstshot.scoring.screening import Index, Pairs

Kind = TypeVar("Kind", bound=np.generic)


@dataclass(frozen=True)
class DenseBank:
    """The different clips of a bank with their densities.

    `number` (clips,) is each clip's number among the different ones, `copies` (different,) how
    often each occurs, `density` (different,) the sum over its K nearest others.
    """

    index: Index
    number: NDArray[np.int64]
    copies: NDArray[np.int64]
    neighbors: OwnNeighbors
    density: NDArray[np.float64]

    @classmethod
    def of(cls, points: Points, k: int, name: str, what: str) -> DenseBank:
        """Measure the densities; `name` and `what` (which bank) are for messages."""
        first, number, copies = np.unique(
            first_copies(points), return_inverse=True, return_counts=True
        )
        if len(first) < 2:
            alike = "" if len(points) == 1 else f"; its {len(points)} clips are copies of one"
            raise DatasetError(
                f"{name} needs at least 2 different clips in {what} to measure a density, got "
                f"{len(first)}{alike}; add normal clips, leave the domain empty, or use none"
            )
        index = Index.of(points.take(first))
        neighbors = OwnNeighbors.of(index, k)
        density = neighbors.counted.sum(axis=1)
        return cls(index, number.reshape(-1), copies, neighbors, density)

    def left_out(self) -> Scores:
        """Return each clip's minimum of eq. 4 over this bank, had the clip not been in it.

        inf where fewer than two different clips are left, which have no density.
        """
        count = len(self.index)
        if count == 2:
            alone = np.where(self.copies > 1, 0.0, np.inf)
            # With its only different clip gone the bank is copies of one, whatever their number.
            return alone[self.number]
        width = self.neighbors.counted.shape[1]
        shortened = np.stack([self.neighbors.without(p).sum(axis=1) for p in range(width)], axis=1)
        # Leaving clip i out changes the density of those that count i as a neighbour. Those pairs
        # are taken from the lists; all other pairs keep their density and are searched.
        holders, left = self.neighbors.holders
        itself = np.arange(count)
        skip = Pairs.listed(count, np.append(left, itself), np.append(holders, itself))
        values, _ = search(self.index.points, self.index, 1, scale=self.density, skip=skip)
        scores = values[:, 0].copy()
        np.minimum.at(scores, left, (self.neighbors.counted / shortened).ravel())
        scores[self.copies > 1] = 0.0
        return scores[self.number]


@dataclass
class LocalDensity:
    """`local_density`: densities from the joint bank of both domains (eq. 4).

    >>> banks = {"source": [[0.0], [1.0]], "target": [[4.0]]}
    >>> LocalDensity(k=1).fit(banks).score([[2.0]]).tolist()  # 4/1, 1/1 and 4/9
    [0.4444444444444444]
    """

    name: ClassVar[str] = "local_density"
    metric: str = "sqeuclidean"
    k: int = 16
    joint_: DenseBank = field(init=False, repr=False)
    indexes_: dict[str, tuple[Index, NDArray[np.float64]]] = field(init=False, repr=False)
    sizes_: dict[str, int] = field(init=False, repr=False)

    def fit(self, banks: BankArrays, names: BankNames | None = None) -> LocalDensity:
        """Hold the banks and measure the densities."""
        checked = check_banks(banks, names, self.metric)
        self.sizes_ = {domain: len(points) for domain, points in checked.items()}
        joint = DenseBank.of(_joined(checked), self.k, self.name, "source and target together")
        _warn_if_few(self.name, {"the joint bank": (joint, self.k)})
        indexes = {}
        for domain, numbers in self._split(joint.number).items():
            chosen = np.unique(numbers)
            indexes[domain] = (Index.of(joint.index.points.take(chosen)), joint.density[chosen])
        self.joint_, self.indexes_ = joint, indexes
        return self

    def score(self, Q: ArrayLike, names: Sequence[str] | None = None) -> Scores:
        """Return the scores of queries (q, values)."""
        return smallest(self.domain_scores(Q, names))

    def domain_scores(self, Q: ArrayLike, names: Sequence[str] | None = None) -> dict[str, Scores]:
        """Return the minimum over each domain's members; `score` is the minimum of both."""
        check_fitted(self)
        queries = make_points(Q, self.metric, "query", names)
        return {
            domain: search(queries, index, 1, scale=density)[0][:, 0]
            for domain, (index, density) in self.indexes_.items()
        }

    def leave_one_out(self) -> dict[str, Scores]:
        """Return every training clip's score had bank and densities been made without it."""
        check_fitted(self)
        scores = self.joint_.left_out()
        if np.isinf(scores).any():
            raise DatasetError(
                "leave_one_out of local_density needs at least 3 different clips in source and "
                f"target together, got {len(self.joint_.index)}; add normal clips"
            )
        return per_domain(self._split(scores))

    def _split(self, values: NDArray[Kind]) -> dict[str, NDArray[Kind]]:
        """Split an array over the joint bank's clips by domain."""
        ends = np.cumsum(list(self.sizes_.values()))[:-1]
        return dict(zip(self.sizes_, np.split(values, ends), strict=True))


@dataclass
class DomainLocalDensity:
    """`domain_local_density`: densities within each domain, K_s and K_t neighbours (eq. 5).

    `leave_one_out` of a domain of two different clips leaves one, which has no density: that clip
    is then scored by the other domain alone, which a warning says.
    """

    name: ClassVar[str] = "domain_local_density"
    metric: str = "sqeuclidean"
    k_source: int = 16
    k_target: int = 9
    banks_: dict[str, DenseBank] = field(init=False, repr=False)

    def fit(self, banks: BankArrays, names: BankNames | None = None) -> DomainLocalDensity:
        """Hold the banks and measure the densities."""
        k = {"source": self.k_source, "target": self.k_target}
        checked = check_banks(banks, names, self.metric)
        dense = {
            domain: DenseBank.of(points, k[domain], self.name, domain)
            for domain, points in checked.items()
        }
        _warn_if_few(self.name, {domain: (bank, k[domain]) for domain, bank in dense.items()})
        self.banks_ = dense
        return self

    def score(self, Q: ArrayLike, names: Sequence[str] | None = None) -> Scores:
        """Return the scores of queries (q, values)."""
        return smallest(self.domain_scores(Q, names))

    def domain_scores(self, Q: ArrayLike, names: Sequence[str] | None = None) -> dict[str, Scores]:
        """Return the minimum over each domain's members; `score` is the minimum of both."""
        check_fitted(self)
        queries = make_points(Q, self.metric, "query", names)
        return {
            domain: search(queries, bank.index, 1, scale=bank.density)[0][:, 0]
            for domain, bank in self.banks_.items()
        }

    def leave_one_out(self) -> dict[str, Scores]:
        """Return every training clip's score had bank and densities been made without it."""
        check_fitted(self)
        scores = {}
        for domain, bank in self.banks_.items():
            scores[domain] = bank.left_out()
            lone = np.isinf(scores[domain]).any()
            for other, other_bank in self.banks_.items():
                if other != domain:
                    found = search(bank.index.points, other_bank.index, 1, other_bank.density)
                    scores[domain] = np.minimum(scores[domain], found[0][bank.number, 0])
            if np.isinf(scores[domain]).any():
                raise DatasetError(
                    f"leave_one_out of {self.name} needs at least 3 different clips in {domain} "
                    "or a second domain, got 2; add normal clips"
                )
            if lone:
                warnings.warn(
                    f"{self.name}: leave_one_out: the {domain} holds 2 different clips, and the "
                    "one that is left has no density; the other domain alone scores the clip",
                    FirstshotWarning,
                    stacklevel=2,
                )
        return per_domain(scores)


def _joined(checked: Mapping[str, Points]) -> Points:
    """Return both domains' points as one, source first."""
    parts = list(checked.values())
    lengths = [part.lengths for part in parts if part.lengths is not None]
    return Points(
        np.concatenate([part.rows for part in parts]),
        parts[0].metric,
        np.concatenate(lengths) if lengths else None,
    )


def _warn_if_few(name: str, banks: Mapping[str, tuple[DenseBank, int]]) -> None:
    """Say once which banks have fewer than K + 1 different clips."""
    few = {what: (len(bank.index), k + 1) for what, (bank, k) in banks.items()}
    warn_few(name, {what: (n, needed) for what, (n, needed) in few.items() if n < needed})
