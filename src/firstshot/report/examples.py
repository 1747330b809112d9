"""An example becomes what a template shows: a sentence, two pictures, two sounds, its bands.

Input: an `Example`, a clip with its nearest normal clip. Output: an `ExampleView`. A normal clip
whose sound is not at hand is named only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from firstshot.report.drawing.audio import Excerpt, audio_addresses, choose_excerpts
from firstshot.report.drawing.clip_map import Sounds
from firstshot.report.drawing.example_plots import named_bands, plot_bands, plot_clips
from firstshot.results import BandDifference, Example
from firstshot.scoring.threshold import p_value_in_words

EXAMPLE_RATE = 16000
"""Rate in Hz at which the clips of examples are read."""
SHORTEST_SAMPLES = 32  # fewer have neither a picture nor a sound
_WINDOW = re.compile(r"@[0-9.]+s$")
"""The end of the name of a normal clip's window."""
HEADINGS = ("This clip", "Nearest normal clip")
DESCRIPTIONS = ("this clip", "its nearest normal clip")


@dataclass(frozen=True)
class Side:
    """One half of an example: the clip, or its nearest normal clip; `anchor` is its player's id."""

    anchor: str
    heading: str
    clip: str
    domain: str
    excerpt: Excerpt
    audio: str
    plot: Markup


@dataclass(frozen=True)
class ExampleView:
    """One example; `sides` are the clip and its nearest normal clip, as far as they have samples.

    `anchor` is its id on the page, `evidence` words what the decision rests on.
    """

    example: Example
    anchor: str
    called_anomalous: bool
    threshold: float
    evidence: str
    sides: tuple[Side, ...]
    bands_plot: Markup | None
    bands: list[BandDifference]


def example_view(
    example: Example, anchor: str, called_anomalous: bool, threshold: float, evidence: str
) -> ExampleView:
    """Prepare an example for the page; `evidence` words what the decision rests on."""
    bands = list(example.bands)
    return ExampleView(
        example=example,
        anchor=anchor,
        called_anomalous=called_anomalous,
        threshold=threshold,
        evidence=evidence,
        sides=_sides(anchor, example),
        bands_plot=plot_bands(bands, example.sample_rate) if bands else None,
        bands=named_bands(bands),
    )


def sounds_of(views: Sequence[ExampleView]) -> Sounds:
    """Return the ids of the players that the examples have."""
    found: dict[tuple[str, str | None], str] = {}
    for view in views:
        for side, domain in zip(view.sides, (None, view.example.nearest_domain), strict=False):
            name = side.clip if domain is None else _WINDOW.sub("", side.clip)
            found.setdefault((name, domain), side.anchor)
    return found


def words_of_p_value(p: float, clips: int) -> str:
    """Word a p-value that rests on so many normal clips."""
    return p_value_in_words(p, clips) if np.isfinite(p) and clips else f"p-value {number(p)}"


def _sides(anchor: str, example: Example) -> tuple[Side, ...]:
    """Return the two sides; the normal clip's is left out where it has no samples."""
    waveforms = [np.nan_to_num(w) for w in (example.waveform, example.nearest_waveform)]
    if waveforms[0].size < SHORTEST_SAMPLES:
        return ()
    regions = example.place.regions if example.place else ()
    excerpts = choose_excerpts(
        waveforms[0],
        waveforms[1],
        example.sample_rate,
        offset=example.start_seconds,
        around=(regions[0].start_seconds + regions[0].end_seconds) / 2 if regions else None,
    )
    shown = excerpts if waveforms[1].size >= SHORTEST_SAMPLES else excerpts[:1]
    plots = plot_clips(shown, example.bands, DESCRIPTIONS, example.place)
    return tuple(
        Side(f"{anchor}-{number}", HEADINGS[number], *names, excerpt, address, plot)
        for number, (names, excerpt, address, plot) in enumerate(
            zip(
                ((example.clip, example.domain), (example.nearest, example.nearest_domain)),
                shown,
                audio_addresses(shown),
                plots,
                strict=False,
            )
        )
    )


def number(value: float) -> str:
    """Show a score or a probability with as many digits as a reader wants.

    Examples
    --------
    >>> number(12.34567), number(0.000123456), number(float("nan"))
    ('12.35', '0.0001235', '–')
    """
    return f"{value:.4g}" if np.isfinite(value) else "–"


def hertz(band: BandDifference) -> str:
    """Name a band by its edges.

    Examples
    --------
    >>> hertz(BandDifference(820.0, 990.0, 0.1, 3.0)), hertz(BandDifference(990, 1240, 0.1, 3.0))
    ('820–990 Hz', '0.99–1.24 kHz')
    """
    if band.high_hz < 1000:
        return f"{band.low_hz:.0f}–{band.high_hz:.0f} Hz"
    digits = 2 if band.high_hz < 10_000 else 1
    return f"{band.low_hz / 1000:.{digits}f}–{band.high_hz / 1000:.{digits}f} kHz"
