"""What all normalisers have in common: they hold two banks, score, save and restore their state.

Input: the training clips' embeddings per domain, then queries. Output: scores. A normaliser adds
what it measures of its banks (`_measure`), the term of each domain (`_terms`) and the scores with
each clip left out (`_left_out`). What was measured is returned as arrays (`state`) and set again
(`restore`) without measuring: the densities of a million members take hours.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstshot.domains import DOMAINS
from firstshot.errors import DatasetError, NotFittedError, ParameterError, warn
from firstshot.scoring.search.exact import search
from firstshot.scoring.search.index import Index, Pairs
from firstshot.scoring.search.vectors import Points, check_metric, make_points

SAME = 1e-12
"""Distances whose spread is below this fraction of their size are taken as equal."""

Scores: TypeAlias = NDArray[np.float64]
BankArrays: TypeAlias = Mapping[str, ArrayLike | None]
BankNames: TypeAlias = Mapping[str, Sequence[str] | None]
State: TypeAlias = Mapping[str, NDArray[Any]]


class BankNormalizer(ABC):
    """A normaliser of two banks; subclasses are dataclasses of a metric and parameters."""

    name: ClassVar[str]
    metric: str

    def fit(self, banks: BankArrays, names: BankNames | None = None) -> Self:
        """Hold {"source": (clips, values), "target": (clips, values)} and measure them."""
        self._measure(check_banks(banks, names, self.metric))
        return self

    def restore(self, banks: BankArrays, state: State) -> Self:
        """Hold the banks and the `state()` of a normaliser that was fitted on them.

        The scores are the same bits. Raises ParameterError where the state does not fit the banks.
        """
        self._restore(check_banks(banks, None, self.metric), SavedState(self.name, state))
        return self

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was measured, by name; empty where the banks are all there is."""
        self._check_fitted()
        return self._measured()

    def score(self, Q: ArrayLike, names: Sequence[str] | None = None) -> Scores:
        """Return the scores of queries (q, values), float64 (q,); names are for messages."""
        lowest: Scores = np.minimum.reduce(list(self.domain_scores(Q, names).values()))
        return lowest

    def domain_scores(self, Q: ArrayLike, names: Sequence[str] | None = None) -> dict[str, Scores]:
        """Return the term of each domain that holds clips; `score` is their minimum."""
        self._check_fitted()
        return self._terms(make_points(Q, self.metric, "query", names))

    def leave_one_out(self) -> dict[str, Scores]:
        """Return for every training clip the score of a normaliser fitted without that clip.

        Both domains are in the answer, an empty array for an empty domain.
        """
        self._check_fitted()
        scores = self._left_out()
        return {domain: scores.get(domain, np.empty(0)) for domain in DOMAINS}

    @abstractmethod
    def _measure(self, banks: dict[str, Points]) -> None:
        """Hold checked banks and measure what scores need."""

    @abstractmethod
    def _terms(self, queries: Points) -> dict[str, Scores]:
        """Return each domain's term of checked queries."""

    @abstractmethod
    def _left_out(self) -> dict[str, Scores]:
        """Return the scores of each domain's clips, left out in turn."""

    def _measured(self) -> dict[str, NDArray[Any]]:
        return {}

    def _restore(self, banks: dict[str, Points], state: SavedState) -> None:
        state.only(set())
        self._measure(banks)

    def _check_fitted(self) -> None:
        if not any(attribute.endswith("_") for attribute in vars(self)):
            raise NotFittedError(f"{self.name} has no banks yet; call fit first")


