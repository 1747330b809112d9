"""A bank that was inspected becomes one offline HTML page.

Input: a fitted detector and its `Inspection`. Output: a page: what is unusual, each of these clips
to listen to beside its nearest other clip, and the map of the bank; see `firstshot.report.page`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.explanation import compare_spectra, difference_db
from firstshot.detector.file import MemberRow
from firstshot.detector.fitted import FittedDetector
from firstshot.detector.fitted.normal_clips import clip_of
from firstshot.detector.fitted.parts import nearest_members
from firstshot.detector.inspection import Inspection
from firstshot.report.drawing.clip_map import draw_map
from firstshot.report.examples import EXAMPLE_RATE, ExampleView, example_view
from firstshot.report.page import fill_template, has_mark, packaged
from firstshot.report.scored_clips import map_clips, read_normal
from firstshot.report.views import flat_settings
from firstshot.results import Example

MARK = "firstshot bank inspect"
MOST_SHOWN = 12
"""Clips with players, about 0.2 MB each."""


@dataclass(frozen=True)
class _Finding:
    """A clip (or window) to show, why, and the clip beside it; None takes the nearest one."""

    domain: str
    name: str
    why: str
    score: float = float("nan")
    p_value: float = float("nan")
    beside: tuple[str, str] | None = None


def is_bank_page(path: Path) -> bool:
    """Return whether a file is a page of an inspected bank."""
    return has_mark(path, MARK)


def render_bank(
    fitted: FittedDetector,
    inspection: Inspection,
    title: str,
    commands: Sequence[str] = (),
    normal_folders: Sequence[Path] = (),
) -> str:
    """Return the page of an inspected bank.

    Parameters
    ----------
    title : str
        The page's heading.
    commands : sequence of str
        What removes the clips that are unlike the others.
    normal_folders : sequence of Path
        Where to look for the normal clips; names of clips are relative to these folders.
    """
    findings = list(_findings(inspection))
    shown = [
        (one.why, _view(fitted, one, f"clip-{number}", normal_folders))
        for number, one in enumerate(findings[:MOST_SHOWN], start=1)
    ]
    sounds: dict[tuple[str, str | None], str] = {
        (_stem(fitted, side.domain, side.clip), side.domain): side.anchor
        for _, view in reversed(shown)
        for side in reversed(view.sides)
    }
    return fill_template(
        packaged("bank.html.jinja"),
        title=title,
        mark=MARK,
        inspection=inspection,
        commands=commands,
        shown=shown,
        left_out=len(findings) - len(shown),
        clip_map=draw_map(map_clips(fitted), sounds),
        settings=flat_settings(dict(fitted.settings)),
    )


def _findings(inspection: Inspection) -> Iterator[_Finding]:
    """Yield what the page shows, the most important first, a clip once."""
    seen = set()
    for unlike in inspection.unlike:
        seen.add((unlike.domain, unlike.clip))
        near = unlike.nearest[0] if unlike.nearest else None
        yield _Finding(
            unlike.domain,
            unlike.clip,
            "unlike the others",
            unlike.score,
            unlike.p_value,
            (near.domain, near.clip) if near else None,
        )
    for odd in inspection.odd:
        if (odd.domain, odd.clip) not in seen:
            seen.add((odd.domain, odd.clip))
            yield _Finding(odd.domain, odd.clip, f"odd {odd.quantity}")
    for first, second, *_ in inspection.near_copies:
        yield _Finding(*first, "near-copy", beside=second)


def _view(
    fitted: FittedDetector, finding: _Finding, anchor: str, folders: Sequence[Path]
) -> ExampleView:
    rows = fitted.normal_clips.rows
    row = _row_of(rows, finding.domain, finding.name)
    beside = _nearest_row(fitted, row) if finding.beside is None else _row_of(rows, *finding.beside)
    normal = fitted.normal_clips
    bands, words = compare_spectra(
        normal.spectra[row],
        normal.spectra[beside],
        normal.spectra,
        difference_db(normal.levels[row : row + 1], normal.levels[beside]),
    )
    example = Example(
        clip=rows[row].clip,
        domain=rows[row].domain,
        label=None,
        score=finding.score,
        p_value=finding.p_value,
        waveform=_sound(fitted, rows[row], folders),
        sample_rate=EXAMPLE_RATE,
        nearest=rows[beside].clip,
        nearest_domain=rows[beside].domain,
        nearest_waveform=_sound(fitted, rows[beside], folders),
        bands=bands,
        words=words,
    )
    return example_view(example, anchor, False, float("nan"), "")


def _row_of(rows: Sequence[MemberRow], domain: str, name: str) -> int:
    """Return the first window of a clip, or the window of that name."""
    return next(
        i
        for i, row in enumerate(rows)
        if row.domain == domain and name in (row.clip, clip_of(row)[1])
    )


def _nearest_row(fitted: FittedDetector, row: int) -> int:
    """Return the nearest window of another clip."""
    part, rows = fitted.parts[-1], fitted.normal_clips.rows
    own = [i for i, one in enumerate(rows) if clip_of(one) == clip_of(rows[row])]
    query = part.bank.embeddings[row : row + 1].astype(np.float32)
    (near,) = nearest_members(part, query, len(own) + 1)
    found = [_row_of(rows, one.domain, one.clip) for one in near]
    return next((i for i in found if i not in own), row)


def _sound(fitted: FittedDetector, row: MemberRow, folders: Sequence[Path]) -> NDArray[np.float32]:
    return read_normal(fitted, row, fitted.embedding_settings.channel, folders)


def _stem(fitted: FittedDetector, domain: str, name: str) -> str:
    """Return the name of a window's clip, by which the map knows it."""
    rows = fitted.normal_clips.rows
    return clip_of(rows[_row_of(rows, domain, name)])[1]
