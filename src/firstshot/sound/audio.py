"""An audio file, or an array with its rate, becomes a mono float32 waveform of about +-1.

Input: anything libsndfile reads (WAV of any width, FLAC, OGG, MP3, ...) with any number of channels
at any rate, or a numpy array. Output: float32 (samples,) at the requested rate, or blocks of it,
so that a recording of any length needs little memory. soxr resamples in its high quality; in blocks
it gives the same bits as at once. The channels are averaged unless one is chosen, or
near minus far, which is computed at the requested rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstshot.errors import SoundError, warn
from firstshot.memory import free_memory
from firstshot.sound.audio_file import (
    VALUES_PER_BLOCK,
    Channel,
    Waveform,
    open_audio_file,
    pick_channel,
    subtracts_far,
)
from firstshot.sound.audio_kinds import AUDIO_SUFFIXES
from firstshot.sound.checks import SampleChecks, check_rate
from firstshot.sound.length import LengthPolicy
from firstshot.sound.near_far import NEAR_FAR, Transfer, fit_transfer, subtract_far

__all__ = [
    "AUDIO_SUFFIXES",
    "Channel",
    "LengthPolicy",
    "Waveform",
    "load_waveform",
    "read_blocks",
    "stream_resampler",
]

CAREFUL_SECONDS = 600
"""After so many seconds of a recording that is held whole, the free memory is checked again."""


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
    channel : int, "mean", "near-far" or Transfer
        The channel to keep, counted from 0, the mean over channels (default), or channel 0 without
        what channel 1 explains of it: by a transfer function fitted on this recording, or by one
        that `near_far.fit_transfer` fitted at `sample_rate` or a higher rate.
    name : str, optional
        The array's name in messages.

    Raises
    ------
    SoundError
        The file is missing, is not audio, is truncated, has no samples, has NaN or infinite
        samples, lacks the channel, or is shorter than 0.1 s.

    Warns
    -----
    FirstshotWarning
        Every sample is 0, the channels cancel each other, the level is that of integers of another
        width, the rate is below `sample_rate`, or the header does not hold the file's length.

    Examples
    --------
    >>> tone = np.sin(np.arange(8000) * 0.3)
    >>> load_waveform(tone, 16000, source_rate=8000).shape
    (16000,)
    """
    notes: list[str] = []
    if isinstance(source, (str, Path)):
        blocks = read_blocks(Path(source), sample_rate, channel, notes.append)
        waveform = _join(blocks, sample_rate, str(source))
    else:
        label = name or "the array"
        rate = sample_rate if source_rate is None else source_rate
        read = partial(_of_array, source, rate, label)
        waveform = _whole(_to_mono(read, sample_rate, channel, label, notes.append))
    for note in notes:
        warn(note)
    return waveform


def read_blocks(
    path: Path,
    sample_rate: int,
    channel: Channel,
    note: Callable[[str], object],
    values_per_block: int = VALUES_PER_BLOCK,
) -> Iterator[Waveform]:
    """Yield a file's waveform, mono at `sample_rate` Hz, in blocks (samples,) of some seconds.

    Joined, the blocks are what `load_waveform` returns. After the last block `note` is called with
    each warning of `load_waveform`.

    Raises
    ------
    SoundError
        As `load_waveform`; some faults are found only when their block is read.
    """
    read = partial(_of_file, path, values_per_block=values_per_block)
    return _to_mono(read, sample_rate, channel, str(path), note)


def read_near_and_far(
    source: Path | ArrayLike, source_rate: int | None, sample_rate: int, label: str
) -> Iterator[NDArray[np.float32]]:
    """Yield channels 0 and 1 in blocks (samples, 2) at `sample_rate` Hz, for `fit_transfer`.

    Raises
    ------
    SoundError
        As `load_waveform`.
    """
    if isinstance(source, Path):
        return _of_file(source, sample_rate, NEAR_FAR, warn)
    return _of_array(source, source_rate or sample_rate, label, sample_rate, NEAR_FAR, warn)


_Read: TypeAlias = Callable[[int, Channel, Callable[[str], object]], Iterator[NDArray[np.float32]]]
"""Yields what `pick_channel` picks of a recording, at a rate in Hz, in blocks, each time anew."""


def _to_mono(
    read: _Read, sample_rate: int, channel: Channel, label: str, note: Callable[[str], object]
) -> Iterator[Waveform]:
    """Return the blocks (samples,) of a recording: those picked, or near minus far of them."""
    if not subtracts_far(channel):
        return read(sample_rate, channel, note)
    if not isinstance(channel, Transfer):
        channel = fit_transfer([read(sample_rate, channel, lambda text: None)], sample_rate)
    both = read(sample_rate, channel, note)
    return subtract_far(both, channel.at(sample_rate), lambda text: note(f"{label}: {text}"))


