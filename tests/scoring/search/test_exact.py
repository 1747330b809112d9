"""Exact nearest members against a brute-force float64 evaluation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstshot.errors import DatasetError, FirstshotError, ParameterError
from firstshot.scoring import nearest
from firstshot.scoring.search.bounds import BlockSizes
from firstshot.scoring.search.exact import distances as distances_of
from firstshot.scoring.search.exact import search
from firstshot.scoring.search.index import Index, Pairs
from firstshot.scoring.search.vectors import (
    METRICS,
    concatenate,
    first_copies,
    make_points,
    take_of_parts,
)


def brute(Q, X, k, metric, exclude_self=False):
    Q, X = np.asarray(Q, dtype=np.longdouble), np.asarray(X, dtype=np.longdouble)
    if metric == "cosine":
        Q = Q / np.sqrt((Q * Q).sum(axis=1, keepdims=True))
        X = X / np.sqrt((X * X).sum(axis=1, keepdims=True))
    d = np.stack([((X - q) ** 2).sum(axis=1) for q in Q])
    d = {"sqeuclidean": d, "euclidean": np.sqrt(d), "cosine": d / 2}[metric].astype(np.float64)
    if exclude_self:
        np.fill_diagonal(d, np.inf)
    order = np.argsort(d, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(d, order, axis=1), order


def clusters(seed, n, q, dim, spread, dtype, offset=1000.0):
    """Members that nearly repeat three clips far from zero, and queries as near to members."""
    rng = np.random.default_rng(seed)
    centres = offset + rng.standard_normal((3, dim))
    size = spread * np.linalg.norm(centres[0]) / np.sqrt(2 * dim)
    X = centres[rng.integers(0, 3, n)] + size * rng.standard_normal((n, dim))
    Q = centres[rng.integers(0, 3, q)] + size * rng.standard_normal((q, dim))
    return Q.astype(dtype), X.astype(dtype)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("spread", "dtype"),
    [(1.0, np.float32), (1e-2, np.float32), (1e-4, np.float32), (1e-4, np.float64), (1e-6, float)],
)
@pytest.mark.parametrize("k", [1, 7, 150])
def test_nearest_is_exact_however_nearly_clips_repeat(metric, spread, dtype, k):
    Q, X = clusters(1, n=1500, q=12, dim=48, spread=spread, dtype=dtype)
    distances, members = nearest(Q, X, k, metric)
    expected, expected_members = brute(Q, X, k, metric)
    np.testing.assert_allclose(distances, expected, rtol=1e-6 if metric == "cosine" else 1e-12)
    if metric != "cosine":  # there rounding of the unit vectors may swap two all but equal ones
        np.testing.assert_array_equal(members, expected_members)


def test_blocks_of_any_size_give_the_same_bits():
    Q, X = clusters(2, n=400, q=60, dim=16, spread=1e-3, dtype=np.float32)
    queries, index = make_points(Q, "sqeuclidean"), Index.of(make_points(X, "sqeuclidean"))
    whole = nearest(Q, X, 5)
    for sizes in [(7, 31), (60, 1), (1, 400), (13, 129)]:
        found = search(queries, index, 5, product_blocks=BlockSizes(*sizes))
        for values, expected in zip(found, whole, strict=True):
            np.testing.assert_array_equal(values, expected)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    metric=st.sampled_from(METRICS),
    k=st.integers(1, 4),
    queries=st.integers(1, 9),
    members=st.integers(1, 40),
)
def test_any_search_is_the_direct_evaluation_of_the_pairs_that_count(
    seed, metric, k, queries, members
):
    rng = np.random.default_rng(seed)
    Q, X = rng.integers(1, 5, (8, 3)), rng.integers(1, 5, (30, 3))  # many ties and copies
    scale, skipped = rng.uniform(0.5, 2.0, 30), rng.random((8, 30)) < 0.8
    query_points, member_points = make_points(Q, metric), make_points(X, metric)
    found = search(
        query_points,
        Index.of(member_points),
        k,
        scale,
        Pairs.listed(8, *np.nonzero(skipped)),
        product_blocks=BlockSizes(queries, members),
    )
    direct = np.array([row for _, row in distances_of(Q, X, metric)]) / scale
    direct[skipped] = np.inf
    order = np.argsort(direct, axis=1, kind="stable")[:, :k]
    expected = np.take_along_axis(direct, order, axis=1)
    assert found[0].tobytes() == expected.tobytes()
    np.testing.assert_array_equal(found[1], np.where(np.isinf(expected), -1, order))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), metric=st.sampled_from(METRICS))
def test_the_order_of_members_and_queries_changes_no_distance(seed, metric):
    rng = np.random.default_rng(seed)
    Q, X = rng.standard_normal((7, 4)), rng.standard_normal((40, 4))
    rows, members = rng.permutation(7), rng.permutation(40)
    found, numbers = nearest(Q, X, 5, metric)
    moved, moved_numbers = nearest(Q[rows], X[members], 5, metric)
    np.testing.assert_allclose(moved, found[rows], rtol=1e-12)
    np.testing.assert_array_equal(members[moved_numbers], numbers[rows])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), parts=st.lists(st.integers(0, 5), min_size=1, max_size=4))
def test_rows_of_several_banks_are_those_of_the_joined_bank(seed, parts):
    rng = np.random.default_rng(seed)
    banks = [make_points(rng.uniform(1, 2, (n, 3)), "cosine") for n in [*parts, 2]]
    joined = concatenate(banks)
    rows = np.flatnonzero(rng.random(len(joined)) < 0.6)
    if len(rows):
        taken = take_of_parts(banks, rows)
        np.testing.assert_array_equal(taken.rows, joined.rows[rows])
        np.testing.assert_array_equal(taken.lengths, joined.lengths[rows])


@pytest.mark.parametrize("dim", [1, 3, 129, 9001])
def test_a_query_alone_has_the_bits_it_has_in_company(dim):
    rng = np.random.default_rng(dim)
    Q, X = rng.standard_normal((33, dim)).astype(np.float32), rng.standard_normal((50, dim))
    together = nearest(Q, X, 4, "cosine")
    for i in range(33):
        alone = nearest(Q[i : i + 1], X, 4, "cosine")
        assert alone[0].tobytes() == together[0][i : i + 1].tobytes()
        assert alone[1].tobytes() == together[1][i : i + 1].tobytes()


@pytest.mark.parametrize("metric", METRICS)
def test_ties_go_to_the_lowest_member_and_copies_are_at_zero(metric):
    X = np.tile(np.array([[1.0, 2.0], [5.0, 1.0]], dtype=np.float32), (300, 1))
    distances, members = nearest(X[:2], X, 4, metric)
    assert (distances == 0).all()
    assert members.tolist() == [[0, 2, 4, 6], [1, 3, 5, 7]]


def test_equal_distances_to_many_different_members_keep_their_order():
    X = np.concatenate([np.eye(200), -np.eye(200)])
    _, members = nearest(np.zeros((1, 200)), X, 30)
    assert members[0].tolist() == list(range(30))


def test_self_is_excluded_by_number_and_not_by_distance():
    X = np.array([[0.0], [0.0], [3.0]])
    distances, members = nearest(X, X, 2, exclude_self=True)
    assert members.tolist() == [[1, 2], [0, 2], [0, 1]]
    assert distances.tolist() == [[0.0, 9.0], [0.0, 9.0], [9.0, 9.0]]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(2, 60),
    dim=st.integers(1, 12),
    scale=st.integers(-12, 12),
    metric=st.sampled_from(METRICS),
    grid=st.booleans(),
    exclude_self=st.booleans(),
)
def test_any_small_bank_equals_brute_force(seed, n, dim, scale, metric, grid, exclude_self):
    rng = np.random.default_rng(seed)
    X = rng.integers(1, 4, (n, dim)) if grid else rng.standard_normal((n, dim))
    X = X * 10.0**scale
    Q = X if exclude_self else X[: n // 2 + 1] + rng.integers(0, 2, (n // 2 + 1, dim))
    k = int(rng.integers(1, n))
    distances, _ = nearest(Q, X, k, metric, exclude_self)
    expected, _ = brute(Q, X, k, metric, exclude_self)
    if metric == "cosine":  # a float64 unit vector is known to about 1e-16, and 1e-14 counts as 0
        np.testing.assert_allclose(np.sqrt(distances), np.sqrt(expected), rtol=5e-7, atol=1.1e-14)
    else:
        np.testing.assert_allclose(distances, expected, rtol=1e-12)


@pytest.mark.parametrize("factor", [1e-30, 1e30, 1e90])
def test_sizes_beyond_float32_stay_exact(factor):
    rng = np.random.default_rng(3)
    Q, X = rng.standard_normal((9, 8)), rng.standard_normal((70, 8))
    distances, members = nearest(Q * factor, X, 3)
    expected, expected_members = brute(Q * factor, X, 3, "sqeuclidean")
    np.testing.assert_allclose(distances, expected, rtol=1e-12)
    np.testing.assert_array_equal(members, expected_members)
    distances, _ = nearest(Q * factor, X * factor, 3)
    np.testing.assert_allclose(distances, brute(Q, X, 3, "sqeuclidean")[0] * factor**2, rtol=1e-9)


def test_scaled_search_finds_the_smallest_ratio_over_every_member():
    rng = np.random.default_rng(4)
    Q, X = rng.standard_normal((40, 6)), rng.standard_normal((900, 6))
    scale = 10.0 ** rng.uniform(-9, 9, 900)
    for metric in METRICS:
        found = search(make_points(Q, metric), Index.of(make_points(X, metric)), 3, scale=scale)
        order = np.argsort(brute(Q, X, 900, metric)[1], axis=1)
        ratios = np.take_along_axis(brute(Q, X, 900, metric)[0], order, axis=1) / scale
        np.testing.assert_allclose(found[0], np.sort(ratios, axis=1)[:, :3], rtol=1e-9)


def test_distances_gives_every_value():
    Q, X = clusters(5, n=40, q=3, dim=9, spread=1e-4, dtype=np.float32)
    for i, row in distances_of(Q, X, "euclidean"):
        exact = np.sqrt(((X.astype(float) - Q[i].astype(float)) ** 2).sum(axis=1))
        np.testing.assert_allclose(row, exact, rtol=1e-12)


def test_copies_are_found_wherever_they_lie():
    rng = np.random.default_rng(6)
    X = rng.standard_normal((50, 5))
    order = rng.permutation(np.repeat(np.arange(50), 3))
    expected = [int(np.flatnonzero(order == clip)[0]) for clip in order]
    assert first_copies(make_points(X[order], "euclidean")).tolist() == expected
    multiples = X[order] * rng.uniform(0.1, 10, (150, 1))
    assert first_copies(make_points(multiples, "cosine")).tolist() == expected
    assert first_copies(make_points(multiples, "euclidean")).tolist() == list(range(150))


@pytest.mark.parametrize(
    ("Q", "X", "options", "words"),
    [
        ([[0.0]], [[1.0]], {"k": 2}, "k=2"),
        ([[0.0]], [[1.0]], {"k": 0}, "choose 1 to 1"),
        ([[0.0]], [[1.0]], {"metric": "manhattan"}, "sqeuclidean, euclidean, cosine"),
        ([[0.0]], [[1.0, 2.0]], {}, "1 values per clip and the members 2"),
        ([0.0], [[1.0]], {}, r"shape \(1,\)"),
        ([[0.0]], [[1.0], [2.0]], {"exclude_self": True}, "1 queries and 2 members"),
    ],
)
def test_what_cannot_be_used_is_named(Q, X, options, words):
    with pytest.raises(ParameterError, match=words):
        nearest(Q, X, **options)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_values_that_are_not_finite_name_their_row(bad):
    with pytest.raises(DatasetError, match="member row 1 "):
        nearest([[1.0]], [[1.0], [bad]])


def test_a_zero_vector_under_cosine_names_its_clip():
    with pytest.raises(FirstshotError, match=r"source clip 'b\.wav' \(row 1\) is all zero"):
        make_points([[1.0], [0.0]], "cosine", "source", ["a.wav", "b.wav"])
