"""What an audio file's header promises, compared with what the file holds.

Input: the path of an audio file. Output: a `Promise`, or None where the header has no length.
libsndfile reads a truncated file, or one that is still being written, without an error, so a part
would be scored as the whole. Therefore this module reads the numbers that give the length of the
sound: of WAV, RF64, W64, AIFF, 8SVX, AU, CAF, NIST, AVR, VOC, WVE and OGG files; `mp3_frames` reads
the frames of an MP3. For FLAC, libsndfile's count is the header's. IRCAM, PAF and PVF headers have
no length; those of MAT, MPC2K and XI files are not read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

from firstshot.sound.headers.mp3_frames import count_mp3_frames

ByteOrder: TypeAlias = Literal["little", "big"]

STREAMED = 0x7FFFF000
"""A 32-bit length from this size on means that the recorder did not know the length."""
PLAIN_TAGS = {1, 3, 6, 7}
"""WAV format tags whose samples have a fixed size: integers, floats, A-law, u-law."""
ADPCM_TAGS = {0x02, 0x11}
BLOCK = 320
"""Samples of a block of GSM 6.10, the longest of the codecs whose header does not say."""
DENSEST = 64
"""No codec of these formats puts more samples into a byte: a larger count is wrong."""
EXTENSIBLE_TAG = 0xFFFE
MPEG_TAGS = {0x50, 0x55}
W64_GUID_END = bytes.fromhex("f3acd3118cd100c04f8edb8a")
OGG_PAGE = 65307
"""Bytes of the largest OGG page."""
MOST_CHUNKS = 10_000
"""After so many chunks without sound the search for it ends."""
NO_LENGTH = "its header does not say how long it is"


@dataclass(frozen=True)
class Promise:
    """What a header says about the sound.

    Attributes
    ----------
    present : int
        Bytes of sound that are in the file.
    size : int or None
        Bytes of sound that the header announces, where it does.
    frames : int or None
        Samples per channel that the header announces, where it does.
    slack : int
        How many of `frames` a complete file may lack, as a codec rounds to blocks.
    fault, doubt : str or None
        Any other sign, in words, that the end is missing: certainly, or possibly.
    counted : str
        The end of a message that compares `frames` with what can be read.
    """

    present: int = 0
    size: int | None = None
    frames: int | None = None
    slack: int = 0
    fault: str | None = None
    doubt: str | None = None
    counted: str = "its header promises are there"

    @property
    def cut(self) -> bool:
        """Whether the sound ends before the header says so, whatever can be read of it."""
        return self.fault is not None or (self.size is not None and self.size > self.present)

    def missing(self, found: int) -> str | None:
        """Say what is missing of a file in which `found` samples per channel can be read, or None.

        >>> Promise(present=80, size=100).missing(40)
        '80 of the 100 bytes of sound its header promises are there'
        """
        if self.fault is not None:
            return self.fault
        promised = self.frames or 0
        if promised > found + (0 if self.cut else self.slack):
            return f"{found} of the {promised} samples {self.counted}"
        if self.cut:
            return f"{self.present} of the {self.size} bytes of sound its header promises are there"
        return None


def read_promise(path: Path) -> Promise | None:
    """Return what the header of a file promises, None where it has no length.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    with path.open("rb") as raw:
        total = raw.seek(0, os.SEEK_END)
        head = _at(raw, 0, 12)
        for magics, read in _READERS:
            if head.startswith(magics):
                return read(raw, head, total)
    return None


def _wav(raw: BinaryIO, head: bytes, total: int) -> Promise | None:
    order: ByteOrder = "big" if head[:4] == b"RIFX" else "little"
    wide = head[:4] in (b"RF64", b"BW64")
    fmt, fact, long_size = b"", 0, 0
    for name, start, size in chunks(raw, order):
        if name == b"ds64":
            long_size = int.from_bytes(_at(raw, start + 8, 8), "little")
        elif name == b"fmt ":
            fmt = _at(raw, start, min(size, 40))
        elif name == b"fact":
            fact = int.from_bytes(_at(raw, start, 4), order)
        elif name == b"data":
            size = long_size if wide and size == 0xFFFFFFFF else size
            unknown = size == 0 or size >= (1 << 62 if wide else STREAMED)
            promise = _wav_data(fmt, order, None if unknown else size, fact, total - start)
            if not unknown and _has_more(raw, start + size):
                return replace(promise, doubt="more sound follows than its header says")
            return promise
    return None


