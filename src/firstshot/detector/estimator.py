"""What `Detector` and `Ensemble` have in common: scores, decisions, and scikit-learn's manners.

Input: clips as `firstshot.detector.sources` takes them. Output: scores, results, settings by name.
scikit-learn's `clone`, `Pipeline` and `GridSearchCV` work with such objects; it is not imported
unless it is what asks.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any, Self, TypeAlias, cast, overload

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.embedding import Clip
from firstshot.detector.sources import (
    OneSource,
    Source,
    Sources,
    check_apart,
    is_one_clip,
    list_clips,
)
from firstshot.errors import NotFittedError, ParameterError
from firstshot.messages import choose_one_of, shown_value
from firstshot.results import Result

Labels: TypeAlias = Sequence[int] | Sequence[bool]
"""A label per clip: 0 or False is normal, 1 or True anomalous."""
NEAREST_SHOWN = 3


class Estimator(ABC):
    """An object that learns normal clips and judges new ones.

    scikit-learn gives labels `y` as the second argument of `fit`, where the target clips are. One 0
    or 1 per source clip is taken as `y`: clips of label 1 are anomalous and are left out.
    """

    sample_rate: int | None

    def score(
        self, sources: Sources, *, sample_rate: int | None = None, workers: int | None = None
    ) -> NDArray[np.float64]:
        """Return the anomaly score of every clip, float64 (clips,), higher = more anomalous.

        scikit-learn's search calls `score` for one number: give it a `scoring`, such as "roc_auc".
        """
        results = self._judge(sources, sample_rate, workers, neighbors=0)
        return np.array([result.score for result in results], dtype=np.float64)

    def score_samples(
        self, sources: Sources, *, sample_rate: int | None = None, workers: int | None = None
    ) -> NDArray[np.float64]:
        """Return what `score` returns, float64 (clips,), higher = more anomalous.

        The sign is that of the challenge. scikit-learn's own detectors have the opposite one: of
        `IsolationForest.score_samples`, the lower is the more anomalous.
        """
        return self.score(sources, sample_rate=sample_rate, workers=workers)

    def decision_function(
        self, sources: Sources, *, sample_rate: int | None = None, workers: int | None = None
    ) -> NDArray[np.float64]:
        """Return each clip's score minus its threshold, float64 (clips,); above 0 is anomalous.

        The sign is opposite to that of scikit-learn's own detectors, as in `score_samples`.
        """
        results = self._judge(sources, sample_rate, workers, neighbors=0)
        return np.array([one.score - one.threshold for one in results], dtype=np.float64)

    # A text and a pair are iterables too, and the first signature that fits counts.
    @overload
    def predict(  # type: ignore[overload-overlap]
        self, sources: OneSource, *, sample_rate: int | None = None, workers: int | None = None
    ) -> Result: ...
    @overload
    def predict(  # type: ignore[overload-overlap]
        self, sources: NDArray[Any], *, sample_rate: int | None = None, workers: int | None = None
    ) -> Result | list[Result]: ...
    @overload
    def predict(
        self,
        sources: Iterable[Source],
        *,
        sample_rate: int | None = None,
        workers: int | None = None,
    ) -> list[Result]: ...
    def predict(
        self, sources: Sources, *, sample_rate: int | None = None, workers: int | None = None
    ) -> Result | list[Result]:
        """Return a `Result` for one clip, a list of them for several.

        A folder and an array (clips, samples) are several clips. To a type checker a path is one
        clip: write `predict([folder])` for a folder. scikit-learn's own detectors predict 1 for
        normal and -1 for anomalous instead.
        """
        results = self._judge(sources, sample_rate, workers, NEAREST_SHOWN)
        return results[0] if is_one_clip(sources, self._rate(sample_rate)) else results

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments by name; `deep` changes nothing."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **settings: Any) -> Self:
        """Set arguments of the constructor by name; they count from the next `fit` on."""
        known = inspect.signature(type(self)).parameters
        for name in settings:
            if name not in known:
                raise ParameterError(f"setting {name!r}: {choose_one_of(name, known)}")
        for name, value in settings.items():
            setattr(self, name, value)
        return self

    @abstractmethod
    def _predict_clips(
        self, clips: list[Clip], neighbors: int, workers: int | None
    ) -> list[Result]:
        """Return a `Result` per clip; `neighbors` normal clips are named in each."""

    def _judge(
        self, sources: Sources, sample_rate: int | None, workers: int | None, neighbors: int
    ) -> list[Result]:
        self._check_fitted()
        return self._predict_clips(list_clips(sources, self._rate(sample_rate)), neighbors, workers)

    def _rate(self, sample_rate: int | None) -> int | None:
        """Return the rate in Hz of arrays that come without one."""
        return self.sample_rate if sample_rate is None else sample_rate

    def _check_fitted(self, learned: str = "threshold_") -> None:
        if not hasattr(self, learned):
            kind = type(self).__name__.lower()
            raise NotFittedError(f"this {kind} has learned nothing yet; call fit(...) first")

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "threshold_")

    def __sklearn_clone__(self) -> Self:
        # An encoder object is shared: it learns nothing, and may hold a network of gigabytes.
        settings = self.get_params(deep=False)
        return type(self)(**{name: _copy(value) for name, value in settings.items()})

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import Tags, TargetTags

        return Tags("outlier_detector", TargetTags(required=False))


def clips_to_learn(
    source: Sources, target: Sources | Labels | None, sample_rate: int | None
) -> tuple[list[Clip], list[Clip]]:
    """Return the normal clips of the source and of the target domain.

    `target` may be `y` in scikit-learn's manner, a label per source clip.

    Raises
    ------
    DatasetError
        As `list_clips`, or a file is among the source and among the target clips.
    ParameterError
        There are labels other than 0 and 1, or not one per clip.
    """
    sources = list_clips(source, sample_rate, "source clips")
    labels = _read_labels(target, len(sources))
    if labels is not None:
        return [clip for clip, bad in zip(sources, labels, strict=True) if not bad], []
    clips = cast("Sources | None", target)
    targets = [] if clips is None else list_clips(clips, sample_rate, "target clips")
    check_apart(sources, targets)
    return sources, targets


def _read_labels(target: Any, clips: int) -> list[bool] | None:
    """Return whether each clip is anomalous; None where `target` is no list of labels."""
    listed = isinstance(target, (list, tuple)) and len(target) > 0
    if listed and not all(isinstance(one, (Real, np.bool_)) for one in target):
        return None
    if not listed and not hasattr(target, "__array__"):
        return None
    values = np.asarray(target)
    if not listed and (values.shape != (clips,) or values.dtype.kind not in "biuf"):
        return None
    if len(values) != clips:
        raise ParameterError(f"y holds {len(values)} labels for {clips} clips; give one per clip")
    odd = values[~np.isin(values, (0, 1))]
    if odd.size:
        raise ParameterError(
            f"y holds the label {shown_value(odd[0].item())}; give 0 for a normal clip, 1 for an "
            "anomalous one"
        )
    return [bool(value) for value in values]


def _copy(setting: Any) -> Any:
    if isinstance(setting, Estimator):
        return setting.__sklearn_clone__()
    if isinstance(setting, (list, tuple)):
        return type(setting)(_copy(one) for one in setting)
    return dict(setting) if isinstance(setting, dict) else setting
