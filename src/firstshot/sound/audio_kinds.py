"""Which files are sound, and what to do with one that cannot be read.

Input: a path. Output: words for a message; the file's content is not read.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Set
from pathlib import Path

from firstshot.disk.listing import MISSING, reason, why_no_file

AUDIO_SUFFIXES = frozenset({
    ".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff",
    ".aif", ".aifc", ".caf",
})  # fmt: skip
"""The files that are read from a folder."""

UNREAD_SUFFIXES = frozenset({
    ".m4a", ".m4b", ".m4r", ".mp4", ".aac", ".adts", ".wma", ".asf", ".amr", ".awb", ".3gp",
    ".3ga", ".3g2", ".ape", ".wv", ".tta", ".mpc", ".tak", ".ac3", ".eac3", ".dts", ".ra", ".rm",
    ".dsf", ".dff", ".mka", ".mkv", ".webm", ".weba", ".mov", ".avi", ".mts", ".au", ".snd",
    ".spx", ".voc", ".gsm", ".qcp", ".dss", ".ds2", ".raw", ".pcm",
})  # fmt: skip
"""Sound and video files that are left out of a folder, with a message."""


def conversion(path: Path) -> str:
    """Return the command that makes a WAV of any sound or video file.

    >>> conversion(Path("my call.m4a"))
    "ffmpeg -i 'my call.m4a' 'my call.wav'"
    """
    return f"ffmpeg -i {shlex.quote(str(path))} {shlex.quote(str(path.with_suffix('.wav')))}"


def way_out(path: Path) -> str:
    """Say what to do with a file that is not readable as audio.

    >>> way_out(Path("call.m4a")), way_out(Path("cut.wav"))
    ('convert it: ffmpeg -i call.m4a call.wav', 'record or convert it again')
    """
    if path.suffix.lower() in UNREAD_SUFFIXES:
        return f"convert it: {conversion(path)}"
    return "record or convert it again"


def skipped_kinds(paths: Iterable[Path], kinds: Set[str] = UNREAD_SUFFIXES) -> str:
    """Count the sound files of `kinds`, and say how to convert them; "" where there are none.

    >>> skipped_kinds([Path("a.m4a"), Path("b.M4A"), Path("c.txt"), Path("d.aac")])
    '2 .m4a, 1 .aac (convert each, as ffmpeg -i a.m4a a.wav)'
    """
    unread = [path for path in paths if path.suffix.lower() in kinds]
    if not unread:
        return ""
    counts = Counter(path.suffix.lower() for path in unread).most_common()
    listed = ", ".join(f"{count} {kind}" for kind, count in counts)
    return f"{listed} (convert each, as {conversion(Path(unread[0].name))})"


def why_unopenable(path: Path) -> str | None:
    """Say why a path cannot be opened as an audio file, and what to do; None where it can be.

    >>> why_unopenable(Path("no.wav"))
    'does not exist; name an audio file (WAV, FLAC, OGG or MP3), or a folder of them'
    """
    why = why_no_file(path)
    if why is None:
        try:
            with path.open("rb"):
                return None
        except OSError as error:
            why = f"cannot be opened ({reason(error)})"
    if why.startswith("cannot"):
        return f"{why}; check its name and its rights"
    if why in (MISSING, "is a folder"):
        why += "" if why == MISSING else ", not an audio file"
        return f"{why}; name an audio file (WAV, FLAC, OGG or MP3), or a folder of them"
    return f"{why}; record it to a WAV file and name that"
