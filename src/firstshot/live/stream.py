"""A stream of sound becomes windows with scores, in memory that does not grow.

Input: chunks of any size at the source's rate. Output: a `Window` every hop. The stream is
resampled as one piece, so that no seam is heard between chunks, and a window's score equals that of
a file cut the same way. After a gap everything begins anew: no window reaches across it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import log10, sqrt

import numpy as np
from numpy.typing import NDArray

from firstshot.detector import Detector
from firstshot.errors import ParameterError, SoundError
from firstshot.live.judging.faults import Heard
from firstshot.live.ring import Ring
from firstshot.live.scorer import Score, Scorer
from firstshot.numbers import check_number
from firstshot.sound.audio import Waveform, stream_resampler
from firstshot.sound.audio_file import pick_channel
from firstshot.sound.checks import LOUDEST_SAMPLE, check_rate

CLIPPED = 0.999
"""Samples at least so large count as clipped; full scale of 16 bits is 0.99997."""
BLOCK_SECONDS = 0.1
"""Levels are measured on such blocks of the source, and long chunks are worked on in them."""
WINDOWS_AT_ONCE = 16
"""Windows in one call of the detector, where a chunk holds so many."""


@dataclass(frozen=True, eq=False)
class Window:
    """A window of the stream, with its score.

    Attributes
    ----------
    end_seconds : float
        When it ends, counted in the samples of the source since the stream began; gaps count none.
    waveform : float32 (samples,)
        Its sound at the encoder's rate.
    heard : Heard
        What was measured of it.
    score, p_value : float or None
        None where `fault` says why it is not scored.
    fault : str or None
        Why its sound cannot be judged, as a sentence.
    """

    end_seconds: float
    waveform: Waveform
    heard: Heard
    score: float | None
    p_value: float | None
    fault: str | None = None


@dataclass(frozen=True)
class _Block:
    """A short stretch of the source: its end, and what was measured."""

    end_seconds: float
    samples: int
    energy: float
    clipped: int
    finite: bool


FindFault = Callable[[Heard], str | None]


class Stream:
    """Cuts a stream into windows and scores them.

    Parameters
    ----------
    detector : Detector or Scorer
        What judges the windows; machines that share a detector share a `Scorer`.
    sample_rate : int, optional
        Rate of the chunks in Hz; None means the encoder's.
    hop_seconds : float, optional
        From the beginning of one window to that of the next; None means half a window.
    find_fault : callable, optional
        Says of what was measured why it cannot be judged, or None; such a window has no score.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal
    >>> detector = Detector().fit([(0.1 * noise(16000), 16000) for _ in range(12)])
    >>> stream = Stream(detector)
    >>> [window.end_seconds for window in stream.push(0.1 * noise(32000))]
    [1.0, 1.5, 2.0]
    """

    def __init__(
        self,
        detector: Detector | Scorer,
        sample_rate: int | None = None,
        hop_seconds: float | None = None,
        find_fault: FindFault = lambda heard: None,
    ) -> None:
        self.scorer = detector if isinstance(detector, Scorer) else Scorer(detector)
        self.window_seconds = self.scorer.window_seconds
        self.hop_seconds = check_hop(hop_seconds, self.window_seconds)
        self.sample_rate = sample_rate or self.scorer.sample_rate
        check_rate(self.sample_rate, self.scorer.sample_rate, "the stream")
        self._find_fault = find_fault
        rate = self.scorer.sample_rate
        self._window = round(self.window_seconds * rate)
        self._hop = round(self.hop_seconds * rate)
        self._ring = Ring(self._window, self.scorer.channels)
        self._heard = 0
        self._begin()

    @property
    def seconds(self) -> float:
        """How many seconds of the source were pushed."""
        return self._heard / self.sample_rate

    def push(self, chunk: NDArray[np.float32]) -> list[Window]:
        """Take the next samples, (samples,) or (samples, channels), about +-1.

        Returns the windows that end in them; the last few milliseconds come with the next chunk.

        Raises
        ------
        SoundError
            The detector needs more channels than there are, or the samples are no floats.
        """
        if chunk.dtype.kind != "f":
            raise SoundError(
                f"the stream: samples of type {chunk.dtype}; expected floats of about +-1"
            )
        samples = chunk if chunk.ndim == 2 else chunk[:, np.newaxis]
        used = pick_channel(samples, self.scorer.settings.channel, "the stream")
        block = max(1, round(BLOCK_SECONDS * self.sample_rate))
        found: list[Window] = []
        waiting: list[tuple[float, NDArray[np.float32]]] = []
        for start in range(0, len(used), block):
            for window in self._take(used[start : start + block]):
                waiting.append(window)
                if len(waiting) >= WINDOWS_AT_ONCE:
                    found += self._judge(waiting)
                    waiting = []
        return found + self._judge(waiting)

    def gap(self) -> None:
        """Begin anew after missing sound: what is held is dropped, and no window reaches across."""
        self._begin()

    def replace_scorer(self, scorer: Scorer) -> bool:
        """Judge by another detector from now on; False where it needs other windows or samples.

        The sound that is held stays.
        """
        same = (scorer.window_seconds, scorer.sample_rate, scorer.settings.channel) == (
            self.window_seconds,
            self.scorer.sample_rate,
            self.scorer.settings.channel,
        )
        if same:
            self.scorer = scorer
        return same

    def _begin(self) -> None:
        self._resample = stream_resampler(
            self.sample_rate, self.scorer.sample_rate, self.scorer.channels
        )
        self._ring.clear()
        self._blocks: deque[_Block] = deque()
        self._start = self._heard / self.sample_rate
        self._resampled = 0

    def _take(self, used: NDArray[np.float32]) -> Iterator[tuple[float, NDArray[np.float32]]]:
        """Take a block (samples,) or (samples, 2); yield end and sound of each window in it."""
        self._heard += len(used)
        near = used if used.ndim == 1 else used[:, 0]
        finite = bool(np.isfinite(used).all() and np.abs(near).max(initial=0) <= LOUDEST_SAMPLE)
        if not finite:
            used, near = np.zeros_like(used), np.zeros_like(near)
        self._blocks.append(
            _Block(
                self._heard / self.sample_rate,
                len(near),
                float(np.einsum("i,i->", near, near, dtype=np.float64)),
                int(np.count_nonzero(np.abs(near) >= CLIPPED)),
                finite,
            )
        )
        ready = self._resample(used, False)
        ready = ready.reshape(len(ready), self.scorer.channels)
        while len(ready):
            passed = self._resampled - self._window
            due = -passed if passed < 0 else self._hop - passed % self._hop
            self._ring.push(ready[:due])
            self._resampled += min(due, len(ready))
            if due <= len(ready):
                end = self._start + self._resampled / self.scorer.sample_rate
                yield end, self._ring.last(self._window)
            ready = ready[due:]

    def _judge(self, windows: list[tuple[float, NDArray[np.float32]]]) -> list[Window]:
        """Measure windows, and score those in which nothing is wrong."""
        sounds = [self.scorer.waveform(sound) for _, sound in windows]
        heard = [self._measure(end, sound) for (end, _), sound in zip(windows, sounds, strict=True)]
        faults = [self._find_fault(one) for one in heard]
        good = [sound for sound, fault in zip(sounds, faults, strict=True) if fault is None]
        scores: Iterator[Score] = iter(self.scorer.score(good) if good else [])
        found = []
        for (end, _), sound, one, fault in zip(windows, sounds, heard, faults, strict=True):
            score, p = next(scores) if fault is None else (None, None)
            found.append(Window(end, sound, one, score, p, fault))
        return found

    def _measure(self, end: float, sound: Waveform) -> Heard:
        """Measure a window on the blocks of the source that lie in it, and its level as normal."""
        start = end - self.window_seconds
        while self._blocks and self._blocks[0].end_seconds <= start:
            self._blocks.popleft()
        blocks = [one for one in self._blocks if one.end_seconds <= end + BLOCK_SECONDS / 2]
        samples = max(1, sum(one.samples for one in blocks))
        power = sum(one.energy for one in blocks) / samples
        level = None
        if power > 0 and sound.any():
            level = self.scorer.level(sound)
        return Heard(
            20 * log10(sqrt(power)) if power > 0 else -float("inf"),
            sum(one.clipped for one in blocks) / samples,
            all(one.finite for one in blocks),
            level,
        )


def check_hop(hop_seconds: float | None, window_seconds: float) -> float:
    """Return the hop in seconds: half a window by default, at most a whole one.

    Raises
    ------
    ParameterError
        It is longer than a window, or shorter than a tenth of one.
    """
    if hop_seconds is None:
        return window_seconds / 2
    check_number("hop", hop_seconds, 0.0, 3600.0, "seconds")
    if not window_seconds / 10 <= hop_seconds <= window_seconds:
        raise ParameterError(
            f"a hop of {hop_seconds:g} s; give {window_seconds / 10:g} to {window_seconds:g} s, a "
            "tenth of a window to a whole one"
        )
    return hop_seconds
