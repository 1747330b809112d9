"""A normaliser by groups of values, and on its own scale.

Input: banks, then queries. Output: scores. Each group of consecutive values (a group of frequency
bands) has a normaliser of its own, with its own nearest clip. The score is the largest of the
groups' scores, or their mean. A fault in one group of bands is not averaged away by the others.

Standardised scores have mean 0 and deviation 1 over the normal clips, each scored without itself,
so that scores of different embeddings can be averaged. Each group is standardised, and their
largest (or mean) once more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstshot.domains import DOMAINS
from firstshot.errors import NotFittedError, ParameterError
from firstshot.scoring.normalizers.base import BankArrays, BankNames, SavedState, Scores, State

SAME_SCORES = 1e-6
"""A deviation of leave-one-out scores below this counts as 1."""
OVER_GROUPS = ("max", "mean")


@dataclass
class Grouped:
    """A normaliser for each of `groups` equal groups of consecutive values.

    Parameters
    ----------
    make : callable
        Returns an unfitted normaliser with `state` and `restore`.
    groups : int
        A divisor of the number of values.
    standardize : bool
        Whether scores are standardised by the leave-one-out scores.
    over_groups : "max" or "mean"
        What is made of the groups' scores.
    """

    make: Callable[[], Any]
    groups: int = 1
    standardize: bool = True
    over_groups: str = "max"
    parts_: list[Any] = field(init=False, repr=False)
    scales_: list[tuple[float, float]] = field(init=False, repr=False)
    left_out_: dict[str, Scores] = field(init=False, repr=False)

    @property
    def name(self) -> str:
        """The name of the normaliser of a group."""
        return str(self.make().name)

    @property
    def metric(self) -> str:
        """The metric of the normaliser of a group."""
        return str(self.make().metric)

    def fit(self, banks: BankArrays, names: BankNames | None = None) -> Grouped:
        """Fit the groups and measure their scales."""
        arrays = {domain: np.asarray(rows) for domain, rows in banks.items() if rows is not None}
        self.parts_ = [
            self.make().fit({domain: rows[:, group] for domain, rows in arrays.items()}, names)
            for group in self._slices(arrays)
        ]
        left_out = [part.leave_one_out() for part in self.parts_]
        self.scales_ = [self._scale(terms) for terms in left_out]
        merged = self._merge(left_out)
        if self.groups > 1:
            self.scales_.append(self._scale(merged))
            merged = {d: standardize(scores, self.scales_[-1]) for d, scores in merged.items()}
        self.left_out_ = merged
        return self

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the groups' states and scales, and the leave-one-out scores of each domain."""
        self._check_fitted()
        kept = {
            f"{number}.{name}": array
            for number, part in enumerate(self.parts_)
            for name, array in part.state().items()
        }
        kept |= {f"scale.{number}": np.array(scale) for number, scale in enumerate(self.scales_)}
        return kept | {f"left_out.{domain}": scores for domain, scores in self.left_out_.items()}

    def restore(self, banks: BankArrays, state: State) -> Grouped:
        """Hold the banks and the `state()` of a normaliser that was fitted on them."""
        arrays = {domain: np.asarray(rows) for domain, rows in banks.items() if rows is not None}
        scales = [f"scale.{number}" for number in range(self.groups + (self.groups > 1))]
        left_out = {f"left_out.{domain}": len(arrays.get(domain, ())) for domain in DOMAINS}
        mine = {name: state[name] for name in state if not name.split(".")[0].isdigit()}
        saved = SavedState(self.name, mine)
        saved.only({*scales, *left_out})
        self.parts_ = [
            self.make().restore(
                {domain: rows[:, group] for domain, rows in arrays.items()},
                {n.partition(".")[2]: a for n, a in state.items() if n.startswith(f"{number}.")},
            )
            for number, group in enumerate(self._slices(arrays))
        ]
        self.scales_ = [saved.statistics(name) for name in scales]
        self.left_out_ = {
            name.partition(".")[2]: saved.numbers(name, count) for name, count in left_out.items()
        }
        return self

    def score(self, Q: ArrayLike, names: Sequence[str] | None = None) -> Scores:
        """Return the scores of queries (q, values)."""
        return self.scores(Q, names)[0]

    def domain_scores(self, Q: ArrayLike, names: Sequence[str] | None = None) -> dict[str, Scores]:
        """Return the score beside each domain's clips alone; none is below `score`."""
        return self.scores(Q, names)[1]

    def scores(
        self, Q: ArrayLike, names: Sequence[str] | None = None
    ) -> tuple[Scores, dict[str, Scores]]:
        """Return `score` and `domain_scores` of queries (q, values)."""
        terms = [part.domain_scores(rows, names) for part, rows in self._by_group(Q)]
        lowest = [{"all": np.minimum.reduce(list(term.values()))} for term in terms]
        return self._finish(lowest)["all"], self._finish(terms)

    def group_scores(self, Q: ArrayLike, names: Sequence[str] | None = None) -> Scores:
        """Return each group's score of queries (q, values), float64 (q, groups)."""
        scores = [part.score(rows, names) for part, rows in self._by_group(Q)]
        pairs = zip(scores, self.scales_, strict=False)
        return np.stack([standardize(own, scale) for own, scale in pairs], axis=1)

    def leave_one_out(self) -> dict[str, Scores]:
        """Return every clip's score without it; the scales are those of all clips."""
        self._check_fitted()
        return dict(self.left_out_)

    def _check_fitted(self) -> None:
        if not hasattr(self, "left_out_"):
            raise NotFittedError(f"{self.name} has no banks yet; call fit first")

    def _by_group(self, Q: ArrayLike) -> list[tuple[Any, NDArray[Any]]]:
        self._check_fitted()
        queries = np.asarray(Q)
        groups = self._slices({"queries": queries})
        return [(part, queries[:, group]) for part, group in zip(self.parts_, groups, strict=True)]

    def _merge(self, terms: Sequence[Mapping[str, Scores]]) -> dict[str, Scores]:
        """Return the largest (or mean) of the groups' scores, each on the group's scale."""
        of_groups = np.max if self.over_groups == "max" else np.mean
        return {
            key: of_groups(
                [
                    standardize(term[key], scale)
                    for term, scale in zip(terms, self.scales_, strict=False)
                ],
                axis=0,
            )
            for key in terms[0]
        }

    def _finish(self, terms: Sequence[Mapping[str, Scores]]) -> dict[str, Scores]:
        merged = self._merge(terms)
        if self.groups == 1:
            return merged
        return {key: standardize(scores, self.scales_[-1]) for key, scores in merged.items()}

    def _scale(self, left_out: Mapping[str, Scores]) -> tuple[float, float]:
        """Return mean and population deviation of the leave-one-out scores of both domains."""
        if not self.standardize:
            return 0.0, 1.0
        scores = np.concatenate(list(left_out.values()))
        deviation = float(scores.std())
        return float(scores.mean()), deviation if deviation >= SAME_SCORES else 1.0

    def _slices(self, arrays: Mapping[str, NDArray[Any]]) -> list[slice]:
        values = next(iter(arrays.values())).shape[1]
        if values % self.groups:
            raise ParameterError(
                f"{values} values cannot be cut into {self.groups} equal groups; "
                "choose a divisor of the number of bands"
            )
        width = values // self.groups
        return [slice(start, start + width) for start in range(0, values, width)]


def standardize(scores: Scores, scale: tuple[float, float]) -> Scores:
    """Return (scores - mean) / deviation of a scale (mean, deviation)."""
    mean, deviation = scale
    standardized: Scores = (scores - mean) / deviation
    return standardized
