"""`test_zscore`: distances standardised by those of the clips under test (GenRep, eq. 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from firstshot.errors import ParameterError, warn
from firstshot.scoring.normalizers.base import Scores, deviation_of, left_out_distances
from firstshot.scoring.normalizers.nearest_distance import NearestDistance
from firstshot.scoring.search.vectors import Points


@dataclass
class TransductiveZScore(NearestDistance):
    """`test_zscore`: (d - mean_test) / std_test of a domain, the smaller of the two.

    Transductive: a clip's score depends on the other clips of the call. The challenge's rules
    forbid this, and every call of `score` warns. `leave_one_out` has no test clips: there the
    leave-one-out distances of all training clips standardise each domain's term. The deviation is
    that of the population.
    """

    name: ClassVar[str] = "test_zscore"

    def _terms(self, queries: Points) -> dict[str, Scores]:
        warn(
            "test_zscore is transductive: it uses the statistics of the clips under test, which "
            "breaks the challenge's rules; use domain_zscore for a score of one clip alone"
        )
        if len(queries) < 2:
            raise ParameterError(
                f"test_zscore needs the statistics of at least 2 clips under test, got "
                f"{len(queries)}; score more clips at once or use domain_zscore"
            )
        return {
            domain: (d - d.mean()) / deviation_of(d, f"the test clips' distances to the {domain}")
            for domain, d in super()._terms(queries).items()
        }

    def _left_out(self) -> dict[str, Scores]:
        terms = left_out_distances(self.indexes_, self.k)
        standardised: dict[str, dict[str, Scores]] = {domain: {} for domain in terms}
        for domain in self.indexes_:
            d = np.concatenate([own[domain] for own in terms.values()])
            d = d[np.isfinite(d)]  # a clip alone in its domain has no distance to it
            deviation = deviation_of(d, f"the training clips' distances to the {domain}")
            for own, values in terms.items():
                standardised[own][domain] = (values[domain] - d.mean()) / deviation
        return {
            domain: np.minimum.reduce(list(own.values())) for domain, own in standardised.items()
        }
