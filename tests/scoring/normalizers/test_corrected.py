"""The published corrections and clouds, each against a plain computation."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from firstshot.errors import DatasetError, ParameterError
from firstshot.scoring.normalizers.corrected import CORRECTIONS, WIDTHS, Corrected
from firstshot.scoring.normalizers.gaussian import Mahalanobis, PcaResidual


def clips(seed, count, dim=3):
    return np.random.default_rng(seed).standard_normal((count, dim))


BANKS = {"source": clips(1, 14), "target": clips(2, 5) + 1}
ROWS = np.concatenate(list(BANKS.values()))


def gaps_of(rows, queries):
    return np.linalg.norm(queries[:, None] - rows[None], axis=2)


def exits(ordered, k):
    """How many neighbours count for each clip."""
    smooth = []
    for row in ordered:
        ratios = [row[i] / row[i + 1] for i in range(k - 1)]
        smooth.append([(a + b) / 2 for a, b in pairwise(ratios)])
    limit = np.quantile(np.array(smooth), 0.04)
    counts = []
    for own in smooth:
        below = [i for i, value in enumerate(own) if value < limit]
        counts.append(below[0] + 1 if below else k - 2)
    return counts


def plain_widths(rows, width, k, rank=0.9):
    ordered = [sorted(np.delete(own, i)) for i, own in enumerate(gaps_of(rows, rows))]
    if width == "mean":
        return np.array([np.mean(own[:k]) for own in ordered])
    if width == "ranked":
        weights = [rank**i for i in range(len(rows) - 1)]
        return np.array([np.average(own, weights=weights) for own in ordered])
    counts = exits(ordered, k)
    return np.array([np.mean(own[:count]) for own, count in zip(ordered, counts, strict=True)])


def slope_of(rows, widths, logarithmic):
    own = gaps_of(rows, rows)
    np.fill_diagonal(own, np.inf)
    x, y = widths[own.argmin(axis=1)], own.min(axis=1)
    if logarithmic:
        x, y = np.log(x), np.log(y)
    return np.polyfit(x, y, 1)[0]


def plain_scores(rows, queries, widths, correction, slope):
    gaps = gaps_of(rows, queries)
    terms = {
        "none": gaps,
        "ratio": gaps / widths,
        "difference": gaps - widths,
        "varmin": gaps - slope * widths,
        "log_varmin": np.log(gaps) - slope * np.log(widths),
    }
    return terms[correction].min(axis=1)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("correction", CORRECTIONS)
def test_scores_and_leave_one_out_are_those_of_a_plain_computation(correction, width):
    k = 6 if width == "exits" else 2
    found = Corrected("euclidean", correction, width, k=k).fit(BANKS)
    widths, queries = plain_widths(ROWS, width, k), 2 * clips(3, 10)
    slope = slope_of(ROWS, widths, correction == "log_varmin")
    expected = plain_scores(ROWS, queries, widths, correction, slope)
    np.testing.assert_allclose(found.score(queries), expected, rtol=1e-9, atol=1e-12)
    left_out = []
    for number, row in enumerate(ROWS):
        others = np.delete(ROWS, number, axis=0)
        left_out += plain_scores(
            others, row[None], plain_widths(others, width, k), correction, slope
        ).tolist()
    own = found.leave_one_out()
    np.testing.assert_allclose(np.concatenate([own["source"], own["target"]]), left_out, rtol=1e-9)


@pytest.mark.parametrize("correction", CORRECTIONS)
def test_what_was_measured_is_restored_to_the_bit(correction):
    found = Corrected("cosine", correction).fit(BANKS)
    again = Corrected("cosine", correction).restore(BANKS, found.state())
    np.testing.assert_array_equal(again.score(clips(3, 9)), found.score(clips(3, 9)))
    np.testing.assert_array_equal(again.leave_one_out()["target"], found.leave_one_out()["target"])
    with pytest.raises(ParameterError, match="widths: float64"):
        again.restore(BANKS, {**found.state(), "widths": np.ones(3)})


def test_the_slope_makes_leave_one_out_scores_vary_least():
    spread = np.concatenate([clips(1, 40), 5 * clips(2, 40) + 40])
    banks = {"source": spread}
    found = Corrected("euclidean", "varmin").fit(banks)
    assert 0.1 < found.slope_ < 2.0
    plain = Corrected("euclidean", "none").fit(banks).leave_one_out()["source"]
    assert found.leave_one_out()["source"].std() < plain.std()


def test_copies_have_finite_scores():
    for correction in CORRECTIONS:
        found = Corrected("euclidean", correction).fit({"source": np.ones((5, 3))})
        assert np.isfinite(found.score(clips(1, 3))).all()
        assert np.isfinite(found.leave_one_out()["source"]).all()


@pytest.mark.parametrize("dim", [2, 30])
def test_mahalanobis_is_the_quadratic_form_of_the_shrunk_covariance(dim):
    sklearn = pytest.importorskip("sklearn.covariance")
    rows, queries = clips(1, 20, dim) * np.arange(1, dim + 1), clips(3, 5, dim)
    fitted = sklearn.LedoitWolf().fit(rows)
    expected = fitted.mahalanobis(queries)
    found = Mahalanobis().fit({"source": rows[:15], "target": rows[15:]})
    np.testing.assert_allclose(found.score(queries), expected, rtol=1e-8)
    left = sklearn.LedoitWolf().fit(np.delete(rows, 16, axis=0)).mahalanobis(rows[16:17])
    np.testing.assert_allclose(found.leave_one_out()["target"][1], left[0], rtol=1e-8)


@pytest.mark.parametrize(("rank", "same"), [(0.0, 1), (1.0, 18)])
def test_ranks_go_from_the_nearest_clip_to_the_mean_of_all(rank, same):
    ranked = Corrected("euclidean", "ratio", "ranked", rank=rank).fit(BANKS)
    mean = Corrected("euclidean", "ratio", "mean", k=same).fit(BANKS)
    np.testing.assert_allclose(ranked.score(clips(3, 9)), mean.score(clips(3, 9)), rtol=1e-12)


def test_a_cluster_ends_where_the_distances_jump():
    grid = [[10.0 * x, 10.0 * y] for x in range(4) for y in range(4)]
    close = [[100.0 + x, 0.0] for x in (0.0, 1.0, 2.1)]
    found = Corrected("euclidean", "ratio", "exits", k=6).fit({"source": grid + close})
    # The third distance of a clip of the close three leads out of them; an average of two ratios
    # tells of it one neighbour early.
    assert found.widths_[-3:] == pytest.approx([1.0, 1.0, 1.1])


def test_a_direction_is_left_to_differ_in():
    flat = {"source": np.stack([np.arange(9.0), 0.001 * clips(1, 9, 1)[:, 0]], axis=1)}
    found = PcaResidual(share=0.999999999).fit(flat).score([[4.0, 3.0]])
    assert found[0] == pytest.approx(9.0, rel=0.01)


def test_the_residual_is_what_the_leading_directions_leave():
    rows, queries = clips(1, 20, 6) * [9, 5, 1, 1, 0.1, 0.1], clips(3, 5, 6)
    centred = rows - rows.mean(axis=0)
    variances, directions = np.linalg.eigh(centred.T @ centred)
    order = np.argsort(variances)[::-1]
    held = np.cumsum(variances[order]) / variances.sum()
    count = next(i for i, share in enumerate(held) if share >= 0.95) + 1
    kept = directions[:, order[:count]]
    offsets = queries - rows.mean(axis=0)
    expected = ((offsets - offsets @ kept @ kept.T) ** 2).sum(axis=1)
    found = PcaResidual(share=0.95).fit({"source": rows})
    np.testing.assert_allclose(found.score(queries), expected, rtol=1e-6)


def test_unknown_names_and_too_few_clips_are_named():
    with pytest.raises(ParameterError, match="correction 'log': choose one of none, ratio"):
        Corrected(correction="log")
    with pytest.raises(ParameterError, match="width 'sum': choose one of mean, ranked, exits"):
        Corrected(width="sum")
    with pytest.raises(ParameterError, match=r"rank 1\.5: expected a number from 0 to 1"):
        Corrected(rank=1.5)
    with pytest.raises(ParameterError, match=r"share 1\.5: expected a number between 0 and 1"):
        PcaResidual(share=1.5)
    for make in (Corrected, Mahalanobis, PcaResidual):
        with pytest.raises(DatasetError, match="needs at least 3 clips"):
            make().fit({"source": clips(1, 2)})
