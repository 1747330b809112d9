"""Where sound comes from: a microphone, a folder, a file, standard input, a camera.

Input: a source as a user names it. Output: an object with the members of `protocol.Source`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from firstshot.errors import ParameterError
from firstshot.live.sources.protocol import Source
from firstshot.messages import shown

KINDS = "mic, mic:NAME, folder:DIR, file:PATH, stdin, or an address such as rtsp://HOST/STREAM"


@dataclass(frozen=True)
class Sound:
    """What a source cannot know by itself.

    Attributes
    ----------
    rate : int or None
        Of raw samples, and of a microphone; None takes 16000, or the device's own.
    channels : int or None
        How many are recorded or come; None takes as many as the detector needs.
    sample_format : str
        Of raw samples.
    fast : bool
        Whether files and standard input are read as fast as they can be.
    patience : float or None
        Seconds without sound until the machine counts as blind; None is the source's own choice.
    """

    rate: int | None = None
    channels: int | None = None
    sample_format: str = "s16le"
    fast: bool = False
    patience: float | None = None


def make_source(text: str, sound: Sound, position: str = "", channels: int = 1) -> Source:
    """Return the source that a text names; it is not opened yet.

    `position` is where it stopped before a restart, `channels` how many the detector needs.

    Raises
    ------
    ParameterError
        The text names none, or a value cannot be used.
    """
    if sound.channels is None:
        sound = replace(sound, channels=channels)
    source = _make(text, sound, position)
    if sound.patience is not None and source.patience is not None:
        source.patience = sound.patience
    return source


def _make(text: str, sound: Sound, position: str) -> Source:
    from firstshot.live.sources.ffmpeg import FfmpegSource, is_url

    kind, _, rest = text.partition(":")
    channels = sound.channels or 1
    if is_url(text):
        return FfmpegSource(text)
    if kind == "mic":
        from firstshot.live.sources.microphone import Microphone

        return Microphone(rest, channels, sound.rate)
    if text == "stdin":
        from firstshot.live.sources.pcm import StandardInput

        rate = 16000 if sound.rate is None else sound.rate
        return StandardInput(rate, channels, sound.sample_format, sound.fast)
    if kind == "folder" and rest:
        from firstshot.live.sources.folder import FolderSource

        return FolderSource(Path(rest), position)
    if kind == "file" and rest:
        from firstshot.live.sources.file import FileSource

        return FileSource(Path(rest), sound.fast)
    raise ParameterError(f"input {shown(text)}: expected {KINDS}")


__all__ = ["KINDS", "Sound", "make_source"]
