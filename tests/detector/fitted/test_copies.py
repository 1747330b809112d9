"""Copies among the normal clips: which clips count once, and which are only alike."""

from __future__ import annotations

import numpy as np
import pytest

from firstshot.detector.fitted.copies import near_copies


@pytest.fixture
def clips():
    return np.random.default_rng(0).standard_normal((40, 12))


def test_different_clips_are_no_copies(clips):
    assert near_copies([clips, clips[:, :3]]) == list(range(40))


def test_near_copies_are_one_group_even_where_they_are_the_most(clips):
    rng = np.random.default_rng(1)
    copies = clips[[5] * 90] + 1e-3 * rng.standard_normal((90, 12))
    assert near_copies([np.concatenate([clips, copies])]) == [*range(40), *[5] * 90]


def test_clips_must_be_near_in_every_view(clips):
    other = np.random.default_rng(2).standard_normal((41, 12))
    near = np.concatenate([clips, clips[:1] + 1e-4])
    assert near_copies([near])[40] == 0
    assert near_copies([near, other])[40] == 40
    assert near_copies([other, near])[40] == 40


def test_of_fewer_than_ten_clips_none_is_a_near_copy(clips):
    assert near_copies([clips[[0] * 9] + 1e-9 * clips[:9]]) == list(range(9))


def test_identical_values_are_near_copies(clips):
    assert near_copies([np.concatenate([clips, clips[:2]])])[40:] == [0, 1]
