"""A normaliser on its own scale, by groups of values."""

from __future__ import annotations

import numpy as np
import pytest

from firstshot.errors import ParameterError
from firstshot.scoring.normalizers.corrected import Corrected
from firstshot.scoring.normalizers.density import Density
from firstshot.scoring.normalizers.grouped import Grouped


def make():
    return Density(metric="euclidean")


def clips(seed, count, dim=6):
    return np.random.default_rng(seed).standard_normal((count, dim))


BANKS = {"source": clips(1, 20), "target": clips(2, 5) + 0.5}


def test_leave_one_out_scores_have_mean_0_and_deviation_1():
    for groups in (1, 2, 3):
        found = Grouped(make, groups).fit(BANKS).leave_one_out()
        scores = np.concatenate(list(found.values()))
        assert scores.mean() == pytest.approx(0, abs=1e-12)
        assert scores.std() == pytest.approx(1, rel=1e-12)


def test_one_group_is_the_normaliser_itself_on_another_scale():
    plain, found = make().fit(BANKS), Grouped(make).fit(BANKS)
    left_out = np.concatenate(list(plain.leave_one_out().values()))
    expected = (plain.score(clips(3, 9)) - left_out.mean()) / left_out.std()
    np.testing.assert_allclose(found.score(clips(3, 9)), expected, rtol=1e-12)


def test_the_largest_group_decides_and_is_standardised_once_more():
    queries, found = clips(3, 9), Grouped(make, 2).fit(BANKS)
    own, left_out = [], []
    for group in (slice(0, 3), slice(3, 6)):
        part = make().fit({domain: rows[:, group] for domain, rows in BANKS.items()})
        out = np.concatenate(list(part.leave_one_out().values()))
        own.append((part.score(queries[:, group]) - out.mean()) / out.std())
        left_out.append((out - out.mean()) / out.std())
    np.testing.assert_allclose(found.group_scores(queries), np.stack(own, axis=1), rtol=1e-12)
    largest = np.max(left_out, axis=0)
    expected = (np.max(own, axis=0) - largest.mean()) / largest.std()
    np.testing.assert_allclose(found.score(queries), expected, rtol=1e-12)


@pytest.mark.parametrize(("over_groups", "of_groups"), [("mean", np.mean), ("max", np.max)])
def test_bands_are_matched_each_by_itself_and_corrected_before_they_are_merged(
    over_groups, of_groups
):
    def varmin():
        return Corrected("cosine", "varmin", k=4)

    found = Grouped(varmin, 3, standardize=False, over_groups=over_groups).fit(BANKS)
    rows, queries, own = np.concatenate(list(BANKS.values())), clips(3, 9), []
    for band in (slice(0, 2), slice(2, 4), slice(4, 6)):
        units = [x[:, band] / np.linalg.norm(x[:, band], axis=1)[:, None] for x in (rows, queries)]
        inside, gaps = 1 - units[0] @ units[0].T, 1 - units[1] @ units[0].T
        np.fill_diagonal(inside, np.inf)
        widths = np.sort(inside, axis=1)[:, :4].mean(axis=1)
        slope = np.polyfit(widths[inside.argmin(axis=1)], inside.min(axis=1), 1)[0]
        own.append((gaps - slope * widths).min(axis=1))
    np.testing.assert_allclose(found.score(queries), of_groups(own, axis=0), atol=1e-9)


def test_no_domain_is_below_the_score():
    queries, found = clips(3, 50), Grouped(make, 3).fit(BANKS)
    terms = found.domain_scores(queries)
    assert (np.minimum(*terms.values()) >= found.score(queries) - 1e-12).all()


def test_what_was_measured_is_restored_to_the_bit():
    for groups in (1, 3):
        found = Grouped(make, groups).fit(BANKS)
        again = Grouped(make, groups).restore(BANKS, found.state())
        np.testing.assert_array_equal(again.score(clips(3, 9)), found.score(clips(3, 9)))
        np.testing.assert_array_equal(
            again.leave_one_out()["target"], found.leave_one_out()["target"]
        )
    with pytest.raises(ParameterError, match="the saved state of density"):
        Grouped(make, 2).restore(BANKS, {})


def test_groups_must_divide_the_values():
    with pytest.raises(ParameterError, match="6 values cannot be cut into 4 equal groups"):
        Grouped(make, 4).fit(BANKS)


def test_copies_of_one_clip_have_finite_scores():
    found = Grouped(make).fit({"source": np.ones((6, 4))})
    assert np.isfinite(found.score(clips(1, 3, 4))).all()
