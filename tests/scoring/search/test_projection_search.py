"""Search by a sketch against the search that looks at every member."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from firstshot import progress
from firstshot.scoring import report_progress
from firstshot.scoring.search import exact as neighbors
from firstshot.scoring.search import index as index_module
from firstshot.scoring.search import projection as sketch
from firstshot.scoring.search import projection_search as pruning
from firstshot.scoring.search.float16 import widen
from firstshot.scoring.search.index import Index, Pairs
from firstshot.scoring.search.vectors import METRICS, distances_from_one, make_points

MEMBERS, VALUES = 3000, 256


@pytest.fixture(autouse=True)
def _sketch_small_banks(monkeypatch):
    monkeypatch.setattr(sketch, "LEAST_MEMBERS", 1000)
    monkeypatch.setattr(pruning, "MEMBER_BLOCK", 700)
    monkeypatch.setattr(pruning, "QUERY_BLOCK", 30)
    monkeypatch.setattr(pruning, "SEEDS", 200)


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
def test_a_search_by_sketch_has_the_bits_of_one_that_evaluates_all(metric, dtype, k, scaled):
    members = make_points(like_embeddings(1, MEMBERS).astype(dtype), metric)
    queries = make_points(like_embeddings(2, 70), metric)
    index = Index.of(members)
    assert index.sketch is not None
    draws = np.random.default_rng(3)
    scale = draws.uniform(0.5, 5.0, MEMBERS) if scaled else None
    skip = Pairs.listed(70, draws.integers(0, 70, 500), draws.integers(0, MEMBERS, 500))
    found = neighbors.search(queries, index, k, scale, skip)
    assert_same(found, expected_of(queries, members, k, scale, skip))


def test_the_sketch_alone_answers_nearly_all_queries_of_such_a_bank():
    members = make_points(like_embeddings(1, MEMBERS), "sqeuclidean")
    queries = make_points(like_embeddings(2, 70), "sqeuclidean")
    best = neighbors.Best.of(70, 1)
    undecided = [left for _, left in pruning.prune(best, queries, Index.of(members), None, None)]
    assert sum(map(len, undecided)) <= 2


def test_near_duplicates_and_copies_are_told_apart_however_far_from_zero():
    rows = like_embeddings(1, MEMBERS, offset=100.0).astype(np.float32)
    steps = np.linspace(1e-4, 1e-3, len(rows[::2]), dtype=np.float32)
    rows[1::2] = rows[::2] + steps[:, None]
    rows[500:520] = rows[7]
    members = make_points(rows, "euclidean")
    found = neighbors.search(members.take(np.arange(0, 600)), Index.of(members), 3)
    assert_same(found, expected_of(members.take(np.arange(0, 600)), members, 3))
    assert found[0][7].tolist() == [0.0, 0.0, 0.0]
    assert found[1][7].tolist() == [7, 500, 501]


@pytest.mark.parametrize("queries", [1e-30, 1e25])
def test_queries_of_any_size_are_answered(queries):
    members = make_points(like_embeddings(1, MEMBERS), "sqeuclidean")
    Q = make_points(queries * like_embeddings(2, 3), "sqeuclidean")
    assert_same(neighbors.search(Q, Index.of(members), 2), expected_of(Q, members, 2))


def test_queries_far_from_all_members_are_answered_whoever_answers_them():
    members = make_points(like_embeddings(1, MEMBERS).astype(np.float16), "sqeuclidean")
    away = np.random.default_rng(4).standard_normal((40, VALUES))
    queries = make_points(like_embeddings(2, 40) + away, "sqeuclidean")
    index = Index.of(members)
    best = neighbors.Best.of(40, 2)
    assert sum(len(left) for _, left in pruning.prune(best, queries, index, None, None))
    assert_same(neighbors.search(queries, index, 2), expected_of(queries, members, 2))
    for i in range(3):
        alone = queries.take(np.array([i]))
        assert_same(neighbors.search(alone, index, 2), expected_of(alone, members, 2))


def test_a_query_between_all_members_is_left_to_the_product(monkeypatch):
    monkeypatch.setattr(pruning._Pruning, "_allowed", lambda self, seen: 1)
    members = make_points(like_embeddings(1, MEMBERS), "sqeuclidean")
    queries = make_points(like_embeddings(2, 40), "sqeuclidean")
    index = Index.of(members)
    best = neighbors.Best.of(40, 3)
    (undecided,) = [left for _, left in pruning.prune(best, queries, index, None, None)][:1]
    assert len(undecided)
    assert (best.members[undecided] == -1).all()
    found = neighbors.search(queries, index, 3)
    assert_same(found, expected_of(queries, members, 3))


def test_a_bank_that_varies_in_all_directions_alike_gets_no_sketch():
    noise = np.random.default_rng(0).standard_normal((MEMBERS, VALUES))
    assert Index.of(make_points(noise, "sqeuclidean")).sketch is None


def test_small_banks_and_short_embeddings_get_no_sketch():
    assert Index.of(make_points(like_embeddings(1, 900), "sqeuclidean")).sketch is None
    short = like_embeddings(1, MEMBERS)[:, :100]
    assert Index.of(make_points(short, "sqeuclidean")).sketch is None


def test_a_float16_bank_is_held_once_and_answers_without_a_sketch_too():
    noise = np.random.default_rng(0).standard_normal((MEMBERS, VALUES)).astype(np.float16)
    members = make_points(noise, "sqeuclidean")
    index = Index.of(members)
    assert index.sketch is None
    assert index.centred is None
    assert index.points.rows is noise
    queries = make_points(np.random.default_rng(1).standard_normal((50, VALUES)), "sqeuclidean")
    assert_same(neighbors.search(queries, index, 4), expected_of(queries, members, 4))


def test_a_large_bank_that_cannot_change_has_one_index_while_that_lives(monkeypatch):
    monkeypatch.setattr(index_module, "SHARED_MEMBERS", 1000)
    rows = like_embeddings(1, MEMBERS).astype(np.float16)
    assert Index.of(make_points(rows, "euclidean")) is not Index.of(make_points(rows, "euclidean"))
    rows.setflags(write=False)
    index = Index.of(make_points(rows, "euclidean"))
    assert Index.of(make_points(rows, "euclidean")) is index
    others = (make_points(rows, "cosine"), make_points(rows[:-1], "euclidean"))
    assert all(Index.of(points) is not index for points in others)
    gone = weakref.ref(index)
    del index
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("least", [1000, 10**9])
def test_a_long_search_tells_its_progress_up_to_all_queries(monkeypatch, least):
    monkeypatch.setattr(sketch, "LEAST_MEMBERS", least)
    monkeypatch.setattr(progress, "LONG", MEMBERS**2)
    told = []
    members = make_points(like_embeddings(1, MEMBERS), "sqeuclidean")
    index = Index.of(members)
    with report_progress(lambda *seen: told.append(seen)):
        neighbors.search(members, index, 1)
        neighbors.search(members.take(np.arange(10)), index, 1)  # too short to tell of
    neighbors.search(members, index, 1)  # nobody listens any more
    done = [answered for answered, _ in told]
    assert done == sorted(done)
    assert done[-1] == MEMBERS
    assert {of for _, of in told} == {MEMBERS}


def test_every_float16_becomes_the_float32_that_numpy_makes_of_it():
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)].reshape(1, -1)
    found = widen(finite)
    assert found.dtype == np.float32
    assert found.tobytes() == finite.astype(np.float32).tobytes()
