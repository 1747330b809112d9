"""A clip's header becomes its rate, channels and length, or the fault that keeps it from a run.

Only headers are read: NaN and infinite samples are found by `dcase run` alone.
"""

from __future__ import annotations

from pathlib import Path

from firstshot.errors import SoundError
from firstshot.sound.audio_file import open_audio_file
from firstshot.sound.checks import SHORTEST_SECONDS


def read_clip_header(path: Path) -> tuple[int, int, float] | str:
    """Return sample rate, channels and seconds of a file, or why it cannot be run.

    >>> read_clip_header(Path("no.wav"))
    'does not exist; name an audio file (WAV, FLAC, OGG or MP3), or a folder of them'
    """
    try:
        with open_audio_file(path) as file:
            rate, channels, frames = file.rate, file.channels, file.frames
    except SoundError as error:
        return str(error).removeprefix(f"{path}: ")
    if frames == 0:
        return "a sound file without a sample"
    if frames < SHORTEST_SECONDS * rate:
        return f"shorter than {SHORTEST_SECONDS} s"
    return rate, channels, frames / rate
