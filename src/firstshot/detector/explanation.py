"""Why a clip scores as it does, in numbers and in plain words.

Input: a scored clip and its detector. Output: when and at which frequencies it differs from normal
clips (see `firstshot.anomaly_map`), the views that made the score, the nearest normal clips, the
share of the distance that each frequency row of the encoder carries, and the bands of the log-mel
spectrum in which the clip differs most from its nearest normal clip, measured in that band's usual
spread among the normal clips. Levels of bands are relative to the clip's own overall level,
which scores ignore unless the setting `keep_level` is on; the difference of the overall levels is
given beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.anomaly_map import CELL_SECONDS, ClipCells, MapBank, Place, Region, find_place
from firstshot.detector.embedding import EmbeddedClip
from firstshot.detector.fitted import FittedDetector
from firstshot.detector.view_scores import ViewScore, view_scores
from firstshot.encoders.logmel import LogMel
from firstshot.errors import ParameterError
from firstshot.results import BandDifference, Result

DECIBELS_PER_NEPER = 10.0 / np.log(10.0)
WORDED = 3
"""Differences that are worded besides the largest one in dB."""
NOTEWORTHY = 2.0
"""Deviations from the normal spread below which a difference is not worth a word."""
AUDIBLE_DB = 1.0
"""The largest difference in dB is worded from here on, however much normal clips vary there."""

_SENTENCES = (("louder", "quieter"), ("less steady", "steadier"), ("rougher", "smoother"))


@dataclass(frozen=True)
class Explanation:
    """Why a clip scores as it does.

    Attributes
    ----------
    result : Result
        Score, decision, domain and nearest normal clips.
    rows : tuple of (low_hz, high_hz, share)
        Each frequency row of the encoder and its share (0 to 1) of the squared distance to the
        nearest normal clip; empty where the pooling does not keep frequency.
    bands : tuple of BandDifference
        The log-mel bands, with the share of the difference and the level's in dB.
    words : str
        The largest differences as a sentence.
    overall_db : float or None
        The overall level in dB, clip minus nearest normal clip; None where the detector file is
        from before levels were kept.
    place : Place or None
        The map of the deciding window, its sentence and its regions; None where the detector file
        is from before maps were kept.
    views : tuple of ViewScore
        The score of the deciding window in each view, the highest first, and the band group that
        made it.
    """

    result: Result
    rows: tuple[tuple[float, float, float], ...]
    bands: tuple[BandDifference, ...]
    words: str
    overall_db: float | None = None
    place: Place | None = field(default=None, compare=False)
    views: tuple[ViewScore, ...] = ()

    @property
    def regions(self) -> tuple[Region, ...]:
        """Where in time and frequency the clip stands out, if it was judged anomalous."""
        return self.place.regions if self.place else ()

    def to_dict(self) -> dict[str, Any]:
        """Return all but the map as dicts, lists, numbers and texts."""
        values = asdict(replace(self, place=None))
        del values["place"]
        where = self.place.words if self.place else ""
        return {**values, "where": where, "regions": [asdict(one) for one in self.regions]}


def explain_clip(
    fitted: FittedDetector, clips: Sequence[EmbeddedClip], results: Sequence[Result]
) -> Explanation:
    """Compare the deciding window of a clip, the only one, with its nearest normal clip."""
    if len(clips) != 1:
        raise ParameterError(f"{len(clips)} clips to explain; name one, then call again")
    (clip,), (result,) = clips, results
    window = clip.starts.index(result.start_seconds)
    normal = fitted.normal_clips
    names = [(row.clip, row.domain) for row in normal.rows]
    nearest = names.index((result.nearest[0].clip, result.nearest[0].domain))
    overall = difference_db(clip.levels[window : window + 1], normal.levels[nearest])
    whole = "the whole clip" if len(clip.starts) == 1 else "this window"
    bands, words = compare_spectra(
        clip.spectrum[window], normal.spectra[nearest], normal.spectra, overall, whole
    )
    shares = _row_shares(fitted, clip, window, nearest)
    place = place_of(fitted.anomaly_map, clip, result)
    views = views_of(fitted, clip, result)
    return Explanation(result, shares, bands, words, overall, place, views)


def views_of(fitted: FittedDetector, clip: EmbeddedClip, result: Result) -> tuple[ViewScore, ...]:
    """Return the scores of the deciding window in each view, the highest first."""
    window = clip.starts.index(result.start_seconds)
    return view_scores(fitted, [rows[window : window + 1] for rows in clip.layers], result.parts)


def words_of_views(
    fitted: FittedDetector, clips: Sequence[EmbeddedClip], results: Sequence[Result], count: int
) -> dict[int, tuple[str, ...]]:
    """Say of the `count` clips with the highest scores, by their places, what each view found."""
    order = sorted(range(len(results)), key=lambda i: -results[i].score)
    return {i: tuple(map(str, views_of(fitted, clips[i], results[i]))) for i in order[:count]}


def place_of(bank: MapBank | None, clip: EmbeddedClip, result: Result) -> Place | None:
    """Return where the deciding window of a clip differs; None without a map, or without cells."""
    window = clip.starts.index(result.start_seconds)
    if bank is None or window >= len(clip.cells):
        return None
    cells, start = ClipCells.of(clip.cells[window]), result.start_seconds
    end = start + CELL_SECONDS * (len(cells) + 1)
    ends_clip = clip.seconds is None or end >= clip.seconds
    return find_place(bank, cells, result.is_anomaly, start, ends_clip)


def difference_db(level: NDArray[np.float32], normal: float) -> float | None:
    """Return a clip's overall level (1,) minus a normal clip's, None where one is not known."""
    if not level.size or not np.isfinite(normal):
        return None
    return float(level[0]) - float(normal)


def compare_spectra(
    spectrum: NDArray[np.float32],
    normal: NDArray[np.float32],
    normals: NDArray[np.float32],
    overall_db: float | None = None,
    whole: str = "the whole clip",
) -> tuple[tuple[BandDifference, ...], str]:
    """Compare `LogMel` statistics (bands * 3,) of a clip and a normal one, given all normal ones.

    `whole` is what the overall level is of.

    Returns
    -------
    bands : tuple of BandDifference
        One per band, lowest first.
    words : str
        The largest differences, as "the whole clip is 3.0 dB louder; relative to that: louder by up
        to 6.1 dB at 2.1-2.9 kHz; ...". Without `overall_db` the first clause is left out.
    """
    edges = LogMel().frequency_bands(1)
    difference = (spectrum - normal).reshape(len(edges), -1)
    spread = normals.std(axis=0).reshape(len(edges), -1)
    # Few normal clips underestimate the spread of a band, so each leans on the typical band.
    typical = np.median(spread, axis=0)
    deviations = difference / np.maximum(0.5 * (spread + typical), 1e-6)
    energy = (deviations**2).sum(axis=1)
    shares = energy / max(float(energy.sum()), 1e-12)
    bands = tuple(
        BandDifference(low, high, float(share), float(level * DECIBELS_PER_NEPER))
        for (low, high), share, level in zip(edges, shares, difference[:, 0], strict=True)
    )
    words = _in_words(edges, deviations, difference[:, 0] * DECIBELS_PER_NEPER)
    return bands, _with_level(words, overall_db, whole)


def _with_level(words: str, overall_db: float | None, whole: str) -> str:
    """Say first what the bands' levels are relative to."""
    if overall_db is None:
        return f"relative to each clip's own overall level: {words}"
    level = "as loud"
    if abs(overall_db) >= 0.05:
        level = f"{abs(overall_db):.1f} dB {_SENTENCES[0][overall_db < 0]}"
    return f"{whole} is {level}; relative to its own overall level: {words}"


