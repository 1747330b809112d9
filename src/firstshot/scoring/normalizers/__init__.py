"""A name, a metric and parameters become a normaliser.

A normaliser takes the banks of the two domains and gives scores, float64, higher = more anomalous
(the GenRep report's equations). Fitting is deterministic. `state()` returns what fitting has
measured, and `restore(banks, state)` makes the same normaliser, bit for bit, without measuring
again.

| name | score | parameters |
|---|---|---|
| `none` | min(d_s, d_t) | `k=1` |
| `test_zscore` | eq. 2, transductive | `k=1` |
| `domain_zscore` | eq. 3 | `k=1`, `own_std=False` |
| `local_density` | eq. 4 | `k=16` |
| `domain_local_density` | eq. 5 | `k_source=16`, `k_target=9` |
| `density` | ln min d / clamped density | `k=2`, `low=1/3`, `high=3`, `per_domain=False` |
| `domain_median` | d in units of the domain's median, the smaller of the two | `k=1` |
| `corrected` | published corrections, for comparison | `correction`, `width`, `k=1`, `rank=0.9` |
| `mahalanobis` | distance from the cloud of normal clips | |
| `pca_residual` | distance from its principal subspace | `share=0.95` |

A package adds a normaliser by the entry point `firstshot.normalizers`. The entry point is called
with `metric` and parameters, and returns a `Normalizer` that is also `Restorable`.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Sequence
from math import isfinite
from typing import Any, Protocol, runtime_checkable

from numpy.typing import ArrayLike, NDArray

from firstshot.errors import ParameterError
from firstshot.messages import choose_one_of
from firstshot.plugins import load_plugin, make_from_plugin, registered
from firstshot.scoring.normalizers.base import BankArrays, BankNames, Scores, State
from firstshot.scoring.normalizers.corrected import Corrected
from firstshot.scoring.normalizers.density import Density
from firstshot.scoring.normalizers.domain_median import DomainMedian
from firstshot.scoring.normalizers.domain_zscore import DomainZScore
from firstshot.scoring.normalizers.gaussian import Mahalanobis, PcaResidual
from firstshot.scoring.normalizers.local_density import DomainLocalDensity, LocalDensity
from firstshot.scoring.normalizers.nearest_distance import NearestDistance
from firstshot.scoring.normalizers.test_zscore import TransductiveZScore
from firstshot.scoring.search.vectors import check_metric

ENTRY_POINT_GROUP = "firstshot.normalizers"


@runtime_checkable
class Normalizer(Protocol):
    """What turns banks and queries into scores."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def metric(self) -> str: ...  # noqa: D102

    def fit(self, banks: BankArrays, names: BankNames | None = None) -> Normalizer:
        """Hold {"source": (clips, values), "target": (clips, values)}; one may be empty."""
        ...

    def score(self, Q: ArrayLike, names: Sequence[str] | None = None) -> Scores:
        """Return the scores of queries (q, values), float64 (q,); names are for messages."""
        ...

    def domain_scores(self, Q: ArrayLike, names: Sequence[str] | None = None) -> dict[str, Scores]:
        """Return the term of each domain that holds clips; `score` is their minimum."""
        ...

    def leave_one_out(self) -> dict[str, Scores]:
        """Return for every training clip the score of a normaliser fitted without that clip."""
        ...


@runtime_checkable
class Restorable(Protocol):
    """A normaliser that can be saved; all of this package's are."""

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what fitting measured, by name; empty where the banks are all there is."""
        ...

    def restore(self, banks: BankArrays, state: State) -> Normalizer:
        """Take banks and the state of a normaliser fitted on them; the scores are the same bits.

        Raises ParameterError where the state does not fit the banks.
        """
        ...


_CLASSES: dict[str, Any] = {
    kind.name: kind
    for kind in (
        NearestDistance,
        TransductiveZScore,
        DomainZScore,
        LocalDensity,
        DomainLocalDensity,
        Density,
        DomainMedian,
        Corrected,
        Mahalanobis,
        PcaResidual,
    )
}
NORMALIZERS = tuple(_CLASSES)
"""The normalisers of this package; plug-ins are not among them."""


def list_normalizers() -> tuple[str, ...]:
    """Return the names that `make_normalizer` knows: this package's, then plug-ins.

    >>> list_normalizers()[:2]
    ('none', 'test_zscore')
    """
    plugins = sorted(name for name in registered(ENTRY_POINT_GROUP) if name not in _CLASSES)
    return (*NORMALIZERS, *plugins)


def make_normalizer(name: str, metric: str = "sqeuclidean", **parameters: Any) -> Normalizer:
    """Return an unfitted normaliser.

    Parameters
    ----------
    name : str
        One of `list_normalizers()`.
    metric : str
        `sqeuclidean`, `euclidean` or `cosine`.
    **parameters
        As in the table of this module: numbers of neighbours from 1, shares and bounds as numbers,
        `own_std` and `per_domain` True or False.

    Raises
    ------
    ParameterError
        The name, the metric or a parameter is not known, or a value cannot be used.

    Examples
    --------
    >>> normalizer = make_normalizer("domain_zscore", k=1)
    >>> _ = normalizer.fit({"source": [[0.0], [1.0], [3.0]], "target": []})
    >>> normalizer.score([[5.0]]).round(3).tolist()
    [1.414]
    """
    check_metric(metric)
    known = default_parameters(name)
    for parameter, value in parameters.items():
        if parameter not in known:
            raise ParameterError(
                f"{name} has no parameter {parameter!r}; it takes {', '.join(known) or 'none'}"
            )
        parameters[parameter] = _checked(parameter, value, known[parameter])
    settings = {"metric": metric, **parameters}
    if name in _CLASSES:
        normalizer: Normalizer = _CLASSES[name](**settings)
        return normalizer
    plugin, label = load_plugin(registered(ENTRY_POINT_GROUP)[name], "normaliser", name)
    made: Normalizer = make_from_plugin(plugin, label, settings, Restorable)
    if not isinstance(made, Normalizer):
        raise ParameterError(
            f"{label} gives a {type(made).__name__}, which lacks members of "
            "firstshot.scoring.normalizers.Normalizer"
        )
    return made


def default_parameters(name: str) -> dict[str, Any]:
    """Return a normaliser's parameters besides the metric, with their default values.

    >>> default_parameters("domain_local_density")
    {'k_source': 16, 'k_target': 9}
    """
    if name in _CLASSES:
        kind = _CLASSES[name]
    elif name in registered(ENTRY_POINT_GROUP):
        kind, _ = load_plugin(registered(ENTRY_POINT_GROUP)[name], "normaliser", name)
    else:
        raise ParameterError(
            f"normaliser {name!r} is not known; {choose_one_of(name, list_normalizers())}"
        )
    signature = inspect.signature(kind).parameters.values()
    return {p.name: p.default for p in signature if p.name != "metric"}


def _checked(parameter: str, value: Any, default: Any) -> Any:
    """Return the value, of the kind of its default, or refuse it."""
    if isinstance(default, bool):
        if value in (True, False):
            return bool(value)
        raise ParameterError(f"{parameter}={value!r} cannot be used; choose True or False")
    if isinstance(default, float):
        if isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value):
            return float(value)
        raise ParameterError(f"{parameter}={value!r} cannot be used; give a number")
    if not isinstance(default, int):
        return value  # the normaliser checks what else it takes
    try:
        count = operator.index(value)
    except TypeError:
        count = 0
    if count < 1 or isinstance(value, bool):
        raise ParameterError(
            f"{parameter}={value!r} cannot be used; give a whole number of neighbours from 1"
        )
    return count
