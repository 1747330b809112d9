"""A clip and its nearest normal clip become two short excerpts that a browser can play.

Input: two waveforms, about +-1, and their rate. Output: the same few seconds of both, where the
clip differs most from the normal one, as FLAC in a data address. FLAC is lossless, so the codec
adds no sound, and every current browser plays it. Both excerpts get one common gain: a fault that
is louder than the normal clip stays louder.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstshot.report.drawing.spectra import mel_levels

EXCERPT_SECONDS = 4.0
PLAYED_RATES = (8000, 16000)  # Hz; lower rates are not played everywhere, higher cost page size
PEAK = 0.9
KEPT_BITS = 11  # of 16; what is dropped is 70 dB below the peak, and saves a third of the size
FADE_SECONDS = 0.01


@dataclass(frozen=True)
class Excerpt:
    """A part of a clip: its samples as recorded, where it starts and the clip's whole length, s."""

    waveform: NDArray[np.float32]
    sample_rate: int
    start: float
    clip_seconds: float

    @property
    def seconds(self) -> float:
        """The excerpt's own length in seconds."""
        return self.waveform.size / self.sample_rate


def choose_excerpts(
    waveform: NDArray[np.float32],
    nearest: NDArray[np.float32],
    sample_rate: int,
    seconds: float = EXCERPT_SECONDS,
    offset: float = 0.0,
    around: float | None = None,
) -> tuple[Excerpt, Excerpt]:
    """Cut from both clips the few seconds in which they differ most, or those around a moment.

    Without samples of the normal clip, the seconds in which the clip differs most from itself.

    Parameters
    ----------
    waveform, nearest : (samples,) float32
        The clip and its nearest normal clip; they may differ in length.
    sample_rate : int
        Of both, in Hz.
    seconds : float
        Length to keep at most.
    offset : float
        Where in its recording `waveform` begins, in seconds.
    around : float, optional
        A moment of the recording, in seconds, that lies in the middle of the excerpt, if it can.

    Returns
    -------
    tuple of Excerpt
        That of the clip and that of the nearest normal clip.

    Examples
    --------
    >>> hum = np.zeros(8000 * 10, np.float32) + 1e-3
    >>> knock = hum.copy(); knock[8000 * 7] = 1.0
    >>> part, _ = choose_excerpts(knock, hum, 8000)
    >>> part.start < 7 < part.start + part.seconds
    True
    """
    if around is None:
        start = _most_different(waveform, nearest, sample_rate, seconds)
    else:
        start = round((around - offset - seconds / 2) * sample_rate)
    length = round(seconds * sample_rate)
    excerpts = []
    for whole, before in ((waveform, offset), (nearest, 0.0)):
        first = max(0, min(start, whole.size - length))
        excerpts.append(
            Excerpt(
                waveform=whole[first : first + length],
                sample_rate=sample_rate,
                start=before + first / sample_rate,
                clip_seconds=before + whole.size / sample_rate,
            )
        )
    return excerpts[0], excerpts[1]


def audio_addresses(excerpts: Sequence[Excerpt]) -> tuple[str, ...]:
    """Encode excerpts, with one common gain, as `data:` addresses.

    An excerpt without samples gives an empty address.
    """
    peak = max((float(np.max(np.abs(e.waveform), initial=0.0)) for e in excerpts), default=0.0)
    gain = PEAK / peak if peak > 0 else 1.0
    return tuple(_address(excerpt, gain) for excerpt in excerpts)


def _most_different(
    waveform: NDArray[np.float32], nearest: NDArray[np.float32], sample_rate: int, seconds: float
) -> int:
    """Return the first sample of the window whose spectrum differs most from the normal one."""
    frame = max(16, round(0.064 * sample_rate))
    if waveform.size <= seconds * sample_rate:
        return 0
    levels = mel_levels(waveform, sample_rate, frame=frame, hop=frame)
    known = nearest.size >= frame
    usual = mel_levels(nearest, sample_rate, frame=frame, hop=frame) if known else levels
    normal = np.median(usual, axis=1)
    difference = levels - normal[:, np.newaxis]
    difference -= np.median(difference)  # the difference of the overall levels is no fault
    strength = np.concatenate([[0.0], np.cumsum(np.mean(np.abs(difference), axis=0))])
    window = min(max(1, int(seconds * sample_rate // frame)), strength.size - 1)
    return int(np.argmax(strength[window:] - strength[:-window])) * frame


def _address(excerpt: Excerpt, gain: float) -> str:
    import soundfile
    import soxr

    if excerpt.waveform.size == 0:
        return ""
    lowest, highest = PLAYED_RATES
    rate = min(max(excerpt.sample_rate, lowest), highest)
    played = excerpt.waveform.astype(np.float32)
    if rate != excerpt.sample_rate:
        played = soxr.resample(played, excerpt.sample_rate, rate)
    step = 1 << (16 - KEPT_BITS)
    # A hard cut would sound like a knock of the machine.
    faded = np.clip(played * gain, -1.0, 1.0) * _fade(played.size, rate)
    samples = (np.round(faded * 32767 / step) * step).clip(-32768, 32767).astype(np.int16)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _fade(samples: int, rate: int) -> NDArray[np.float32]:
    """Return a gain per sample that rises at the start and falls at the end."""
    length = min(round(FADE_SECONDS * rate), samples // 2)
    gain = np.ones(samples, np.float32)
    if length:
        gain[:length] = np.linspace(0, 1, length, dtype=np.float32)
        gain[-length:] = gain[:length][::-1]
    return gain
