"""The banks of the two domains, and what every normaliser asks of them.

Input: the training clips' embeddings per domain. Output: checked `Banks`, the mean distance to the
K nearest members (eq. 1, d of a domain) and each member's neighbours in its own bank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstshot.domains import DOMAINS
from firstshot.errors import DatasetError, ParameterError, warn
from firstshot.scoring.search.exact import search
from firstshot.scoring.search.index import Index, Pairs
from firstshot.scoring.search.vectors import Points, check_metric, make_points

SAME = 1e-12
"""Distances whose spread is below this fraction of their size are taken as equal."""

Scores: TypeAlias = NDArray[np.float64]
BankArrays: TypeAlias = Mapping[str, ArrayLike | None]
BankNames: TypeAlias = Mapping[str, Sequence[str] | None]


@dataclass(frozen=True)
class OwnNeighbors:
    """Every member's nearest other members of one bank, nearest first, self excluded by number.

    One more than the k that count is kept (where the bank has it), so that any one member can be
    thought away: `distances` and `members` are (n, min(k + 1, n - 1)).
    """

    distances: NDArray[np.float64]
    members: NDArray[np.int64]
    k: int

    @classmethod
    def of(cls, index: Index, k: int) -> OwnNeighbors:
        """Find them."""
        count = min(k + 1, len(index) - 1)
        if count < 1:
            return cls(np.empty((len(index), 0)), np.empty((len(index), 0), dtype=np.int64), k)
        found = search(index.points, index, count, skip=Pairs.diagonal(len(index)))
        return cls(*found, k)

    @property
    def counted(self) -> NDArray[np.float64]:
        """Distances to the k nearest, or to all others where there are fewer."""
        return np.ascontiguousarray(self.distances[:, : self.k])

    @property
    def holders(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(members, their neighbours), one pair per distance of `counted`, flat."""
        neighbours = self.members[:, : self.k]
        return np.repeat(np.arange(len(neighbours)), neighbours.shape[1]), neighbours.ravel()

    def without(self, position: int) -> NDArray[np.float64]:
        """Return `counted` as it would be were each member's neighbour `position` not there."""
        return np.delete(self.distances, position, axis=1)[:, : self.k]


def check_banks(banks: BankArrays, names: BankNames | None, metric: str) -> dict[str, Points]:
    """Check and copy the banks; only domains that hold clips are in the answer, source first.

    A domain is empty when its key is missing, its array is None or it has no rows. A read-only
    array (one that is mapped from a detector file, say) is held as it is.

    Raises
    ------
    ParameterError
        A key is neither "source" nor "target", or the two banks differ in values per clip.
    DatasetError
        No clip at all, or a row that cannot be used.
    """
    check_metric(metric)
    for key in (*banks, *(names or {})):
        if key not in DOMAINS:
            raise ParameterError(f"domain {key!r} is not known; use {' and '.join(DOMAINS)}")
    checked = {}
    for domain in DOMAINS:
        rows = banks.get(domain)
        if rows is not None and len(np.atleast_1d(rows)):
            own_names = None if names is None else names.get(domain)
            checked[domain] = make_points(rows, metric, domain, own_names, copy=True)
    if not checked:
        raise DatasetError("both banks are empty; give at least one normal clip")
    dims = {points.dim for points in checked.values()}
    if len(dims) > 1:
        raise ParameterError(
            f"source has {checked['source'].dim} values per clip and target "
            f"{checked['target'].dim}; embed both with the same encoder and layers"
        )
    return checked


def fit_indexes(
    name: str,
    banks: BankArrays,
    names: BankNames | None,
    metric: str,
    k: int,
    others: int = 0,
) -> dict[str, Index]:
    """Check the banks and make them searchable; k + others clips are needed in each."""
    checked = check_banks(banks, names, metric)
    few = {domain: (len(points), k + others) for domain, points in checked.items()}
    # One clip that must not count itself is no case of too few: `domain_zscore` tells about it.
    warn_few(name, {d: (n, needed) for d, (n, needed) in few.items() if others < n < needed})
    return indexes_of(checked)


def indexes_of(checked: Mapping[str, Points]) -> dict[str, Index]:
    """Return the checked banks made ready for search."""
    return {domain: Index.of(points) for domain, points in checked.items()}


def mean_distance(queries: Points, index: Index, k: int) -> Scores:
    """Return d of every query: the mean distance to the k nearest members, or to all if fewer.

    >>> index = Index.of(make_points([[0.0], [1.0], [3.0]], "sqeuclidean"))
    >>> mean_distance(make_points([[0.0]], "sqeuclidean"), index, k=2).tolist()
    [0.5]
    """
    values, _ = search(queries, index, min(k, len(index)))
    means: Scores = values.mean(axis=1)
    return means


def domain_distances(
    Q: ArrayLike,
    names: Sequence[str] | None,
    indexes: Mapping[str, Index],
    metric: str,
    k: int,
) -> dict[str, Scores]:
    """Return d of the queries (q, values) for every domain that holds clips."""
    queries = make_points(Q, metric, "query", names)
    return {domain: mean_distance(queries, index, k) for domain, index in indexes.items()}


def left_out_distances(indexes: Mapping[str, Index], k: int) -> dict[str, dict[str, Scores]]:
    """Return [domain of the clips][domain of the term]: every clip's d with itself left out.

    A clip alone in its domain leaves that domain empty: its own term is inf.
    """
    terms: dict[str, dict[str, Scores]] = {}
    for domain, index in indexes.items():
        terms[domain] = {}
        for other, other_index in indexes.items():
            if other != domain:
                terms[domain][other] = mean_distance(index.points, other_index, k)
            elif len(index) > 1:
                terms[domain][other] = OwnNeighbors.of(index, k).counted.mean(axis=1)
            else:
                terms[domain][other] = np.full(1, np.inf)
    if len(indexes) == 1 and len(next(iter(indexes.values()))) == 1:
        raise DatasetError("leave_one_out needs at least 2 clips, got 1; add normal clips")
    return terms


def deviation_of(d: Scores, what: str) -> float:
    """Return the population deviation, or refuse values that are all equal."""
    if np.ptp(d) <= SAME * np.abs(d).max():
        raise DatasetError(
            f"the deviation of {what} is zero, so nothing can be divided by it; "
            "use clips that are not copies of each other, or the normaliser none"
        )
    return float(d.std())


def smallest(terms: Mapping[str, Scores]) -> Scores:
    """Return the minimum over domains."""
    lowest: Scores = np.minimum.reduce(list(terms.values()))
    return lowest


def per_domain(scores: Mapping[str, Scores]) -> dict[str, Scores]:
    """Return an array for both domains, an empty one for an empty domain."""
    return {domain: scores.get(domain, np.empty(0)) for domain in DOMAINS}


def warn_few(name: str, few: Mapping[str, tuple[int, int]]) -> None:
    """Say once which domains hold fewer clips than asked for; few is domain: (clips, needed)."""
    if few:
        found = ", ".join(
            f"{domain} holds {count} different clips where {needed} are needed"
            for domain, (count, needed) in few.items()
        )
        warn(
            f"{name}: {found}; all there are take the place of the K nearest (add clips)",
        )


def check_fitted(normalizer: Any) -> None:
    """Raise unless `fit` has been called."""
    if not any(attribute.endswith("_") for attribute in vars(normalizer)):
        raise ParameterError(f"{normalizer.name} has no banks yet; call fit first")
