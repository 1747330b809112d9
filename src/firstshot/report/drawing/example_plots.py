"""A clip beside its nearest normal clip becomes pictures: waveform, spectrogram, bands.

Input: two `Excerpt`s and the bands in which the clips differ. Output: SVG markup (see `svg`). Both
spectrograms of a pair share one colour scale and one mel axis, which the bands' chart uses too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from firstshot.anomaly_map import Place
from firstshot.report.drawing.audio import Excerpt
from firstshot.report.drawing.overlay import draw_place
from firstshot.report.drawing.spectra import mel, mel_levels
from firstshot.report.drawing.svg import COLOURS, drawing, inline_svg
from firstshot.results import BandDifference

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (5.7, 3.6)
LEFT, RIGHT = 0.115, 0.975  # of the width: where the time axis starts and ends, also for the page
FRAME_SECONDS = 0.064
COLUMNS, BANDS = 230, 80
RANGE_DB, STEP_DB = 60.0, 2.0  # steps too small to see make the compressed picture smaller
NAMED_BANDS = 3
TICKS_HZ = (125, 250, 500, 1000, 2000, 4000, 8000, 16000, 32000)


def named_bands(bands: Sequence[BandDifference]) -> list[BandDifference]:
    """Return the few bands that hold most of the distance, the largest share first.

    Examples
    --------
    >>> bands = [BandDifference(0, 500, 0.2, 1.0), BandDifference(500, 1000, 0.8, 9.0)]
    >>> [band.low_hz for band in named_bands(bands)]
    [500, 0]
    """
    sharing = [band for band in bands if np.isfinite(band.share) and band.share > 0]
    return sorted(sharing, key=lambda band: -band.share)[:NAMED_BANDS]


def joined_bands(bands: Sequence[BandDifference]) -> list[tuple[float, float]]:
    """Join bands that touch or overlap into ranges of Hz, the lowest first.

    Examples
    --------
    >>> bands = [BandDifference(500, 900, 0.5, 2.0), BandDifference(200, 500, 0.3, 4.0)]
    >>> joined_bands(bands)
    [(200, 900)]
    """
    ranges: list[tuple[float, float]] = []
    for band in sorted(bands, key=lambda band: band.low_hz):
        if ranges and band.low_hz <= ranges[-1][1] * 1.001:
            ranges[-1] = (ranges[-1][0], max(ranges[-1][1], band.high_hz))
        else:
            ranges.append((band.low_hz, band.high_hz))
    return ranges


def plot_clips(
    excerpts: Sequence[Excerpt],
    bands: Sequence[BandDifference],
    names: Sequence[str],
    place: Place | None = None,
) -> tuple[Markup, ...]:
    """Draw waveform and spectrogram of clips on equal scales.

    Parameters
    ----------
    excerpts : sequence of Excerpt
        A clip and its nearest normal clip as `choose_excerpts` gives them, or the clip alone; none
        may be empty.
    bands : sequence of BandDifference
        The bands with the largest shares of the distance are framed in all pictures.
    names : sequence of str
        The names of the clips for screen readers.
    place : Place, optional
        Where the first clip differs, drawn over its spectrogram.
    """
    levels = [_levels(excerpt) for excerpt in excerpts]
    # The loudest thousandth may saturate: one click must not make everything else dark.
    top = max(float(np.percentile(level, 99.9)) for level in levels)
    quietest = min(float(np.percentile(level, 1.0)) for level in levels)
    span = (min(max(quietest, top - RANGE_DB), top - 10.0), top)
    peak = max(float(np.max(np.abs(e.waveform))) for e in excerpts) or 1.0
    return tuple(
        _draw_excerpt(excerpt, level, span, peak, named_bands(bands), name, shown)
        for excerpt, level, name, shown in zip(excerpts, levels, names, (place, None), strict=False)
    )


def plot_bands(bands: Sequence[BandDifference], sample_rate: int) -> Markup:
    """Draw how much louder or quieter than normal each band is, on the spectrogram's mel axis."""
    named = named_bands(bands)
    with drawing((SIZE[0], 2.9)) as figure:
        axes = figure.add_axes((LEFT, 0.17, RIGHT - LEFT, 0.7))
        for band in bands:
            low, high = mel([band.low_hz, band.high_hz])
            colour = "anomalous" if band.level_db > 0 else "normal"
            axes.barh(
                (low + high) / 2, band.level_db, height=(high - low) * 0.86, linewidth=0,
                color=COLOURS[colour if band in named else "muted"],
                alpha=1.0 if band in named else 0.4,
            )  # fmt: skip
        reach = max((abs(band.level_db) for band in bands if np.isfinite(band.level_db)), default=0)
        reach = 1.12 * max(reach, 1.0)
        axes.set(xlim=(-reach, reach), xlabel="relative level, clip minus normal, dB")
        axes.axvline(0, color=COLOURS["ink"], linewidth=0.8)
        for place, side, words in ((0, "left", "quieter"), (1, "right", "louder")):
            axes.text(
                place, 1.03, words, transform=axes.transAxes, ha=side, fontsize=10,
                color=COLOURS["anomalous" if place else "normal"], weight="bold",
            )  # fmt: skip
        _mel_axis(axes, sample_rate)
        listed = "; ".join(
            f"{band.low_hz:.0f} to {band.high_hz:.0f} Hz {band.level_db:+.1f} dB" for band in named
        )
        return inline_svg(figure, f"Difference of relative levels. Largest shares: {listed}.")


