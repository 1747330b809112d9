"""A normaliser of one's own: the distance to the mean of each domain.

Input: banks, then queries. Output: scores, the smaller of the distances to the domains' means. A
subclass of `BankNormalizer` adds three methods; checks, saving and restoring are there already.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from firstshot.scoring.normalizers.base import BankNormalizer, Scores
from firstshot.scoring.search.vectors import Points, distances_from_one


@dataclass
class CentreDistance(BankNormalizer):
    """The distance to the nearer mean, divided by `unit`."""

    name: ClassVar[str] = "centre_distance"
    metric: str = "sqeuclidean"
    unit: float = 1.0
    banks_: dict[str, Points] = field(init=False, repr=False)

    def _measure(self, banks: dict[str, Points]) -> None:
        self.banks_ = banks

    def _terms(self, queries: Points) -> dict[str, Scores]:
        return {
            domain: distances_from_one(members.positions(slice(None)).mean(axis=0), queries)
            / self.unit
            for domain, members in self.banks_.items()
        }

    def _left_out(self) -> dict[str, Scores]:
        # A clip's own domain has another mean without it; the other domain's stays.
        scores = {}
        for domain, members in self.banks_.items():
            terms = [d for other, d in self._terms(members).items() if other != domain]
            if len(members) > 1:
                offset = len(members) / (len(members) - 1)  # (x - mean without x) / (x - mean)
                own = self._terms(members)[domain]
                power = {"sqeuclidean": 2, "euclidean": 1}[self.metric]
                terms.append(own * offset**power)
            scores[domain] = np.minimum.reduce(terms)
        return scores
