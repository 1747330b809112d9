"""The approximate index against the exact search, and what it says of itself."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from firstshot.errors import FirstshotWarning, LibraryError, ParameterError
from firstshot.scoring import approximate, sketch
from firstshot.scoring.approximate import approximate as make_approximate
from firstshot.scoring.approximate import check_index, exactly, query, with_lists
from firstshot.scoring.index import Index
from firstshot.scoring.neighbors import search
from firstshot.scoring.normalizers import NORMALIZERS, make_normalizer
from firstshot.scoring.points import METRICS, make_points

pytest.importorskip("faiss")
pytestmark = pytest.mark.filterwarnings("ignore:test_zscore is transductive")
MEMBERS, VALUES, CLUSTERS = 2000, 256, 40


@pytest.fixture(autouse=True)
def _index_small_banks(monkeypatch):
    monkeypatch.setattr(approximate, "LEAST_MEMBERS", 100)
    monkeypatch.setattr(sketch, "LEAST_MEMBERS", 1000)


def clustered(seed, count, dtype=np.float32, values=VALUES):
    """Clips around 40 centres, whose deviations along directions fall as embeddings' do."""
    deviations = np.arange(1, values + 1.0) ** -1
    centres = np.random.default_rng(99).standard_normal((CLUSTERS, values)) * deviations
    rng = np.random.default_rng(seed)
    noise = 0.3 * rng.standard_normal((count, values)) * deviations
    return (3 + centres[rng.integers(CLUSTERS, size=count)] + noise).astype(dtype)


def banks():
    return {"source": clustered(1, MEMBERS), "target": clustered(2, 300)}


def exhaust(monkeypatch):
    """Look into every list, at every member."""
    monkeypatch.setattr(approximate, "PROBES", (10**6,))
    monkeypatch.setattr(approximate, "CANDIDATES", 10**6)
    monkeypatch.setattr(approximate, "SAMPLE", 30)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("values", [VALUES, 12])
@pytest.mark.parametrize("k", [1, 9])
def test_an_exhaustive_index_has_recall_1_and_the_bits_of_the_exact_search(
    monkeypatch, metric, dtype, values, k
):
    exhaust(monkeypatch)
    index = Index.of(make_points(clustered(1, MEMBERS, dtype, values), metric))
    assert (index.sketch is None) == (values < VALUES)
    queries = make_points(
        np.append(clustered(2, 40, values=values), index.points.rows[:5], 0), metric
    )
    scale = np.random.default_rng(3).uniform(0.5, 2.0, MEMBERS)
    for divisor in (None, scale):
        listed, recall = with_lists(index, k, divisor)
        assert recall == 1
        found, expected = query(queries, listed, k, divisor), search(queries, index, k, divisor)
        assert found[0].tobytes() == expected[0].tobytes()
        np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("name", NORMALIZERS)
def test_every_normaliser_scores_as_exactly_where_the_recall_is_1(name):
    exact = make_normalizer(name).fit(banks())
    normalizer = make_normalizer(name).fit(banks())
    assert make_approximate(normalizer) == 1
    Q = clustered(4, 50)
    np.testing.assert_array_equal(normalizer.score(Q), exact.score(Q))
    for domain, scores in exact.leave_one_out().items():
        np.testing.assert_array_equal(normalizer.leave_one_out()[domain], scores)


def scattered(seed, count):
    """Clips without clusters, whose nearest may be in any list."""
    return np.random.default_rng(seed).standard_normal((count, VALUES))


def test_what_the_index_misses_is_measured_and_told_and_only_raises_scores(monkeypatch):
    monkeypatch.setattr(approximate, "PROBES", (1,))
    monkeypatch.setattr(approximate, "CANDIDATES", 4)
    exact = make_normalizer("none").fit({"source": scattered(1, MEMBERS)})
    normalizer = make_normalizer("none").fit({"source": scattered(1, MEMBERS)})
    with pytest.warns(
        FirstshotWarning, match=r"source bank has a recall of 0\.\d+.*use the index exact"
    ):
        recall = make_approximate(normalizer)
    Q = scattered(2, 400)
    found, expected = normalizer.score(Q), exact.score(Q)
    assert (found >= expected).all()
    right = (found == expected).mean()
    assert 0 < right < 0.9
    assert recall == pytest.approx(right, abs=0.12)


