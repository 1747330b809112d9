"""What can go wrong, as few classes as a caller can tell apart.

Every message is one line that names the file or the value, says what was expected, and what to do.
The command line prints that line and exits with status 2.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class FirstshotError(Exception):
    """Any fault that firstshot can name; the base of all of its errors."""


class ParameterError(FirstshotError, ValueError):
    """A setting has a value that cannot be used."""


class SoundError(FirstshotError):
    """A clip cannot be read or used as sound."""


class WeightsError(FirstshotError):
    """An encoder's weights, or the library that runs them, are missing or not as they should be."""


class LibraryError(FirstshotError):
    """An optional library that a setting needs is not installed."""


class DatasetError(FirstshotError):
    """A folder, a list of clips or a table is not laid out as expected."""


class DetectorFileError(FirstshotError):
    """A detector file is truncated, altered, or of a newer schema."""


class OutputError(FirstshotError):
    """A result cannot be written where it was asked for."""


class FirstshotWarning(UserWarning):
    """Something a careful user would want to know; the result still holds."""


_KEPT: ContextVar[list[str] | None] = ContextVar("kept warnings", default=None)


def warn(message: str, stacklevel: int = 2) -> None:
    """Warn of something, or keep it for whoever called `keep_warnings`."""
    kept = _KEPT.get()
    if kept is None:
        warnings.warn(message, FirstshotWarning, stacklevel=stacklevel + 1)
    else:
        kept.append(message)


@contextmanager
def keep_warnings() -> Iterator[list[str]]:
    """Keep what `warn` is told meanwhile in this thread, to be told in order by another.

    >>> with keep_warnings() as kept:
    ...     warn("digital silence")
    >>> kept
    ['digital silence']
    """
    kept: list[str] = []
    token = _KEPT.set(kept)
    try:
        yield kept
    finally:
        _KEPT.reset(token)
