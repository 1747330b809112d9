"""Labels and scores of test clips become AUC, pAUC, harmonic means and the official score.

Input: per clip a label (0 normal, 1 anomalous), an anomaly score (on any scale, higher = more
anomalous), and if known a domain ("source" or "target") and a decision (0 or 1). Output: fractions
of 1.

AUC: the probability that an anomalous clip scores above a normal one, ties counting one half.
AUC of a domain: the domain's *normal* clips against the anomalous clips of *both* domains (task
paper, eq. 2). To use only the domain's own anomalies is a common mistake.
pAUC: the area under the ROC up to a false positive rate of 0.1. Published tables use McClish's
standardised form, 0.5 for chance and 1 for a perfect system, with the ROC interpolated at 0.1
(`partial_auc`); the task paper's eq. 3 is the raw area, 0.05 for chance, and counts strictly higher
scores only (`partial_auc_paper`).
Official score: the harmonic mean of every section's AUC source, AUC target and pAUC, each first
raised to the machine epsilon (2.2e-16), so that one 0 gives about 0 and not a division by 0.
Precision, recall and F1 of a domain: from the domain's own clips, denominators at least epsilon.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstshot.domains import DOMAINS
from firstshot.errors import ParameterError

OFFICIAL_METRICS = ("auc_source", "auc_target", "pauc")
EPSILON = float(np.finfo(np.float64).eps)


def validate(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return labels as int64 and scores as float64, or refuse what no metric can be computed from.

    Raises ParameterError for unequal lengths, a label other than 0 and 1, a score that is not
    finite, and when one of the two classes is absent.

    >>> validate([0, 1], [0.2, 0.7])[0].tolist()
    [0, 1]
    """
    label = _binary(labels, "label")
    score = np.asarray(scores, dtype=np.float64)
    if score.shape != label.shape:
        raise ParameterError(
            f"{label.shape[0]} labels but scores of shape {score.shape}; give one score per clip"
        )
    unusable = np.flatnonzero(~np.isfinite(score))
    if unusable.size:
        raise ParameterError(
            f"score {score[unusable[0]]} of clip number {unusable[0]} is not finite; "
            "every clip needs a finite score"
        )
    for value, meaning in ((0, "normal"), (1, "anomalous")):
        if not (label == value).any():
            raise ParameterError(
                f"no {meaning} clip (label {value}) among {label.size}; AUC needs both classes"
            )
    return label, score


def _binary(values: ArrayLike, what: str) -> NDArray[np.int64]:
    """Return labels or decisions as int64 if every one is 0 or 1."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise ParameterError(f"{what}s have shape {array.shape}; give a flat list, one per clip")
    wrong = np.flatnonzero(~np.isin(array, (0, 1)))
    if wrong.size:
        raise ParameterError(
            f"{what} {array[wrong[0]]} of clip number {wrong[0]} is neither 0 (normal) "
            "nor 1 (anomalous)"
        )
    return array.astype(np.int64)


def validate_domains(domains: Sequence[str], clips: int) -> NDArray[np.str_]:
    """Return the domains as an array if there is one per clip, each "source" or "target"."""
    if len(domains) != clips:
        raise ParameterError(f"{clips} clips but {len(domains)} domains; give one per clip")
    for number, domain in enumerate(domains):
        if domain not in DOMAINS:
            raise ParameterError(
                f"domain {domain!r} of clip number {number} is not known; use 'source' or 'target'"
            )
    return np.asarray(domains, dtype=np.str_)


def _counts(
    label: NDArray[np.int64], score: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Count anomalous and normal clips at every distinct score, the highest score first."""
    distinct, place = np.unique(-score, return_inverse=True)
    place = place.reshape(-1)
    anomalous = np.bincount(place[label == 1], minlength=distinct.size)
    normal = np.bincount(place[label == 0], minlength=distinct.size)
    return anomalous, normal, -distinct


