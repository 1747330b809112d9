"""Residuals of the autoencoder become a clip's score, covariances, and the released threshold.

Input: residuals e = reconstruction - vector, float (K, 640), of one clip or one batch. Output:
float64 scores, higher = more anomalous. Sources: the task paper's equations 5 (MSE) and 6
(Mahalanobis), and the published code, which differs from equation 6.

Every vector consists of five frames, blocks of 128 values; a covariance is 128 x 128.

- ``mse``: the mean of the squared residuals (equation 5).
- ``mahala``: as released. The published code sums the whole (5K x 5K) matrix of products between
  blocks, which is m^T P m with m the mean block of the clip and P a domain's inverse covariance;
  the smaller of the two domains' values counts. It is computed from m: memory grows with K, not
  K^2.
- ``mahala_per_frame``: equation 6 as printed, with the squared distance: per vector the sum over
  its blocks of e^T P e, the smaller of the two domains, summed over vectors and divided by 640 K.
- ``mahala_per_frame_root``: the same with the distance, the square root of that sum.

Inverses are computed in float64. The published code's float32 has an error of 5e-4 for covariances
of a condition number of 2e6.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstshot.autoencoder.features import MEL, VECTOR
from firstshot.domains import DOMAINS
from firstshot.errors import DatasetError, ParameterError
from firstshot.messages import choose_one_of

ScoreName: TypeAlias = Literal["mse", "mahala", "mahala_per_frame", "mahala_per_frame_root"]
SCORES: tuple[ScoreName, ...] = get_args(ScoreName)
RELEASED_QUANTILE = 0.9


def score_residuals(
    residuals: ArrayLike, score: ScoreName, precisions: Sequence[NDArray[np.float64]]
) -> float:
    """Return the score of one clip's residuals (K, 640).

    Parameters
    ----------
    residuals : array (K, 640)
        Reconstruction minus vector, K at least 1.
    score : str
        One of `SCORES`.
    precisions : sequence of float64 (128, 128)
        The inverse covariance of each domain; `mse` does not use it.

    Examples
    --------
    >>> ones = np.ones((3, 640))
    >>> score_residuals(ones, "mse", ()), score_residuals(ones, "mahala", (np.eye(128),))
    (1.0, 128.0)
    >>> score_residuals(ones, "mahala_per_frame", (np.eye(128), 2 * np.eye(128)))
    1.0
    """
    errors = np.asarray(residuals, dtype=np.float64)
    if score == "mse":
        return float(np.square(errors).mean())
    if score == "mahala":
        mean = errors.reshape(-1, MEL.mels).mean(axis=0)
        return float(min(mean @ precision @ mean for precision in precisions))
    if score not in SCORES:
        raise ParameterError(f"score {score!r} is not known; {choose_one_of(score, SCORES)}")
    blocks = errors.reshape(-1, MEL.mels)
    squared = np.array([((blocks @ precision) * blocks).sum(axis=1) for precision in precisions])
    of_vectors = squared.reshape(len(squared), len(errors), -1).sum(axis=2)
    if score == "mahala_per_frame_root":
        # A precision has no negative eigenvalue, but rounding may turn a sum of 0 negative.
        of_vectors = np.sqrt(np.maximum(of_vectors, 0.0))
    return float(of_vectors.min(axis=0).sum() / (VECTOR * len(errors)))


def residual_covariances(
    batches: Iterable[tuple[NDArray[np.float32], NDArray[np.bool_]]],
) -> dict[str, NDArray[np.float64]]:
    """Return each domain's covariance (128, 128) of residual blocks, as released.

    The mean of a batch and domain is subtracted from its blocks, and the sum of their products is
    divided by the domain's number of vectors less one: about five times the sample covariance,
    because a vector has five blocks. A domain without a vector gets the other's covariance.

    Parameters
    ----------
    batches : iterable of (float (rows, 640), bool (rows,))
        Residuals, and whether each is of the target domain.

    Raises
    ------
    DatasetError
        Neither domain has two vectors.

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(1000, 640)).astype(np.float32)
    >>> found = residual_covariances([(rows, np.zeros(1000, dtype=bool))])
    >>> bool(4.9 < found["source"].diagonal().mean() < 5.1), found["target"] is found["source"]
    (True, True)
    """
    sums = {domain: np.zeros((MEL.mels, MEL.mels)) for domain in DOMAINS}
    vectors = dict.fromkeys(DOMAINS, 0)
    for residuals, is_target in batches:
        for domain, chosen in zip(DOMAINS, (~is_target, is_target), strict=True):
            if chosen.any():
                blocks = residuals[chosen].astype(np.float64).reshape(-1, MEL.mels)
                blocks -= blocks.mean(axis=0)
                sums[domain] += blocks.T @ blocks
                vectors[domain] += int(chosen.sum())
    if max(vectors.values()) < 2:
        raise DatasetError("no domain has two vectors to train on; give longer or more clips")
    found = {domain: sums[domain] / max(1, vectors[domain] - 1) for domain in DOMAINS}
    for domain, other in (DOMAINS, DOMAINS[::-1]):
        if not vectors[domain]:
            found[domain] = found[other]
    return found


def invert_covariances(
    covariances: Mapping[str, NDArray[np.floating]],
) -> tuple[NDArray[np.float64], ...]:
    """Return the inverse of each domain's covariance, in the order of `DOMAINS`.

    Raises
    ------
    DatasetError
        A covariance is singular: that domain's clips have too few vectors.

    Examples
    --------
    >>> source, target = invert_covariances({"source": np.eye(3), "target": 4 * np.eye(3)})
    >>> target.diagonal().tolist()
    [0.25, 0.25, 0.25]
    """
    inverses = []
    for domain in DOMAINS:
        values, vectors = np.linalg.eigh(np.asarray(covariances[domain], dtype=np.float64))
        if values[0] <= values[-1] * len(values) * np.finfo(np.float64).eps:
            raise DatasetError(
                f"the covariance of the {domain} clips' residuals is singular, so the Mahalanobis "
                "score has no value; give longer or more training clips, or use the MSE score"
            )
        inverses.append((vectors / values) @ vectors.T)
    return tuple(inverses)


def released_threshold(batch_scores: ArrayLike, quantile: float = RELEASED_QUANTILE) -> float:
    """Return the threshold as the published code sets it.

    scipy fits a gamma law with free shape, location and scale to the scores of mini-batches, not of
    clips. A batch holds 256 vectors of many clips, so its score varies far less than that of a
    clip: the threshold lies near the average clip, and recalls near 0 or 1 are usual.

    Raises
    ------
    ParameterError
        No gamma law fits the values.

    Examples
    --------
    >>> values = np.random.default_rng(0).gamma(2.0, size=500) + 10.0
    >>> bool(released_threshold(values) > np.quantile(values, 0.85))
    True
    """
    from scipy.stats import gamma

    values = np.asarray(batch_scores, dtype=np.float64)
    try:
        if np.ptp(values) == 0.0:
            raise ValueError("all values are equal")
        threshold = float(gamma.ppf(quantile, *gamma.fit(values)))
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ParameterError(
            f"no gamma law fits the scores of {values.size} batches ({reason}); set the threshold "
            "on the scores of clips instead"
        ) from error
    if not np.isfinite(threshold):
        raise ParameterError(
            f"the gamma law fitted to {values.size} batches has no finite quantile; set the "
            "threshold on the scores of clips instead"
        )
    return threshold
