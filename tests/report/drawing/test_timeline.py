"""Scores over time: points at their scores and times, above or below the threshold's line."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from firstshot.report.drawing.timeline import draw_timeline


def places(markup: str) -> dict[str, tuple[float, float, str]]:
    found = {}
    for shape in ElementTree.fromstring(markup).iter("path"):
        if shape.get("data-colour"):
            x, y = re.findall(r"[-\d.]+", shape.get("d", ""))[:2]
            words = shape.findtext("title", "")
            found[words] = (float(x), float(y), shape.get("data-colour", ""))
    return found


def test_points_lie_at_their_times_and_scores() -> None:
    scores, names = [1.0, 2.0, 4.0], ["a", "b", "c"]
    found = places(draw_timeline(scores, [3.0] * 3, [0.0, 3600.0, 1800.0], names, ["", "p", ""]))
    (ax, ay, _), (bx, by, _), (cx, cy, _) = (found[name] for name in names)
    assert ax < cx < bx
    assert cx - ax == pytest.approx(bx - cx, abs=0.2)
    assert ay - by == pytest.approx((by - cy) / 2, abs=0.2)
    assert [found[name][2] for name in names] == ["normal", "normal", "anomalous"]


def test_without_times_clips_follow_one_another() -> None:
    found = places(draw_timeline(np.ones(5), np.zeros(5), None, list("abcde"), [""] * 5))
    steps = np.diff([found[name][0] for name in "abcde"])
    np.testing.assert_allclose(steps, steps[0], atol=0.11)
    assert "clip" in draw_timeline(np.ones(5), np.zeros(5), None, list("abcde"), [""] * 5)


def test_one_clip_huge_scores_and_several_thresholds_can_be_drawn() -> None:
    assert len(places(draw_timeline([1.0], [np.inf], [1e9], ["a"], [""]))) == 1
    drawn = draw_timeline([1e-3, 1.0, 1e6], [1.0, 2.0, 3.0], None, list("abc"), [""] * 3)
    assert len(places(drawn)) == 3
    assert "nan" not in drawn
