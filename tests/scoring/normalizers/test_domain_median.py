"""A domain's distance in units of its own median."""

from __future__ import annotations

import numpy as np
import pytest

from firstshot.errors import DatasetError, FirstshotWarning
from firstshot.scoring.normalizers.domain_median import DomainMedian


def clips(seed, count, dim=3):
    return np.random.default_rng(seed).standard_normal((count, dim))


BANKS = {"source": clips(1, 14), "target": 3 * clips(2, 6) + 9}
QUERIES = np.concatenate([2 * clips(3, 10), 5 * clips(4, 10) + 9])


def nearest(row, rows, k):
    return float(np.mean(sorted(np.linalg.norm(row - other) for other in rows)[:k]))


def plain_term(row, rows, k):
    own = [nearest(rows[i], np.delete(rows, i, axis=0), k) for i in range(len(rows))]
    return nearest(row, rows, k) / float(np.median(own))


@pytest.mark.parametrize("k", [1, 2])
def test_scores_and_leave_one_out_are_those_of_a_plain_computation(k):
    found = DomainMedian("euclidean", k).fit(BANKS)
    terms = found.domain_scores(QUERIES)
    for domain, rows in BANKS.items():
        expected = [plain_term(query, rows, k) for query in QUERIES]
        np.testing.assert_allclose(terms[domain], expected, rtol=1e-9)
    assert (terms["source"] < terms["target"]).any()
    assert (terms["target"] < terms["source"]).any()
    for domain, scores in found.leave_one_out().items():
        for number, row in enumerate(BANKS[domain]):
            without = {**BANKS, domain: np.delete(BANKS[domain], number, axis=0)}
            left = min(plain_term(row, rows, k) for rows in without.values())
            assert scores[number] == pytest.approx(left, rel=1e-9)


def test_a_wider_domain_has_a_larger_unit():
    banks = {"source": [[0.0], [1.0], [2.0]], "target": [[9.0], [13.0], [17.0]]}
    terms = DomainMedian("euclidean").fit(banks).domain_scores([[5.0]])
    assert {domain: value.tolist() for domain, value in terms.items()} == {
        "source": [3.0],
        "target": [1.0],
    }


def test_one_odd_clip_of_ten_does_not_change_the_unit():
    ten = np.arange(10.0)[:, None]
    odd = np.concatenate([ten[:9], [[1e6]]])
    found = DomainMedian("euclidean").fit({"source": odd}).score([[-3.0]])
    assert found[0] == DomainMedian("euclidean").fit({"source": ten}).score([[-3.0]])[0] == 3.0


def test_a_target_of_one_clip_takes_the_median_of_the_source_and_says_so():
    banks = {"source": [[0.0], [2.0], [4.0]], "target": [[90.0]]}
    with pytest.warns(FirstshotWarning, match="domain_median: the target holds 1 clip"):
        found = DomainMedian("euclidean").fit(banks)
    assert found.score([[91.0]]).tolist() == [0.5]
    with pytest.warns(FirstshotWarning, match="too few for a median of its own"):
        left_out = found.leave_one_out()
    assert left_out["target"].tolist() == [43.0]


def test_among_copies_the_smallest_distance_above_0_is_the_unit():
    banks = {"source": [[0.0], [0.0], [0.0], [0.0], [7.0], [9.0]]}
    assert DomainMedian("euclidean").fit(banks).score([[5.0]]).tolist() == [1.0]
    with pytest.raises(DatasetError, match="the source clips are all copies of each other"):
        DomainMedian().fit({"source": np.ones((4, 2))})
    with pytest.raises(DatasetError, match="domain_median needs 2 clips in source or in target"):
        DomainMedian().fit({"source": [[1.0]]})
