"""An audio file becomes chunks of sound with times; ffmpeg decodes what libsndfile cannot."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from firstshot.errors import MissingLibraryError, SoundError, warn
from firstshot.live.sources.pcm import BLOCK_SECONDS
from firstshot.live.sources.protocol import Chunk
from firstshot.messages import shown
from firstshot.sound.audio_file import UNFINISHED, open_audio_file
from firstshot.sound.audio_kinds import UNREAD_SUFFIXES

QUIET = ("-nostdin", "-hide_banner", "-loglevel", "error")


def read_chunks(path: Path) -> Generator[Chunk]:
    """Yield a file's sound in chunks; the recording ended when the file was last changed.

    Raises
    ------
    SoundError
        It is missing, damaged, no sound, or has no samples.
    MissingLibraryError
        It is of a format that ffmpeg decodes, which is not installed.
    """
    if not _needs_ffmpeg(path):
        yield from _read(path, path)
        return
    with TemporaryDirectory(prefix="firstshot-") as folder:
        wave = Path(folder) / "decoded.wav"
        _decode(path, wave)
        yield from _read(wave, path)


def is_unfinished(path: Path) -> bool:
    """Tell whether a header says that a file is being written; some recorders never end it."""
    try:
        with open_audio_file(path) as file:
            return file.promise.doubt is not None
    except SoundError as error:
        return UNFINISHED in str(error)


def _needs_ffmpeg(path: Path) -> bool:
    """Tell whether libsndfile cannot read a file that ffmpeg can."""
    if path.suffix.lower() in UNREAD_SUFFIXES:
        return True
    if not path.is_file() or not is_ffmpeg_installed() or not is_unfinished(path):
        return False
    try:
        with open_audio_file(path) as file:
            return file.frames == 0
    except SoundError:
        return True


def is_ffmpeg_installed() -> bool:
    """Tell whether ffmpeg is on this machine."""
    return shutil.which("ffmpeg") is not None


def ffmpeg_program(wanted_for: str) -> str:
    """Return the path of ffmpeg; `wanted_for` is for the message where it is missing."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise MissingLibraryError(
            f"{shown(wanted_for)} needs the program ffmpeg; install it (apt install ffmpeg)"
        )
    return program


def _read(readable: Path, original: Path) -> Generator[Chunk]:
    """Yield the chunks of a file that may stand for another one, whose time counts."""
    with open_audio_file(readable) as file:
        count, rate = 0, file.rate
        ended = datetime.fromtimestamp(original.stat().st_mtime, UTC)
        started = ended - timedelta(seconds=file.frames / rate)
        for block in file.blocks(max(1, round(BLOCK_SECONDS * rate)) * file.channels):
            count += len(block)
            yield Chunk(block, rate, started + timedelta(seconds=count / rate))
        if not count:
            raise SoundError(f"{original}: has no samples; record it again or leave it out")
        for note in file.notes:
            warn(f"{original}: {note}")


def _decode(path: Path, wave: Path) -> None:
    """Write any file's sound to a WAV file."""
    if not path.is_file():
        raise SoundError(f"{path}: does not exist; name a file of sound")
    unknown = ["-ignore_length", "1"] if path.suffix.lower() in (".wav", ".wave") else []
    done = subprocess.run(
        [ffmpeg_program(str(path)), *QUIET, *unknown, "-i", f"file:{path}", "-vn", str(wave)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        why = shown(said[-1]) if said else f"status {done.returncode}"
        raise SoundError(f"{path}: ffmpeg cannot decode it ({why}); record or convert it again")
