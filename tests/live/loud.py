"""A machine whose score is its loudness, for quick tests of hours of sound."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np

from firstshot.live.machine import Machine
from firstshot.live.messages import EventReport, StateReport, WindowReport
from firstshot.live.outputs.protocol import key_of
from firstshot.live.scorer import Score, Scorer

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RATE = 100


class LoudScorer(Scorer):
    """Scores a window of 10 s by its largest sample; normal sound is below 0.1."""

    def __init__(self, digest="loud", window_seconds=10.0):
        self.digest, self.window_seconds = digest, window_seconds
        self.sample_rate, self.channels = RATE, 1
        self.settings = SimpleNamespace(channel="mean")

    normal_scores = np.linspace(0.01, 0.1, 99)
    normal_levels = (-40.0, -10.0)

    def waveform(self, window):
        return window[:, 0]

    def level(self, waveform):
        return 10 * float(np.log10(np.mean(waveform**2)))

    def score(self, waveforms):
        scores = [float(np.abs(one).max()) for one in waveforms]
        p = [(1 + int((self.normal_scores >= s).sum())) / 100 for s in scores]
        return [Score(s, q) for s, q in zip(scores, p, strict=True)]

    def explain(self, waveform):
        return {"words": "loud"}


def sound(seconds, loud=0.05, seed=0):
    """Noise-like sound of a size, (samples, 1) at RATE."""
    rng = np.random.default_rng(seed)
    samples = rng.uniform(-1, 1, round(seconds * RATE)).astype(np.float32)[:, None]
    return np.float32(loud) * samples


class Listener:
    """Plays sound to a machine, and keeps what it tells."""

    def __init__(self, folder=None, scorer=None, **settings):
        self.reports, self.now = [], NOON
        self.folder, self.scorer, self.settings = folder, scorer or LoudScorer(), settings
        self.start()

    def start(self):
        self.machine = Machine(
            "fan", self.scorer, self.reports.append, self.folder, **self.settings
        )

    def play(self, samples, rate=RATE, chunk=5.0):
        size = round(chunk * rate)
        for start in range(0, len(samples), size):
            piece = samples[start : start + size]
            self.now += timedelta(seconds=len(piece) / rate)
            self.machine.push(piece, rate, self.now)

    @property
    def events(self):
        return [one for one in self.reports if isinstance(one, EventReport)]

    @property
    def states(self):
        return [one for one in self.reports if isinstance(one, StateReport)]

    @property
    def windows(self):
        return [one for one in self.reports if isinstance(one, WindowReport)]

    def delivered(self):
        """Return events by their keys, as an output that knows what it had."""
        return {key_of(one): one for one in self.events}
