"""An audio file, or an array with its rate, becomes a mono float32 waveform of about +-1.

Input: anything libsndfile reads (WAV of any width, FLAC, OGG, MP3, ...) with any number of channels
at any rate, or a numpy array. Output: float32 (samples,) at the rate asked for. Resampling is
soxr's high quality. The channels are averaged unless one is chosen. A length policy then says what
becomes of clips that are shorter or longer than the encoder should hear.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstshot.errors import FirstshotWarning, ParameterError, SoundError

Channel: TypeAlias = int | Literal["mean"]
Waveform: TypeAlias = NDArray[np.float32]

SHORTEST_SECONDS = 0.1
LONGEST_SECONDS = 3600.0
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".w64", ".opus"})


def load_waveform(
    source: str | Path | ArrayLike,
    sample_rate: int,
    *,
    source_rate: int | None = None,
    channel: Channel = "mean",
    name: str | None = None,
) -> Waveform:
    """Read a file or take an array, and return it mono at `sample_rate` Hz.

    Parameters
    ----------
    source : path or array
        An audio file, or samples of about +-1 with shape (samples,) or (samples, channels).
        Arrays of integers are scaled by their type's full range.
    sample_rate : int
        Rate of the result in Hz.
    source_rate : int, optional
        Rate in Hz of an array; None means that it already has `sample_rate`.
    channel : int or "mean"
        The channel to keep, counted from 0, or the mean over channels (default).
    name : str, optional
        What to call an array in messages.

    Raises
    ------
    SoundError
        The file is missing, is not audio, is truncated, has no samples, has NaN or infinite
        samples, lacks the channel, or is shorter than 0.1 s or longer than an hour.

    Examples
    --------
    >>> tone = np.sin(np.arange(8000) * 0.3)
    >>> load_waveform(tone, 16000, source_rate=8000).shape
    (16000,)
    """
    if isinstance(source, (str, Path)):
        label = str(source)
        samples, rate = _read_file(Path(source))
    else:
        label = name or "the array"
        samples, rate = _as_float(source, label), source_rate or sample_rate
    mono = _one_channel(samples, channel, label)
    _check_samples(mono, rate, label)
    if rate != sample_rate:
        import soxr

        mono = soxr.resample(mono, rate, sample_rate, quality="HQ")
    return np.ascontiguousarray(mono, dtype=np.float32)


def _read_file(path: Path) -> tuple[NDArray[np.float32], int]:
    import soundfile

    if not path.is_file():
        kind = "is a folder, not an audio file" if path.is_dir() else "does not exist"
        raise SoundError(f"{path}: {kind}; name an audio file (WAV, FLAC, OGG or MP3)")
    try:
        with soundfile.SoundFile(path) as file:
            promised = _frames_promised(path, file)
            samples = file.read(dtype="float32", always_2d=True)
            rate = int(file.samplerate)
    except PermissionError as error:
        raise SoundError(f"{path}: cannot be opened, {error.strerror}; check its rights") from error
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        raise SoundError(
            f"{path}: not readable as audio ({_reason(error)}); expected WAV, FLAC, OGG or MP3, "
            "record or convert it again"
        ) from error
    if len(samples) < promised:
        raise SoundError(
            f"{path}: truncated, {len(samples)} of the {promised} samples its header promises are "
            "there; copy or record it again"
        )
    return samples, rate


def _frames_promised(path: Path, file: object) -> int:
    """Count the frames that the header announces.

    libsndfile quietly shortens a WAV whose data chunk runs past the end of the file, so that chunk
    is read here; for other formats libsndfile's own count is the header's.
    """
    frames = int(file.frames)  # type: ignore[attr-defined]
    if file.format not in {"WAV", "WAVEX"}:  # type: ignore[attr-defined]
        return frames
    with path.open("rb") as raw:
        head = raw.read(12)
        while head[:4] == b"RIFF" and len(chunk := raw.read(8)) == 8:
            size = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"fmt ":
                align = int.from_bytes(raw.read(16)[12:14], "little")
                raw.seek(size - 16 + size % 2, 1)
            elif chunk[:4] == b"data":
                # 0 and the largest value are what recorders write that stream to a pipe.
                return frames if size in (0, 0xFFFFFFFF, 0x7FFFFFFF) else size // max(align, 1)
            else:
                raw.seek(size + size % 2, 1)
    return frames


def _reason(error: Exception) -> str:
    text = str(error).strip().rstrip(".")
    return text.split(": ")[-1] or type(error).__name__


def _as_float(source: ArrayLike, label: str) -> NDArray[np.float32]:
    array = np.asarray(source)
    if array.dtype.kind == "u":
        # Unsigned samples, as in 8-bit WAV, rest at the middle of their range.
        half = float(np.iinfo(array.dtype).max // 2 + 1)
        array = (array.astype(np.float64) - half) / half
    elif array.dtype.kind == "i":
        array = array / (float(np.iinfo(array.dtype).max) + 1.0)
    elif array.dtype.kind != "f":
        raise SoundError(f"{label}: samples of type {array.dtype}; expected floats or integers")
    if array.ndim not in (1, 2):
        raise SoundError(
            f"{label}: an array of shape {array.shape}; expected (samples,) or (samples, channels)"
        )
    return array.astype(np.float32).reshape(len(array), -1)


def _one_channel(samples: NDArray[np.float32], channel: Channel, label: str) -> Waveform:
    if samples.size == 0:
        raise SoundError(f"{label}: has no samples; record it again or leave it out")
    if channel == "mean":
        return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)
    if not isinstance(channel, int) or isinstance(channel, bool):
        raise ParameterError(f"channel {channel!r}: expected a number from 0 on, or 'mean'")
    if not 0 <= channel < samples.shape[1]:
        raise SoundError(
            f"{label}: channel {channel} was asked for, it has {samples.shape[1]} "
            "(counted from 0); choose another or 'mean'"
        )
    return samples[:, channel]


def _check_samples(mono: Waveform, rate: int, label: str) -> None:
    if rate <= 0:
        raise SoundError(f"{label}: a sample rate of {rate} Hz; expected a positive one")
    finite = np.isfinite(mono)
    if not finite.all():
        first = int(np.argmin(finite))
        raise SoundError(
            f"{label}: sample {first} is {mono[first]}; every sample must be finite, repair the "
            "recording or leave it out"
        )
    seconds = len(mono) / rate
    if seconds < SHORTEST_SECONDS:
        raise SoundError(
            f"{label}: {seconds:.3f} s long; at least {SHORTEST_SECONDS} s of sound is needed"
        )
    if seconds > LONGEST_SECONDS:
        raise SoundError(
            f"{label}: {seconds / 3600:.2f} h long; at most one hour is taken at a time, cut it"
        )
    if not mono.any():
        warnings.warn(
            f"{label}: digital silence, every sample is 0; its score says nothing of a machine",
            FirstshotWarning,
            stacklevel=3,
        )


@dataclass(frozen=True)
class LengthPolicy:
    """What an encoder hears of a clip.

    Parameters
    ----------
    kind : "native", "fixed" or "windows"
        The clip as it is; exactly `seconds` of it (zeros appended, or the start kept); or windows
        of `seconds` every `hop_seconds`, the last one moved back so that it ends with the clip.
    seconds, hop_seconds : float
        Lengths in seconds; `hop_seconds` defaults to `seconds`.

    Examples
    --------
    >>> clip = np.ones(40000, dtype=np.float32)
    >>> [len(part) for part in LengthPolicy("windows", 1.0).apply(clip, 16000)]
    [16000, 16000, 16000]
    >>> LengthPolicy.parse("fixed:10")
    LengthPolicy(kind='fixed', seconds=10.0, hop_seconds=None)
    """

    kind: Literal["native", "fixed", "windows"] = "native"
    seconds: float | None = None
    hop_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("native", "fixed", "windows"):
            raise ParameterError(
                f"length policy {self.kind!r} is not known; choose native, fixed or windows"
            )
        lengths = [x for x in (self.seconds, self.hop_seconds) if x is not None]
        if any(not SHORTEST_SECONDS <= x <= LONGEST_SECONDS for x in lengths):
            raise ParameterError(
                f"length policy {self.kind}: {lengths} s; lengths must lie between "
                f"{SHORTEST_SECONDS} and {LONGEST_SECONDS:.0f} s"
            )
        if self.kind != "native" and self.seconds is None:
            raise ParameterError(f"length policy {self.kind}: say how many seconds")

    @classmethod
    def parse(cls, text: str) -> LengthPolicy:
        """Read `native`, `fixed:10`, `windows:10` or `windows:10:5` (seconds, hop)."""
        kind, *numbers = text.split(":")
        try:
            values = [float(number) for number in numbers]
        except ValueError as error:
            raise ParameterError(
                f"length policy {text!r}: expected native, fixed:SECONDS or windows:SECONDS[:HOP]"
            ) from error
        if len(values) > {"native": 0, "fixed": 1}.get(kind, 2):
            raise ParameterError(f"length policy {text!r}: too many numbers")
        return cls(kind, *values)  # type: ignore[arg-type]

    def __str__(self) -> str:
        numbers = [f"{x:g}" for x in (self.seconds, self.hop_seconds) if x is not None]
        return ":".join([self.kind, *numbers])

    def apply(self, waveform: Waveform, sample_rate: int) -> list[Waveform]:
        """Return the pieces of the waveform (samples,) that are encoded, each (samples,)."""
        if self.kind == "native" or self.seconds is None:
            return [waveform]
        length = round(self.seconds * sample_rate)
        if self.kind == "fixed":
            return [np.pad(waveform[:length], (0, max(0, length - len(waveform))))]
        starts = self.starts(len(waveform), sample_rate)
        return [waveform[start : start + length] for start in starts]

    def starts(self, samples: int, sample_rate: int) -> list[int]:
        """Return the first sample of each piece of a clip of that many samples."""
        if self.kind != "windows" or self.seconds is None:
            return [0]
        # A clip shorter than one window is heard as it is: padding is what "fixed" is for.
        last = max(0, samples - round(self.seconds * sample_rate))
        hop = round((self.hop_seconds or self.seconds) * sample_rate)
        return [*range(0, last, hop), last]