def _has_more(raw: BinaryIO, end: int) -> bool:
    """Tell whether bytes follow the samples that are neither a chunk nor zeros."""
    after = _at(raw, end, 64)
    names = after[:4], after[1:5]
    return len(after) > 8 and any(after) and not any(_is_name(name) for name in names)


def _wav_data(fmt: bytes, order: ByteOrder, size: int | None, fact: int, present: int) -> Promise:
    """Return the promise of a WAV's fmt, data and fact chunks."""
    tag, channels, align = (int.from_bytes(fmt[at : at + 2], order) for at in (0, 2, 12))
    tag = int.from_bytes(fmt[24:26], order) if tag == EXTENSIBLE_TAG else tag
    plain = tag in PLAIN_TAGS
    frames = None
    if plain and align and size is not None:
        frames = size // align
        size = frames * align  # an incomplete frame at the end is no loss
    doubt = NO_LENGTH if size is None and present > 0 else None
    if _is_count(fact, size) and tag not in MPEG_TAGS:
        if frames is None:
            frames, doubt = fact, None
        elif fact > frames and fact not in {size, frames * channels}:
            # Some recorders write the samples of all channels, or the bytes, into `fact`.
            doubt = f"its fact chunk counts {fact} samples, its data chunk holds {frames}"
    block = int.from_bytes(fmt[18:20], order) if tag in ADPCM_TAGS else BLOCK
    return Promise(present, size, frames, 0 if plain else block, doubt=doubt)


def _w64(raw: BinaryIO, head: bytes, total: int) -> Promise | None:
    place, frames = 40, 0
    for _ in range(MOST_CHUNKS):
        header = _at(raw, place, 24)
        size = int.from_bytes(header[16:], "little") - 24
        ours = header[4:16] == W64_GUID_END
        if ours and header[:4] == b"fact":
            frames = int.from_bytes(_at(raw, place + 24, 8), "little")
        elif ours and header[:4] == b"data":
            present, unknown = total - place - 24, size <= 0 or size >= 1 << 62
            if unknown:
                return Promise(present, doubt=NO_LENGTH if present > 0 else None)
            return Promise(present, size, frames if _is_count(frames, size) else None, BLOCK)
        if size < 0 or len(header) < 24:
            return None
        place += (24 + size + 7) // 8 * 8
    return None


def _form(raw: BinaryIO, head: bytes, total: int) -> Promise | None:
    """Read AIFF and AIFC (COMM and SSND), and 8SVX and 16SV (BODY)."""
    frames = None
    for name, start, size in chunks(raw, "big"):
        if name == b"COMM":
            frames = int.from_bytes(_at(raw, start + 2, 4), "big") or None
        elif name in (b"SSND", b"BODY"):
            # Eight bytes of offset and block size come before the samples of an AIFF.
            before = 8 if name == b"SSND" else 0
            present, unknown = total - start - before, size <= before or size >= STREAMED
            doubt = NO_LENGTH if unknown and frames is None and present > 0 else None
            slack = BLOCK if head[8:] == b"AIFC" else 0
            return Promise(present, None if unknown else size - before, frames, slack, doubt=doubt)
    return None


def _au(raw: BinaryIO, head: bytes, total: int) -> Promise:
    order: ByteOrder = "big" if head[:4] == b".snd" else "little"
    start, size = (int.from_bytes(head[at : at + 4], order) for at in (4, 8))
    unknown = size == 0 or size >= STREAMED
    doubt = NO_LENGTH if unknown and total > start else None
    return Promise(total - start, None if unknown else size, doubt=doubt)


def _caf(raw: BinaryIO, head: bytes, total: int) -> Promise:
    place = 8
    for _ in range(MOST_CHUNKS):
        header = _at(raw, place, 12)
        if len(header) < 12:
            break
        size = int.from_bytes(header[4:], "big", signed=True)
        if header[:4] == b"data" and size > 4:
            # Four bytes that count edits come before the samples.
            return Promise(total - place - 16, size - 4)
        if header[:4] == b"data" or size < 0 or not _is_name(header[:4]):
            return Promise(total - place, doubt=NO_LENGTH)
        place += 12 + size
    return Promise(fault="it ends before its sound begins")


