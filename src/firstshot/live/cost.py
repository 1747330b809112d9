"""What one watched machine costs: the share of one core that listening to it takes.

Input: a detector. Output: a `LiveCost`, measured on noise that is pushed through all that
`firstshot watch` does with sound: levels, resampling, windows, scores, states. Processor time of
all threads counts, so a share of 1 is a core that is always busy.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from firstshot.deploy.timing import peak_memory
from firstshot.detector import Detector
from firstshot.detector.views import PRESETS
from firstshot.errors import keep_warnings
from firstshot.live.machine import Machine, Rules
from firstshot.live.messages import Report, WindowReport
from firstshot.live.scorer import Scorer, open_scorer

SOURCE_RATE = 48000
LEVEL = 0.05
NORMAL_CLIPS = 24
NORMAL_SECONDS = 10.0
_WARM_UP = 4
"""Windows before the time counts, in which libraries are loaded."""


@dataclass(frozen=True)
class LiveCost:
    """What was measured.

    Attributes
    ----------
    detector : str
        The file, the preset or the encoder.
    window_seconds, hop_seconds : float
        The length of a window, and the time from one to the next.
    windows : int
        How many were measured.
    core_share : float
        Processor seconds per second of sound.
    window_ms : float
        Processor time per window.
    peak_memory_mb : float or None
        The most memory that this process held, in 10^6 bytes, where the system tells.
    """

    detector: str
    window_seconds: float
    hop_seconds: float
    windows: int
    core_share: float
    window_ms: float
    peak_memory_mb: float | None


def measure_live(
    name: str = "logmel", hop_seconds: float | None = None, windows: int = 60
) -> LiveCost:
    """Measure a detector file, a bundle, or one of 10 s clips made with a preset or an encoder.

    Raises
    ------
    FirstshotError
        The file cannot be read, or the encoder's weights are not on this machine.
    """
    scorer = open_scorer(Path(name)) if Path(name).exists() else _fitted(name)
    told: list[WindowReport] = []

    def take(report: Report) -> None:
        if isinstance(report, WindowReport):
            told.append(report)

    machine = Machine("bench", scorer, take, rules=Rules(hop_seconds))
    hop = machine.kept.hop_seconds
    level = _judged_level(scorer)
    rng, now, channels = np.random.default_rng(0), datetime.now(UTC), scorer.channels_needed
    begun = sound = before = 0.0
    while len(told) < windows + _WARM_UP:
        if not before and len(told) >= _WARM_UP:
            before, begun, sound = len(told), time.process_time(), 0.0
        shape = (SOURCE_RATE // 2, channels)
        chunk = level * rng.standard_normal(shape, dtype=np.float32)
        now += timedelta(seconds=0.5)
        sound += 0.5
        machine.push(chunk, SOURCE_RATE, now)
    count = len(told) - round(before)
    spent = time.process_time() - begun
    return LiveCost(
        name,
        scorer.window_seconds,
        hop,
        count,
        spent / sound,
        1000 * spent / count,
        peak_memory(),
    )


def _judged_level(scorer: Scorer) -> np.float32:
    """Return how loud noise has to be to lie among the normal clips: bad sound is not scored."""
    samples = round(scorer.window_seconds * scorer.sample_rate)
    noise = np.float32(LEVEL) * np.random.default_rng(2).standard_normal(samples, np.float32)
    normal = scorer.normal_levels
    louder = 0.0 if normal is None else sum(normal) / 2 - scorer.level(noise)
    return np.float32(LEVEL * 10 ** (louder / 20))


def _fitted(encoder: str) -> Scorer:
    """Return a detector of noise, made with a preset or an encoder."""
    rng = np.random.default_rng(1)
    samples = round(NORMAL_SECONDS * 16000)
    clips = [(LEVEL * rng.standard_normal(samples), 16000) for _ in range(NORMAL_CLIPS)]
    detector = Detector(views=encoder) if encoder in PRESETS else Detector(encoder)
    with keep_warnings():
        return Scorer(detector.fit(clips), encoder)
