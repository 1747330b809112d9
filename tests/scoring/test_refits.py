"""Which clips are left out together: neighbours, folds, whole recordings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstshot.scoring.refits import FOLDS, MOST_SINGLE, NEIGHBORS, natural_key, plan_refits


def names(count):
    return [f"clip_{number}.wav" for number in range(count)]


@given(st.integers(1, 400), st.integers(0, 400), st.booleans())
def test_every_clip_is_scored_once_by_a_detector_without_it(source, target, known):
    domains = ["source"] * source + ["target"] * target
    recordings = [number // 7 for number in range(len(domains))] if known else None
    refits = plan_refits(domains, names(len(domains)), recordings)
    scored = np.concatenate([refit.scored for refit in refits])
    assert sorted(scored.tolist()) == list(range(len(domains)))
    for refit in refits:
        assert np.isin(refit.scored, refit.left_out).all()
        assert (np.diff(refit.left_out) > 0).all()


def test_the_neighbours_are_those_in_natural_order_of_the_same_domain():
    domains = ["source", "target"] * 20
    refits = plan_refits(domains, names(40)[::-1])  # clip_39 comes first
    (of_20,) = [refit for refit in refits if refit.scored[0] == 20]
    assert of_20.left_out.tolist() == [12, 14, 16, 18, 20, 22, 24, 26, 28]


def test_a_small_domain_keeps_at_least_half_of_its_clips():
    for count in range(1, 12):
        refits = plan_refits(["target"] * count, names(count))
        widest = max(len(refit.left_out) for refit in refits)
        reach = min(NEIGHBORS, (count - 1) // 4)
        assert widest <= 2 * reach + 1
        assert count == 1 or widest <= max(1, (count + 1) // 2)


def test_many_clips_are_left_out_in_contiguous_folds():
    count = MOST_SINGLE + 1
    refits = plan_refits(["source"] * count, names(count))
    assert len(refits) == FOLDS
    for refit in refits:
        assert (np.diff(refit.scored) == 1).all()
        assert refit.scored.tolist() == refit.left_out.tolist()


def test_recordings_are_never_cut():
    recordings = [number // 9 for number in range(270)]
    for count in (90, 270):
        refits = plan_refits(["source"] * count, names(count), recordings[:count])
        for refit in refits:
            inside = {recordings[number] for number in refit.left_out}
            assert len(refit.left_out) == 9 * len(inside)
    assert len(refits) == FOLDS


@pytest.mark.parametrize(
    ("ordered"),
    [["a2", "a10"], ["2", "a"], ["clip_1_2", "clip_1_10"], ["", "0"], ["x²", "x³"]],
)
def test_names_are_sorted_as_a_person_does(ordered):
    backwards = ordered[::-1]
    assert sorted(backwards, key=natural_key) == ordered
