"""What was found, as records: of one clip, and of a run, which tables, files and the page show."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from firstshot.scoring.threshold import p_value_in_words


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


@dataclass(frozen=True)
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
    """One clip of a section with all that is needed to show why it scored as it did."""

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
    `fingerprints` tell the encoders' weights, constants and settings apart, by their names.
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

    @property
    def name(self) -> str:
        """The evaluator's name of the section, as `fan_section_00`."""
        return f"{self.machine}_section_{self.section}"
