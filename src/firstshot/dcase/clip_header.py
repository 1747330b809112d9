"""A clip's header becomes its rate, channels and length, or the fault that keeps it from a run.

Only headers are read: NaN and infinite samples are found by `dcase run` alone.
"""

from __future__ import annotations

import os
from pathlib import Path

from firstshot.sound.audio import SHORTEST_SECONDS
from firstshot.sound.audio_file import frames_promised
from firstshot.sound.audio_kinds import why_unopenable


def read_clip_header(path: Path) -> tuple[int, int, float] | str:
    """Return sample rate, channels and seconds of a file, or why it cannot be run.

    >>> read_clip_header(Path("no.wav"))
    'does not exist; name an audio file (WAV, FLAC, OGG or MP3), or a folder of them'
    """
    import soundfile

    why = why_unopenable(path)
    if why is not None:
        return why
    try:
        if path.stat().st_size == 0:
            return "an empty file"
        with soundfile.SoundFile(os.fsencode(path)) as file:
            frames, promised = int(file.frames), frames_promised(path, file)
            rate, channels = int(file.samplerate), int(file.channels)
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return f"not readable as sound ({reason})"
    if frames == 0:
        return "a sound file without a sample"
    if frames < promised:
        return f"truncated, {frames} of {promised} samples there"
    if frames < SHORTEST_SECONDS * rate:
        return f"shorter than {SHORTEST_SECONDS} s"
    return rate, channels, frames / rate
