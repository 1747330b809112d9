"""A detector's parts: scores are means over them; held-out scores equal brute-force refits."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from firstshot.detector.file import MemberRow
from firstshot.detector.fitted.held_out import FOLDS, held_out_scores
from firstshot.detector.fitted.parts import (
    PartRecipe,
    Recipe,
    fit_part,
    fit_parts,
    nearest_members,
    score_parts,
)
from firstshot.errors import DatasetError, FirstshotWarning, ParameterError
from firstshot.scoring import make_normalizer, make_transform
from firstshot.scoring.bank import make_bank, memmixup, merge
from firstshot.scoring.normalizers import NORMALIZERS

DIM = 6
ALONE = [name for name in NORMALIZERS if name != "test_zscore"]
SETTINGS = {"local_density": {"k": 3}, "domain_local_density": {"k_source": 3, "k_target": 2}}


def draw(n, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    return (shift + rng.standard_normal((n, DIM)) * np.arange(1, DIM + 1)).astype(np.float32)


def rows_of(source, target=0):
    domains = ["source"] * source + ["target"] * target
    return [MemberRow(f"{domain} {i}", domain, str(i)) for i, domain in enumerate(domains)]


def recipe_of(normalizer="none", transform="none", **others):
    settings = SETTINGS.get(normalizer, {})
    part = PartRecipe("layer 1", transform, normalizer, "sqeuclidean", settings)
    return Recipe((part,), (0,), **others)


def of_layers(recipe, count):
    """The same way of comparing for several layers."""
    (part,) = recipe.parts
    parts = tuple(replace(part, label=f"layer {n + 1}") for n in range(count))
    return replace(recipe, parts=parts, columns=tuple(range(count)))


def refit(X, n_source, left_out, recipe):
    """Score the rows left out by a normaliser that was fitted, transform and all, without them."""
    kept = np.setdiff1d(np.arange(len(X)), left_out)
    transform = make_transform(recipe.parts[0].transform).fit(X[kept])
    banks = {
        "source": transform(X[kept[kept < n_source]]) if (kept < n_source).any() else [],
        "target": transform(X[kept[kept >= n_source]]) if (kept >= n_source).any() else [],
    }
    if recipe.memmixup:
        mixed = memmixup(
            merge(
                make_bank(
                    banks["source"], [f"s{i}" for i in range(len(banks["source"]))], "source"
                ),
                make_bank(
                    banks["target"], [f"t{i}" for i in range(len(banks["target"]))], "target"
                ),
            )
        )
        banks = mixed.arrays()
    normalizer = make_normalizer(recipe.parts[0].normalizer, **recipe.parts[0].settings).fit(banks)
    return normalizer.score(transform(X[left_out]))


@pytest.mark.parametrize("n_target", [0, 5])
@pytest.mark.parametrize("transform", ["none", "standardize", "whiten"])
@pytest.mark.parametrize("normalizer", ALONE)
def test_a_held_out_score_is_that_of_a_refit_without_the_clip(normalizer, transform, n_target):
    n_source = FOLDS - n_target
    X = np.concatenate([draw(n_source, 0), draw(n_target, 1, shift=2.0)])
    recipe = recipe_of(normalizer, transform)
    parts = [fit_part(recipe.parts[0], X, rows_of(n_source, n_target), recipe)]
    found = held_out_scores(parts, recipe, [1] * FOLDS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FirstshotWarning)
        expected = [refit(X, n_source, np.array([i]), recipe)[0] for i in range(FOLDS)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_more_clips_than_folds_are_left_out_a_fold_at_a_time():
    X, recipe = draw(47, 2), recipe_of("none", "standardize")
    parts = [fit_part(recipe.parts[0], X, rows_of(47), recipe)]
    found = held_out_scores(parts, recipe, [1] * 47)
    for fold in range(FOLDS):
        left = np.arange(fold, 47, FOLDS)
        np.testing.assert_allclose(found[left], refit(X, 47, left, recipe), rtol=1e-6)


def test_mixtures_of_a_clip_are_left_out_with_it():
    X = np.concatenate([draw(12, 3), draw(4, 4, shift=2.0)])
    for transform in ("none", "standardize"):
        recipe = recipe_of("domain_local_density", transform, memmixup=True)
        parts = [fit_part(recipe.parts[0], X, rows_of(12, 4), recipe)]
        found = held_out_scores(parts, recipe, [1] * 16)
        expected = [refit(X, 12, np.array([i]), recipe)[0] for i in range(16)]
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("transform", ["none", "standardize"])
def test_all_windows_of_a_clip_are_left_out_together_and_the_worst_one_counts(transform):
    windows = [3, 1, 2, 4, 2]
    X, recipe = draw(sum(windows), 5), recipe_of("none", transform)
    parts = [fit_part(recipe.parts[0], X, rows_of(len(X)), recipe)]
    found = held_out_scores(parts, recipe, windows)
    ends = np.cumsum(windows)
    for clip, (start, end) in enumerate(zip(ends - windows, ends, strict=True)):
        expected = refit(X, len(X), np.arange(start, end), recipe).max()
        assert found[clip] == pytest.approx(expected, rel=1e-6)


def test_one_recording_in_windows_is_left_out_by_blocks_and_told_of():
    X, recipe = draw(100, 6), recipe_of("none", "standardize")
    parts = [fit_part(recipe.parts[0], X, rows_of(100), recipe)]
    with pytest.warns(FirstshotWarning, match="1 source recording cut into 100 windows"):
        found = held_out_scores(parts, recipe, [100])
    assert found.shape == (100,)
    for block in range(FOLDS):
        left = np.arange(5 * block, 5 * block + 5)
        np.testing.assert_allclose(found[left], refit(X, 100, left, recipe), rtol=1e-6)


def test_a_target_of_two_clips_is_scored_by_the_source_when_one_is_left_out():
    X = np.concatenate([draw(10, 7), draw(2, 8, shift=5.0)])
    recipe = recipe_of("domain_local_density", "standardize")
    parts = [fit_part(recipe.parts[0], X, rows_of(10, 2), recipe)]
    with pytest.warns(FirstshotWarning, match="the target holds too few clips to leave one out"):
        found = held_out_scores(parts, recipe, [1] * 12)
    transform = make_transform("standardize").fit(X[:11])
    source = make_normalizer("domain_local_density", **recipe.parts[0].settings).fit(
        {"source": transform(X[:10])}
    )
    assert found[11] == pytest.approx(source.score(transform(X[11:]))[0], rel=1e-6)


@pytest.mark.parametrize("transform", ["none", "standardize", "whiten"])
@pytest.mark.parametrize(
    ("normalizer", "least"),
    [("none", 2), ("domain_zscore", 4), ("local_density", 3), ("domain_local_density", 3)],
)
def test_too_few_clips_to_leave_one_out_are_refused_with_the_least_number(
    normalizer, transform, least
):
    least = max(least, 2 if transform == "none" else 3)
    recipe = recipe_of(normalizer, transform)
    for count in (2, 3, 4):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FirstshotWarning)
            try:
                parts = [fit_part(recipe.parts[0], draw(count, 9), rows_of(count), recipe)]
            except DatasetError:
                assert normalizer == "domain_zscore"
                assert count < 3
                continue
            if count >= least:
                assert np.isfinite(held_out_scores(parts, recipe, [1] * count)).all()
                continue
            with pytest.raises(DatasetError, match=f"give at least {least} different") as error:
                held_out_scores(parts, recipe, [1] * count)
            assert "\n" not in str(error.value)


def test_a_score_is_the_mean_over_parts_and_the_domain_the_one_with_the_lowest_mean():
    layers = [np.concatenate([draw(9, s), draw(5, s + 1, 3.0)]) for s in (10, 20)]
    queries = [draw(7, 30, 1.5), draw(7, 31, 1.5)]
    recipe = of_layers(recipe_of("domain_local_density"), 2)
    parts = fit_parts(layers, rows_of(9, 5), recipe)
    scores = score_parts(parts, recipe, queries)
    by_hand = []
    for layer, query in zip(layers, queries, strict=True):
        normalizer = make_normalizer("domain_local_density", **recipe.parts[0].settings)
        normalizer.fit({"source": layer[:9], "target": layer[9:]})
        terms = normalizer.domain_scores(query)
        by_hand.append(np.stack([terms["source"], terms["target"]]))
    np.testing.assert_allclose(scores.parts, [terms.min(axis=0) for terms in by_hand], rtol=1e-12)
    np.testing.assert_allclose(scores.total, scores.parts.mean(axis=0), rtol=1e-12)
    chosen = np.mean(by_hand, axis=0).argmin(axis=0)
    assert scores.domains == tuple(("source", "target")[i] for i in chosen)
    assert set(scores.domains) == {"source", "target"}


def test_concat_is_one_bank_of_the_joined_layers():
    layers, queries = [draw(9, 40), draw(9, 41)], [draw(3, 42), draw(3, 43)]
    recipe = recipe_of("local_density", combine="concat")
    (part,) = fit_parts(recipe.join(layers), rows_of(9), recipe)
    joined = make_normalizer("local_density", k=3).fit({"source": np.hstack(layers)})
    found = score_parts([part], recipe, recipe.join(queries)).total
    np.testing.assert_allclose(found, joined.score(np.hstack(queries)), rtol=1e-12)


@pytest.mark.parametrize("transform", ["none", "standardize", "whiten"])
def test_the_nearest_members_are_those_of_brute_force(transform):
    X, Q = np.concatenate([draw(8, 50), draw(4, 51)]), draw(5, 52)
    recipe = recipe_of("none", transform)
    part = fit_part(recipe.parts[0], X, rows_of(8, 4), recipe)
    moved, query = part.transform(X).astype(float), part.transform(Q).astype(float)
    d = ((query[:, None] - moved[None]) ** 2).sum(axis=2)
    for near, row in zip(nearest_members(part, Q, 3), d, strict=True):
        order = np.argsort(row)[:3]
        assert [n.clip for n in near] == [rows_of(8, 4)[i].clip for i in order]
        assert [n.domain for n in near] == [rows_of(8, 4)[i].domain for i in order]
        np.testing.assert_allclose([n.distance for n in near], row[order], rtol=1e-5)
    assert [len(near) for near in nearest_members(part, Q, 99)] == [12] * 5
    assert nearest_members(part, Q, 0) == ((),) * 5


@pytest.mark.parametrize(
    "recipe",
    [
        recipe_of("none", combine="mean"),
        recipe_of("none", "pca"),
        recipe_of("zscore"),
        Recipe("none", "none", "manhattan", {}),
        Recipe("none", "none", "euclidean", {"k_source": 3}),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(recipe):
    with pytest.raises(ParameterError):
        recipe.check()
