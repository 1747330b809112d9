"""Raw samples from a pipe, such as standard input or a program's output."""

from __future__ import annotations

import os
import select
import sys
import time
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import ParameterError
from firstshot.live.sources.protocol import Chunk, SourceEndedError
from firstshot.messages import choose_one_of
from firstshot.numbers import check_whole

FORMATS: Final = {"s16le": "<i2", "s32le": "<i4", "f32le": "<f4"}
"""Sample formats by ffmpeg's and arecord's names."""
BLOCK_SECONDS = 0.5
LIVE_PATIENCE = 20.0
"""Seconds without sound after which something is wrong with a source that never pauses."""


class RawPipe:
    """Reads chunks of raw samples from an open file.

    Parameters
    ----------
    handle : int
        The file's number.
    rate, channels : int
        Of the samples.
    sample_format : str
        A key of `FORMATS`.
    """

    def __init__(self, handle: int, rate: int, channels: int, sample_format: str) -> None:
        self.rate = rate
        self._handle = handle
        self._channels = channels
        self._type = np.dtype(FORMATS[sample_format])
        self._frame = self._type.itemsize * channels
        self._rest = b""

    def read(self, seconds: float) -> Chunk | None:
        """Return what has come, None where nothing comes within some seconds.

        Raises
        ------
        SourceEndedError
            The other side has closed the pipe.
        """
        wanted = max(1, round(BLOCK_SECONDS * self.rate)) * self._frame
        end = time.monotonic() + seconds
        while len(self._rest) < wanted:
            if not is_ready(self._handle, end - time.monotonic()):
                break
            data = os.read(self._handle, wanted - len(self._rest))
            if not data:
                if len(self._rest) < self._frame:
                    raise SourceEndedError
                break
            self._rest += data
        whole = len(self._rest) // self._frame * self._frame
        if not whole:
            return None
        data, self._rest = self._rest[:whole], self._rest[whole:]
        return Chunk(as_floats(np.frombuffer(data, self._type), self._channels), self.rate)


def as_floats(samples: NDArray[Any], channels: int) -> NDArray[np.float32]:
    """Return samples of any format as float32 (samples, channels) of about +-1."""
    scale = 1.0
    if samples.dtype.kind == "i":
        scale = 1.0 / (float(np.iinfo(samples.dtype).max) + 1.0)
    return (samples.astype(np.float32) * np.float32(scale)).reshape(-1, channels)


def is_ready(handle: int, seconds: float) -> bool:
    """Tell whether an open file has something to read within some seconds."""
    if sys.platform == "win32":  # select takes sockets only there
        return True
    return bool(select.select([handle], [], [], max(0.0, seconds))[0])


class StandardInput:
    """Raw samples on standard input.

    Parameters
    ----------
    rate, channels, sample_format
        As `RawPipe` takes them.
    fast : bool
        Whether the samples come as fast as they are read: then a pause is no fault, and time is
        counted in samples.

    Raises
    ------
    ParameterError
        A value is out of range, or the format is not known.
    """

    name = "stdin"
    position = ""
    can_reopen = False

    def __init__(self, rate: int, channels: int, sample_format: str, fast: bool = False) -> None:
        check_whole("rate", rate, 100, 1_000_000)
        check_whole("channels", channels, 1, 64)
        if sample_format not in FORMATS:
            raise ParameterError(
                f"sample format {sample_format!r}: {choose_one_of(sample_format, FORMATS)}"
            )
        self.patience = None if fast else LIVE_PATIENCE
        self._pipe = RawPipe(0, rate, channels, sample_format)

    def open(self) -> None:
        """Begin."""
        if os.isatty(0):
            raise ParameterError(
                "stdin: is a terminal; send raw samples to it, as: arecord -t raw -f S16_LE "
                "-r 16000 | firstshot watch fan.firstshot --input stdin"
            )

    def read(self, seconds: float) -> Chunk | None:
        """Return what has come within some seconds."""
        return self._pipe.read(seconds)

    def close(self) -> None:
        """Leave standard input as it is."""
