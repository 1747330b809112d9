"""An audio file, at the speed it was recorded at or as fast as it can be read."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path

from firstshot.live.sources.protocol import Chunk, SourceEndedError
from firstshot.live.sources.reading import read_chunks


class FileSource:
    """One audio file.

    Parameters
    ----------
    path : Path
        The file.
    fast : bool
        Whether it is read as fast as it can be; its times then count from its beginning. Otherwise
        it is played, and its sound comes now.
    """

    patience: float | None = None
    position = ""
    can_reopen = False

    def __init__(self, path: Path, fast: bool = False) -> None:
        self.name = str(path)
        self._path = path
        self._fast = fast
        self._chunks: Generator[Chunk] | None = None
        self._due = 0.0

    def open(self) -> None:
        """Begin at the beginning.

        Raises
        ------
        SoundError
            It is missing, damaged or no sound.
        """
        chunks = read_chunks(self._path)
        first = [next(chunks)]  # a file that cannot be read is refused here
        self._chunks = (one for part in (first, chunks) for one in part)
        self._due = time.monotonic()

    def read(self, seconds: float) -> Chunk | None:
        """Return the next chunk once it is due."""
        wait = self._due - time.monotonic()
        if not self._fast and wait > seconds:
            time.sleep(seconds)
            return None
        chunk = None if self._chunks is None else next(self._chunks, None)
        if chunk is None:
            raise SourceEndedError
        if self._fast:
            return chunk
        time.sleep(max(0.0, wait))
        self._due += len(chunk.samples) / chunk.rate
        return Chunk(chunk.samples, chunk.rate)

    def close(self) -> None:
        """Close the file."""
        if self._chunks is not None:
            self._chunks.close()
            self._chunks = None
