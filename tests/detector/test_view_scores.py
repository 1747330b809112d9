"""Which view and which band group made a score."""

from __future__ import annotations

import numpy as np
import pytest

from firstshot import Detector, View

RATE = 16000


def noise(seed):
    return (0.1 * np.random.default_rng(seed).standard_normal(RATE)).astype(np.float32)


NORMAL = [(noise(seed), RATE) for seed in range(12)]
TIMES = np.arange(RATE) / RATE


def whistling(hertz, loud=0.05):
    return noise(99) + loud * np.sin(2 * np.pi * hertz * TIMES).astype(np.float32), RATE


def of_view(explanation, name):
    return next(view for view in explanation.views if view.view == name)


def test_views_are_told_with_the_scores_that_make_the_clips_score_the_highest_first():
    found = Detector(views="recommended").fit(NORMAL).explain(whistling(2000.0))
    scores = [view.score for view in found.views]
    assert scores == sorted(scores, reverse=True)
    assert {view.view: view.score for view in found.views} == found.result.parts
    assert found.result.score == pytest.approx(np.mean(scores))
    assert [(v.encoder, v.layers) for v in found.views if v.view == "lines"] == [("spectra", (4,))]
    assert all(view.standardized for view in found.views)


@pytest.mark.parametrize("hertz", [180.0, 2000.0, 6500.0])
def test_the_group_of_bands_that_a_fault_lies_in_is_named(hertz):
    detector = Detector(views="recommended").fit(NORMAL)
    bands = of_view(detector.explain(whistling(hertz)), "bands")
    assert bands.low_hz < hertz < bands.high_hz
    # Six of the 48 mel bands from 50 to 7,800 Hz.
    edges = [50.0] + [700 * (10 ** (_mel(k) / 2595) - 1) for k in range(1, 50)]
    assert bands.low_hz == pytest.approx(edges[6 * _group(bands.low_hz, edges)], rel=1e-6)
    normalizer = detector.fitted_.parts[0].normalizer
    mean, deviation = normalizer.scales_[-1]
    assert (bands.group_score - mean) / deviation == pytest.approx(bands.score)
    assert str(bands) == (
        f"bands (spectra layer 1): {bands.low_hz:,.0f} to {bands.high_hz:,.0f} Hz, "
        f"{bands.score:.1f} deviations above normal clips"
    )


def _mel(k):
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (50.0, 7800.0))
    return low + k * (high - low) / 49


def _group(hertz, edges):
    return int(np.argmin(np.abs(np.array(edges[::6]) - hertz)))


def test_a_usual_clip_has_no_band_in_its_words():
    detector = Detector(views="recommended_small").fit(NORMAL)
    bands = of_view(detector.explain((noise(3), RATE)), "bands")
    assert bands.score < 0
    assert str(bands) == (
        f"bands (spectra layer 1): {-bands.score:.1f} deviations below normal clips"
    )


def test_a_view_of_another_encoder_is_told_with_its_own_layer():
    views = [View("spectra", 2), View("logmel", 2, groups=3, name="mel")]
    found = Detector(views=views).fit(NORMAL).explain(whistling(2000.0, 0.5))
    mel = of_view(found, "mel")
    assert (mel.encoder, mel.layers) == ("logmel", (2,))
    assert mel.low_hz < 2000.0 < mel.high_hz
    assert str(of_view(found, "spectra layer 2")).startswith("spectra layer 2: ")


@pytest.mark.parametrize("how", [{"transform": "whiten"}, {"pooling": "all"}])
def test_groups_that_are_no_groups_of_bands_are_not_named(how):
    views = [View("logmel", 1, groups=3, **how)]
    (view,) = Detector(views=views).fit(NORMAL).explain(whistling(2000.0)).views
    assert (view.low_hz, view.high_hz, view.group_score) == (None, None, None)


def test_the_layers_of_a_plain_detector_are_told_without_deviations():
    found = Detector("logmel", layers=(1, 2)).fit(NORMAL).explain(whistling(2000.0))
    layer = of_view(found, "layer 2")
    assert (layer.layers, layer.standardized) == ((2,), False)
    assert str(layer) == f"layer 2 (logmel): score {layer.score:.3g}"
    joined = Detector("logmel", layers=(1, 2), combine="concat").fit(NORMAL)
    (both,) = joined.explain(whistling(2000.0)).views
    assert str(both).startswith("layer 1 + layer 2 (logmel): score ")


def test_of_a_long_clip_the_window_that_decides_is_told_of():
    detector = Detector(views="recommended", length="windows:0.5").fit(NORMAL)
    clip = noise(99)
    clip[RATE // 2 :] = whistling(2000.0)[0][RATE // 2 :]
    found = detector.explain((clip, RATE))
    assert found.result.start_seconds == 0.5
    assert {view.view: view.score for view in found.views} == found.result.parts
    assert of_view(found, "bands").low_hz < 2000.0 < of_view(found, "bands").high_hz
    assert found.to_dict()["views"][0]["view"] == found.views[0].view
