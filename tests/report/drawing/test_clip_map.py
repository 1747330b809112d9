"""The map: every clip a point with its words, its colours and, where it has one, its player."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from firstshot.report.drawing.clip_map import draw_map, words_of
from firstshot.results import SectionResult
from firstshot.scoring.plane import ClipMap, MappedClip

MakeSection = Callable[..., SectionResult]


def points_of(markup: str) -> dict[str, ElementTree.Element]:
    shapes = [e for e in ElementTree.fromstring(markup).iter("path") if e.get("data-colour")]
    return {shape.findtext("title", ""): shape for shape in shapes}


def place(shape: ElementTree.Element) -> tuple[float, float]:
    x, y = re.findall(r"[-\d.]+", shape.get("d", ""))[:2]
    return float(x), float(y)


def test_points_lie_as_their_components_say() -> None:
    clips = tuple(MappedClip(f"{name}.wav", True) for name in "abc")
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
    shapes = points_of(draw_map(ClipMap(clips, points, (0.5, 0.25)), {}).plot)
    a, b, c = (place(shapes[f"{name}.wav: learned as normal"]) for name in "abc")
    assert b[0] > a[0] and b[1] == a[1]
    assert c[1] < a[1] and c[0] == a[0]


def test_colours_and_marks_are_those_of_decision_domain_attribute_and_label() -> None:
    clips = (
        MappedClip("n.wav", True, "source", 0, attributes=("rpm_1",)),
        MappedClip("a.wav", False, "target", 1, 2.0, True, ("rpm_2",)),
        MappedClip("b.wav", False, "", None, 1.0, False),
    )
    view = draw_map(ClipMap(clips, np.eye(3)[:, :2], (0.5, 0.5)), {("a.wav", None): "player-1"})
    n, a, b = (points_of(view.plot)[words_of(clip)] for clip in clips)
    assert [shape.get("data-decision") for shape in (n, a, b)] == ["muted", "anomalous", "normal"]
    assert [shape.get("data-domain") for shape in (n, a, b)] == ["source", "target", "muted"]
    assert [shape.get("data-a0") for shape in (n, a, b)] == ["c0", "c1", "muted"]
    assert [shape.get("data-plays") for shape in (n, a, b)] == [None, "player-1", None]
    assert "l" in a.get("d", "") and "open" in n.get("class", "")
    assert [c.title for c in view.colourings] == ["decision", "domain", "rpm"]
    assert view.colourings[2].keys[:2] == (("c0", "rpm_1"), ("c1", "rpm_2"))
    assert "50 %" in view.plot


def test_what_does_not_part_the_clips_is_no_colouring() -> None:
    clips = tuple(MappedClip(f"{k}.wav", False, score=1.0, is_anomaly=False) for k in range(2))
    view = draw_map(ClipMap(clips, np.zeros((2, 2)), (0.0, 0.0)), {})
    assert [colouring.name for colouring in view.colourings] == ["decision"]


def test_a_ninth_value_has_the_colour_of_the_rest() -> None:
    clips = tuple(
        MappedClip(f"{k}.wav", False, attributes=(f"rpm_{min(k // 2, 8)}",)) for k in range(17)
    )
    view = draw_map(ClipMap(clips, np.zeros((17, 2)), (0.0, 0.0)), {})
    shapes = points_of(view.plot)
    assert {shape.get("data-a0") for shape in shapes.values()} == {
        *(f"c{k}" for k in range(8)),
        "muted",
    }
    assert shapes[words_of(clips[16])].get("data-a0") == "muted"


@pytest.mark.parametrize("far", [1.0, 1e3, 1e9])
def test_far_clips_do_not_press_all_others_into_one_point(
    make_section: MakeSection, far: float
) -> None:
    shown = make_section(examples=0).clip_map
    assert shown is not None
    points = shown.points.copy()
    points[0] = far * 10
    view = draw_map(replace(shown, points=points), {})
    places = np.array([place(shape) for shape in points_of(view.plot).values()])
    assert np.ptp(np.quantile(places[:, 0], [0.1, 0.9])) > 60
    assert "drawn nearer than they are" in view.words


def test_hostile_names_and_attributes_stay_text() -> None:
    evil = "\"><script>'&<x\n.wav"
    clip = MappedClip(evil, False, "source", None, 1.0, True, (evil,))
    view = draw_map(ClipMap((clip,), np.zeros((1, 2)), (0.0, 0.0)), {(evil, None): "p"})
    assert "<script" not in view.plot
    assert list(points_of(view.plot)) == [words_of(clip)]


def test_a_learned_clip_and_a_scored_one_of_the_same_name_are_told_apart() -> None:
    clips = (
        MappedClip("1.wav", True, "source"),
        MappedClip("1.wav", True, "target"),
        MappedClip("1.wav", False, "target", None, 1.0, True),
        MappedClip("2.wav", True, ""),
    )
    sounds = {("1.wav", None): "new", ("1.wav", "target"): "old", ("2.wav", "source"): "bare"}
    view = draw_map(ClipMap(clips, np.zeros((4, 2)), (0.0, 0.0)), sounds)
    shapes = points_of(view.plot)
    assert [shapes[words_of(clip)].get("data-plays") for clip in clips] == [
        None, "old", "new", "bare",
    ]  # fmt: skip
