"""A clip of any length as the pieces that an encoder gets, in bounded memory.

Input: the waveform's blocks, which can be read again, and a length policy. Output: a `Recording`:
the hash of all samples, and the pieces. A clip of up to ten minutes is held in memory. A longer one
is read a second time for its windows, so hours need no more memory than minutes. Only with the
policy `native`, in one piece, a clip of any length is held.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from firstshot.errors import SoundError
from firstshot.sound.audio_file import Waveform
from firstshot.sound.length import LengthPolicy

HELD_SECONDS = 600.0


@dataclass(frozen=True)
class Recording:
    """A clip that has been read once.

    Attributes
    ----------
    samples : int
        Number of samples at `sample_rate`.
    digest : str
        Hex SHA-256 of all of them, as little-endian float32.
    held : float32 (samples,) or None
        The part of the waveform that the length policy uses; None where it is too long to be held.
    read : callable
        Returns the waveform's blocks (samples,), the same each time.
    """

    samples: int
    digest: str
    sample_rate: int
    length: LengthPolicy
    held: Waveform | None
    read: Callable[[], Iterable[Waveform]]

    @property
    def starts(self) -> list[int]:
        """First sample of each piece."""
        return self.length.starts(self.samples, self.sample_rate)

    @property
    def piece_samples(self) -> int:
        """Samples of each piece."""
        return self.length.piece_samples(self.samples, self.sample_rate)

    def pieces(self) -> Iterator[Waveform]:
        """Yield the pieces (samples,) that are encoded, in order."""
        if self.held is not None:
            yield from self.length.apply(self.held, self.sample_rate)
        else:
            yield from _cut(self.read(), self.starts, self.piece_samples)


def record(
    read: Callable[[], Iterable[Waveform]],
    sample_rate: int,
    length: LengthPolicy,
    check: Callable[[int], object] = lambda samples: None,
    held_seconds: float = HELD_SECONDS,
) -> Recording:
    """Read a clip once: hash it, and hold its waveform unless it is too long.

    Parameters
    ----------
    read : callable
        Returns the waveform's blocks (samples,), the same each time.
    check : callable
        Called now and then while a long clip is read in one piece, with its samples so far; an
        error that it raises ends the reading.
    held_seconds : float
        A longer clip is not held, but read again for its windows.

    Examples
    --------
    >>> clip = np.arange(4, dtype=np.float32)
    >>> recording = record(lambda: [clip[:3], clip[3:]], 16000, LengthPolicy())
    >>> recording.samples, [piece.tolist() for piece in recording.pieces()]
    (4, [[0.0, 1.0, 2.0, 3.0]])
    """
    held_samples = round(held_seconds * sample_rate)
    start = length.piece_samples(held_samples, sample_rate)  # all that "fixed" uses
    digest, samples, checked = hashlib.sha256(), 0, held_samples
    held: list[Waveform] | None = []
    for block in read():
        digest.update(np.ascontiguousarray(block, dtype="<f4").data)
        if held is not None and (length.kind != "fixed" or samples < start):
            held.append(block)
        samples += len(block)
        if length.kind == "windows" and samples > held_samples:
            held = None
        elif length.kind == "native" and samples > checked:
            check(samples)
            checked += held_samples // 10
    waveform = None
    if held is not None:
        waveform = held[0] if len(held) == 1 else np.concatenate([*held, np.empty(0, np.float32)])
    return Recording(samples, digest.hexdigest(), sample_rate, length, waveform, read)


def _cut(blocks: Iterable[Waveform], starts: Iterable[int], samples: int) -> Iterator[Waveform]:
    """Yield the pieces of that many samples that begin at `starts`, which ascend."""
    source = iter(blocks)
    buffer, first = np.empty(0, np.float32), 0
    for start in starts:
        skipped = min(start - first, len(buffer))
        parts, first = [buffer[skipped:]], first + skipped
        end = first + len(parts[0])
        while end < start + samples:
            block = next(source, None)
            if block is None:
                raise SoundError("the recording became shorter while it was read; score it again")
            end += len(block)
            if end <= start:
                parts, first = [], end
            else:
                parts.append(block)
        buffer = parts[0] if len(parts) == 1 else np.concatenate(parts)
        # A copy: a view would keep the whole buffer in memory.
        yield buffer[start - first : start - first + samples].copy()