def _of_file(
    path: Path,
    sample_rate: int,
    channel: Channel,
    note: Callable[[str], object],
    values_per_block: int = VALUES_PER_BLOCK,
) -> Iterator[NDArray[np.float32]]:
    label = str(path)
    with open_audio_file(path) as file:
        check_rate(file.rate, sample_rate, label)
        checks = SampleChecks(label, file.rate, sample_rate, file.bits, channel)
        resample = stream_resampler(file.rate, sample_rate, 2 if subtracts_far(channel) else 1)
        picked = np.empty(0, np.float32)
        for block in file.blocks(values_per_block):
            picked = pick_channel(block, channel, label)
            checks.add(block, picked)
            if len(ready := resample(picked, False)):
                yield ready
        if len(ready := resample(picked[:0], True)):
            yield ready
        for text in [*checks.finish(), *(f"{label}: {text}" for text in file.notes)]:
            note(text)


def _join(blocks: Iterable[Waveform], sample_rate: int, label: str) -> Waveform:
    """Join the blocks, unless the free memory cannot hold them twice."""
    held, samples, checked = [], 0, CAREFUL_SECONDS * sample_rate
    for block in blocks:
        held.append(block)
        samples += len(block)
        if samples > checked:
            checked += CAREFUL_SECONDS * sample_rate
            free = free_memory()
            if free is not None and samples * block.itemsize > free:
                raise SoundError(
                    f"{label}: {samples / sample_rate / 60:.0f} min or more do not fit into the "
                    f"{free / 1e9:.1f} GB of memory that are free; cut it"
                )
    return _whole(held)


def _whole(blocks: Iterable[Waveform]) -> Waveform:
    held = list(blocks)
    return held[0] if len(held) == 1 else np.concatenate(held)


def _of_array(
    source: ArrayLike,
    rate: int,
    label: str,
    sample_rate: int,
    channel: Channel,
    note: Callable[[str], object],
) -> Iterator[NDArray[np.float32]]:
    check_rate(rate, sample_rate, label)
    samples, bits = _as_float(source, label)
    picked = pick_channel(samples, channel, label)
    checks = SampleChecks(label, rate, sample_rate, bits, channel)
    checks.add(samples, picked)
    for text in checks.finish():
        note(text)
    if rate != sample_rate:
        import soxr

        picked = soxr.resample(picked, rate, sample_rate, quality="HQ")
    yield np.ascontiguousarray(picked, dtype=np.float32)


def stream_resampler(
    rate: int, sample_rate: int, channels: int
) -> Callable[[NDArray[np.float32], bool], NDArray[np.float32]]:
    """Return a function of a block at `rate` and whether it is the last one.

    A block is (samples,) or (samples, channels). The function returns a block at `sample_rate`; the
    end of one block may come with the next.
    """
    if rate == sample_rate:
        return lambda block, last: np.ascontiguousarray(block, dtype=np.float32)
    import soxr

    stream = soxr.ResampleStream(rate, sample_rate, channels, dtype="float32", quality="HQ")

    def resample(block: NDArray[np.float32], last: bool) -> NDArray[np.float32]:
        found: NDArray[np.float32] = stream.resample_chunk(np.ascontiguousarray(block), last=last)
        return found

    return resample


def _as_float(source: ArrayLike, label: str) -> tuple[NDArray[np.float32], int | None]:
    """Return samples (samples, channels) of about +-1, and their bits for `LevelCheck`."""
    array = np.asarray(source)
    bits: int | None = None
    if array.dtype.kind == "u":
        # Silence of unsigned samples, as in 8-bit WAV, is the middle of their range.
        half = float(np.iinfo(array.dtype).max // 2 + 1)
        array, bits = (array.astype(np.float64) - half) / half, 0
    elif array.dtype.kind == "i":
        bits = np.iinfo(array.dtype).bits
        array = array / (float(np.iinfo(array.dtype).max) + 1.0)
    elif array.dtype.kind != "f":
        raise SoundError(f"{label}: samples of type {array.dtype}; expected floats or integers")
    if array.ndim not in (1, 2):
        raise SoundError(
            f"{label}: an array of shape {array.shape}; expected (samples,) or (samples, channels)"
        )
    if array.ndim == 2 and array.shape[1] > array.shape[0] > 0:
        raise SoundError(
            f"{label}: an array of shape {array.shape} has more channels than samples; expected "
            "(samples, channels), or a list of clips"
        )
    # Values too large for float32 become infinite here, and are refused later.
    with np.errstate(over="ignore"):
        samples = array.astype(np.float32)
    return samples if samples.ndim == 2 else samples[:, np.newaxis], bits
