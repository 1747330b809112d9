"""One section: domains, labels, examples and notes come from the right clips."""

from __future__ import annotations

import numpy as np
import pytest

from firstshot.dcase.data.layout import read_layout
from firstshot.dcase.running.section import join_section, score_section
from firstshot.dcase.running.system import load_system
from firstshot.detector import Detector
from firstshot.detector.views import View
from firstshot.scoring.metrics import auc
from firstshot.scoring.threshold import fit_threshold

SYSTEM = load_system("embedded")


@pytest.fixture(scope="module")
def section(synthetic):
    return read_layout(synthetic, ["SynthFan"])[0]


@pytest.fixture(scope="module")
def heard(section, store):
    return score_section(section, SYSTEM.detector(SYSTEM.encoders[0]), store)


def test_scores_are_those_of_a_detector_fitted_on_the_two_domains(section, heard):
    source = [clip for clip in section.train if clip.domain == "source"]
    target = [clip for clip in section.train if clip.domain == "target"]
    detector: Detector = SYSTEM.detector(SYSTEM.encoders[0]).fit(source, target)
    scores = detector.score(list(section.test))
    assert [result.score for result in heard.results] == scores.tolist()
    assert heard.training_scores.tolist() == detector.training_scores_.tolist()


def test_the_threshold_is_set_on_held_out_normal_scores_alone(section, heard):
    found = join_section(section, SYSTEM, [heard])
    expected = fit_threshold(heard.training_scores, "gamma", 0.1)
    assert found.threshold == expected.value
    assert found.notes[0] == expected.promise
    assert found.decisions.tolist() == (found.scores > expected.value).astype(int).tolist()


def test_the_normal_clips_are_looked_at(section, heard):
    found = join_section(section, SYSTEM, [heard])
    assert found.normal_clips[0] == f"{len(section.train)} normal clips looked at"
    assert len(found.normal_clips) > 1


def test_labels_and_domains_are_those_of_the_names(section, heard):
    found = join_section(section, SYSTEM, [heard])
    assert found.labels.tolist() == [int("_anomaly_" in clip) for clip in found.clips]
    assert found.domains == tuple(clip.split("_")[2] for clip in found.clips)


def test_labels_never_touch_scores_threshold_or_decisions(section, heard):
    from dataclasses import replace

    blind = replace(section, test=tuple(replace(clip, label=None) for clip in section.test))
    with_labels = join_section(section, SYSTEM, [heard])
    without = join_section(blind, SYSTEM, [heard])
    assert without.labels is None
    assert without.metrics == {}
    assert without.scores.tolist() == with_labels.scores.tolist()
    assert without.threshold == with_labels.threshold
    assert without.decisions.tolist() == with_labels.decisions.tolist()


def test_the_examples_are_the_most_anomalous_clips_beside_their_nearest(section, heard):
    found = join_section(section, SYSTEM, [heard], examples=2)
    order = np.argsort(-found.scores)[:2]
    assert [example.clip for example in found.examples] == [found.clips[i] for i in order]
    for i, example in zip(order, found.examples, strict=True):
        assert example.nearest == heard.results[i].nearest[0].clip
        assert example.waveform.size == example.nearest_waveform.size == 8000
        assert not np.array_equal(example.waveform, example.nearest_waveform)
        assert sum(band.share for band in example.bands) <= 1 + 1e-9
        assert example.words
        assert example.place.z.shape == (5, 12)
        assert bool(example.place.words) == bool(found.decisions[i])


def test_two_encoders_are_joined_by_their_plain_mean(section, heard, store):
    other = SYSTEM.encoders[0].model_copy(update={"layers": (2,)})
    second = score_section(section, SYSTEM.detector(other), store)
    joined = join_section(section, SYSTEM, [heard, second])
    expected = [(a.score + b.score) / 2 for a, b in zip(heard.results, second.results, strict=True)]
    np.testing.assert_allclose(joined.scores, expected, rtol=1e-14)


def test_details_name_each_value_and_each_part_with_the_parts_own_metrics(section, heard):
    found = join_section(section, SYSTEM, [heard]).details
    values = [one.value for one in found.attributes]
    assert set(values) == {value for clip in section.test for value in clip.values}
    assert sum(one.clips for one in found.attributes) == sum(len(c.values) for c in section.test)
    assert list(found.encoders) == ["logmel"]
    assert list(found.parts) == list(heard.results[0].parts)
    labels = [clip.label for clip in section.test]
    for part, metrics in found.parts.items():
        scores = [result.parts[part] for result in heard.results]
        assert metrics["auc_all"] == auc(labels, scores)


def test_views_are_told_with_their_encoders_in_details_and_examples(section, store):
    system = load_system("recommended_small").changed(
        {"views": [View("spectra", 1, groups=8, name="bands"), View("logmel", 2, name="mel")]}
    )
    scored = score_section(section, system.detector(None), store)
    found = join_section(section, system, [scored], examples=2)
    names = ["bands (spectra layer 1)", "mel (logmel layer 2)"]
    assert list(found.details.parts) == names
    scores = np.array([result.parts["mel"] for result in scored.results])
    expected = auc(found.labels, scores)
    assert found.details.parts[names[1]]["auc_all"] == pytest.approx(expected)
    for example in found.examples:
        assert sorted(view.split(":")[0] for view in example.views) == names
        assert "deviations above normal clips" in example.views[0]


def test_parts_of_several_encoders_are_told_apart(section, heard):
    found = join_section(section, SYSTEM, [heard, heard]).details
    assert list(found.encoders) == ["1 logmel", "2 logmel"]
    labels = list(heard.results[0].parts)
    assert list(found.parts) == [f"{n} logmel: {label}" for n in (1, 2) for label in labels]


def test_the_map_shows_every_clip_once_with_its_own_score(section, heard):
    found = join_section(section, SYSTEM, [heard])
    shown = found.clip_map
    assert shown is not None
    assert len(shown.clips) == len(shown.points) == len(section.train) + len(section.test)
    tested = [clip for clip in shown.clips if not clip.learned]
    assert tuple(clip.clip for clip in tested) == found.clips
    assert [clip.score for clip in tested] == found.scores.tolist()
    assert [clip.domain for clip in tested] == list(found.domains)
    assert {clip.score for clip in shown.clips if clip.learned} == {None}


def test_the_map_of_two_encoders_is_that_of_their_mean(section, heard):
    one = join_section(section, SYSTEM, [heard]).clip_map
    two = join_section(section, SYSTEM, [heard, heard]).clip_map
    np.testing.assert_allclose(one.points, two.points, atol=1e-9)
