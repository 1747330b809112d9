"""Metrics against scikit-learn, brute force, hand arithmetic and the report's own tables."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from firstshot.errors import ParameterError
from firstshot.scoring.bootstrap import (
    LabelledScores,
    bootstrap_intervals,
    bootstrap_official_difference,
    bootstrap_official_interval,
)
from firstshot.scoring.metrics import (
    EPSILON,
    auc,
    domain_auc,
    harmonic_mean,
    official_score,
    partial_auc,
    partial_auc_paper,
    precision_recall_f1,
    roc_curve,
    section_metrics,
)

TABLE_3 = (
    Path(__file__).resolve().parents[2] / ".." / "shared" / "golden" / "paper" / "genrep_table3.csv"
)


@st.composite
def labelled_scores(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Both classes, and a grid that ranges from all scores tied to none."""
    normal = draw(st.integers(1, 60))
    anomalous = draw(st.integers(1, 60))
    levels = draw(st.sampled_from([1, 2, 5, 20, 10_000]))
    seed = draw(st.integers(0, 2**32 - 1))
    scale = draw(st.sampled_from([1e-12, 1.0, 1e9]))
    generator = np.random.default_rng(seed)
    labels = generator.permutation([0] * normal + [1] * anomalous)
    scores = (generator.integers(levels, size=labels.size) + labels * (levels // 4)) * scale
    return labels, scores


@settings(max_examples=200, deadline=None)
@given(labelled_scores())
def test_auc_equals_scikit_learn_however_heavy_the_ties(case):
    labels, scores = case
    assert abs(auc(labels, scores) - roc_auc_score(labels, scores)) < 1e-12


@settings(max_examples=200, deadline=None)
@given(labelled_scores(), st.sampled_from([0.01, 0.05, 0.1, 0.3, 0.9, 0.99]))
def test_pauc_equals_scikit_learn_however_heavy_the_ties(case, max_fpr):
    labels, scores = case
    expected = roc_auc_score(labels, scores, max_fpr=max_fpr)
    assert abs(partial_auc(labels, scores, max_fpr) - expected) < 1e-12


@settings(max_examples=100, deadline=None)
@given(labelled_scores())
def test_roc_curve_equals_scikit_learn(case):
    labels, scores = case
    expected = sklearn_roc_curve(labels, scores, drop_intermediate=False)
    for ours, theirs in zip(roc_curve(labels, scores), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-15)


@settings(max_examples=100, deadline=None)
@given(labelled_scores())
def test_pauc_of_the_paper_equals_its_double_sum(case):
    labels, scores = case
    normal = sorted(scores[labels == 0], reverse=True)
    anomalous = scores[labels == 1]
    highest = int(len(normal) // 10)
    if highest == 0:
        with pytest.raises(ParameterError, match="at least 10"):
            partial_auc_paper(labels, scores)
        return
    won = sum(bool(a > n) for n in normal[:highest] for a in anomalous)
    assert partial_auc_paper(labels, scores) == pytest.approx(won / (highest * len(anomalous)))


@settings(max_examples=100, deadline=None)
@given(labelled_scores())
def test_auc_is_the_share_of_pairs_that_the_anomaly_wins(case):
    labels, scores = case
    normal, anomalous = scores[labels == 0], scores[labels == 1]
    won = (anomalous[:, None] > normal).sum() + 0.5 * (anomalous[:, None] == normal).sum()
    assert auc(labels, scores) == pytest.approx(won / (len(normal) * len(anomalous)), abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(labelled_scores(), st.integers(0, 2**32 - 1))
def test_the_order_of_clips_and_the_scale_of_scores_change_no_metric(case, seed):
    labels, scores = case
    generator = np.random.default_rng(seed)
    domains = generator.choice(["source", "target"], len(labels))
    expected = section_metrics(labels, scores, domains)
    order = generator.permutation(len(labels))
    assert section_metrics(labels[order], scores[order], domains[order]) == pytest.approx(expected)
    _, ranks = np.unique(scores, return_inverse=True)
    for monotone in (ranks.astype(float), np.exp(ranks / 50.0), -1.0 / (1.0 + ranks)):
        assert section_metrics(labels, monotone, domains) == pytest.approx(expected)


@settings(max_examples=100, deadline=None)
@given(labelled_scores())
def test_auc_of_reversed_scores_is_the_rest_of_one(case):
    labels, scores = case
    assert auc(labels, -scores) == pytest.approx(1 - auc(labels, scores), abs=1e-12)
    assert auc(1 - labels, -scores) == pytest.approx(auc(labels, scores), abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=20))
def test_harmonic_mean_lies_between_the_smallest_and_the_arithmetic_mean(values):
    mean = harmonic_mean(values)
    assert min(values) * (1 - 1e-12) <= mean <= np.mean(values) * (1 + 1e-12)
    assert mean == pytest.approx(harmonic_mean(values[::-1]))


def test_official_pauc_is_a_line_of_the_papers_when_nothing_ties():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], [200, 100])
    scores = generator.permutation(300) + 90.0 * labels
    scores += generator.random(300) * 1e-3
    raw = partial_auc_paper(labels, scores)
    assert partial_auc(labels, scores) == pytest.approx((9 + 10 * raw) / 19, abs=1e-12)


def test_a_rounding_error_of_the_rate_does_not_cost_a_normal_clip():
    # 0.29 * 100 is 28.999999999999996 in floating point.
    labels = [0] * 100 + [1]
    scores = [*range(100), 71.5]
    assert partial_auc_paper(labels, scores, max_fpr=0.29) == pytest.approx(1 / 29)


def test_auc_of_a_domain_takes_the_anomalies_of_both_domains():
    labels = [0, 0, 1, 1]
    scores = [1.0, 3.0, 2.0, 4.0]
    domains = ["source", "target", "source", "target"]
    # Target normal 3.0 beats the source anomaly 2.0 and loses to the target anomaly 4.0.
    assert domain_auc(labels, scores, domains, "target") == 0.5
    assert domain_auc(labels, scores, domains, "source") == 1.0


def test_harmonic_mean_of_a_zero_is_tiny_and_not_a_division_by_zero():
    assert harmonic_mean([0.0, 1.0]) == pytest.approx(2 * EPSILON)
    assert harmonic_mean([0.25, 0.5, 1.0]) == pytest.approx(3 / 7)
    with pytest.raises(ParameterError, match="one finite value"):
        harmonic_mean([])


def test_constant_scores_are_chance_in_every_metric():
    metrics = section_metrics([0, 0, 1, 1], [3.0] * 4, ["source", "target"] * 2)
    assert metrics == dict.fromkeys(
        ("auc_all", "auc_source", "auc_target", "pauc", "official_score"), 0.5
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_precision_recall_and_f1_equal_scikit_learn(seed):
    generator = np.random.default_rng(seed)
    labels, decisions = generator.integers(2, size=(2, generator.integers(1, 30)))
    expected = precision_recall_fscore_support(
        labels, decisions, average="binary", zero_division=0.0
    )
    assert precision_recall_f1(labels, decisions) == pytest.approx(expected[:3], abs=1e-12)


def test_decisions_are_judged_on_each_domains_own_clips():
    labels = [0, 1, 1, 0, 1, 1]
    decisions = [1, 1, 0, 0, 1, 1]
    domains = ["source"] * 3 + ["target"] * 3
    metrics = section_metrics(labels, range(6), domains, decisions)
    assert metrics["precision_source"] == 0.5
    assert metrics["recall_source"] == 0.5
    assert metrics["f1_source"] == 0.5
    assert metrics["precision_target"] == metrics["recall_target"] == metrics["f1_target"] == 1.0


def test_a_section_with_one_domain_leaves_out_what_it_cannot_have():
    metrics = section_metrics([0, 1], [1.0, 2.0], ["source", "source"], [0, 1])
    assert set(metrics) == {
        "auc_all", "auc_source", "pauc", "precision_source", "recall_source", "f1_source"
    }  # fmt: skip
    assert set(section_metrics([0, 1], [1.0, 2.0])) == {"auc_all", "pauc"}


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [1.0], "2 labels but scores of shape"),
        ([0, 0], [1.0, 2.0], "no anomalous clip"),
        ([1, 1], [1.0, 2.0], "no normal clip"),
        ([], [], "no normal clip"),
        ([0, 1], [1.0, math.nan], "score nan of clip number 1"),
        ([0, 1], [-math.inf, 1.0], "score -inf of clip number 0"),
        ([0, 2], [1.0, 2.0], "label 2 of clip number 1"),
        ([[0, 1]], [[1.0, 2.0]], "flat list"),
    ],
)
def test_what_no_metric_can_be_computed_from_is_named(labels, scores, message):
    for metric in (auc, partial_auc, partial_auc_paper, roc_curve, section_metrics):
        with pytest.raises(ParameterError, match=message):
            metric(labels, scores)


