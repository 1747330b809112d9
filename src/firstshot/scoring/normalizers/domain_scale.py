"""A domain's distance on that domain's own scale: what `domain_zscore` and `domain_median` share.

Input: banks, then queries. Output: scores, float64, higher = more anomalous: the minimum over
domains of (d - offset of the domain) / unit of the domain, d the mean distance to the K nearest
members. Offset and unit are made from the training clips' d inside their own domain.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import DatasetError, warn
from firstshot.scoring.normalizers.base import (
    BankNormalizer,
    OwnNeighbors,
    SavedState,
    Scores,
    distances_to_domains,
    left_out_distances,
    make_indexes,
)
from firstshot.scoring.search.index import Index
from firstshot.scoring.search.vectors import Points

Statistics: TypeAlias = dict[str, tuple[float, float]]
"""Offset and unit of each domain that holds clips."""


@dataclass
class DomainScale(BankNormalizer):
    """Distances on scales measured inside each domain; a subclass says which scale (`_scales`)."""

    metric: str = "sqeuclidean"
    k: int = 1
    indexes_: dict[str, Index] = field(init=False, repr=False)
    neighbors_: dict[str, OwnNeighbors] | None = field(init=False, repr=False)
    statistics_: Statistics = field(init=False, repr=False)

    @abstractmethod
    def _scales(self, held: Mapping[str, Scores], notes: set[str]) -> Statistics:
        """Return the scale of each domain from its members' d (clips,); no domain is empty.

        The d of a domain's only clip is NaN. What a domain takes from the other one is added to
        `notes`.
        """

    def _measure(self, banks: dict[str, Points]) -> None:
        self.indexes_ = make_indexes(self.name, banks, self.k, others=1)
        self.neighbors_ = self._own_neighbors()
        notes: set[str] = set()
        means = {domain: _own_means(own) for domain, own in self.neighbors_.items()}
        self.statistics_ = self._scales(means, notes)
        self._warn_of(notes, "")

    def _own_neighbors(self) -> dict[str, OwnNeighbors]:
        return {domain: OwnNeighbors.of(i, self.k) for domain, i in self.indexes_.items()}

    def _measured(self) -> dict[str, NDArray[Any]]:
        return {domain: np.array(values) for domain, values in self.statistics_.items()}

    def _restore(self, banks: dict[str, Points], state: SavedState) -> None:
        state.only(set(banks))
        self.statistics_ = {domain: state.statistics(domain) for domain in banks}
        self.indexes_ = {domain: Index.of(points) for domain, points in banks.items()}
        self.neighbors_ = None

    def _terms(self, queries: Points) -> dict[str, Scores]:
        terms = distances_to_domains(queries, self.indexes_, self.k)
        return {domain: _scaled(d, self.statistics_[domain]) for domain, d in terms.items()}

    def _left_out(self) -> dict[str, Scores]:
        """Return scores of which bank and statistics do not contain the clip."""
        terms = left_out_distances(self.indexes_, self.k)
        if self.neighbors_ is None:  # the statistics come from a file
            self.neighbors_ = self._own_neighbors()
        means = {domain: _own_means(own) for domain, own in self.neighbors_.items()}
        notes: set[str] = set()
        scores = {}
        for domain, own in self.neighbors_.items():
            scores[domain] = np.empty(len(own.members))
            for clip, left in enumerate(_means_without(own)):
                others = {**means, domain: left}
                held = {name: d for name, d in others.items() if len(d)}
                statistics = self._scales(held, notes)
                scores[domain][clip] = min(
                    float(_scaled(values[clip], statistics[term]))
                    for term, values in terms[domain].items()
                    if term in statistics
                )
        self._warn_of(notes, "leave_one_out: ")
        return scores

    def _with_enough(
        self, held: Mapping[str, Scores], wanted: str, needed: int, what: str, notes: set[str]
    ) -> str:
        """Return the wanted domain, or the other where it has too few clips for the statistic."""
        if len(held.get(wanted, ())) >= needed:
            return wanted
        other = "source" if wanted == "target" else "target"
        if len(held.get(other, ())) < needed:
            raise DatasetError(
                f"{self.name} needs {needed} clips in source or in target for its {what}; "
                f"got {' and '.join(f'{len(d)} in {domain}' for domain, d in held.items())}; "
                "add clips"
            )
        if wanted in held:
            notes.add(
                f"the {wanted} holds {len(held[wanted])} clip(s), too few for a {what} of its "
                f"own; that of the {other} is used"
            )
        return other

    def _warn_of(self, notes: set[str], prefix: str) -> None:
        for note in sorted(notes):
            warn(f"{self.name}: {prefix}{note}")


def _own_means(own: OwnNeighbors) -> Scores:
    """Return d of every member in its own bank; one NaN for a bank of one clip."""
    if own.distances.shape[1] == 0:
        return np.full(len(own.distances), np.nan)
    means: Scores = own.counted.mean(axis=1)
    return means


def _means_without(own: OwnNeighbors) -> Iterator[Scores]:
    """Yield for each clip the d of the other members without that clip in the bank."""
    means, count = _own_means(own), len(own.members)
    if count < 3:
        yield from (np.full(count - 1, np.nan) for _ in range(count))
        return
    width = own.counted.shape[1]
    shortened = np.stack([own.without(p).mean(axis=1) for p in range(width)], axis=1).ravel()
    holders, neighbours = own.holders
    order = np.argsort(neighbours, kind="stable")
    starts = np.searchsorted(neighbours[order], np.arange(count + 1))
    for clip in range(count):
        concerned = order[starts[clip] : starts[clip + 1]]
        left = means.copy()
        left[holders[concerned]] = shortened[concerned]
        yield np.delete(left, clip)


def _scaled(d: Scores, statistics: tuple[float, float]) -> Scores:
    offset, unit = statistics
    return (d - offset) / unit