def _row_shares(
    fitted: FittedDetector, clip: EmbeddedClip, window: int, nearest: int
) -> tuple[tuple[float, float, float], ...]:
    """Average over the layers how much of the squared distance each frequency row carries."""
    settings = fitted.embedding_settings
    grids = {settings.encoder.frequency_bands(layer) for layer in settings.layers}
    kept = settings.pooling == "temporal" and fitted.recipe.combine == "score_mean"
    if not kept or len(grids) > 1:
        return ()
    (edges,) = grids
    shares = np.zeros(len(edges))
    for part, layer in zip(fitted.parts, clip.layers, strict=True):
        # Whitening mixes frequencies, so each dimension's own spread stands in for it.
        bank = part.bank.embeddings
        spread = bank.std(axis=0, dtype=np.float32)
        scale = np.maximum(spread, 1e-3 * float(np.median(spread)) + 1e-12)
        plain = np.ones_like(scale) if part.transform.name == "none" else scale
        squares = (((layer[window] - bank[nearest]) / plain) ** 2).reshape(len(edges), -1)
        shares += squares.sum(axis=1) / max(float(squares.sum()), 1e-12) / len(fitted.parts)
    return tuple((*edge, float(share)) for edge, share in zip(edges, shares, strict=True))


def _in_words(
    edges: Sequence[tuple[float, float]],
    deviations: NDArray[np.float32],
    level_db: NDArray[np.float32],
) -> str:
    """Word the runs of neighbouring bands that differ the same way, and the largest one in dB.

    Runs are ranked by their largest deviation: a wide run of small ones says less than a narrow one
    that no normal clip comes near.
    """
    runs = []
    for kind, column in enumerate(deviations.T):
        for sign in (1, -1):
            for first, last in _runs(sign * column > NOTEWORTHY):
                peak = float((sign * column[first : last + 1]).max())
                runs.append((peak, kind, sign, first, last))
    runs.sort(reverse=True)
    largest = int(np.abs(level_db).argmax())
    holding = [run for run in runs if run[1] == 0 and run[3] <= largest <= run[4]]
    shown = runs[:WORDED] + [run for run in holding if run not in runs[:WORDED]]
    said = [_run_in_words(edges, level_db, *run[1:]) for run in shown]
    if not said:
        said = ["no band stands out from the normal clips"]
    if not holding and abs(level_db[largest]) >= AUDIBLE_DB:
        sign = 1 if level_db[largest] > 0 else -1
        widest = _run_in_words(edges, level_db, 0, sign, largest, largest)
        said.append(f"most in dB: {widest}, where normal clips vary about as much")
    return "; ".join(said)