def test_wrong_domains_decisions_and_rates_are_named():
    with pytest.raises(ParameterError, match="'noise' of clip number 1"):
        section_metrics([0, 1], [1.0, 2.0], ["source", "noise"])
    with pytest.raises(ParameterError, match="2 clips but 1 domains"):
        section_metrics([0, 1], [1.0, 2.0], ["source"])
    with pytest.raises(ParameterError, match="2 labels but 1 decisions"):
        section_metrics([0, 1], [1.0, 2.0], ["source"] * 2, [1])
    with pytest.raises(ParameterError, match="max_fpr is 0"):
        partial_auc([0, 1], [1.0, 2.0], max_fpr=0)
    with pytest.raises(ParameterError, match="section fan has no auc_target"):
        official_score({"fan": {"auc_source": 0.5, "pauc": 0.5}})


def test_table_3_of_the_report_recomputes_to_its_table_2():
    if not TABLE_3.exists():
        pytest.skip("the report's Table 3 is not beside this checkout")
    systems: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    with TABLE_3.open(newline="") as file:
        for row in csv.DictReader(file):
            systems[row["system"]][row["machine"]] = {
                name: float(row[name]) / 100 for name in ("auc_source", "auc_target", "pauc")
            }
    scores = {name: round(100 * official_score(table), 2) for name, table in systems.items()}
    assert [scores[f"system{i}"] for i in (1, 2, 3, 4)] == [64.53, 63.74, 61.51, 62.15]


