"""`none`: the distance itself (the GenRep report, eq. 1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from firstshot.scoring.normalizers.base import (
    BankNormalizer,
    Scores,
    distances_to_domains,
    left_out_distances,
    make_indexes,
)
from firstshot.scoring.search.index import Index
from firstshot.scoring.search.vectors import Points


@dataclass
class NearestDistance(BankNormalizer):
    """`none`: the mean distance to the K nearest members of a domain, the smaller of the two.

    >>> normalizer = NearestDistance().fit({"source": [[0.0], [1.0]], "target": [[5.0]]})
    >>> normalizer.score([[4.0]]).tolist()
    [1.0]
    """

    name: ClassVar[str] = "none"
    metric: str = "sqeuclidean"
    k: int = 1
    indexes_: dict[str, Index] = field(init=False, repr=False)

    def _measure(self, banks: dict[str, Points]) -> None:
        self.indexes_ = make_indexes(self.name, banks, self.k)

    def _terms(self, queries: Points) -> dict[str, Scores]:
        return distances_to_domains(queries, self.indexes_, self.k)

    def _left_out(self) -> dict[str, Scores]:
        terms = left_out_distances(self.indexes_, self.k)
        return {domain: np.minimum.reduce(list(own.values())) for domain, own in terms.items()}
