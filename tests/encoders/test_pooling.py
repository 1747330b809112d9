"""Tokens are averaged over the right axis and flattened in the right order."""

from __future__ import annotations

import numpy as np
import pytest

from firstshot.encoders.pooling import POOLINGS, pool, resolve_layers
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


@pytest.mark.parametrize("pooling", POOLINGS)
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
