"""Standard output and standard error, so that neither stops the work or changes the exit status."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any, TextIO


def prepare_streams() -> None:
    """Give every stream a place, and let none of them stop the work or change the status by itself.

    Names are printed as `firstshot.disk.names` writes them; what an encoding lacks is escaped.
    """
    _open_closed_descriptors()
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.stderr = _rewrap(sys.stderr, _Unfailing)
    if isinstance(getattr(sys.stdout, "buffer", None), io.FileIO):
        # PYTHONUNBUFFERED: Python then writes once, and what the system did not take is lost.
        sys.stdout = _rewrap(sys.stdout, io.FileIO)


def _open_closed_descriptors() -> None:
    """Open what the shell closed (`>&-`), or the next file gets its number and is written to."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one


class _Unfailing(io.FileIO):
    """A stream that loses what cannot be written: no message is worth the results."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(memoryview(data))


def _rewrap(stream: TextIO, kind: type[io.FileIO]) -> TextIO:
    """Return the same stream written through `kind`; one that is no file of its own stays."""
    if type(stream) is not io.TextIOWrapper:
        return stream
    buffer: Any = stream.buffer
    if not isinstance(getattr(buffer, "raw", buffer), io.FileIO):
        return stream
    whole = io.BufferedWriter(kind(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(whole, stream.encoding, stream.errors, line_buffering=True)


def drop_unwritten() -> None:
    """Let Python's own flush at the end go nowhere; the error has been reported."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