def _levels(excerpt: Excerpt) -> NDArray[np.float64]:
    rate = excerpt.sample_rate
    frame = 1 << max(5, round(np.log2(FRAME_SECONDS * rate)))
    hop = max(1, (excerpt.waveform.size - frame) // COLUMNS)
    return mel_levels(excerpt.waveform, rate, frame=frame, hop=hop, bands=BANDS)


def _draw_excerpt(
    excerpt: Excerpt,
    levels: NDArray[np.float64],
    span: tuple[float, float],
    peak: float,
    bands: Sequence[BandDifference],
    name: str,
    place: Place | None,
) -> Markup:
    end = excerpt.start + excerpt.seconds
    top = float(mel(excerpt.sample_rate / 2))
    with drawing(SIZE) as figure:
        wave = figure.add_axes((LEFT, 0.83, RIGHT - LEFT, 0.15))
        _draw_waveform(wave, excerpt, peak)
        axes = figure.add_axes((LEFT, 0.135, RIGHT - LEFT, 0.675))
        stepped = np.round((levels - span[1]) / STEP_DB) * STEP_DB + span[1]
        axes.imshow(
            stepped, origin="lower", aspect="auto", extent=(excerpt.start, end, 0, top),
            cmap="magma", vmin=span[0], vmax=span[1], interpolation="none",
        )  # fmt: skip
        if place is not None:
            draw_place(axes, place)
        for edges in joined_bands(bands):
            low, high = np.minimum(mel(edges), top)
            for edge in (low, high):
                axes.axhline(edge, color="#ffffff", linewidth=1.0, alpha=0.8)
            axes.plot(
                [1.008] * 2, [low, high], transform=axes.get_yaxis_transform(), clip_on=False,
                color=COLOURS["anomalous"], linewidth=4, solid_capstyle="butt",
            )  # fmt: skip
        _mel_axis(axes, excerpt.sample_rate)
        axes.set(xlim=(excerpt.start, end), xlabel="time, s")
        length = f"seconds {excerpt.start:.1f} to {end:.1f} of {excerpt.clip_seconds:.1f}"
        words = f" {place.words}" if place else ""
        return inline_svg(figure, f"Waveform and spectrogram of {name}, {length}.{words}")


def _draw_waveform(axes: Axes, excerpt: Excerpt, peak: float) -> None:
    """Draw the highest and lowest sample of each of 160 equal parts."""
    starts = np.unique(np.linspace(0, excerpt.waveform.size, 160, endpoint=False).astype(int))
    high = np.maximum.reduceat(excerpt.waveform, starts)
    low = np.minimum.reduceat(excerpt.waveform, starts)
    times = excerpt.start + starts / excerpt.sample_rate
    axes.fill_between(times, low, high, color=COLOURS["muted"], linewidth=0.6)
    axes.set(xlim=(excerpt.start, excerpt.start + excerpt.seconds), ylim=(-peak, peak))
    axes.axis("off")


def _mel_axis(axes: Axes, sample_rate: int) -> None:
    """Label a mel axis in Hz, one line per octave."""
    half = sample_rate / 2
    ticks = [hertz for hertz in TICKS_HZ if 250 <= hertz <= half] or [int(half)]
    names = [f"{hertz:g}" if hertz < 1000 else f"{hertz / 1000:g}k" for hertz in ticks]
    axes.set_yticks(mel(ticks), names)
    axes.set_ylim(0, float(mel(half)))
    axes.set_ylabel("Hz", rotation=0, labelpad=0, ha="right")
    axes.yaxis.set_label_coords(-0.02, 0.0)
