"""Why a file cannot be read as audio, in plain words, and what to do about it.

Input: a file that libsndfile refused, and its error. Output: the reason and the advice of a
message. Most such files are no audio or have a damaged header. Their first bytes show this better
than the library's error texts, which name its internals.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from firstshot.sound.audio_kinds import UNREAD_SUFFIXES, way_out
from firstshot.sound.headers.promise import ByteOrder, chunks, read_promise

AGAIN = "expected WAV, FLAC, OGG or MP3, record or convert it again"
CONVERT = "convert it to WAV (ffmpeg -i FILE -c:a pcm_s16le NEW.wav)"
FROM_RAW = "convert it to WAV (ffmpeg -f s16le -ar RATE -ac CHANNELS -i FILE NEW.wav)"

_KINDS: tuple[tuple[tuple[bytes, ...], str, str], ...] = (
    ((b"<!doctype", b"<html", b"<?xml"), "it is a web page", "download the recording again"),
    ((b"version https://git-lfs",), "it is a Git LFS pointer", "run `git lfs pull` for the sound"),
    ((b"\x00\x05\x16\x07",), "it holds macOS file attributes, not sound", "leave it out"),
    ((b"pk\x03\x04", b"\x1f\x8b", b"7z\xbc\xaf", b"rar!"), "it is an archive", "unpack it"),
    ((b"bw64",), "BW64 is not supported", CONVERT),
    ((b"id3",), "an ID3 tag without MP3 frames after it", AGAIN),
)
_BY_CODE = {
    1: ("its first bytes are of no audio format that is supported", AGAIN),
    4: ("its codec is not supported", CONVERT),
    17: ("not enough memory", "close other programs or cut the recording"),
    18: ("its codec is not supported", CONVERT),
    39: ("its codec cannot be read a part at a time", CONVERT),
    78: ("its codec, WavPack, is not supported", CONVERT),
    117: ("it holds several sounds", CONVERT),
}
WAV_TAGS = {1, 2, 3, 6, 7, 0x11, 0x14, 0x31, 0x38, 0x40, 0x42, 0xFFFE}
"""Format tags of WAV that libsndfile reads; an MP3 in a WAV only if its header is whole."""
_DAMAGED = "its header is damaged or cut", AGAIN
_FLAC_CODES = range(155, 162)


def explain_unreadable(path: Path, error: Exception) -> tuple[str, str]:
    """Return the reason why a file is not readable as audio, and what to do.

    Parameters
    ----------
    path : Path
        The file.
    error : Exception
        What soundfile raised; its `code` is libsndfile's.
    """
    if isinstance(error, TypeError):  # soundfile needs more arguments for a name that ends in .raw
        return "samples without a header that gives rate and format", FROM_RAW
    try:
        with path.open("rb") as raw:
            head = raw.read(64)
        if not head:
            return "it is an empty file", "copy or record it again"
        for magics, reason, advice in _KINDS:
            if head.lstrip().lower().startswith(magics):
                return reason, advice
        promise = read_promise(path)
        if promise is not None and promise.cut:
            return f"truncated, {promise.missing(0)}", "copy or record it again"
        if head[:4] in (b"RIFF", b"RIFX", b"RF64") and (fault := _fault_of_wav(path)):
            return fault
    except OSError as failure:
        return failure.strerror or "it cannot be opened", "check the disk and the file's rights"
    if path.suffix.lower() in UNREAD_SUFFIXES:
        return "its format is not supported", way_out(path)
    code: Any = getattr(error, "code", None)
    if code in _FLAC_CODES:
        return "its FLAC stream is truncated or damaged", "copy or record it again"
    return _BY_CODE.get(code, _DAMAGED)


def _fault_of_wav(path: Path) -> tuple[str, str] | None:
    """Return what is wrong with the chunks of a WAV, and advice, or None where nothing is wrong."""
    with path.open("rb") as raw:
        head = raw.read(12)
        order: ByteOrder = "big" if head[:4] == b"RIFX" else "little"
        found = list(chunks(raw, order))
        names = [name for name, _, _ in found]
        fmt = b""
        if b"fmt " in names:
            raw.seek(found[names.index(b"fmt ")][1])
            fmt = raw.read(16)
    tag, channels = (int.from_bytes(fmt[at : at + 2], order) for at in (0, 2))
    rate = int.from_bytes(fmt[4:8], order)
    faults = (
        (head[8:] != b"WAVE", "a RIFF file that is not a WAV"),
        (b"fmt " not in names, "it has no 'fmt ' chunk, which holds rate and channels"),
        (b"data" not in names, "it has no 'data' chunk, which holds the sound"),
        (not channels or not rate, f"its header says {rate} Hz and {channels} channels"),
        (
            _first(names, b"data") < _first(names, b"fmt "),
            "its 'data' chunk comes before its 'fmt ' chunk",
        ),
        (names.count(b"data") > 1, f"it has {names.count(b'data')} 'data' chunks, expected one"),
    )
    for there, fault in faults:
        if there:
            return fault, AGAIN
    if tag not in WAV_TAGS:
        return f"its codec (WAV format tag 0x{tag:04x}) is not supported", CONVERT
    return None


def _first(names: list[bytes], name: bytes) -> int:
    return names.index(name) if name in names else len(names)
