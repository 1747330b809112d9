import csv
import io
import tracemalloc

import numpy as np
import pytest

from firstshot.autoencoder.scores import (
    invert_covariances,
    released_threshold,
    residual_covariances,
    score_residuals,
)
from firstshot.errors import DatasetError, ParameterError
from firstshot.scoring.metrics import section_metrics


@pytest.fixture(scope="module")
def covariances(golden, residuals):
    """Covariances over the batches that the published code drew."""
    rows = np.concatenate([residuals[name] for name in golden.train])
    is_target = np.repeat(golden.is_target, golden.facts["rows_per_clip"])
    ends = np.cumsum(golden.arrays["batch_sizes"])[:-1]
    batches = np.split(golden.arrays["batch_order"], ends)
    return residual_covariances((rows[batch], is_target[batch]) for batch in batches)


@pytest.fixture(scope="module")
def precisions(golden):
    stored = {domain: golden.arrays[f"cov_{domain}"] for domain in ("source", "target")}
    return invert_covariances(stored)


def clip_residuals(clips=59, seed=0):
    return np.random.default_rng(seed).normal(1.0, 2.0, size=(clips, 640))


def some_precisions(seed=1):
    draw = np.random.default_rng(seed)
    roots = draw.normal(size=(2, 128, 128))
    return tuple(root @ root.T + np.eye(128) for root in roots)


def test_the_mse_scores_are_those_of_the_published_code(golden, residuals):
    for name, expected in golden.facts["scores"]["MSE"].items():
        assert score_residuals(residuals[name], "mse", ()) == pytest.approx(expected, rel=1e-5)
    alone = golden.facts["golden_clip"]
    expected = golden.facts["mse_of_golden_clip"]
    assert score_residuals(residuals[alone], "mse", ()) == pytest.approx(expected, rel=1e-5)


def test_the_covariances_are_those_of_the_published_code(golden, covariances):
    for domain, found in covariances.items():
        expected = golden.arrays[f"cov_{domain}"]
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_the_covariance_is_five_times_that_of_blocks_but_for_the_centring(golden, residuals):
    checks = golden.facts["covariance_checks"]
    assert len(golden.arrays["valid_index"]) == 142
    rows = np.concatenate([residuals[name] for name in golden.train])
    rows = rows[golden.arrays["batch_order"]]
    is_target = np.repeat(golden.is_target, 59)[golden.arrays["batch_order"]]
    assert [(~is_target).sum(), is_target.sum()] == [
        checks["n_rows_source"],
        checks["n_rows_target"],
    ]
    whole = residual_covariances([(rows, is_target)])
    for domain in ("source", "target"):
        stored = golden.arrays[f"cov_{domain}"]
        difference = np.linalg.norm(whole[domain] - stored) / np.linalg.norm(stored)
        expected = checks[f"global_centring_rel_diff_{domain}"]
        assert difference == pytest.approx(expected, rel=1e-4)
    assert whole["source"].max() == pytest.approx(checks["scale_cov_source"], rel=5e-3)
    blocks = np.cov(rows[~is_target].reshape(-1, 128).T.astype(np.float64))
    ratio = golden.arrays["cov_source"].trace() / blocks.trace()
    assert ratio == pytest.approx(checks["trace_ratio_to_block_sample_cov"], rel=1e-5)


def test_the_mahalanobis_scores_are_those_of_the_published_code(
    golden, residuals, precisions, covariances
):
    ours = invert_covariances(covariances)
    for name, expected in golden.facts["scores"]["MAHALA"].items():
        for inverses in (precisions, ours):
            found = score_residuals(residuals[name], "mahala", inverses)
            assert found == pytest.approx(expected, rel=2e-3)


def test_every_reading_of_the_mahalanobis_score_is_the_stored_one(golden, residuals, precisions):
    for name, stored in golden.facts["mahalanobis_readings"].items():
        found = {
            "mean_residual_quadratic_form": ("mahala", precisions),
            "source": ("mahala", precisions[:1]),
            "target": ("mahala", precisions[1:]),
            "eq6_sum_over_blocks_min_per_frame": ("mahala_per_frame", precisions),
            "eq6_sqrt": ("mahala_per_frame_root", precisions),
        }
        for reading, (score, inverses) in found.items():
            value = score_residuals(residuals[name], score, inverses)
            assert value == pytest.approx(stored[reading], rel=2e-3), reading


