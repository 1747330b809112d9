"""A detector as a stream needs it: the length of its windows, and scores of windows in memory.

Input: a `Detector`, of a file or of a bundle. Output: score and p-value of every window, by the
steps of `Detector.score`. Several machines may share one; a lock lets one of them at a time into
the encoder.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from firstshot.detector import Detector
from firstshot.detector.conditions import ALIKE
from firstshot.detector.embedding import Clip, embed_clips
from firstshot.disk.files import sha256_of
from firstshot.encoders.logmel import LogMel
from firstshot.errors import ParameterError, keep_warnings
from firstshot.sound.audio import Waveform, load_waveform
from firstshot.sound.audio_file import subtracts_far

SAME_LENGTH = 0.01
"""Clips whose lengths differ by less than this share count as equally long."""
FEW_SHARE = 0.05


class Score(NamedTuple):
    """What a detector says of one window."""

    score: float
    p_value: float


class Scorer:
    """Scores windows by one detector.

    Parameters
    ----------
    detector : Detector
        A fitted one.
    digest : str
        What tells its file from others: a SHA-256.
    window_seconds : float, optional
        The length of a window; None takes the length of the clips that were learned.

    Raises
    ------
    ParameterError
        The clips that were learned have no one length, or windows of another length are asked for.
    """

    def __init__(
        self, detector: Detector, digest: str = "", window_seconds: float | None = None
    ) -> None:
        self.detector = detector
        self.digest = digest
        self.window_seconds = _window_seconds(detector, window_seconds)
        self.settings = detector.embedding_settings()
        # A window is mixed down once, before its level is measured and it is scored.
        self._mono = replace(self.settings, channel="mean")
        self.sample_rate = int(self.settings.encoder.sample_rate)
        self.channels = 2 if subtracts_far(self.settings.channel) else 1
        self._lock = threading.Lock()

    @property
    def channels_needed(self) -> int:
        """How many channels a source must have at least."""
        channel = self.settings.channel
        return channel + 1 if isinstance(channel, int) else self.channels

    @property
    def normal_scores(self) -> NDArray[np.float64]:
        """The held-out scores of normal clips that p-values rest on, float64 (clips,)."""
        return self.detector.calibration_scores_

    @property
    def normal_levels(self) -> tuple[float, float] | None:
        """Lowest and highest level of the normal clips in dB, None where its file lacks them."""
        levels = self.detector.fitted_.normal_clips.levels
        levels = levels[np.isfinite(levels)]
        return (float(levels.min()), float(levels.max())) if levels.size else None

    @property
    def unusual_p(self) -> float:
        """The p-value that counts as unusual: 0.05, or the smallest that so few clips can show."""
        return max(FEW_SHARE, 1 / (len(self.normal_scores) + 1))

    def held_out_quantile(self, share: float) -> float:
        """Return the score that a share of the held-out normal clips does not exceed."""
        return float(np.quantile(self.normal_scores, share))

    def waveform(self, window: NDArray[np.float32]) -> Waveform:
        """Return the sound that is judged, (samples,), of a window (samples, channels)."""
        channel = self.settings.channel if self.channels == 2 else "mean"
        with keep_warnings():  # of silence and levels, which a stream tells by its state
            return load_waveform(window, self.sample_rate, channel=channel, name="the window")

    def level(self, waveform: Waveform) -> float:
        """Return a window's level in dB as the bank has it: see `normal_levels`."""
        return float(LogMel().measure([waveform], self.sample_rate)[1][0])

    def score(self, waveforms: Sequence[Waveform]) -> list[Score]:
        """Return score and p-value of each window (samples,), in order."""
        with self._lock, keep_warnings():
            clips = list(embed_clips(self._clips(waveforms), self._mono, workers=1, spectra=False))
            results = self.detector.predict_embedded(clips, neighbors=0, expect_faults=True)
        return [Score(one.score, one.p_value) for one in results]

    def explain(self, waveform: Waveform) -> dict[str, Any]:
        """Say why a window (samples,) scores as it does, as plain values."""
        from firstshot.detector.explanation import explain_clip

        with self._lock, keep_warnings():
            clips = list(embed_clips(self._clips([waveform]), self._mono, workers=1))
            results = self.detector.predict_embedded(clips, expect_faults=True)
            return explain_clip(self.detector.fitted_, clips, results).to_dict()

    def _clips(self, waveforms: Sequence[Waveform]) -> list[Clip]:
        return [Clip(f"window {i}", one, self.sample_rate) for i, one in enumerate(waveforms)]


def open_scorer(path: Path, window_seconds: float | None = None) -> Scorer:
    """Return the scorer of a detector file, or of a folder that `firstshot export` wrote.

    Raises
    ------
    DetectorFileError
        The file or folder is missing, damaged, or another firstshot's.
    ParameterError
        As `Scorer`.
    """
    if path.is_dir():
        from firstshot.deploy.bundle import DETECTOR, load_bundle

        detector, file = load_bundle(path), path / DETECTOR
    else:
        detector, file = Detector.load(path), path
    try:
        return Scorer(detector, sha256_of(file), window_seconds)
    except ParameterError as error:
        raise ParameterError(f"{path}: {error}") from error


def _window_seconds(detector: Detector, wanted: float | None) -> float:
    """Return the length of a window in seconds: that of the clips that were learned."""
    learned = detector.fitted_.normal_clips.seconds
    if learned is None:
        if wanted is None:
            raise ParameterError(
                "its file does not say how long the clips were that it learned; give the length of "
                "a window in seconds (window = 10.0, --window 10), or fit anew"
            )
        return wanted
    shortest, longest = learned
    if longest > ALIKE * shortest:
        raise ParameterError(
            f"it learned clips of {shortest:g} to {longest:g} s, and windows have one length; fit "
            f"it with --length windows:{shortest:g}"
        )
    if wanted is None:
        return shortest
    if not (1 - SAME_LENGTH) * shortest <= wanted <= (1 + SAME_LENGTH) * longest:
        raise ParameterError(
            f"windows of {wanted:g} s were requested, and it learned clips of "
            f"{_span(shortest, longest)} s; leave the window out, or fit with --length "
            f"windows:{wanted:g}"
        )
    return wanted


def _span(low: float, high: float) -> str:
    return f"{low:g}" if high - low < SAME_LENGTH * low else f"{low:g} to {high:g}"
