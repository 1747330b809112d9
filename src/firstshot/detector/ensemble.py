"""Several detectors as one: a clip's score is the plain mean of the detectors' scores.

Input and output are a detector's. The encoders run one after another. The threshold is set on the
mean of the detectors' held-out scores of the normal clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.detector import Detector
from firstshot.detector.embedding import Clip
from firstshot.detector.estimator import Estimator, Labels, clips_to_learn
from firstshot.detector.prediction import judged, judged_windows, recording_rule
from firstshot.detector.sources import Sources
from firstshot.errors import ParameterError
from firstshot.progress import Progress
from firstshot.results import Result
from firstshot.scoring.recordings import RecordingRule, highest_windows
from firstshot.scoring.threshold import Threshold, fit_threshold, p_value
from firstshot.store import EmbeddingStore


class Ensemble(Estimator):
    """The mean of several detectors, as in the report's systems 1 to 3.

    Parameters
    ----------
    detectors : sequence of Detector
        Unfitted or fitted on the same clips; two or more of them may share an encoder.
    threshold : "gamma", "quantile" or "conformal"
        How `fit` sets the threshold.
    false_alarm_rate : float
        The share of normal clips that may be called anomalous.
    sample_rate : int, optional
        Rate in Hz of the arrays that come without one, where a call names none either.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal
    >>> members = [Detector(normalizer="local_density", layers=[layer]) for layer in (1, 2)]
    >>> ensemble = Ensemble(members).fit([(0.1 * noise(16000), 16000) for _ in range(20)])
    >>> result = ensemble.predict((0.1 * np.sin(np.arange(16000) * 0.3), 16000))
    >>> result.is_anomaly, sorted(result.parts)
    (True, ['1 logmel', '2 logmel'])
    """

    threshold_: Threshold
    training_scores_: NDArray[np.float64]

    def __init__(
        self,
        detectors: Sequence[Detector],
        *,
        threshold: str = "conformal",
        false_alarm_rate: float = 0.1,
        sample_rate: int | None = None,
    ) -> None:
        self.detectors = detectors
        self.threshold = threshold
        self.false_alarm_rate = false_alarm_rate
        self.sample_rate = sample_rate

    def fit(
        self,
        source: Sources,
        target: Sources | Labels | None = None,
        *,
        sample_rate: int | None = None,
        store: EmbeddingStore | None = None,
        progress: Progress | None = None,
        workers: int | None = None,
    ) -> Ensemble:
        """Fit every detector on the same normal clips; see `Detector.fit`."""
        if not self.detectors:
            raise ParameterError("an ensemble of no detectors; give one or more")
        # Listed once, as iterators and open files can be gone through once.
        clips, targets = clips_to_learn(source, target, self._rate(sample_rate))
        for detector in self.detectors:
            detector.fit(clips, targets, store=store, progress=progress, workers=workers)
        return self.calibrate()

    def calibrate(
        self, false_alarm_rate: float | None = None, method: str | None = None
    ) -> Ensemble:
        """Set the threshold anew on the normal clips' held-out scores; see `Detector.calibrate`."""
        rows = [detector.training_scores_ for detector in self.detectors]
        if len({len(row) for row in rows}) > 1:
            raise ParameterError(
                f"held-out scores of {[len(row) for row in rows]} clips: the detectors learned "
                "from different clips or cut one recording into different windows; give all of "
                "them the same clips and length policy"
            )
        self.training_scores_ = np.mean(rows, axis=0)
        self.threshold_ = fit_threshold(
            self.training_scores_,
            method=method or self.threshold,
            false_alarm_rate=self.false_alarm_rate
            if false_alarm_rate is None
            else false_alarm_rate,
        )
        return self

    def _predict_clips(
        self, clips: list[Clip], neighbors: int, workers: int | None
    ) -> list[Result]:
        by_detector, lengths = [], []
        for detector in self.detectors:
            embedded = detector.embed(clips, workers=workers, spectra=False)
            by_detector.append(detector.predict_embedded(embedded, neighbors))
            lengths.append(recording_rule(detector.fitted_, embedded).windows)
        return [self._join(row, lengths) for row in zip(*by_detector, strict=True)]

    def _join(self, results: Sequence[Result], lengths: Sequence[int]) -> Result:
        """Join what the detectors say of one clip; where they differ, the first one is shown.

        `lengths` are the windows of a piece of a recording, by detector. Where the detectors cut it
        into different pieces, the longer ones stand beside the shorter ones that they hold.
        """
        pieces = [
            np.array(result.window_scores)[highest_windows(np.array(result.window_scores), length)]
            for result, length in zip(results, lengths, strict=True)
        ]
        most = max(map(len, pieces))
        columns = [[row[i * len(row) // most] for row in pieces] for i in range(most)]
        scores = [float(np.mean(column)) for column in columns]
        verdict = RecordingRule(self.threshold_, self.training_scores_).judge(scores)
        score = scores[verdict.window]
        names = [
            f"{i} {d.embedding_settings().encoder.name}"
            for i, d in enumerate(self.detectors, start=1)
        ]
        parts = [float(value) for value in columns[verdict.window]]
        return replace(
            results[0],
            **judged(score, p_value([score], self.training_scores_)[0], verdict),
            parts=dict(zip(names, parts, strict=True)),
            normal_clips=len(self.training_scores_),
            **self._windows(results, verdict.threshold),
        )

    def _windows(self, results: Sequence[Result], threshold: float) -> dict[str, Any]:
        """Return the mean scores of every window; none where the detectors cut differently."""
        rows = [result.window_scores for result in results]
        if len({len(row) for row in rows}) > 1:
            return {"window_scores": (), "windows": ()}
        scores = np.mean(rows, axis=0)
        spans = [(window.start_seconds, window.end_seconds) for window in results[0].windows]
        windows = judged_windows(spans, scores, p_value(scores, self.training_scores_), threshold)
        return {"window_scores": tuple(scores.tolist()), "windows": windows}
