"""Normalisers on the distance of a domain: the distance itself, and its test-time Z.

Input: banks, then queries. Output: scores, float64, higher = more anomalous. With d the mean
distance to the K nearest members of a domain (the GenRep report, eq. 1), each is the minimum over
domains of d (`none`) or (d - mean_test) / std_test (`test_zscore`, eq. 2), the deviation being
the population's. An empty domain has no term.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstshot.errors import ParameterError, warn
from firstshot.scoring.normalizers.domains import (
    BankArrays,
    BankNames,
    Scores,
    check_banks,
    check_fitted,
    deviation_of,
    domain_distances,
    fit_indexes,
    indexes_of,
    left_out_distances,
    per_domain,
    smallest,
)
from firstshot.scoring.normalizers.states import State, check_names
from firstshot.scoring.search.index import Index


@dataclass
class NearestDistance:
    """`none`: the distance itself, min(d_source, d_target).

    >>> normalizer = NearestDistance().fit({"source": [[0.0], [1.0]], "target": [[5.0]]})
    >>> normalizer.score([[4.0]]).tolist()
    [1.0]
    """

    name: ClassVar[str] = "none"
    metric: str = "sqeuclidean"
    k: int = 1
    indexes_: dict[str, Index] = field(init=False, repr=False)

    def fit(self, banks: BankArrays, names: BankNames | None = None) -> NearestDistance:
        """Hold the banks, {"source": (clips, values), "target": (clips, values)}."""
        self.indexes_ = fit_indexes(self.name, banks, names, self.metric, self.k)
        return self

    def state(self) -> dict[str, NDArray[Any]]:
        """Return nothing: the banks are all there is."""
        check_fitted(self)
        return {}

    def restore(self, banks: BankArrays, state: State) -> NearestDistance:
        """Hold the banks; `state` is empty."""
        check_names(self.name, state, set())
        self.indexes_ = indexes_of(check_banks(banks, None, self.metric))
        return self

    def score(self, Q: ArrayLike, names: Sequence[str] | None = None) -> Scores:
        """Return the scores of queries (q, values)."""
        return smallest(self.domain_scores(Q, names))

    def domain_scores(self, Q: ArrayLike, names: Sequence[str] | None = None) -> dict[str, Scores]:
        """Return each domain's term; `score` is their minimum."""
        check_fitted(self)
        return domain_distances(Q, names, self.indexes_, self.metric, self.k)

    def leave_one_out(self) -> dict[str, Scores]:
        """Return every training clip's score had it not been in its bank."""
        check_fitted(self)
        terms = left_out_distances(self.indexes_, self.k)
        return per_domain({domain: smallest(own) for domain, own in terms.items()})


@dataclass
class TransductiveZScore:
    """`test_zscore`: each domain's distances standardised by those of the clips under test (eq. 2).

    Transductive: a clip's score depends on the other clips scored with it, which the challenge's
    rules forbid; every call of `score` warns. `leave_one_out` has no test clips, so there each
    domain's term is standardised by the leave-one-out distances of all training clips.
    """

    name: ClassVar[str] = "test_zscore"
    metric: str = "sqeuclidean"
    k: int = 1
    indexes_: dict[str, Index] = field(init=False, repr=False)

    def fit(self, banks: BankArrays, names: BankNames | None = None) -> TransductiveZScore:
        """Hold the banks, {"source": (clips, values), "target": (clips, values)}."""
        self.indexes_ = fit_indexes(self.name, banks, names, self.metric, self.k)
        return self

    def state(self) -> dict[str, NDArray[Any]]:
        """Return nothing: the banks are all there is."""
        check_fitted(self)
        return {}

    def restore(self, banks: BankArrays, state: State) -> TransductiveZScore:
        """Hold the banks; `state` is empty."""
        check_names(self.name, state, set())
        self.indexes_ = indexes_of(check_banks(banks, None, self.metric))
        return self

    def score(self, Q: ArrayLike, names: Sequence[str] | None = None) -> Scores:
        """Return the scores of queries (q, values), q at least 2, all of one test run."""
        return smallest(self.domain_scores(Q, names))

    def domain_scores(self, Q: ArrayLike, names: Sequence[str] | None = None) -> dict[str, Scores]:
        """Return each domain's term; `score` is their minimum."""
        check_fitted(self)
        warn(
            "test_zscore is transductive: it uses the statistics of the clips under test, which "
            "breaks the challenge's rules; use domain_zscore for a score of one clip alone",
        )
        terms = domain_distances(Q, names, self.indexes_, self.metric, self.k)
        count = len(next(iter(terms.values())))
        if count < 2:
            raise ParameterError(
                f"test_zscore needs the statistics of at least 2 clips under test, got {count}; "
                "score more clips at once or use domain_zscore"
            )
        return {
            domain: (d - d.mean()) / deviation_of(d, f"the test clips' distances to the {domain}")
            for domain, d in terms.items()
        }

    def leave_one_out(self) -> dict[str, Scores]:
        """Return the training clips' scores, standardised by their own left-out distances."""
        check_fitted(self)
        terms = left_out_distances(self.indexes_, self.k)
        standardised: dict[str, dict[str, Scores]] = {domain: {} for domain in terms}
        for domain in self.indexes_:
            d = np.concatenate([own[domain] for own in terms.values()])
            d = d[np.isfinite(d)]  # a clip alone in its domain has no distance to it
            deviation = deviation_of(d, f"the training clips' distances to the {domain}")
            for own, values in terms.items():
                standardised[own][domain] = (values[domain] - d.mean()) / deviation
        return per_domain({domain: smallest(own) for domain, own in standardised.items()})