def test_more_lists_are_looked_into_until_the_recall_is_enough():
    index = Index.of(make_points(scattered(1, MEMBERS), "sqeuclidean"))
    listed, recall = with_lists(index, 1)
    assert listed.lists.probes > approximate.PROBES[0]
    assert recall >= approximate.ENOUGH


@pytest.mark.parametrize("metric", METRICS)
def test_members_are_proposed_by_distance_and_scale_together(monkeypatch, metric):
    monkeypatch.setattr(approximate, "CANDIDATES", 6)
    monkeypatch.setattr(approximate, "PROBES", (10**6,))
    index = Index.of(make_points(clustered(1, MEMBERS), metric))
    scale = np.exp(0.3 * np.random.default_rng(3).standard_normal(MEMBERS))
    _, recall = with_lists(index, 1, scale)
    monkeypatch.setattr(approximate, "lifts_of", lambda *_: np.zeros(MEMBERS))
    _, by_distance_alone = with_lists(index, 1, scale)
    assert by_distance_alone < recall
    assert recall > 0.98


def test_two_indexes_of_one_bank_answer_alike_and_no_answer_depends_on_the_batch(monkeypatch):
    monkeypatch.setattr(approximate, "PROBES", (2,))
    index = Index.of(make_points(scattered(1, MEMBERS), "sqeuclidean"))
    queries = make_points(scattered(2, 100), "sqeuclidean")
    (one, recall), (other, again) = with_lists(index, 1), with_lists(index, 1)
    assert recall == again < 1
    values, members = query(queries, one, 1)
    assert (values > search(queries, index, 1)[0]).any()
    np.testing.assert_array_equal(query(queries, other, 1)[1], members)
    for size in (1, 7, 64):
        parts = [np.arange(start, min(start + size, 100)) for start in range(0, 100, size)]
        found = np.concatenate([query(queries.take(rows), one, 1)[0] for rows in parts])
        assert found.tobytes() == values.tobytes()


def test_exactly_looks_at_every_member_again(monkeypatch):
    monkeypatch.setattr(approximate, "PROBES", (1,))
    index = Index.of(make_points(scattered(1, MEMBERS), "sqeuclidean"))
    queries = make_points(scattered(2, 100), "sqeuclidean")
    listed, _ = with_lists(index, 1)
    expected = search(queries, index, 1)[0]
    with exactly():
        np.testing.assert_array_equal(query(queries, listed, 1)[0], expected)
    assert (query(queries, listed, 1)[0] != expected).any()


def test_queries_that_the_lists_cannot_answer_are_searched_exactly(monkeypatch):
    monkeypatch.setattr(approximate, "PROBES", (1,))
    index = Index.of(make_points(clustered(1, MEMBERS), "sqeuclidean"))
    listed, _ = with_lists(index, 1)
    far = clustered(2, 3, np.float64)
    far[1] *= 1e60
    queries = make_points(far, "sqeuclidean")
    # More neighbours than any one list holds.
    for k in (1, MEMBERS // 2):
        found, expected = query(queries, listed, k), search(queries, index, k)
        assert found[0][1].tobytes() == expected[0][1].tobytes()
        assert (found[1] >= 0).all()


def test_a_small_bank_is_searched_exactly(monkeypatch):
    monkeypatch.setattr(approximate, "LEAST_MEMBERS", 10_000)
    normalizer = make_normalizer("local_density").fit(banks())
    before = dict(normalizer.indexes_)
    assert make_approximate(normalizer) is None
    assert normalizer.indexes_ == before


def test_a_normaliser_without_indexes_is_refused():
    with pytest.raises(ParameterError, match="normaliser object, which has no replace_indexes"):
        make_approximate(object())


def test_an_unknown_index_and_a_missing_library_are_told(monkeypatch):
    check_index("exact")
    check_index("faiss")
    with pytest.raises(
        ParameterError, match="index 'annoy' is not known; choose one of exact, fai"
    ):
        check_index("annoy")
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(LibraryError, match=r"pip install 'firstshot\[faiss\]'"):
        check_index("faiss")
