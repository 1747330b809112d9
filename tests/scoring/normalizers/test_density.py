"""`density`: equal to a plain computation; odd clips and copies do not spoil it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstshot.errors import DatasetError, FirstshotWarning
from firstshot.scoring.normalizers.density import Density


def plain_widths(rows, k, bounds=None):
    gaps = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    means = np.sort(gaps, axis=1)[:, : min(k, len(rows) - 1)].mean(axis=1)
    bounds = bounds or (np.median(means) / 3, 3 * np.median(means))
    return np.clip(means, *bounds) + 1e-12, bounds


def plain_score(query, rows, widths):
    return np.log(max(1e-9, (np.linalg.norm(rows - query, axis=1) / widths).min()))


def clips(seed, count, dim=3):
    return np.random.default_rng(seed).standard_normal((count, dim))


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize(("source", "target"), [(12, 4), (9, 0), (0, 7)])
def test_scores_are_those_of_a_plain_computation(k, source, target):
    banks = {"source": clips(1, source), "target": clips(2, target)}
    rows = np.concatenate(list(banks.values()))
    widths, _ = plain_widths(rows, k)
    queries = 2 * clips(3, 20)
    expected = [plain_score(query, rows, widths) for query in queries]
    normalizer = Density(metric="euclidean", k=k).fit(banks)
    np.testing.assert_allclose(normalizer.score(queries), expected, rtol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_leave_one_out_makes_the_widths_again_within_the_same_bounds(k):
    banks = {"source": clips(1, 12), "target": clips(2, 4) + 1}
    rows = np.concatenate(list(banks.values()))
    _, bounds = plain_widths(rows, k)
    expected = []
    for left in range(len(rows)):
        others = np.delete(rows, left, axis=0)
        expected.append(plain_score(rows[left], others, plain_widths(others, k, bounds)[0]))
    found = Density(metric="euclidean", k=k).fit(banks).leave_one_out()
    np.testing.assert_allclose(
        np.concatenate([found["source"], found["target"]]), expected, rtol=1e-12
    )


def test_domains_can_have_widths_of_their_own():
    banks = {"source": clips(1, 12), "target": 5 * clips(2, 6)}
    found = Density(metric="euclidean", per_domain=True).fit(banks)
    queries = 3 * clips(3, 20)
    for domain, rows in banks.items():
        widths, _ = plain_widths(rows, 2)
        expected = [plain_score(query, rows, widths) for query in queries]
        np.testing.assert_allclose(found.domain_scores(queries)[domain], expected, rtol=1e-12)
    _, bounds = plain_widths(banks["target"], 2)
    others = np.delete(banks["target"], 3, axis=0)
    remade, _ = plain_widths(others, 2, bounds)
    beside_source, _ = plain_widths(banks["source"], 2)
    expected = min(
        plain_score(banks["target"][3], others, remade),
        plain_score(banks["target"][3], banks["source"], beside_source),
    )
    assert found.leave_one_out()["target"][3] == pytest.approx(expected, rel=1e-12)


def test_the_score_is_the_least_of_the_domains():
    found = Density(metric="euclidean").fit({"source": clips(1, 12), "target": clips(2, 4)})
    queries = clips(3, 20)
    terms = found.domain_scores(queries)
    np.testing.assert_array_equal(found.score(queries), np.minimum(*terms.values()))


def test_an_odd_clip_does_not_hide_what_sounds_like_it():
    usual, odd = clips(1, 98), np.full((1, 3), 100.0)
    like_the_odd_one = odd + 4 * clips(2, 20)
    found = Density(metric="euclidean").fit({"source": np.concatenate([usual, odd])})
    unclamped = Density(metric="euclidean", low=0.0, high=1e12)
    unclamped.fit({"source": np.concatenate([usual, odd])})
    normal = found.score(clips(3, 50))
    assert (found.score(like_the_odd_one) > normal.max()).mean() > 0.9
    assert (unclamped.score(like_the_odd_one) < unclamped.score(clips(3, 50)).min()).all()


def test_near_copies_change_little():
    usual = clips(1, 60)
    copies = usual[:1] + 1e-6 * clips(2, 20)
    plain = Density(metric="euclidean").fit({"source": usual}).score(clips(3, 50))
    beside = Density(metric="euclidean").fit({"source": np.concatenate([usual, copies])})
    assert np.abs(beside.score(clips(3, 50)) - plain).max() < 1.2  # by the clamp at 1/3 at most


def test_a_bank_of_copies_has_finite_scores():
    found = Density(metric="euclidean").fit({"source": np.ones((5, 3))})
    assert np.isfinite(found.score(clips(1, 3))).all()
    assert np.isfinite(found.leave_one_out()["source"]).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 100.0), st.integers(4, 20))
def test_scores_do_not_depend_on_the_unit_or_the_order(seed, unit, count):
    rows, queries = clips(seed, count), clips(seed + 1, 5)
    plain = Density(metric="euclidean").fit({"source": rows}).score(queries)
    order = np.random.default_rng(seed).permutation(count)
    moved = Density(metric="euclidean").fit({"source": unit * rows[order]})
    np.testing.assert_allclose(moved.score(unit * queries), plain, rtol=1e-6, atol=1e-6)


def test_what_was_measured_is_restored_to_the_bit():
    banks = {"source": clips(1, 12), "target": clips(2, 4)}
    found = Density(metric="euclidean").fit(banks)
    again = Density(metric="euclidean").restore(banks, found.state())
    np.testing.assert_array_equal(again.score(clips(3, 9)), found.score(clips(3, 9)))
    np.testing.assert_array_equal(again.leave_one_out()["source"], found.leave_one_out()["source"])


def test_too_few_clips_are_told_of():
    with pytest.raises(DatasetError, match="needs at least 2 clips in the joint bank"):
        Density().fit({"source": clips(1, 1)})
    with pytest.warns(FirstshotWarning, match="density: joint holds 3 different clips"):
        found = Density(k=5).fit({"source": clips(1, 3)})
    assert np.isfinite(found.leave_one_out()["source"]).all()
    two = Density(k=1).fit({"source": clips(1, 2)})
    with pytest.raises(DatasetError, match="at least 3 clips"):
        two.leave_one_out()
