"""The anomaly map over a spectrogram: cells where they are, a frame where the region is."""

from __future__ import annotations

import numpy as np
import pytest

from firstshot.anomaly_map import GROUP_EDGES_HZ, Place, Region
from firstshot.report.drawing.audio import Excerpt
from firstshot.report.drawing.example_plots import plot_clips
from firstshot.report.drawing.overlay import LIGHTEST, draw_place
from firstshot.report.drawing.spectra import mel
from firstshot.report.drawing.svg import drawing

WORDS = "At 5.5 to 5.7 s, 2.4 to 3.1 kHz: louder by 9 dB than normal moments."
REGION = Region(5.5, 5.7, GROUP_EDGES_HZ[7], GROUP_EDGES_HZ[8], "louder", 9.0, 8.0, 1.0, WORDS)


def place(highlighted: bool = True) -> Place:
    z = np.zeros((20, 12))
    z[5:7, 7] = 20.0
    z[12, 2] = 5.0
    return Place(z, 5.0, 3.0, (REGION,) if highlighted else (), WORDS if highlighted else "")


@pytest.mark.parametrize("highlighted", [True, False])
def test_strange_cells_are_light_and_only_a_region_has_a_frame(highlighted: bool) -> None:
    with drawing((4, 3)) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        draw_place(axes, place(highlighted))
        (image,) = axes.images
        shades = np.asarray(image.get_array())[:, :, 3]
        left, right, bottom, top = image.get_extent()
    assert shades[7, 5] == shades[7, 6] == pytest.approx(LIGHTEST)
    assert 0 < shades[2, 12] < LIGHTEST
    assert np.count_nonzero(shades) == 3
    assert (left, right) == (5.0, 7.0)
    np.testing.assert_allclose([bottom, top], mel([GROUP_EDGES_HZ[0], GROUP_EDGES_HZ[-1]]))
    frames = [line.get_xdata() for line in axes.lines]
    assert len(frames) == (2 if highlighted else 0)
    assert all((min(times), max(times)) == (5.5, 5.7) for times in frames)


def test_the_pictures_grid_is_that_of_the_map() -> None:
    edges = np.linspace(*mel([GROUP_EDGES_HZ[0], GROUP_EDGES_HZ[-1]]), 13)
    np.testing.assert_allclose(mel(GROUP_EDGES_HZ), edges, rtol=1e-6)


def test_only_the_clips_own_picture_has_the_map_and_its_words() -> None:
    noise = np.random.default_rng(0).standard_normal(32000).astype(np.float32)
    excerpt = Excerpt(noise, 16000, 5.0, 10.0)
    names = ("this clip", "its nearest normal clip")
    clip, nearest = plot_clips([excerpt, excerpt], [], names, place())
    assert (WORDS in clip, WORDS in nearest) == (True, False)
    assert (clip.count("<image"), nearest.count("<image")) == (2, 1)
