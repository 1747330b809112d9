"""What was found, as records: of one clip, and of a run, which tables, files and the page show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.anomaly_map import Place
from firstshot.errors import MissingLibraryError, ParameterError
from firstshot.messages import choose_one_of, shown
from firstshot.scoring.details import Details
from firstshot.scoring.plane import ClipMap
from firstshot.scoring.threshold import p_value_in_words

FRAMES = ("pandas", "polars")
"""Libraries of data frames, the one that is preferred first."""


def normalizers_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the normalisers in a run's settings: the one of all layers, or those of its views.

    >>> normalizers_of({"views": [{"normalizer": "density"}, {"normalizer": "none"}]})
    ('density', 'none')
    """
    views = settings.get("views") or ()
    named = [settings.get("normalizer"), *(view.get("normalizer") for view in views)]
    return tuple(dict.fromkeys(name for name in named if name))


@dataclass(frozen=True)
class Neighbor:
    """A normal clip that lies near: its name, its domain, and its distance to the clip."""

    clip: str
    domain: str
    distance: float


@dataclass(frozen=True)
class Window:
    """One window of a clip, judged by itself.

    `end_seconds` is None where the clip's length is not known; `p_value` compares the window's
    score with whole normal clips; `is_anomaly` tells whether it is above the clip's threshold.
    """

    start_seconds: float
    end_seconds: float | None
    score: float
    p_value: float
    is_anomaly: bool


@dataclass(frozen=True, repr=False)
class Result:
    """What a detector says of one clip.

    A clip of more windows than the normal clips had is judged by its pieces, each as long as those:
    see `firstshot.scoring.recordings`.

    Attributes
    ----------
    clip : str
        The clip's name.
    score : float
        Higher is more anomalous; of a clip heard in windows, that of the window that decides: the
        highest one, or for several pieces the highest of the `pieces_needed`-th highest piece.
    p_value : float
        Conformal p-value: (1 + normal clips that score at least as high) / (normal clips + 1), for
        several pieces times `pieces` / `pieces_needed`. It is never below 1 / (normal clips + 1).
    threshold : float
        The score above which the clip is called anomalous; it depends on the number of pieces.
    is_anomaly : bool
        Whether `score` is above `threshold`.
    domain : str
        The domain, "source" or "target", in which the clip looks most normal.
    nearest : tuple of Neighbor
        The nearest normal clips, nearest first, at the last of the detector's layers.
    parts : dict of str to float
        The score of each layer (or of each encoder, for an ensemble).
    start_seconds : float
        Where in the clip the window begins that decided.
    window_scores : tuple of float
        The score of every window, in order of time.
    windows : tuple of Window
        The same windows with their times, p-values and decisions.
    normal_clips : int
        How many normal clips the p-value and the threshold rest on.
    pieces, pieces_above, pieces_needed : int
        How many pieces as long as the normal clips there are, how many score above the threshold,
        and how many must for an anomaly.

    Examples
    --------
    >>> Result("a.wav", 3.0, 1 / 10, 2.0, True, "source", (), {}, normal_clips=9)
    <Result a.wav: ANOMALY, score 3 above threshold 2, p = 0.1>
    """

    clip: str
    score: float
    p_value: float
    threshold: float
    is_anomaly: bool
    domain: str
    nearest: tuple[Neighbor, ...]
    parts: dict[str, float]
    start_seconds: float = 0.0
    window_scores: tuple[float, ...] = ()
    windows: tuple[Window, ...] = ()
    normal_clips: int = 0
    pieces: int = 1
    pieces_above: int = 0
    pieces_needed: int = 1

    def __str__(self) -> str:
        verdict, side = ("ANOMALY", "above") if self.is_anomaly else ("normal", "not above")
        return (
            f"{shown(self.clip)}: {verdict}, score {self.score:.4g} {side} threshold "
            f"{self.threshold:.4g}, p = {self.p_value:.3g}"
        )

    def __repr__(self) -> str:
        return f"<Result {self}>"

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes as dicts, lists, numbers and texts, as they come back from JSON."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @property
    def evidence(self) -> str:
        """What the decision rests on, as a clause.

        Examples
        --------
        >>> one = Result("a.wav", 3.0, 1 / 10, 2.0, True, "source", (), {}, normal_clips=9)
        >>> one.evidence
        'no normal clip of 9 scores as high (the smallest p-value that 9 clips can show is 1 in 10)'
        """
        if self.pieces == 1:
            return p_value_in_words(self.p_value, self.normal_clips)
        return (
            f"{self.pieces_above} of {self.pieces} pieces, each as long as a normal clip, score "
            f"above the threshold, and {self.pieces_needed} must for an anomaly "
            f"(p = {self.p_value:.3g})"
        )

    @property
    def highest_seconds(self) -> float:
        """Where the window with the highest score begins."""
        if not self.windows:
            return self.start_seconds
        return max(self.windows, key=lambda window: window.score).start_seconds