def test_the_mahalanobis_score_is_the_mean_of_the_whole_matrix_of_products():
    errors, precisions = clip_residuals(), some_precisions()
    blocks = errors.reshape(-1, 128)
    brute = [(blocks @ p @ blocks.T).mean(axis=1).sum() / len(blocks) for p in precisions]
    assert score_residuals(errors, "mahala", precisions) == pytest.approx(min(brute), rel=1e-10)


def test_equation_6_takes_the_smaller_distance_frame_by_frame():
    errors, precisions = clip_residuals(7), some_precisions()
    squared = np.array(
        [[sum(b @ p @ b for b in row.reshape(5, 128)) for p in precisions] for row in errors]
    )
    expected = squared.min(axis=1).sum() / (640 * 7)
    assert score_residuals(errors, "mahala_per_frame", precisions) == pytest.approx(expected)
    expected = np.sqrt(squared).min(axis=1).sum() / (640 * 7)
    assert score_residuals(errors, "mahala_per_frame_root", precisions) == pytest.approx(expected)


def test_the_mahalanobis_score_of_an_hour_needs_the_memory_of_its_residuals():
    errors, precisions = np.ones((20_000, 640)), some_precisions()
    tracemalloc.start()
    for score in ("mahala", "mahala_per_frame"):
        score_residuals(errors, score, precisions)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The matrix of all products of blocks would be 80 GB.
    assert peak < 4 * errors.nbytes


def test_a_domain_without_training_clips_takes_the_others_covariance():
    rows = clip_residuals(300).astype(np.float32)
    for is_target in (np.zeros(300, bool), np.ones(300, bool)):
        found = residual_covariances([(rows, is_target)])
        np.testing.assert_array_equal(found["source"], found["target"])
        assert found["source"].diagonal().min() > 0


def test_a_singular_covariance_is_refused_and_its_domain_named():
    rows = clip_residuals(300).astype(np.float32)
    is_target = np.arange(300) < 20  # 100 blocks cannot span 128 dimensions
    with pytest.raises(DatasetError, match="target clips' residuals is singular"):
        invert_covariances(residual_covariances([(rows, is_target)]))


def test_a_score_that_is_not_known_is_refused():
    with pytest.raises(ParameterError, match="choose one of mse, mahala"):
        score_residuals(clip_residuals(2), "mad", ())


def test_the_released_threshold_is_the_quantile_of_a_law_with_free_location(golden):
    stats = pytest.importorskip("scipy.stats")
    law = golden.facts["gamma_mahala"]
    parameters = (law["shape"], law["loc"], law["scale"])
    assert stats.gamma.ppf(0.9, *parameters) == pytest.approx(law["threshold_q0_9"], rel=1e-9)
    # A fit to many values of that very law finds its quantile again, location and all.
    values = stats.gamma.rvs(*parameters, size=4000, random_state=3)
    assert released_threshold(values) == pytest.approx(law["threshold_q0_9"], rel=2e-3)


def test_a_released_threshold_that_no_law_gives_is_refused():
    with pytest.raises(ParameterError, match="no gamma law fits the scores of 6 batches"):
        released_threshold(np.ones(6))


def published_rows(golden, score):
    (text,) = golden.facts["result_csv"][score].values()
    return next(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(("score", "stored"), [("mse", "MSE"), ("mahala", "MAHALA")])
def test_the_metrics_of_the_scores_are_those_of_the_published_code(
    golden, residuals, precisions, score, stored
):
    labels = np.array(["_anomaly_" in name for name in golden.test], dtype=np.int64)
    domains = ["target" if "_target_" in name else "source" for name in golden.test]
    scores = np.array([score_residuals(residuals[n], score, precisions) for n in golden.test])
    threshold = golden.facts["gamma_mahala"]["threshold_q0_9"]
    decisions = (scores > threshold).astype(np.int64)
    found = section_metrics(labels, scores, domains, decisions)
    expected = published_rows(golden, stored)
    names = {"auc_source": "AUC (source)", "auc_target": "AUC (target)", "pauc": "pAUC"}
    if score == "mahala":  # the stored threshold of the other one was fitted to random values
        for domain in ("source", "target"):
            for metric, label in (("precision", "precision"), ("recall", "recall")):
                names[f"{metric}_{domain}"] = f"{label} ({domain})"
            names[f"f1_{domain}"] = f"F1 score ({domain})"
    for ours, theirs in names.items():
        assert found[ours] == pytest.approx(float(expected[theirs]), abs=1e-12), ours