def _nist(raw: BinaryIO, head: bytes, total: int) -> Promise | None:
    found = re.search(rb"sample_count -i (\d{1,15})\b", _at(raw, 0, 1024))
    return _counted(int(found[1]), total - 1024) if found else None


def _avr(raw: BinaryIO, head: bytes, total: int) -> Promise:
    return _counted(int.from_bytes(_at(raw, 26, 4), "big"), total - 128)


def _wve(raw: BinaryIO, head: bytes, total: int) -> Promise:
    return _counted(int.from_bytes(_at(raw, 18, 4), "big"), total - 32)


def _counted(frames: int, present: int) -> Promise:
    """Return the promise of a header that counts samples, 0 until the recording ends."""
    doubt = NO_LENGTH if frames == 0 and present > 0 else None
    return Promise(present, frames=frames or None, doubt=doubt)


def _voc(raw: BinaryIO, head: bytes, total: int) -> Promise | None:
    """Read a VOC file's first block of sound (types 1 and 9); size and samples follow its type."""
    place = int.from_bytes(_at(raw, 20, 2), "little")
    for _ in range(MOST_CHUNKS):
        header = _at(raw, place, 4)
        if len(header) < 4 or not header[0]:
            break
        size = int.from_bytes(header[1:], "little")
        if header[0] in (1, 9):
            return Promise(total - place - 4, size)
        place += 4 + size
    return None


def _ogg(raw: BinaryIO, head: bytes, total: int) -> Promise:
    tail = _at(raw, max(0, total - OGG_PAGE), OGG_PAGE)
    page = tail[max(0, tail.rfind(b"OggS")) :]
    segments = page[26] if len(page) > 26 else 0
    whole = 27 + segments + sum(page[27 : 27 + segments])
    if len(page) < max(28, whole) or page[:4] != b"OggS":
        return Promise(fault="its last OGG page is cut")
    if not page[5] & 4:
        return Promise(doubt="its last OGG page is not marked as the end")
    return Promise()


def _mp3(raw: BinaryIO, head: bytes, total: int) -> Promise | None:
    counted = count_mp3_frames(raw)
    if counted is None or counted.indexed:
        return None
    fault = "its last MP3 frame is cut" if counted.cut else None
    # A decoder may leave out its delay, and the frame for an index.
    can_be_read = (
        "of its frames can be read, as it has no index: convert it (ffmpeg -i FILE NEW.wav)"
    )
    return Promise(frames=counted.samples, slack=4 * 1152, fault=fault, counted=can_be_read)


_READERS: tuple[tuple[tuple[bytes, ...], Callable[[BinaryIO, bytes, int], Promise | None]], ...] = (
    ((b"RIFF", b"RIFX", b"RF64", b"BW64"), _wav),
    ((b"riff\x2e\x91\xcf\x11",), _w64),
    ((b"FORM",), _form),
    ((b".snd", b"dns."), _au),
    ((b"caff",), _caf),
    ((b"NIST_1A",), _nist),
    ((b"2BIT",), _avr),
    ((b"ALawSoundFi",), _wve),
    ((b"Creative Voi",), _voc),
    ((b"OggS",), _ogg),
    ((b"ID3", *(bytes([0xFF, second]) for second in range(0xE0, 0x100))), _mp3),
)


def chunks(raw: BinaryIO, order: ByteOrder) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, first byte and size of every chunk of a RIFF or FORM file."""
    place = 12
    for _ in range(MOST_CHUNKS):
        header = _at(raw, place, 8)
        if len(header) < 8 or not _is_name(header[:4]):
            return
        size = int.from_bytes(header[4:], order)
        yield header[:4], place + 8, size
        place += 8 + size + size % 2


def _is_count(frames: int, size: int | None) -> bool:
    return 0 < frames < (STREAMED if size is None else size * DENSEST)


def _is_name(name: bytes) -> bool:
    return all(32 <= byte < 127 for byte in name)


def _at(raw: BinaryIO, place: int, count: int) -> bytes:
    if place >= 1 << 62:  # from a damaged length
        return b""
    raw.seek(place)
    return raw.read(count)
