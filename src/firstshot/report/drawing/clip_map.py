"""The map of clips: each clip a point, near those whose embeddings are alike.

Input: a `ClipMap`. Output: a `MapView`: the plot, its explanation, and the ways to colour it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from firstshot.disk.names import show_name
from firstshot.domains import DOMAIN_WORDS, DOMAINS
from firstshot.report.drawing.points import COLOURS, Point, inline_points
from firstshot.report.drawing.svg import drawing
from firstshot.scoring.plane import ClipMap, MappedClip

SIZE = (6.8, 4.2)
FAR = 5.0
"""Where the farthest clip is so many times as far as nine of ten, the axes are compressed."""
MOST_COLOURINGS = 3
"""Attributes that the map can be coloured by, the first ones."""
REST = "muted"
Sounds: TypeAlias = Mapping[tuple[str, str | None], str]
"""Ids of players: of a scored clip by its name and None, of a learned one by name and domain."""


@dataclass(frozen=True)
class Colouring:
    """A way to colour the points: a short name, a title, and (colour, words) of its groups."""

    name: str
    title: str
    keys: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class MapView:
    """A map ready for the page."""

    plot: Markup
    words: str
    colourings: tuple[Colouring, ...]


def draw_map(clip_map: ClipMap, sounds: Sounds) -> MapView:
    """Draw a map; the clips of `sounds` can be played."""
    clips = clip_map.clips
    groups = _groups(clips)
    colours = [
        {colouring.name: by_clip[row] for colouring, by_clip in groups} for row in range(len(clips))
    ]
    x, y, compressed = _axes_of(clip_map.points)
    points = [
        Point(x[row], y[row], words_of(clip), _mark(clip), colours[row], sounds.get(_key(clip), ""))
        for row, clip in enumerate(clips)
    ]
    shares = [f"{100 * share:.0f} %" for share in clip_map.shares]
    with drawing(SIZE) as figure:
        axes = figure.add_axes((0.035, 0.05, 0.955, 0.94))
        for line, limits in ((x, axes.set_xlim), (y, axes.set_ylim)):
            margin = 0.04 * float(np.ptp(line)) or 1.0
            limits(float(line.min()) - margin, float(line.max()) + margin)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel(
            f"first principal component, {shares[0]} of the variance", labelpad=4, fontsize=8
        )
        axes.set_ylabel(f"second, {shares[1]}", labelpad=4, fontsize=8)
        learned = sum(clip.learned for clip in clips)
        plot = inline_points(
            figure, axes, points,
            f"Map of {learned} normal clips and {len(clips) - learned} clips that were scored.",
        )  # fmt: skip
    return MapView(plot, _explanation(clips, compressed), tuple(c for c, _ in groups))


def words_of(clip: MappedClip) -> str:
    """Say what is known of a clip in one line.

    Examples
    --------
    >>> words_of(MappedClip("a.wav", False, "source", 1, 3.14159, True, ("rpm_800",)))
    'a.wav: score 3.142, called anomalous, rightly; source, rpm_800'
    """
    told = ["learned as normal"] if clip.learned else []
    if clip.score is not None:
        told.append(f"score {clip.score:.4g}")
    if clip.is_anomaly is not None:
        told.append(f"called {'anomalous' if clip.is_anomaly else 'normal'}")
        if clip.label is not None:
            told.append("rightly" if bool(clip.label) == clip.is_anomaly else "wrongly")
    known = ", ".join(filter(None, (clip.domain, *map(show_name, clip.attributes))))
    return f"{show_name(clip.clip)}: {', '.join(told)}" + (f"; {known}" if known else "")


def _key(clip: MappedClip) -> tuple[str, str | None]:
    # A normal clip of an unknown domain is learned as source.
    return clip.clip, (clip.domain or DOMAINS[0]) if clip.learned else None


def _mark(clip: MappedClip) -> str:
    return "open" if clip.learned else "diamond" if clip.label == 1 else "disc"


def _explanation(clips: Sequence[MappedClip], compressed: bool) -> str:
    labelled = any(clip.label == 1 for clip in clips if not clip.learned)
    words = "Clips with like embeddings lie near each other. A ring is a normal clip that was "
    words += "learned, a disc a clip that was scored"
    words += ", a diamond one that is anomalous by its label. " if labelled else ". "
    words += "Clips with an outline can be played. The map is a projection: scores rest on all "
    words += "dimensions."
    return words + (" Far clips are drawn nearer than they are." if compressed else "")


def _axes_of(
    points: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
    """Return x and y, compressed where a few far clips would press all others into one point."""
    centred = points - np.median(points, axis=0)
    reach = np.abs(centred)
    usual = np.quantile(reach, 0.9, axis=0)
    compressed = bool(np.any(reach.max(axis=0) > FAR * np.maximum(usual, 1e-12)) and usual.any())
    if compressed:
        scale = np.maximum(np.median(reach, axis=0), 1e-12)
        centred = np.clip(np.arcsinh(centred / scale), -FAR, FAR)
    return centred[:, 0], centred[:, 1], compressed


def _groups(clips: Sequence[MappedClip]) -> list[tuple[Colouring, list[str]]]:
    """Return the colourings that part the clips, each with the colour of every clip."""
    found = []
    decisions = [
        REST if clip.is_anomaly is None else "anomalous" if clip.is_anomaly else "normal"
        for clip in clips
    ]
    words = {"anomalous": "called anomalous", "normal": "called normal", REST: "learned as normal"}
    found.append((Colouring("decision", "decision", _keys(words, decisions)), decisions))
    domains = [clip.domain if clip.domain in DOMAINS else REST for clip in clips]
    words = {**{domain: DOMAIN_WORDS[domain] for domain in DOMAINS}, REST: "not known"}
    if set(domains) & set(DOMAINS):
        found.append((Colouring("domain", "domain", _keys(words, domains)), domains))
    for place in range(min(MOST_COLOURINGS, max((len(c.attributes) for c in clips), default=0))):
        values = [c.attributes[place] if place < len(c.attributes) else "" for c in clips]
        found.append(_attribute_colouring(place, values))
    return found


def _attribute_colouring(place: int, values: Sequence[str]) -> tuple[Colouring, list[str]]:
    counted = Counter(value for value in values if value)
    shown = sorted(value for value, _ in counted.most_common(COLOURS))
    names = {value: f"c{i}" for i, value in enumerate(shown)}
    colours = [names.get(value, REST) for value in values]
    words = {names[value]: show_name(value) for value in shown} | {REST: "other, or not known"}
    parameters = {value.rpartition("_")[0] for value in counted}
    title = show_name(parameters.pop()) if len(parameters) == 1 else ""
    colouring = Colouring(f"a{place}", title or f"attribute {place + 1}", _keys(words, colours))
    return colouring, colours


def _keys(words: Mapping[str, str], used: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((colour, said) for colour, said in words.items() if colour in set(used))
