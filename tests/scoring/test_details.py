"""Groups of a section's clips: each value has its own normal clips and all the anomalies."""

from __future__ import annotations

import numpy as np
import pytest

from firstshot.scoring.details import AttributeResult, attribute_results, part_metrics

LABELS = np.array([0, 0, 0, 0, 1, 1])
SCORES = np.array([1.0, 5.0, 2.0, 2.5, 3.0, 4.0])
DECISIONS = (SCORES > 2.2).astype(np.int64)


def test_a_value_compares_its_normal_clips_with_all_anomalies():
    values = [("rpm_800",), ("rpm_800",), ("rpm_1000",), ("rpm_1000",), ("rpm_1000",), ("rpm_9",)]
    found = attribute_results(values, LABELS, SCORES, DECISIONS)
    assert found == (
        AttributeResult("rpm_9", 1, 1, 0, 0, None),
        AttributeResult("rpm_800", 2, 1, 2, 1, 0.5),
        AttributeResult("rpm_1000", 3, 2, 2, 1, 1.0),
    )


def test_a_clip_counts_once_under_each_of_its_values_and_no_value_is_no_group():
    values = [("car_A", "mic_1"), ("car_A", "mic_2"), ("mic_1", "mic_1"), (), (), ()]
    found = attribute_results(values, LABELS, SCORES, DECISIONS)
    assert {one.value: one.clips for one in found} == {"car_A": 2, "mic_1": 2, "mic_2": 1}


def test_without_labels_only_decisions_are_counted():
    (found,) = attribute_results([("a_1",)] * 6, None, SCORES, DECISIONS)
    assert found == AttributeResult("a_1", 6, 4)
    (normal,) = attribute_results([("a_1",)] * 3, LABELS[:3], SCORES[:3], DECISIONS[:3])
    assert (normal.normal_clips, normal.auc) == (3, None)


def test_the_metrics_of_a_part_are_those_of_its_own_scores():
    domains = ["source", "target"] * 3
    found = part_metrics({"one": SCORES, "two": -SCORES}, LABELS, domains)
    assert found["one"]["auc_all"] == pytest.approx(6 / 8)
    assert found["two"]["auc_all"] == pytest.approx(2 / 8)
    assert sorted(found["one"]) == [
        "auc_all", "auc_source", "auc_target", "official_score", "pauc",
    ]  # fmt: skip
    assert part_metrics({"one": SCORES}, None, None) == {}
    assert part_metrics({"one": SCORES[:3]}, LABELS[:3], None) == {}