def _section(seed: int, clips: int = 40, levels: int = 12):
    generator = np.random.default_rng(seed)
    labels = np.repeat([0, 1], clips)
    scores = generator.integers(levels, size=2 * clips) + 3.0 * labels
    return labels, scores, ["source", "target"] * clips


def test_bootstrap_equals_resampling_clip_by_clip():
    labels, scores, domains = _section(1)
    intervals = bootstrap_intervals(labels, scores, domains, level=0.9, resamples=3000)
    generator = np.random.default_rng(99)
    strata = [
        np.flatnonzero((labels == label) & (np.array(domains) == domain))
        for label in (0, 1)
        for domain in ("source", "target")
    ]
    drawn: dict[str, list[float]] = defaultdict(list)
    for _ in range(1000):
        rows = np.concatenate([generator.choice(stratum, stratum.size) for stratum in strata])
        metrics = section_metrics(labels[rows], scores[rows], [domains[row] for row in rows])
        for name in intervals:
            drawn[name].append(metrics[name])
    assert set(intervals) == {"auc_source", "auc_target", "pauc", "official_score"}
    for name, (low, high) in intervals.items():
        expected_low, expected_high = np.quantile(drawn[name], (0.05, 0.95))
        # Two independent sets of draws: quantiles agree within their own sampling error.
        assert low == pytest.approx(expected_low, abs=0.012), name
        assert high == pytest.approx(expected_high, abs=0.012), name


def test_bootstrap_repeats_with_its_seed_and_narrows_with_the_level():
    case = _section(2)
    wide = bootstrap_intervals(*case, seed=5)
    assert wide == bootstrap_intervals(*case, seed=5)
    assert wide != bootstrap_intervals(*case, seed=6)
    narrow = bootstrap_intervals(*case, seed=5, level=0.5)
    for name, (low, high) in narrow.items():
        assert wide[name][0] < low < section_metrics(*case)[name] < high < wide[name][1]


