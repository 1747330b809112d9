"""Domain-wise Z: a domain's distance standardised by the training clips' own.

Equation 3 of the GenRep report.
Input: banks, then queries. Output: scores, float64, higher = more anomalous: the minimum over
domains of (d - mean_train of the domain) / std_train of the target, d the mean distance to the K
nearest members and the statistics those of the training clips' d inside their own domain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from firstshot.scoring.normalizers.base import Scores, deviation_of
from firstshot.scoring.normalizers.domain_scale import DomainScale, Statistics


@dataclass
class DomainZScore(DomainScale):
    """`domain_zscore`: (d - mean of the domain) / deviation of the target (eq. 3).

    Mean and deviation are of the training clips' distances inside their domain, self excluded.
    `own_std` divides by each domain's own deviation instead of the target's. Where a domain has no
    statistic, that of the other domain is used: the mean of a domain of one clip, and the
    deviation of a domain of fewer than three (two clips are each other's neighbours, so it is
    always 0). A warning says so unless the domain is empty.
    """

    name: ClassVar[str] = "domain_zscore"
    own_std: bool = False

    def _scales(self, held: Mapping[str, Scores], notes: set[str]) -> Statistics:
        statistics = {}
        for domain in held:
            centre = self._with_enough(held, domain, 2, "mean", notes)
            wanted = domain if self.own_std else "target"
            spread = self._with_enough(held, wanted, 3, "deviation", notes)
            deviation = deviation_of(held[spread], f"the {spread} clips' distances to each other")
            statistics[domain] = (float(held[centre].mean()), deviation)
        return statistics