@dataclass(frozen=True)
class SavedState:
    """The arrays that a fitted normaliser was saved as, each checked when it is read.

    Every method raises ParameterError for what does not fit the banks.
    """

    normalizer: str
    arrays: State

    def only(self, wanted: set[str]) -> None:
        """Refuse other arrays than the wanted ones."""
        if set(self.arrays) != wanted:
            raise ParameterError(
                f"the saved state of {self.normalizer} has the arrays {sorted(self.arrays)}, and "
                f"these banks need {sorted(wanted)}"
            )

    def statistics(self, name: str) -> tuple[float, float]:
        """Return a saved (mean, deviation); scores are divided by the deviation."""
        values = self._typed(name, np.float64, 2)
        mean, deviation = values.tolist()
        if not (np.isfinite(values).all() and deviation > 0):
            self._refuse(
                name,
                f"mean {mean} and deviation {deviation}; expected finite numbers, the second above "
                "zero",
            )
        return mean, deviation

    def copies(self, name: str, clips: int) -> NDArray[np.int64]:
        """Return the saved row number of every clip's first copy (clips,)."""
        first: NDArray[np.int64] = self._typed(name, np.int64, clips)
        inside = bool((first >= 0).all() and (first <= np.arange(clips)).all())
        if not inside or (first[first] != first).any():
            self._refuse(name, "not the row numbers of first copies")
        return first

    def densities(self, name: str, clips: int) -> NDArray[np.float64]:
        """Return the saved densities (different clips,); distances are divided by them."""
        density: NDArray[np.float64] = self._typed(name, np.float64, clips)
        if not (np.isfinite(density).all() and (density > 0).all()):
            self._refuse(name, "expected finite densities above zero")
        return density

    def numbers(self, name: str, count: int) -> NDArray[np.float64]:
        """Return saved finite numbers (count,)."""
        values: NDArray[np.float64] = self._typed(name, np.float64, count)
        if not np.isfinite(values).all():
            self._refuse(name, f"expected {count} finite numbers")
        return values

    def _typed(self, name: str, kind: Any, count: int) -> NDArray[Any]:
        array = np.asarray(self.arrays[name])
        if array.dtype != kind or array.shape != (count,):
            self._refuse(
                name,
                f"{array.dtype} {array.shape}, and these banks need {np.dtype(kind)} {(count,)}",
            )
        return array

    def _refuse(self, name: str, why: str) -> NoReturn:
        raise ParameterError(f"the saved state of {self.normalizer}, {name}: {why}")


@dataclass(frozen=True)
class OwnNeighbors:
    """Every member's nearest other members of one bank, nearest first, itself excluded by number.

    k neighbours count. One more is held (where the bank has it), so that any one member can be
    left out: `distances` and `members` are (n, min(k + 1, n - 1)).
    """

    distances: NDArray[np.float64]
    members: NDArray[np.int64]
    k: int

    @classmethod
    def of(cls, index: Index, k: int) -> OwnNeighbors:
        """Search the neighbours of every member."""
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
        """Return `counted` of every member without its neighbour number `position`."""
        return np.delete(self.distances, position, axis=1)[:, : self.k]


def check_banks(banks: BankArrays, names: BankNames | None, metric: str) -> dict[str, Points]:
    """Check and copy the banks; return only domains that hold clips, source first.

    A domain is empty when its key is missing, its array is None or it has no rows. A read-only
    array (as of a mapped detector file) is not copied.

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


def make_indexes(
    name: str, banks: Mapping[str, Points], k: int, others: int = 0
) -> dict[str, Index]:
    """Return the banks' indexes; warn where a bank holds fewer than k + others clips."""
    few = {domain: (len(points), k + others) for domain, points in banks.items()}
    # Of a single clip that must not count itself `domain_zscore` warns.
    warn_few(name, {d: (n, needed) for d, (n, needed) in few.items() if others < n < needed})
    return {domain: Index.of(points) for domain, points in banks.items()}


def mean_distance(queries: Points, index: Index, k: int) -> Scores:
    """Return d of every query: the mean distance to the k nearest members (or to all of fewer).

    >>> index = Index.of(make_points([[0.0], [1.0], [3.0]], "sqeuclidean"))
    >>> mean_distance(make_points([[0.0]], "sqeuclidean"), index, k=2).tolist()
    [0.5]
    """
    values, _ = search(queries, index, min(k, len(index)))
    means: Scores = values.mean(axis=1)
    return means


def distances_to_domains(
    queries: Points, indexes: Mapping[str, Index], k: int
) -> dict[str, Scores]:
    """Return d of the queries for every domain that holds clips (eq. 1)."""
    return {domain: mean_distance(queries, index, k) for domain, index in indexes.items()}


def left_out_distances(indexes: Mapping[str, Index], k: int) -> dict[str, dict[str, Scores]]:
    """Return [domain of the clips][domain of the term]: every clip's d without the clip itself.

    Without its only clip a domain is empty: the term is inf.
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


def warn_few(name: str, few: Mapping[str, tuple[int, int]]) -> None:
    """Warn once of the domains that hold too few clips; few is domain: (clips, needed)."""
    if few:
        found = ", ".join(
            f"{domain} holds {count} different clips where {needed} are needed"
            for domain, (count, needed) in few.items()
        )
        warn(f"{name}: {found}; all of them take the place of the K nearest (add clips)")