_NESTED = ("nearest", "parts", "window_scores", "windows")
_COLUMNS = [one.name for one in fields(Result) if one.name not in _NESTED]


def to_frame(results: Result | Iterable[Result], library: str | None = None) -> Any:
    """Return a data frame of pandas or polars with a row per clip.

    The columns are the plain attributes of `Result`; `nearest`, `nearest_domain` and
    `nearest_distance` of the nearest normal clip; and one column per name in `parts`. A value that
    a result lacks is None.

    Parameters
    ----------
    results : Result or iterable of Result
        What `predict` returns.
    library : "pandas" or "polars", optional
        None takes pandas, or polars where pandas is not installed.

    Raises
    ------
    MissingLibraryError
        The library is not installed; firstshot itself needs neither.
    """
    if library not in (None, *FRAMES):
        raise ParameterError(f"library {library!r}: {choose_one_of(library, FRAMES)}")
    rows = [_row(result) for result in ([results] if isinstance(results, Result) else results)]
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows] for name in names or _COLUMNS}
    for name in FRAMES if library is None else (library,):
        try:
            return import_module(name).DataFrame(columns)
        except ImportError as error:
            missing = error
    wanted = library or " or ".join(FRAMES)
    raise MissingLibraryError(
        f"a data frame needs {wanted}; run `pip install {library or FRAMES[0]}`"
    ) from missing


def _row(result: Result) -> dict[str, Any]:
    row = {name: getattr(result, name) for name in _COLUMNS}
    if result.nearest:
        near = result.nearest[0]
        row |= {
            "nearest": near.clip,
            "nearest_domain": near.domain,
            "nearest_distance": near.distance,
        }
    return row | result.parts


def _plain(value: Any) -> Any:
    """Return a value with lists for tuples, as it comes back from JSON."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


@dataclass(frozen=True)
class BandDifference:
    """How one frequency band of a clip differs from the same band of its nearest normal clip.

    `share` is the band's part (0 to 1) of the distance; `level_db` the difference of the mean
    levels in dB, clip minus normal, each relative to its clip's own overall level.
    """

    low_hz: float
    high_hz: float
    share: float
    level_db: float


@dataclass(frozen=True)
class Example:
    """One clip with all that is needed to show why it scored as it did.

    A waveform may be empty; `start_seconds` tells where in its clip `waveform` begins. `place` is
    where the clip differs, if it is known; `views` say what each found, the highest first.
    """

    clip: str
    domain: str
    label: int | None
    score: float
    p_value: float
    waveform: NDArray[np.float32]
    sample_rate: int
    nearest: str
    nearest_domain: str
    nearest_waveform: NDArray[np.float32]
    bands: tuple[BandDifference, ...]
    words: str
    start_seconds: float = 0.0
    place: Place | None = None
    views: tuple[str, ...] = ()


@dataclass(frozen=True)
class Interval:
    """A bootstrap interval of a metric over clips."""

    low: float
    high: float
    level: float


@dataclass(frozen=True)
class SectionResult:
    """Scores, decisions and metrics of one machine's section; arrays are aligned with `clips`.

    `labels` (1 anomalous, 0 normal) and `domains` ("source" or "target") are None where the data
    set does not tell. `metrics` holds fractions of 1 under the official evaluator's names
    (`auc_source`, `auc_target`, `pauc`, `official_score`, `auc_all`, `precision_source`, ...), a
    name missing where it cannot be computed. `training_scores` are the leave-one-out scores of the
    normal clips that the threshold was set on. For a system that is trained, `metrics` are means
    over trials, `deviations` their standard deviations, and the rest is of the first trial.
    `details` are the results by attribute value, part and encoder; `clip_map` shows the clips as
    points. `fingerprints` tell the encoders' weights, constants and settings apart, by their names.
    `normal_clips` says in sentences what is unusual among the normal clips, or that nothing is.
    """

    machine: str
    section: str
    clips: tuple[str, ...]
    scores: NDArray[np.float64]
    p_values: NDArray[np.float64]
    threshold: float
    decisions: NDArray[np.int64]
    labels: NDArray[np.int64] | None
    domains: tuple[str, ...] | None
    training_scores: NDArray[np.float64]
    metrics: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    deviations: dict[str, float] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    notes: tuple[str, ...] = ()
    details: Details = field(default_factory=Details)
    clip_map: ClipMap | None = None
    normal_clips: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The evaluator's name of the section, as `fan_section_00`."""
        return f"{self.machine}_section_{self.section}"