def _run_in_words(
    edges: Sequence[tuple[float, float]],
    level_db: NDArray[np.float32],
    kind: int,
    sign: int,
    first: int,
    last: int,
) -> str:
    """Word one run of bands, a level by its largest difference."""
    word = _SENTENCES[kind][0 if sign > 0 else 1]
    if kind == 0:
        most = float(np.abs(level_db[first : last + 1]).max())
        word += f" by {'up to ' if last > first else ''}{most:.1f} dB"
    return f"{word} at {_hertz(edges[first][0], edges[last][1])}"


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the (first, last) of every run of true flags.

    >>> _runs(np.array([True, True, False, True]))
    [(0, 1), (3, 3)]
    """
    steps = np.diff(np.concatenate([[0], flags.astype(int), [0]]))
    starts, stops = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1
    return list(zip(starts.tolist(), stops.tolist(), strict=True))


def _hertz(low: float, high: float) -> str:
    """Write a band as people say it.

    >>> _hertz(120.0, 480.0), _hertz(870.0, 2100.0)
    ('120-480 Hz', '0.9-2.1 kHz')
    """
    if high < 1000.0:
        return f"{low:.0f}-{high:.0f} Hz"
    return f"{low / 1000.0:.1f}-{high / 1000.0:.1f} kHz"
