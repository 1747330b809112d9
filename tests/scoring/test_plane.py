"""The map of clips: principal components that weigh every layer alike."""

from __future__ import annotations

import numpy as np
import pytest

from firstshot.scoring.plane import choose_clips, clip_products, principal_points

RNG = np.random.default_rng(4)


def test_the_points_are_the_principal_components_of_the_standardised_embeddings():
    clips = RNG.normal(size=(40, 6)) * [100, 1, 5, 0.01, 3, 2]
    points, shares = principal_points(clip_products([clips], slice(None)))
    standard = (clips - clips.mean(axis=0)) / np.maximum(
        clips.std(axis=0), 0.1 * np.median(clips.std(axis=0))
    )
    _, values, axes = np.linalg.svd(standard / np.sqrt(6), full_matrices=False)
    expected = standard / np.sqrt(6) @ axes[:2].T
    np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=1e-9)
    np.testing.assert_allclose(shares, values[:2] ** 2 / np.sum(values**2), rtol=1e-9)


def test_the_normal_clips_alone_set_the_scale():
    clips = RNG.normal(size=(30, 4))
    clips[20:] += 1000.0
    learned = clips[:20]
    expected = (clips - learned.mean(axis=0)) / learned.std(axis=0)
    found = clip_products([clips], np.arange(20))
    np.testing.assert_allclose(found, expected @ expected.T / 4, rtol=1e-9)


def test_a_layer_of_many_dimensions_weighs_no_more_than_one_of_few():
    small = RNG.normal(size=(20, 3))
    wide = np.tile(small, 50)
    one = clip_products([small], slice(None))
    np.testing.assert_allclose(clip_products([wide], slice(None)), one, rtol=1e-9)
    np.testing.assert_allclose(clip_products([small, wide], slice(None)), one, rtol=1e-9)


@pytest.mark.parametrize("clips", [1, 2, 3])
def test_few_clips_or_equal_ones_are_points_too(clips):
    points, shares = principal_points(clip_products([np.ones((clips, 5))], slice(None)))
    assert points.shape == (clips, 2)
    assert not points.any()
    assert shares == (0.0, 0.0)


def test_a_component_points_to_its_largest_value():
    line = np.array([[-1.0], [-1.0], [2.0]])
    points, _ = principal_points(line @ line.T)
    np.testing.assert_allclose(points[:, 0], [-1, -1, 2], atol=1e-9)


@pytest.mark.parametrize(("normal", "test"), [(1000, 200), (100, 3000), (0, 900), (990, 0), (3, 2)])
def test_the_clips_of_a_map_are_bounded_and_test_clips_come_first(normal, test):
    chosen = choose_clips(normal, test)
    assert len(chosen) == min(500, normal + test)
    assert np.all(np.diff(chosen) > 0)
    assert chosen[-1] < normal + test
    assert np.count_nonzero(chosen >= normal) == min(test, max(500 - normal, 400))
