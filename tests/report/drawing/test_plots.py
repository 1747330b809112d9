"""Plots: markup that is well formed, self-contained and says what the numbers say."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from firstshot.report.drawing.audio import choose_excerpts
from firstshot.report.drawing.example_plots import joined_bands, named_bands, plot_bands, plot_clips
from firstshot.report.drawing.plots import plot_roc, plot_scores, score_groups
from firstshot.results import BandDifference, Example, SectionResult

MakeSection = Callable[..., SectionResult]


def texts(markup: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(markup).iter("text")]


def test_score_groups_part_the_test_clips(make_section: MakeSection) -> None:
    section = make_section(examples=0)
    groups = score_groups(section)
    assert [name for name, _, _ in groups] == [
        "training", "source normal", "source anomalous", "target normal", "target anomalous",
    ]  # fmt: skip
    together = np.sort(np.concatenate([scores for _, scores, _ in groups[1:]]))
    np.testing.assert_array_equal(together, np.sort(section.scores))


def test_score_plot_tells_threshold_and_counts(make_section: MakeSection) -> None:
    section = make_section(examples=0)
    shown = texts(plot_scores(section))
    assert f"threshold {section.threshold:.4g}" in shown
    for _, scores, _ in score_groups(section):
        assert f"{np.count_nonzero(scores > section.threshold)} of {scores.size}" in shown


@pytest.mark.parametrize(
    "scores",
    [
        np.full(100, 3.0),
        np.zeros(100),
        np.linspace(-5, -4, 100),
        np.concatenate([np.ones(99), [1e6]]),
        np.full(100, np.nan),
        np.geomspace(1e-30, 1e30, 100),
    ],
    ids=["constant", "zero", "negative", "outlier", "nan", "huge range"],
)
def test_any_scores_can_be_drawn(
    make_section: MakeSection, scores: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> None:
    section = replace(make_section(examples=0), scores=scores)
    drawn = plot_scores(section)
    assert "anomaly score" in texts(drawn)
    assert "nan" not in " ".join(re.findall(r' d="([^"]*)"', drawn))


def test_no_threshold_and_no_training_scores_can_be_drawn(make_section: MakeSection) -> None:
    section = replace(
        make_section(examples=0, clips=1, labelled=False),
        threshold=float("inf"),
        training_scores=np.zeros(0),
    )
    assert "0 of 1" in texts(plot_scores(section))


def test_roc_needs_labels_of_both_kinds(make_section: MakeSection) -> None:
    section = make_section(examples=0)
    assert plot_roc(replace(section, labels=None)) is None
    assert plot_roc(replace(section, labels=np.zeros(100, np.int64))) is None
    assert "source" in texts(plot_roc(section) or "")


def test_roc_names_its_areas_and_drops_a_domain_without_normal_clips(
    make_section: MakeSection,
) -> None:
    section = make_section(examples=0)
    shown = texts(plot_roc(section) or "")
    assert f"AUC {100 * section.metrics['auc_target']:.2f} %" in shown
    assert f"pAUC {100 * section.metrics['pauc']:.2f} %" in shown
    one = replace(section, domains=("source",) * 100)
    assert "target" not in texts(plot_roc(one) or "")


def test_the_roc_curve_that_is_drawn_encloses_the_area_that_is_written(
    make_section: MakeSection,
) -> None:
    section = replace(make_section(examples=0), domains=None)
    drawn = plot_roc(section) or ""
    curve = next(path for path in re.findall(r'<path d="(M[^"]*)"[^>]*stroke: var\(--ink\)', drawn))
    points = np.array(
        [[float(v) for v in pair.split()] for pair in re.findall(r"[\d.]+ [\d.]+", curve)]
    )
    across = (points[:, 0] - points[0, 0]) / (points[-1, 0] - points[0, 0])
    up = (points[:, 1] - points[0, 1]) / (points[-1, 1] - points[0, 1])
    assert np.trapezoid(up, across) == pytest.approx(section.metrics["auc_all"], abs=0.003)


def test_pictures_share_no_ids_and_hold_no_addresses(
    make_section: MakeSection, make_example: Callable[..., Example]
) -> None:
    section, example = make_section(examples=0), make_example(1)
    pair = choose_excerpts(example.waveform, example.nearest_waveform, example.sample_rate)
    drawn = [
        plot_scores(section),
        plot_roc(section) or "",
        *plot_clips(pair, example.bands, ("this", "that")),
        plot_bands(example.bands, example.sample_rate),
    ]
    ids = [name for markup in drawn for name in re.findall(r' id="([^"]*)"', markup)]
    assert len(ids) == len(set(ids))
    for markup in drawn:
        ElementTree.fromstring(markup)
        assert "://" not in markup
        used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', markup))
        assert used <= set(re.findall(r' id="([^"]*)"', markup))


def test_both_spectrograms_of_a_pair_share_one_colour_scale(
    make_example: Callable[..., Example],
) -> None:
    example = make_example(2)
    same = choose_excerpts(example.waveform, example.waveform, example.sample_rate)
    louder = replace(same[1], waveform=same[1].waveform * 10)
    first, second = plot_clips(same, (), ("a", "b"))
    quiet, loud = plot_clips((same[0], louder), (), ("a", "b"))

    def picture(markup: str) -> str:
        return re.findall(r"data:image/png;base64,[^\"]*", markup)[0]

    assert picture(first) == picture(second)
    assert picture(quiet) != picture(loud)


@pytest.mark.parametrize("samples", [32, 700, 1024, 5000])
def test_very_short_and_silent_clips_have_a_picture(samples: int) -> None:
    silence = np.zeros(samples, np.float32)
    pair = choose_excerpts(silence, silence, 16000)
    assert "time, s" in texts(plot_clips(pair, (), ("a", "b"))[0])


def test_bands_are_named_by_share_and_joined_where_they_touch() -> None:
    bands = [
        BandDifference(0, 100, 0.0, 0.0),
        BandDifference(100, 200, 0.3, 1.0),
        BandDifference(200, 300, 0.4, -2.0),
        BandDifference(400, 500, 0.2, 3.0),
        BandDifference(500, 600, 0.1, 3.0),
    ]
    assert [band.low_hz for band in named_bands(bands)] == [200, 100, 400]
    assert joined_bands(named_bands(bands)) == [(100, 300), (400, 500)]
    assert "200 to 300 Hz −2.0 dB".replace("−", "-") in plot_bands(bands, 16000)


def test_drawing_never_touches_pyplot(make_section: MakeSection) -> None:
    plot_scores(make_section(examples=0))
    assert "matplotlib.pyplot" not in sys.modules
