"""The frames of an MP3 file, read from header to header.

Input: an MP3 file. Output: how many samples its frames hold, whether the last one is cut, and
whether it has an index (Xing, Info or VBRI), which holds its length. Without an index libsndfile
estimates the length from the size and the first frames' bit rate, and reads no further. Source of
the tables: ISO/IEC 11172-3 and 13818-3, layer III.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from typing import BinaryIO

KILOBITS = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
)
"""Bit rates of MPEG 1, and of MPEG 2 and 2.5."""
RATES = (44100, 48000, 32000)
DIVISORS = {3: 1, 2: 2, 0: 4}
"""Divisors of the rates in MPEG 1, 2 and 2.5, by the header's version bits."""
FEWEST = 4
"""So many frames in a row are an MP3 and no accident."""
SEARCHED = 1 << 16


@dataclass(frozen=True)
class Mp3Frames:
    """`samples` per channel of all frames, whether the last is `cut`, whether there is an index."""

    samples: int
    cut: bool
    indexed: bool


def count_mp3_frames(raw: BinaryIO) -> Mp3Frames | None:
    """Count the samples in the frames of a file; None where no frames follow each other."""
    total = raw.seek(0, os.SEEK_END)
    if total < 4:
        return None
    with mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as data:
        # An ID3v1 tag is the last 128 bytes.
        end = total - 128 if data[total - 128 : total - 125] == b"TAG" else total
        place = _first_frame(data, end)
        if place is None:
            return None
        first = data[place : place + 200]
        indexed = any(mark in first for mark in (b"Xing", b"Info", b"VBRI"))
        samples = 0
        while (frame := _frame(data, place)) is not None and place < end:
            length, of_frame = frame
            if place + length > end:
                return Mp3Frames(samples, True, indexed)
            samples, place = samples + of_frame, place + length
    return Mp3Frames(samples, False, indexed)


def _first_frame(data: mmap.mmap, end: int) -> int | None:
    """Return where `FEWEST` frames follow each other, after an ID3v2 tag if there is one."""
    place = 0
    if data[:3] == b"ID3":
        place = 10 + sum((byte & 0x7F) << 7 * i for i, byte in enumerate(reversed(data[6:10])))
    last = min(end, place + SEARCHED)
    while 0 <= place < last:
        at, count = place, 0
        while count < FEWEST and (frame := _frame(data, at)) is not None:
            at, count = at + frame[0], count + 1
        if count == FEWEST:
            return place
        place = data.find(b"\xff", place + 1)
    return None


def _frame(data: mmap.mmap, place: int) -> tuple[int, int] | None:
    """Return bytes and samples of the layer III frame that begins there, or None.

    >>> _frame(bytes([0xFF, 0xFB, 0x90, 0x00]), 0)
    (417, 1152)
    """
    header = data[place : place + 4]
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return None
    divisor = DIVISORS.get(header[1] >> 3 & 3)
    kilobits = KILOBITS[divisor != 1][header[2] >> 4]
    if divisor is None or not kilobits or header[2] >> 2 & 3 == 3:
        return None
    samples = 1152 if divisor == 1 else 576
    rate = RATES[header[2] >> 2 & 3] // divisor
    return samples * 125 * kilobits // rate + (header[2] >> 1 & 1), samples
