"""Which files are taken for sound, and what to do with one that cannot be read.

Input: a path. Output: words for a message; nothing of the file's content is looked at.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from firstshot.folders import MISSING, reason, why_no_file

AUDIO_SUFFIXES = frozenset(
    {
        ".wav",
        ".wave",
        ".bwf",
        ".rf64",
        ".w64",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".mp3",
        ".aiff",
        ".aif",
        ".aifc",
        ".caf",
    }
)
"""What is read of a folder."""

UNREAD_SUFFIXES = frozenset(
    {
        ".m4a",
        ".m4b",
        ".m4r",
        ".mp4",
        ".aac",
        ".adts",
        ".wma",
        ".asf",
        ".amr",
        ".awb",
        ".3gp",
        ".3ga",
        ".3g2",
        ".ape",
        ".wv",
        ".tta",
        ".mpc",
        ".tak",
        ".ac3",
        ".eac3",
        ".dts",
        ".ra",
        ".rm",
        ".dsf",
        ".dff",
        ".mka",
        ".mkv",
        ".webm",
        ".weba",
        ".mov",
        ".avi",
        ".mts",
        ".au",
        ".snd",
        ".spx",
        ".voc",
        ".gsm",
        ".qcp",
        ".dss",
        ".ds2",
    }
)
"""Sound and video that a folder's reader leaves out, and says so."""


def way_out(path: Path) -> str:
    """Say what to do with a file that is not readable as audio.

    >>> way_out(Path("my call.m4a"))
    "convert it: ffmpeg -i 'my call.m4a' 'my call.wav'"
    >>> way_out(Path("cut.wav"))
    'record or convert it again'
    """
    if path.suffix.lower() not in UNREAD_SUFFIXES:
        return "record or convert it again"
    names = (shlex.quote(str(name)) for name in (path, path.with_suffix(".wav")))
    return "convert it: ffmpeg -i " + " ".join(names)


def skipped_kinds(paths: Iterable[Path]) -> str:
    """Count the sound files that are not read, by kind, with the way out; "" where there are none.

    >>> skipped_kinds([Path("a.m4a"), Path("b.M4A"), Path("c.txt"), Path("d.aac")])
    '2 .m4a, 1 .aac (convert each, as ffmpeg -i a.m4a a.wav)'
    """
    unread = [path for path in paths if path.suffix.lower() in UNREAD_SUFFIXES]
    if not unread:
        return ""
    kinds = Counter(path.suffix.lower() for path in unread).most_common()
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds)
    return f"{listed} (convert each, as {way_out(Path(unread[0].name)).partition(': ')[2]})"


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
