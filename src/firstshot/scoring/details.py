"""The test clips of a section in groups: by attribute value, by part of the detector, by encoder.

Input: labels (0 normal, 1 anomalous), scores, decisions and attribute values of the clips. Output:
what the tables of details show. AUC of an attribute value: the value's normal clips against all
anomalous clips of the section, as the challenge's AUC of a domain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from firstshot.scoring.metrics import auc, section_metrics

PART_METRICS = ("auc_all", "auc_source", "auc_target", "pauc", "official_score")
"""The metrics of a part's or an encoder's scores; those of decisions belong to the whole."""


@dataclass(frozen=True)
class AttributeResult:
    """How the clips of one attribute value were scored.

    `called_anomalous` counts all of its clips, `false_alarms` the normal ones among those.
    `normal_clips` and `false_alarms` are None without labels; `auc` is None also where the value
    has no normal clip, or the section no anomalous one.
    """

    value: str
    clips: int
    called_anomalous: int
    normal_clips: int | None = None
    false_alarms: int | None = None
    auc: float | None = None


@dataclass(frozen=True)
class Details:
    """A section's results by attribute value, and the metrics of each encoder and each part.

    `encoders` and `parts` have the metrics of `PART_METRICS` by name; they are empty without
    labels.
    """

    attributes: tuple[AttributeResult, ...] = ()
    encoders: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    parts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def attribute_results(
    values: Sequence[Sequence[str]],
    labels: NDArray[np.int64] | None,
    scores: NDArray[np.float64],
    decisions: NDArray[np.int64],
) -> tuple[AttributeResult, ...]:
    """Group the clips by attribute value; a clip counts under each of its values.

    Parameters
    ----------
    values : sequence of sequences of str
        The attribute values of each clip, such as `("car_A1", "spd_28V")`.
    labels, scores, decisions : arrays (clips,)

    Examples
    --------
    >>> found = attribute_results(
    ...     [["rpm_800"], ["rpm_800"], ["rpm_1000"]],
    ...     np.array([0, 0, 1]), np.array([1.0, 3.0, 2.0]), np.array([0, 1, 0]),
    ... )
    >>> [(one.value, one.clips, one.false_alarms, one.auc) for one in found]
    [('rpm_800', 2, 1, 0.5), ('rpm_1000', 1, 0, None)]
    """
    rows: dict[str, list[int]] = {}
    for row, of_clip in enumerate(values):
        for value in dict.fromkeys(of_clip):
            rows.setdefault(value, []).append(row)
    return tuple(
        _attribute_result(value, np.array(rows[value]), labels, scores, decisions)
        for value in sorted(rows, key=_by_number)
    )


def _attribute_result(
    value: str,
    rows: NDArray[np.intp],
    labels: NDArray[np.int64] | None,
    scores: NDArray[np.float64],
    decisions: NDArray[np.int64],
) -> AttributeResult:
    called = int(np.count_nonzero(decisions[rows]))
    if labels is None:
        return AttributeResult(value, len(rows), called)
    normal = rows[labels[rows] == 0]
    anomalous = np.flatnonzero(labels == 1)
    compared = np.concatenate([normal, anomalous])
    known = len(normal) > 0 and len(anomalous) > 0
    return AttributeResult(
        value,
        len(rows),
        called,
        len(normal),
        int(np.count_nonzero(decisions[normal])),
        auc(labels[compared], scores[compared]) if known else None,
    )


def _by_number(value: str) -> list[tuple[bool, float, str]]:
    """Order values by the numbers in them, so that rpm_800 comes before rpm_1000."""
    words = value.split("_")
    return [(word.isdecimal(), float(word) if word.isdecimal() else 0.0, word) for word in words]


def part_metrics(
    scores: Mapping[str, NDArray[np.float64]],
    labels: NDArray[np.int64] | None,
    domains: Sequence[str] | None,
) -> dict[str, dict[str, float]]:
    """Return the metrics of each part's scores (clips,); nothing where no metric can be computed.

    Examples
    --------
    >>> labels, scores = np.array([0, 1]), {"layer 1": np.array([0.0, 1.0])}
    >>> part_metrics(scores, labels, None)
    {'layer 1': {'auc_all': 1.0, 'pauc': 1.0}}
    """
    if labels is None or not 0 < labels.sum() < len(labels):
        return {}
    found = {name: section_metrics(labels, values, domains) for name, values in scores.items()}
    return {
        name: {metric: metrics[metric] for metric in PART_METRICS if metric in metrics}
        for name, metrics in found.items()
    }