def auc_of_counts(anomalous: NDArray[np.int64], normal: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the AUC from the numbers of clips at each distinct score, highest first (last axis).

    Leading axes are independent cases, such as bootstrap resamples.
    """
    above = np.cumsum(anomalous, axis=-1) - anomalous
    # Twice the number of won pairs is an integer also with ties, so no digit is lost.
    won_twice = np.sum(normal * (2 * above + anomalous), axis=-1)
    pairs = anomalous.sum(axis=-1) * normal.sum(axis=-1)
    return np.asarray(won_twice / (2 * pairs), dtype=np.float64)


def partial_auc_of_counts(
    anomalous: NDArray[np.int64], normal: NDArray[np.int64], max_fpr: float
) -> NDArray[np.float64]:
    """Return the standardised pAUC from the numbers of clips at each score, highest first."""
    totals = anomalous.sum(axis=-1) * normal.sum(axis=-1)
    above = np.cumsum(anomalous, axis=-1) - anomalous
    before = np.cumsum(normal, axis=-1) - normal
    left = max_fpr * normal.sum(axis=-1, keepdims=True) - before
    # Of a tie only the normal clips below max_fpr count; the ROC is a straight line there.
    taken = np.clip(left, 0.0, normal)
    fraction = np.divide(taken, normal, out=np.zeros_like(taken), where=normal > 0)
    area = np.sum(taken * (above + fraction * anomalous / 2), axis=-1) / totals
    chance = max_fpr**2 / 2
    return np.asarray(0.5 * (1 + (area - chance) / (max_fpr - chance)), dtype=np.float64)


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the probability that an anomalous clip scores above a normal one; a tie counts 1/2.

    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    """
    anomalous, normal, _ = _counts(*validate(labels, scores))
    return float(auc_of_counts(anomalous, normal))


def partial_auc(labels: ArrayLike, scores: ArrayLike, max_fpr: float = 0.1) -> float:
    """Return the area under the ROC up to `max_fpr`, standardised: 0.5 is chance, 1 is perfect.

    The official pAUC; equal to scikit-learn's ``roc_auc_score(labels, scores, max_fpr=0.1)``.

    >>> partial_auc([0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5])
    0.5
    """
    _check_max_fpr(max_fpr)
    anomalous, normal, _ = _counts(*validate(labels, scores))
    return float(partial_auc_of_counts(anomalous, normal, max_fpr))


def partial_auc_paper(labels: ArrayLike, scores: ArrayLike, max_fpr: float = 0.1) -> float:
    """Return the raw pAUC of the task paper's eq. 3, between 0 and 1.

    The share of pairs of an anomalous clip and one of the floor(max_fpr * normals) highest-scoring
    normal clips in which the anomalous clip scores strictly higher. The official tables show
    `partial_auc` instead. Raises ParameterError when there are so few normal clips that the floor
    is 0.

    >>> partial_auc_paper([0] * 10 + [1, 1], [*range(10), 9, 10])
    0.5
    """
    _check_max_fpr(max_fpr)
    label, score = validate(labels, scores)
    normal = np.sort(score[label == 0])
    # 0.29 * 100 is 28.999...; a rounding error must not remove a clip.
    highest = math.floor(max_fpr * normal.size + 1e-9)
    if highest == 0:
        raise ParameterError(
            f"max_fpr {max_fpr} of {normal.size} normal clips is less than one clip; "
            f"eq. 3 needs at least {math.ceil(1 / max_fpr)}"
        )
    anomalous = np.sort(score[label == 1])
    beaten = anomalous.size - np.searchsorted(anomalous, normal[-highest:], side="right")
    return float(beaten.sum() / (highest * anomalous.size))


def _check_max_fpr(max_fpr: float) -> None:
    if not 0 < max_fpr <= 1:
        raise ParameterError(f"max_fpr is {max_fpr}; it must be above 0 and at most 1")


def roc_curve(
    labels: ArrayLike, scores: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return false positive rates, true positive rates and the scores that reach them.

    Three float64 arrays of equal length, from (0, 0) at a threshold of infinity to (1, 1); a clip
    counts as positive when its score is at or above the threshold.

    >>> fpr, tpr, thresholds = roc_curve([0, 1], [0.2, 0.7])
    >>> fpr.tolist(), tpr.tolist(), thresholds.tolist()
    ([0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [inf, 0.7, 0.2])
    """
    anomalous, normal, distinct = _counts(*validate(labels, scores))
    fpr = np.concatenate(([0.0], np.cumsum(normal) / normal.sum()))
    tpr = np.concatenate(([0.0], np.cumsum(anomalous) / anomalous.sum()))
    return fpr, tpr, np.concatenate(([np.inf], distinct))


def domain_auc(labels: ArrayLike, scores: ArrayLike, domains: Sequence[str], domain: str) -> float:
    """Return the AUC of one domain: its normal clips against the anomalous clips of both.

    >>> domain_auc([0, 0, 1, 1], [1, 3, 2, 4], ["source", "target", "source", "target"], "target")
    0.5
    """
    label, score = validate(labels, scores)
    of_domain = validate_domains(domains, label.size) == domain
    rows = of_domain | (label == 1)
    return auc(label[rows], score[rows])


def harmonic_mean(values: Iterable[float]) -> float:
    """Return the harmonic mean, every value first raised to at least 2.2e-16.

    >>> round(harmonic_mean([0.5, 1.0]), 12)
    0.666666666667
    """
    array = np.asarray(list(values), dtype=np.float64)
    if array.size == 0 or not np.isfinite(array).all():
        raise ParameterError(f"harmonic mean of {array.tolist()}: give one finite value or more")
    return float(array.size / np.sum(1 / np.maximum(array, EPSILON)))


def official_score(sections: Mapping[str, Mapping[str, float]]) -> float:
    """Return the harmonic mean of AUC source, AUC target and pAUC over all sections.

    `sections` maps a section's name to its metrics, as `section_metrics` returns them. Raises
    ParameterError naming the section that lacks one of the three.

    >>> round(official_score({"fan_00": {"auc_source": 1, "auc_target": 0.5, "pauc": 0.5}}), 12)
    0.6
    """
    values: list[float] = []
    for name, metrics in sections.items():
        for metric in OFFICIAL_METRICS:
            if metric not in metrics:
                raise ParameterError(
                    f"section {name} has no {metric}; the official score needs normal test clips "
                    "of both domains and anomalous ones"
                )
            values.append(metrics[metric])
    return harmonic_mean(values)


def precision_recall_f1(labels: ArrayLike, decisions: ArrayLike) -> tuple[float, float, float]:
    """Return precision, recall and F1 of decisions, with denominators of at least 2.2e-16.

    >>> precision_recall_f1([0, 1, 1, 1], [1, 1, 0, 1])
    (0.6666666666666666, 0.6666666666666666, 0.6666666666666666)
    """
    label, decision = _binary(labels, "label"), _binary(decisions, "decision")
    if label.shape != decision.shape:
        raise ParameterError(
            f"{label.size} labels but {decision.size} decisions; give one per clip"
        )
    hits = int(np.sum((label == 1) & (decision == 1)))
    precision = hits / max(int(decision.sum()), EPSILON)
    recall = hits / max(int(label.sum()), EPSILON)
    return precision, recall, 2 * precision * recall / max(precision + recall, EPSILON)


def section_metrics(
    labels: ArrayLike,
    scores: ArrayLike,
    domains: Sequence[str] | None = None,
    decisions: ArrayLike | None = None,
) -> dict[str, float]:
    """Return all metrics of one machine's section under the official evaluator's names.

    `auc_all` and `pauc` always. `auc_source` and `auc_target` for each domain with a normal clip.
    `official_score` (harmonic mean of this section's AUC source, AUC target and pAUC) where all
    three exist. With decisions, `precision_`, `recall_` and `f1_` of each domain with a clip.

    >>> metrics = section_metrics([0, 0, 1, 1], [1, 2, 3, 4], ["source", "target"] * 2)
    >>> sorted(metrics)
    ['auc_all', 'auc_source', 'auc_target', 'official_score', 'pauc']
    """
    label, score = validate(labels, scores)
    metrics = {"auc_all": auc(label, score), "pauc": partial_auc(label, score)}
    if domains is None:
        return metrics
    of_clip = validate_domains(domains, label.size)
    for domain in DOMAINS:
        rows = of_clip == domain
        if (label[rows] == 0).any():
            metrics[f"auc_{domain}"] = domain_auc(label, score, domains, domain)
        if decisions is not None and rows.any():
            decision = _binary(decisions, "decision")
            if decision.shape != label.shape:
                raise ParameterError(f"{label.size} labels but {decision.size} decisions")
            values = precision_recall_f1(label[rows], decision[rows])
            for name, value in zip(("precision", "recall", "f1"), values, strict=True):
                metrics[f"{name}_{domain}"] = value
    if all(name in metrics for name in OFFICIAL_METRICS):
        metrics["official_score"] = harmonic_mean(metrics[name] for name in OFFICIAL_METRICS)
    return metrics