def test_bootstrap_never_lacks_a_class_though_a_stratum_has_one_clip():
    intervals = bootstrap_intervals([0, 0, 1], [1.0, 3.0, 2.0], ["source", "target", "source"])
    assert intervals["auc_source"] == (1.0, 1.0)
    assert intervals["auc_target"] == (0.0, 0.0)


def test_bootstrap_of_more_clips_than_fit_one_block_stays_the_same_in_kind():
    labels, scores, domains = _section(3, clips=6000, levels=10_000)
    intervals = bootstrap_intervals(labels, scores, domains, resamples=400)
    point = section_metrics(labels, scores, domains)
    for name, (low, high) in intervals.items():
        assert low <= point[name] <= high
        assert high - low < 0.05


def test_overall_interval_holds_the_official_score_and_is_narrower_than_a_sections():
    sections = [LabelledScores(*_section(seed)) for seed in range(8)]
    low, high = bootstrap_official_interval(sections)
    point = official_score({str(i): section_metrics(*case) for i, case in enumerate(sections)})
    assert low < point < high
    one_low, one_high = bootstrap_intervals(*sections[0])["official_score"]
    assert high - low < 0.6 * (one_high - one_low)


def test_bootstrap_refuses_what_has_no_interval():
    with pytest.raises(ParameterError, match="level is 95"):
        bootstrap_intervals([0, 1], [1.0, 2.0], level=95)
    with pytest.raises(ParameterError, match="resamples is 0"):
        bootstrap_intervals([0, 1], [1.0, 2.0], resamples=0)
    with pytest.raises(ParameterError, match="section number 0 lacks"):
        bootstrap_official_interval([LabelledScores([0, 1], [1.0, 2.0], ["source"] * 2)])
    with pytest.raises(ParameterError, match="no section"):
        bootstrap_official_interval([])


def test_a_paired_difference_is_that_of_resampling_the_same_clips_for_both():
    labels, scores, domains = _section(4)
    others = scores + np.random.default_rng(5).normal(0, 2, size=scores.size)
    ours, theirs = LabelledScores(labels, scores, domains), LabelledScores(labels, others, domains)
    found = bootstrap_official_difference([ours], [theirs], level=0.9, resamples=3000)
    generator = np.random.default_rng(99)
    strata = [
        np.flatnonzero((labels == label) & (np.array(domains) == domain))
        for label in (0, 1)
        for domain in ("source", "target")
    ]
    drawn = []
    for _ in range(1000):
        rows = np.concatenate([generator.choice(stratum, stratum.size) for stratum in strata])
        of_both = [
            section_metrics(labels[rows], each[rows], [domains[row] for row in rows])
            for each in (scores, others)
        ]
        drawn.append(np.subtract(*(official_score({"fan": metrics}) for metrics in of_both)))
    assert found == pytest.approx(np.quantile(drawn, (0.05, 0.95)), abs=0.012)
    alone = [
        bootstrap_official_interval([each], level=0.9, resamples=3000) for each in (ours, theirs)
    ]
    assert found[1] - found[0] < max(high - low for low, high in alone)


def test_a_paired_difference_of_equal_scores_is_zero_and_of_other_clips_is_refused():
    labels, scores, domains = _section(4)
    one = LabelledScores(labels, scores, domains)
    assert bootstrap_official_difference([one, one], [one, one]) == (0.0, 0.0)
    doubled = LabelledScores(labels, 2 * scores, domains)
    assert bootstrap_official_difference([one], [doubled]) == (0.0, 0.0)
    other = LabelledScores(labels[::-1], scores, domains)
    with pytest.raises(ParameterError, match="section number 0: the two differ in labels"):
        bootstrap_official_difference([one], [other])
    with pytest.raises(ParameterError, match="2 sections and 1"):
        bootstrap_official_difference([one, one], [one])
