"""Tokens are averaged over the right axis and flattened in the right order."""

from __future__ import annotations

import numpy as np
import pytest

from firstshot.encoders.pooling import pool, resolve_layers
from firstshot.errors import ParameterError

TOKENS = np.random.default_rng(0).standard_normal((3, 5, 4, 2)).astype(np.float32)


def by_hand(clip, pooling):
    time, freq, dim = clip.shape
    if pooling == "temporal":
        return [
            sum(float(clip[t, f, d]) for t in range(time)) / time
            for f in range(freq)
            for d in range(dim)
        ]
    if pooling == "spectral":
        return [
            sum(float(clip[t, f, d]) for f in range(freq)) / freq
            for t in range(time)
            for d in range(dim)
        ]
    return [float(clip[:, :, d].astype(float).mean()) for d in range(dim)]


@pytest.mark.parametrize("pooling", ["temporal", "spectral", "all"])
def test_pooling_is_the_mean_by_hand(pooling):
    pooled = pool(TOKENS, pooling)
    assert pooled.dtype == np.float32
    assert pooled.flags.c_contiguous
    np.testing.assert_allclose(pooled, [by_hand(c, pooling) for c in TOKENS], atol=1e-6)


def test_temporal_keeps_frequency_row_before_dimension():
    tokens = np.zeros((1, 3, 8, 16), dtype=np.float32)
    tokens[0, :, 5, 11] = 1.0
    assert pool(tokens)[0].nonzero()[0].tolist() == [5 * 16 + 11]


def test_an_unknown_pooling_is_refused():
    with pytest.raises(ParameterError, match="'max' is not known; choose one of"):
        pool(TOKENS, "max")


@pytest.mark.parametrize(
    ("asked", "found"), [([1], (1,)), ([-1, 1], (12, 1)), (np.array([7, -3]), (7, 10))]
)
def test_layers_count_from_1_and_negative_ones_from_the_end(asked, found):
    resolved = resolve_layers(asked, 12, "ced_tiny")
    assert resolved == found
    assert all(type(layer) is int for layer in resolved)


@pytest.mark.parametrize("asked", [0, 13, -13])
def test_a_layer_that_does_not_exist_is_named_with_those_that_do(asked):
    with pytest.raises(ParameterError, match=rf"layer {asked} does not exist: .* layers 1 to 12"):
        resolve_layers([asked], 12, "ced_tiny")


def test_no_layer_and_a_layer_named_twice_are_refused():
    with pytest.raises(ParameterError, match="no layer was given"):
        resolve_layers([], 12, "ced_tiny")
    with pytest.raises(ParameterError, match="named twice"):
        resolve_layers([12, -1], 12, "ced_tiny")


def weights_by_hand(clip, gamma):
    mean = clip.mean(axis=0)
    deviations = np.array([np.sqrt(((step - mean) ** 2).sum()) for step in clip])
    weights = (1 + deviations / deviations.max()) ** gamma
    return weights / weights.sum()


@pytest.mark.parametrize("gamma", [0, 1, 4, 19])
def test_relative_deviation_pooling_weighs_unusual_steps_more(gamma):
    for clip, pooled in zip(TOKENS.astype(float), pool(TOKENS, f"rdp:{gamma}"), strict=True):
        expected = sum(w * x for w, x in zip(weights_by_hand(clip, gamma), clip, strict=True))
        np.testing.assert_allclose(pooled, expected.reshape(-1), atol=1e-6)


@pytest.mark.parametrize("power", [1, 3, 9, 100])
def test_the_generalised_mean_goes_from_mean_to_maximum(power):
    for clip, pooled in zip(TOKENS.astype(float), pool(TOKENS, f"gem:{power}"), strict=True):
        expected = (np.maximum(clip, 0) ** power).mean(axis=0) ** (1 / power)
        np.testing.assert_allclose(pooled, expected.reshape(-1), rtol=1e-5, atol=1e-6)


def test_the_hybrid_is_a_generalised_mean_with_the_weights_of_unusual_steps():
    for clip, pooled in zip(TOKENS.astype(float), pool(TOKENS, "rdp_gem:8"), strict=True):
        weighted = [
            w * np.maximum(x, 0) ** 3 for w, x in zip(weights_by_hand(clip, 8), clip, strict=True)
        ]
        np.testing.assert_allclose(pooled, sum(weighted).reshape(-1) ** (1 / 3), atol=1e-6)


@pytest.mark.parametrize("ratio", [0.0, 0.4, 1.0])
def test_ranked_steps_are_weighed_by_their_rank(ratio):
    weights = np.array([ratio**n for n in range(5)])
    for clip, pooled in zip(TOKENS.astype(float), pool(TOKENS, f"gwrp:{ratio}"), strict=True):
        ranked = np.sort(clip, axis=0)[::-1]
        expected = np.tensordot(weights / weights.sum(), ranked, axes=1)
        np.testing.assert_allclose(pooled, expected.reshape(-1), atol=1e-6)


def test_mean_and_deviation_of_a_row_follow_each_other():
    pooled = pool(TOKENS, "mean_deviation").reshape(3, 4, 4)
    np.testing.assert_allclose(pooled[:, :, :2], TOKENS.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(pooled[:, :, 2:], TOKENS.std(axis=1), atol=1e-6)


def test_steps_that_are_all_alike_are_averaged():
    tokens = np.ones((1, 5, 4, 2), dtype=np.float32)
    for pooling in ("rdp:4", "gem:3", "rdp_gem:8", "gwrp:0.5"):
        np.testing.assert_allclose(pool(tokens, pooling), 1.0, rtol=1e-6)
    for pooling in ("gem:3", "rdp_gem:8"):
        np.testing.assert_array_equal(pool(-tokens, pooling), 0.0)


@pytest.mark.parametrize(
    ("pooling", "named"),
    [
        ("rdp", "pooling 'rdp': expected rdp: and a number from 0 to 100"),
        ("gem:0.5", "gem: and a number from 1 to 100"),
        ("gwrp:2", "gwrp: and a number from 0 to 1"),
        ("gem:nan", "gem: and a number"),
        ("temporal:3", "pooling 'temporal:3' is not known; choose one of temporal, "),
    ],
)
def test_wrong_parameters_are_named(pooling, named):
    with pytest.raises(ParameterError, match=named):
        pool(TOKENS, pooling)
