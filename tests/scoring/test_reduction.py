"""Reduced banks hold real members, chosen as the definitions say."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

from firstshot.errors import ParameterError
from firstshot.scoring.bank import MemoryBank, make_bank, merge
from firstshot.scoring.reduction import METHODS, reduce_bank


def _bank(embeddings: np.ndarray) -> MemoryBank:
    return merge(
        make_bank(embeddings, [f"s{i}" for i in range(len(embeddings))], "source"),
        make_bank(embeddings[:3] + 1, ["t0", "t1", "t2"], "target"),
    )


def _groups(count: int, each: int, seed: int = 0) -> np.ndarray:
    """Tight groups at distance 100 from each other; row i belongs to group i % count."""
    generator = np.random.default_rng(seed)
    centres = 100.0 * np.eye(count)
    return np.tile(centres, (each, 1)) + 0.1 * generator.normal(size=(count * each, count))


@pytest.mark.parametrize("method", METHODS)
def test_a_reduced_bank_holds_members_of_the_bank_with_their_names_in_its_order(method):
    bank = _bank(np.random.default_rng(1).normal(size=(50, 6)))
    kept = reduce_bank(bank, "source", 12, method, seed=3)
    assert len(kept.names()["source"]) == len(set(kept.names()["source"])) == 12
    assert kept.names()["target"] == bank.names()["target"]
    places = [bank.members.index(member) for member in kept.members]
    assert places == sorted(places)
    np.testing.assert_array_equal(kept.embeddings, bank.embeddings[places])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(5))
def test_one_member_of_every_group_is_kept(method, seed):
    kept = reduce_bank(_bank(_groups(7, 9)), "source", 7, method, seed)
    assert {int(name[1:]) % 7 for name in kept.names()["source"]} == set(range(7))


def test_kmeans_keeps_the_member_nearest_to_each_groups_mean():
    embeddings = _groups(4, 21)
    kept = reduce_bank(_bank(embeddings), "source", 4, "kmeans")
    expected = set()
    for group in range(4):
        rows = np.arange(group, len(embeddings), 4)
        distance = np.linalg.norm(embeddings[rows] - embeddings[rows].mean(axis=0), axis=1)
        expected.add(f"s{rows[np.argmin(distance)]}")
    assert set(kept.names()["source"]) == expected


@pytest.mark.parametrize("seed", range(8))
def test_k_center_covers_within_twice_the_smallest_possible_radius(seed):
    points = np.random.default_rng(seed).normal(size=(10, 2)).astype(np.float32)
    between = np.linalg.norm(points[:, None] - points[None], axis=2)

    def radius(rows) -> float:
        return float(between[:, list(rows)].min(axis=1).max())

    kept = reduce_bank(_bank(points), "source", 3, "k_center", seed)
    rows = [int(name[1:]) for name in kept.names()["source"]]
    best = min(radius(choice) for choice in itertools.combinations(range(10), 3))
    assert radius(rows) <= 2 * best + 1e-6


def test_k_center_keeps_the_farthest_member_each_time():
    points = np.array([[0.0], [1.0], [10.0], [4.0], [6.5]])
    for seed in range(6):
        first = int(np.random.default_rng(seed).integers(5))
        rows = [first]
        while len(rows) < 3:
            distance = np.abs(points - points[rows].T).min(axis=1)
            rows.append(int(np.argmax(distance)))
        kept = reduce_bank(_bank(points), "source", 3, "k_center", seed)
        assert set(kept.names()["source"]) == {f"s{row}" for row in rows}


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_keeps_the_same_members(method):
    bank = _bank(np.random.default_rng(2).normal(size=(60, 5)))
    names = {reduce_bank(bank, "source", 8, method, seed=4).members for _ in range(3)}
    assert len(names) == 1
    assert len({reduce_bank(bank, "source", 8, method, seed).members for seed in range(9)}) > 1


@pytest.mark.parametrize("method", METHODS)
def test_copies_are_no_obstacle_and_no_member_is_kept_twice(method):
    embeddings = np.repeat([[0.0, 0.0], [5.0, 5.0]], 6, axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = reduce_bank(_bank(embeddings), "source", 5, method)
    assert len(set(kept.names()["source"])) == 5
    assert {row[0] for row in kept.arrays()["source"].tolist()} == {0.0, 5.0}


def test_a_bank_of_the_requested_size_is_returned_whole_and_a_larger_size_refused():
    bank = _bank(np.random.default_rng(3).normal(size=(5, 2)))
    assert reduce_bank(bank, "source", 5).members == bank.members
    with pytest.raises(ParameterError, match="has 5 members and cannot be reduced to 6"):
        reduce_bank(bank, "source", 6)
    with pytest.raises(ParameterError, match="cannot be reduced to 0"):
        reduce_bank(bank, "source", 0)
    with pytest.raises(ParameterError, match="'random' is not known"):
        reduce_bank(bank, "source", 2, "random")
