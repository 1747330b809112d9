"""`domain_median`: a domain's distance in units of the median of the training clips' own.

Input: banks, then queries. Output: scores, float64, higher = more anomalous: the minimum over
domains of d / median_train of the domain, d the mean distance to the K nearest members and the
median that of the training clips' d inside their own domain, each without itself. The scale of the
SCOPE system (DCASE 2026 Task 2). A median of ten target clips stands one odd clip among them,
where a mean and a deviation do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from firstshot.errors import DatasetError
from firstshot.scoring.normalizers.base import Scores
from firstshot.scoring.normalizers.domain_scale import DomainScale, Statistics


@dataclass
class DomainMedian(DomainScale):
    """`domain_median`: d / median of the domain.

    A domain of one clip has no median and takes that of the other domain; a warning says so. Where
    more than half of a domain's clips have copies the median is 0, and the smallest distance above
    0 takes its place.

    >>> banks = {"source": [[0.0], [1.0], [2.0]], "target": [[9.0], [13.0], [17.0]]}
    >>> DomainMedian(metric="euclidean").fit(banks).score([[5.0]]).tolist()  # 4 / 4, not 3 / 1
    [1.0]
    """

    name: ClassVar[str] = "domain_median"

    def _scales(self, held: Mapping[str, Scores], notes: set[str]) -> Statistics:
        return {
            domain: (0.0, _median(held[own], own))
            for domain in held
            for own in (self._with_enough(held, domain, 2, "median", notes),)
        }


def _median(d: Scores, domain: str) -> float:
    """Return the median, or the smallest distance above 0 where the median is 0."""
    median = float(np.median(d))
    if median > 0:
        return median
    if not (d > 0).any():
        raise DatasetError(
            f"the {domain} clips are all copies of each other, so their median distance is 0; "
            "add clips that differ, or use the normaliser none"
        )
    return float(d[d > 0].min())
