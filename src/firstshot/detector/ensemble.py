"""Several detectors as one: a clip's score is the plain mean of the detectors' scores.

Input and output are a detector's. The encoders run one after another. The threshold is set on the
mean of the detectors' held-out scores of the normal clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.detector import Detector
from firstshot.detector.embedding import Progress
from firstshot.detector.prediction import judged, judged_windows, recording_rule
from firstshot.detector.sources import HasPath, Source, Sources, is_one_clip
from firstshot.errors import FirstshotError, ParameterError
from firstshot.results import Result
from firstshot.scoring.recordings import RecordingRule, highest_windows
from firstshot.scoring.threshold import Threshold, fit_threshold, p_value
from firstshot.store import EmbeddingStore


class Ensemble:
    """The mean of several detectors, as in the report's systems 1 to 3.

    Parameters
    ----------
    detectors : sequence of Detector
        Unfitted or fitted on the same clips; two or more of them may share an encoder.
    threshold : "gamma", "quantile" or "conformal"
        How `fit` sets the threshold.
    false_alarm_rate : float
        The share of normal clips that may be called anomalous.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal
    >>> members = [Detector(normalizer="local_density", layers=[layer]) for layer in (1, 2)]
    >>> ensemble = Ensemble(members).fit([0.1 * noise(16000) for _ in range(20)])
    >>> result = ensemble.predict(0.1 * np.sin(np.arange(16000) * 0.3))
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
    ) -> None:
        self.detectors = detectors
        self.threshold = threshold
        self.false_alarm_rate = false_alarm_rate

    def fit(
        self,
        source: Sources,
        target: Sources | None = None,
        *,
        sample_rate: int | None = None,
        store: EmbeddingStore | None = None,
        progress: Progress | None = None,
        workers: int | None = None,
    ) -> Ensemble:
        """Fit every detector on the same normal clips; see `Detector.fit`."""
        if not self.detectors:
            raise ParameterError("an ensemble of no detectors; give one or more")
        source = _keep(source)
        target = None if target is None else _keep(target)
        for detector in self.detectors:
            detector.fit(
                source,
                target,
                sample_rate=sample_rate,
                store=store,
                progress=progress,
                workers=workers,
            )
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

    def score(
        self, sources: Sources, *, sample_rate: int | None = None, workers: int | None = None
    ) -> NDArray[np.float64]:
        """Return the anomaly score of every clip, float64 (clips,), higher = more anomalous."""
        return np.array([r.score for r in self._results(_keep(sources), sample_rate, workers)])

    def predict(
        self, sources: Sources, *, sample_rate: int | None = None, workers: int | None = None
    ) -> Any:
        """Return a `Result` for one clip; for a folder or several clips, a list of them."""
        sources = _keep(sources)
        results = self._results(sources, sample_rate, workers)
        return results[0] if is_one_clip(sources) else results

    def _results(
        self, sources: Source | list[Source], sample_rate: int | None, workers: int | None
    ) -> list[Result]:
        if not hasattr(self, "threshold_"):
            raise FirstshotError("this ensemble has learned nothing yet; call fit(...) first")
        by_detector, lengths = [], []
        for detector in self.detectors:
            clips = detector.embed(sources, sample_rate=sample_rate, workers=workers, spectra=False)
            by_detector.append(detector.predict_embedded(clips))
            lengths.append(recording_rule(detector.fitted_, clips).windows)
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


def _keep(sources: Sources) -> Source | list[Source]:
    """Return sources that can be gone through once per detector."""
    if isinstance(sources, (str, Path, np.ndarray, HasPath)):
        return sources
    return list(sources)
