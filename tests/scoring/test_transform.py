"""Transforms against their definitions, and shrinkage against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from firstshot.errors import DatasetError, NotFittedError, ParameterError
from firstshot.scoring import make_transform
from firstshot.scoring.transform import TRANSFORMS, ledoit_wolf, transform_from_arrays


def clips(n, dim, seed=0):
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((dim, dim)) / np.sqrt(dim)
    return (100 + rng.standard_normal((n, dim)) @ mixing * rng.uniform(0.1, 9, dim)).astype("f4")


def test_none_changes_nothing():
    X = clips(5, 4)
    np.testing.assert_array_equal(make_transform("none").fit(X)(X), X)


def test_standardize_gives_every_dimension_mean_0_and_deviation_1():
    X = clips(300, 20)
    moved = make_transform("standardize").fit(X)(X).astype(np.float64)
    np.testing.assert_allclose(moved.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(moved.std(axis=0), 1, rtol=1e-5)


def test_nearly_constant_dimensions_do_not_explode():
    X = np.random.default_rng(1).standard_normal((50, 5))
    X[:, 1], X[:, 2] = 7.0, 7.0 + 1e-9 * X[:, 2]
    transform = make_transform("standardize").fit(X)
    moved = transform(X + 0.01)
    median = np.median(X.std(axis=0)[[0, 2, 3, 4]])
    np.testing.assert_allclose(moved[:, 1], 0.01 / (0.01 * median), rtol=1e-5)
    np.testing.assert_allclose(moved[:, 2], 0.01 / (0.01 * median), rtol=1e-5)


@pytest.mark.parametrize(("n", "dim"), [(200, 15), (12, 80), (80, 80), (2, 3)])
def test_shrinkage_is_that_of_scikit_learn(n, dim):
    X = clips(n, dim).astype(np.float64)
    centred = X - X.mean(axis=0)
    variances = np.linalg.svd(centred, compute_uv=False) ** 2 / n
    found = ledoit_wolf(variances, (centred**2).sum(axis=1), dim)
    assert found == pytest.approx(LedoitWolf().fit(X).shrinkage_, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("n", "dim"), [(400, 15), (12, 80), (80, 80)])
def test_whitened_distances_are_mahalanobis_distances_of_the_shrunk_covariance(n, dim):
    X, Q = clips(n, dim).astype(np.float64), clips(30, dim, seed=5).astype(np.float64)
    moved = make_transform("whiten").fit(X)(Q).astype(np.float64)
    precision = np.linalg.inv(LedoitWolf().fit(X).covariance_)
    for i, j in [(0, 1), (2, 9), (17, 29)]:
        expected = (Q[i] - Q[j]) @ precision @ (Q[i] - Q[j])
        assert ((moved[i] - moved[j]) ** 2).sum() == pytest.approx(expected, rel=1e-4)


def test_whiten_of_many_clips_gives_the_identity():
    X = np.random.default_rng(2).standard_normal((50000, 3)) @ np.array(
        [[1.0, 0.5, 0], [0, 2.0, 0.3], [0, 0, 1.5]]
    )
    moved = make_transform("whiten").fit(X)(X)
    np.testing.assert_allclose(np.cov(moved.T), np.eye(3), atol=2e-3)


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("dim", [7, 130])
def test_a_saved_transform_gives_the_same_bits_and_a_clip_the_same_in_any_company(name, dim):
    X, Q = clips(40, dim), clips(150, dim, seed=9)
    fitted = make_transform(name).fit(X)
    whole = fitted(Q)
    assert whole.dtype == np.float32
    arrays = {key: values.copy() for key, values in fitted.arrays().items()}
    assert transform_from_arrays(name, arrays)(Q).tobytes() == whole.tobytes()
    for rows in (slice(0, 1), slice(63, 66), slice(100, 150), slice(149, 150)):
        assert fitted(Q[rows]).tobytes() == whole[rows].tobytes()


def test_a_clip_given_twice_weighs_twice():
    X = clips(30, 6)
    twice = make_transform("standardize").fit(np.concatenate([X, X[:10]]))
    np.testing.assert_allclose(
        twice.arrays()["mean"], np.average(X.astype(float), axis=0, weights=[2] * 10 + [1] * 20)
    )


@pytest.mark.parametrize("name", ["standardize", "whiten"])
@pytest.mark.parametrize("X", [np.ones((1, 3)), np.ones((4, 3)), np.empty((0, 3))])
def test_clips_that_do_not_vary_are_refused(name, X):
    with pytest.raises(DatasetError, match="2 different training clips"):
        make_transform(name).fit(X)


def test_unknown_names_other_widths_unfitted_use_and_wrong_arrays_are_named():
    with pytest.raises(ParameterError, match="none, standardize, half_standardize, whiten"):
        make_transform("pca")
    with pytest.raises(NotFittedError, match="call fit first"):
        make_transform("whiten")([[1.0]])
    with pytest.raises(ParameterError, match="clips have 2 values"):
        make_transform("standardize").fit(clips(5, 3))(np.ones((1, 2)))
    with pytest.raises(ParameterError, match=r"\['mean', 'scale'\], got \['mean'\]"):
        transform_from_arrays("standardize", {"mean": np.zeros(3)})
