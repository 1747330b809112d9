"""Search by a projection against the direct evaluation of every pair."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from firstshot.errors import ParameterError
from firstshot.scoring import report_progress
from firstshot.scoring.search import exact
from firstshot.scoring.search.best_k import Best
from firstshot.scoring.search.bounds import BlockSizes
from firstshot.scoring.search.float16 import to_float16, to_float32
from firstshot.scoring.search.index import Index, Pairs
from firstshot.scoring.search.projection_search import search_by_projection
from firstshot.scoring.search.vectors import METRICS, distances_from_one, make_points

MEMBERS, VALUES = 3000, 256
SMALL = BlockSizes(queries=30, members=700, sample=200)


def index_of(members, projected_members=1000):
    """Return the index of a bank that is small, but large enough for a projection."""
    return Index.of(members, projected_members=projected_members)


def search(queries, index, k, scale=None, skip=None):
    """Search by blocks so small that every bank of these tests has several."""
    return exact.search(queries, index, k, scale, skip, projection_blocks=SMALL)


def like_embeddings(seed, count, decay=1.0, offset=3.0):
    """Clips whose deviations along fixed directions fall as embeddings' do."""
    rotation, _ = np.linalg.qr(np.random.default_rng(99).standard_normal((VALUES, VALUES)))
    deviations = np.arange(1, VALUES + 1.0) ** -decay
    draws = np.random.default_rng(seed).standard_normal((count, VALUES))
    return offset + (draws * deviations) @ rotation


def expected_of(queries, members, k, scale=None, skip=None):
    """Return the k best by a direct evaluation of every pair."""
    values, rows = [], []
    for i in range(len(queries)):
        found = distances_from_one(queries.positions(slice(i, i + 1))[0], members)
        found = found if scale is None else found / scale
        for member in () if skip is None else skip.of(np.array([i]))[1]:
            found[member] = np.inf
        order = np.argsort(found, kind="stable")[:k]
        values.append(found[order])
        rows.append(order)
    return np.array(values), np.array(rows)


def assert_same(found, expected):
    np.testing.assert_array_equal(found[1], expected[1])
    assert found[0].tobytes() == expected[0].tobytes()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 17])
@pytest.mark.parametrize("scaled", [False, True])
def test_a_search_by_projection_has_the_bits_of_one_that_evaluates_all(metric, dtype, k, scaled):
    members = make_points(like_embeddings(1, MEMBERS).astype(dtype), metric)
    queries = make_points(like_embeddings(2, 70), metric)
    index = index_of(members)
    assert index.projection is not None
    draws = np.random.default_rng(3)
    scale = draws.uniform(0.5, 5.0, MEMBERS) if scaled else None
    skip = Pairs.listed(70, draws.integers(0, 70, 500), draws.integers(0, MEMBERS, 500))
    found = search(queries, index, k, scale, skip)
    assert_same(found, expected_of(queries, members, k, scale, skip))


def test_the_projection_alone_answers_nearly_all_queries_of_such_a_bank():
    members = make_points(like_embeddings(1, MEMBERS), "sqeuclidean")
    queries = make_points(like_embeddings(2, 70), "sqeuclidean")
    best = Best.empty(70, 1)
    undecided = [
        left
        for _, left in search_by_projection(best, queries, index_of(members), None, None, SMALL)
    ]
    assert sum(map(len, undecided)) <= 2


def test_near_duplicates_and_copies_are_distinguished_however_far_from_zero():
    rows = like_embeddings(1, MEMBERS, offset=100.0).astype(np.float32)
    steps = np.linspace(1e-4, 1e-3, len(rows[::2]), dtype=np.float32)
    rows[1::2] = rows[::2] + steps[:, None]
    rows[500:520] = rows[7]
    members = make_points(rows, "euclidean")
    found = search(members.take(np.arange(0, 600)), index_of(members), 3)
    assert_same(found, expected_of(members.take(np.arange(0, 600)), members, 3))
    assert found[0][7].tolist() == [0.0, 0.0, 0.0]
    assert found[1][7].tolist() == [7, 500, 501]


