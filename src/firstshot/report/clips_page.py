"""Clips that a detector scored become one offline HTML page.

Input: `ScoredClips`. Output: a page: the score over time, the most anomalous clips to listen to,
the map of the clips, and a table of all; see `firstshot.report.page`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from firstshot.report.drawing.clip_map import Sounds, draw_map, words_of
from firstshot.report.drawing.timeline import draw_timeline
from firstshot.report.examples import ExampleView, example_view, sounds_of
from firstshot.report.page import fill_template, has_mark, packaged
from firstshot.report.scored_clips import ScoredClips
from firstshot.report.views import flat_settings
from firstshot.results import Result
from firstshot.scoring.plane import MappedClip
from firstshot.scoring.threshold import Threshold

MARK = "firstshot score"
ROWS = 500
"""Clips in the table, those with the highest scores."""
POINTS = 2000
"""Clips over time: those of the table, and of the others evenly spaced ones."""


def is_clips_page(path: Path) -> bool:
    """Return whether a file is a page of scored clips."""
    return has_mark(path, MARK)


def render_clips(
    scored: ScoredClips,
    title: str,
    threshold: Threshold,
    settings: Mapping[str, Any],
    folder: str = "",
    failures: Sequence[tuple[str, str]] = (),
) -> str:
    """Return the page of scored clips.

    Parameters
    ----------
    scored : ScoredClips
        With one clip or more.
    title : str
        The page's heading.
    threshold : Threshold
        Of clips of the usual length, with what is known of its false alarms.
    settings : mapping
        The detector's settings, shown as a table.
    folder : str
        What the names of the clips are relative to.
    failures : sequence of (name, reason)
        Clips that could not be read.
    """
    results = sorted(scored.results, key=lambda result: result.threshold - result.score)
    examples = _examples(scored)
    return fill_template(
        packaged("clips.html.jinja"),
        title=title,
        mark=MARK,
        threshold=threshold.value,
        promise=threshold.promise,
        folder=folder,
        results=results[:ROWS],
        clips=len(results),
        anomalous=sum(result.is_anomaly for result in results),
        timed=scored.times is not None,
        timeline=_timeline(scored, results, sounds_of(examples)),
        drawn=min(len(results), POINTS),
        clip_map=draw_map(scored.clip_map, sounds_of(examples)),
        examples=examples,
        failures=list(failures),
        settings=flat_settings(settings),
    )


def _examples(scored: ScoredClips) -> list[ExampleView]:
    results = {result.clip: result for result in scored.results}
    views = []
    for number, example in enumerate(scored.examples, start=1):
        result = results[example.clip]
        anchor = f"clip-{number}"
        views.append(
            example_view(example, anchor, result.is_anomaly, result.threshold, result.evidence)
        )
    return views


def _timeline(scored: ScoredClips, by_score: Sequence[Result], sounds: Sounds) -> Markup:
    """Draw the scores over time; `by_score` are the results, the highest one first."""
    rest = by_score[ROWS:]
    step = max(1, -(-len(rest) // (POINTS - ROWS)))
    drawn = {result.clip for result in (*by_score[:ROWS], *rest[::step])}
    times: Sequence[float] = scored.times or [0.0] * len(scored.results)
    rows = [
        (result, time)
        for result, time in zip(scored.results, times, strict=True)
        if result.clip in drawn
    ]
    if scored.times is None:
        rows.sort(key=lambda row: _natural(row[0].clip))
    results = [result for result, _ in rows]
    return draw_timeline(
        [result.score for result in results],
        [result.threshold for result in results],
        None if scored.times is None else [time for _, time in rows],
        [words_of(_told(result)) for result in results],
        [sounds.get((result.clip, None), "") for result in results],
    )


def _told(result: Result) -> MappedClip:
    return MappedClip(result.clip, False, "", None, result.score, result.is_anomaly)


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Order names by the numbers in them: a2.wav before a10.wav."""
    parts = re.split(r"([0-9]{1,18})", name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
