"""Normalisers on local density: joint (the GenRep report, eq. 4) and domain-wise (eq. 5).

Input: banks, then queries. Output: scores, float64, higher = more anomalous. A member's density is
the sum of its distances to its K nearest other members, self excluded: of the joint bank
(`local_density`), or of its own domain (`domain_local_density`). The score of y is the minimum of
d(y, f) / density(f) over every member f, not only over the nearest.

Exact copies count once: a bank that holds a clip twice gives the scores of the bank that holds it
once, and no density is zero. Copies are clips at distance exactly 0, under `cosine` also a clip and
its multiple. A density needs two different clips.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import DatasetError, warn
from firstshot.scoring.normalizers.base import (
    BankNormalizer,
    OwnNeighbors,
    SavedState,
    Scores,
    warn_few,
)
from firstshot.scoring.normalizers.dense_bank import DenseBank, different_rows, numbered
from firstshot.scoring.search.exact import search
from firstshot.scoring.search.index import Index
from firstshot.scoring.search.vectors import Points, concatenate, take_of_parts

Kind = TypeVar("Kind", bound=np.generic)

JOINT = "source and target together"


@dataclass
class LocalDensity(BankNormalizer):
    """`local_density`: densities from the joint bank of both domains (eq. 4).

    >>> banks = {"source": [[0.0], [1.0]], "target": [[4.0]]}
    >>> LocalDensity(k=1).fit(banks).score([[2.0]]).tolist()  # 4/1, 1/1 and 4/9
    [0.4444444444444444]
    """

    name: ClassVar[str] = "local_density"
    metric: str = "sqeuclidean"
    k: int = 16
    banks_: dict[str, Points] = field(init=False, repr=False)
    first_: NDArray[np.int64] = field(init=False, repr=False)
    density_: NDArray[np.float64] = field(init=False, repr=False)
    neighbors_: OwnNeighbors | None = field(init=False, repr=False)
    indexes_: dict[str, tuple[Index, NDArray[np.float64]]] = field(init=False, repr=False)

    def _measure(self, banks: dict[str, Points]) -> None:
        joint = DenseBank.of(concatenate(list(banks.values())), self.k, self.name, JOINT)
        _warn_if_few(self.name, {"the joint bank": (joint, self.k)})
        self._hold(banks, joint.first, joint.density, joint.neighbors)

    def _measured(self) -> dict[str, NDArray[Any]]:
        """Return densities (different,) and first copies' rows (clips,) of the joint bank."""
        return {"first": self.first_, "density": self.density_}

    def _restore(self, banks: dict[str, Points], state: SavedState) -> None:
        state.only({"first", "density"})
        first = state.copies("first", sum(map(len, banks.values())))
        count = len(different_rows(first, self.name, JOINT))
        self._hold(banks, first, state.densities("density", count), None)

    def _hold(
        self,
        banks: dict[str, Points],
        first: NDArray[np.int64],
        density: NDArray[np.float64],
        neighbors: OwnNeighbors | None,
    ) -> None:
        self.banks_, self.first_, self.density_ = banks, first, density
        self.neighbors_, self.indexes_ = neighbors, {}
        different, (number, _) = different_rows(first, self.name, JOINT), numbered(first)
        for domain, numbers in self._split(number).items():
            chosen = np.unique(numbers)
            index = Index.of(take_of_parts(list(banks.values()), different[chosen]))
            self.indexes_[domain] = (index, density[chosen])

    def _terms(self, queries: Points) -> dict[str, Scores]:
        """Return the minimum over each domain's members."""
        return {
            domain: search(queries, index, 1, scale=density)[0][:, 0]
            for domain, (index, density) in self.indexes_.items()
        }

    def _left_out(self) -> dict[str, Scores]:
        """Return scores of which bank and densities do not contain the clip."""
        different = different_rows(self.first_, self.name, JOINT)
        index = Index.of(take_of_parts(list(self.banks_.values()), different))
        joint = DenseBank(index, self.first_, self.density_, self.k, self.neighbors_)
        scores = joint.left_out()
        if np.isinf(scores).any():
            raise DatasetError(
                "leave_one_out of local_density needs at least 3 different clips in source and "
                f"target together, got {len(index)}; add normal clips"
            )
        return self._split(scores)

    def _split(self, values: NDArray[Kind]) -> dict[str, NDArray[Kind]]:
        """Split an array over the joint bank's clips by domain."""
        ends = np.cumsum([len(points) for points in self.banks_.values()])[:-1]
        return dict(zip(self.banks_, np.split(values, ends), strict=True))


@dataclass
class DomainLocalDensity(BankNormalizer):
    """`domain_local_density`: densities within each domain, K_s and K_t neighbours (eq. 5).

    `leave_one_out` of a domain of two different clips leaves one, which has no density. Then the
    other domain alone gives the score, and a warning says so.
    """

    name: ClassVar[str] = "domain_local_density"
    metric: str = "sqeuclidean"
    k_source: int = 16
    k_target: int = 9
    banks_: dict[str, DenseBank] = field(init=False, repr=False)

    def _measure(self, banks: dict[str, Points]) -> None:
        k = self._k()
        dense = {
            domain: DenseBank.of(points, k[domain], self.name, domain)
            for domain, points in banks.items()
        }
        _warn_if_few(self.name, {domain: (bank, k[domain]) for domain, bank in dense.items()})
        self.banks_ = dense

    def _measured(self) -> dict[str, NDArray[Any]]:
        """Return each domain's densities (different,) and first copies' rows (clips,)."""
        firsts = {f"{domain}.first": bank.first for domain, bank in self.banks_.items()}
        return firsts | {f"{domain}.density": bank.density for domain, bank in self.banks_.items()}

    def _restore(self, banks: dict[str, Points], state: SavedState) -> None:
        k = self._k()
        state.only({f"{domain}.{what}" for domain in banks for what in ("first", "density")})
        self.banks_ = {
            domain: DenseBank.restore(points, k[domain], domain, state)
            for domain, points in banks.items()
        }

    def _terms(self, queries: Points) -> dict[str, Scores]:
        """Return the minimum over each domain's members."""
        return {
            domain: search(queries, bank.index, 1, scale=bank.density)[0][:, 0]
            for domain, bank in self.banks_.items()
        }

    def _left_out(self) -> dict[str, Scores]:
        """Return scores of which bank and densities do not contain the clip."""
        scores = {}
        for domain, bank in self.banks_.items():
            scores[domain] = bank.left_out()
            lone = np.isinf(scores[domain]).any()
            for other, other_bank in self.banks_.items():
                if other != domain:
                    found = search(bank.index.points, other_bank.index, 1, other_bank.density)
                    scores[domain] = np.minimum(
                        scores[domain], found[0][numbered(bank.first)[0], 0]
                    )
            if np.isinf(scores[domain]).any():
                raise DatasetError(
                    f"leave_one_out of {self.name} needs at least 3 different clips in {domain} "
                    "or a second domain, got 2; add normal clips"
                )
            if lone:
                warn(
                    f"{self.name}: leave_one_out: the {domain} holds 2 different clips, and the "
                    "one that is left has no density; the other domain alone gives the score",
                )
        return scores

    def _k(self) -> dict[str, int]:
        return {"source": self.k_source, "target": self.k_target}


def _warn_if_few(name: str, banks: Mapping[str, tuple[DenseBank, int]]) -> None:
    """Warn once of the banks that have fewer than K + 1 different clips."""
    few = {what: (len(bank.index), k + 1) for what, (bank, k) in banks.items()}
    warn_few(name, {what: (n, needed) for what, (n, needed) in few.items() if n < needed})