@pytest.mark.parametrize("queries", [1e-30, 1e25])
def test_queries_of_any_size_are_answered(queries):
    members = make_points(like_embeddings(1, MEMBERS), "sqeuclidean")
    Q = make_points(queries * like_embeddings(2, 3), "sqeuclidean")
    assert_same(search(Q, index_of(members), 2), expected_of(Q, members, 2))


def test_queries_far_from_all_members_are_answered_whoever_answers_them():
    members = make_points(like_embeddings(1, MEMBERS).astype(np.float16), "sqeuclidean")
    away = np.random.default_rng(4).standard_normal((40, VALUES))
    queries = make_points(like_embeddings(2, 40) + away, "sqeuclidean")
    index = index_of(members)
    best = Best.empty(40, 2)
    left = [rows for _, rows in search_by_projection(best, queries, index, None, None, SMALL)]
    undecided = np.concatenate(left)
    assert len(undecided)
    assert (best.members[undecided] == -1).all()
    assert_same(search(queries, index, 2), expected_of(queries, members, 2))
    for i in range(3):
        alone = queries.take(np.array([i]))
        assert_same(search(alone, index, 2), expected_of(alone, members, 2))


def test_a_bank_that_varies_in_all_directions_alike_gets_no_projection():
    noise = np.random.default_rng(0).standard_normal((MEMBERS, VALUES))
    assert index_of(make_points(noise, "sqeuclidean")).projection is None


def test_small_banks_and_short_embeddings_get_no_projection():
    assert index_of(make_points(like_embeddings(1, 900), "sqeuclidean")).projection is None
    short = like_embeddings(1, MEMBERS)[:, :100]
    assert index_of(make_points(short, "sqeuclidean")).projection is None


def test_a_float16_bank_is_held_once_and_answers_without_a_projection_too():
    noise = np.random.default_rng(0).standard_normal((MEMBERS, VALUES)).astype(np.float16)
    members = make_points(noise, "sqeuclidean")
    index = index_of(members)
    assert index.projection is None
    assert index.centred is None
    assert index.points.rows is noise
    queries = make_points(np.random.default_rng(1).standard_normal((50, VALUES)), "sqeuclidean")
    assert_same(search(queries, index, 4), expected_of(queries, members, 4))


def test_a_large_bank_that_cannot_change_has_one_index_while_that_lives():
    def shared(points):
        return Index.of(points, shared_members=1000)

    rows = like_embeddings(1, MEMBERS).astype(np.float16)
    assert shared(make_points(rows, "euclidean")) is not shared(make_points(rows, "euclidean"))
    rows.setflags(write=False)
    index = shared(make_points(rows, "euclidean"))
    assert shared(make_points(rows, "euclidean")) is index
    others = (make_points(rows, "cosine"), make_points(rows[:-1], "euclidean"))
    assert all(shared(points) is not index for points in others)
    gone = weakref.ref(index)
    del index
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("least", [1000, 10**9])
def test_a_long_search_tells_its_progress_up_to_all_queries(least):
    reported = []
    members = make_points(like_embeddings(1, MEMBERS), "sqeuclidean")
    index = index_of(members, projected_members=least)
    with report_progress(lambda *seen: reported.append(seen), least_pairs=MEMBERS**2):
        search(members, index, 1)
        search(members.take(np.arange(10)), index, 1)  # too short to tell of
    search(members, index, 1)  # no callback is set
    done = [answered for answered, _ in reported]
    assert done == sorted(done)
    assert done[-1] == MEMBERS
    assert {of for _, of in reported} == {MEMBERS}


def test_every_float16_becomes_the_float32_that_numpy_makes_of_it():
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)].reshape(1, -1)
    found = to_float32(finite)
    assert found.dtype == np.float32
    assert found.tobytes() == finite.astype(np.float32).tobytes()


def test_a_value_beyond_float16_is_refused_with_the_way_out():
    with pytest.raises(ParameterError, match=r"reach 7e\+04 and float16 ends at 65504; .*float32"):
        to_float16(np.array([[7e4, 1.0]]))
