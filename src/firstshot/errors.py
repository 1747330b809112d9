"""What can go wrong, as few classes as a caller can tell apart.

Every message is one line that names the file or the value, says what was expected, and what to do.
The command line prints that line and exits with status 2.
"""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path


class FirstshotError(Exception):
    """Any fault that firstshot can name; the base of all of its errors."""


class ParameterError(FirstshotError, ValueError):
    """A setting has a value that cannot be used."""


class SoundError(FirstshotError):
    """A clip cannot be read or used as sound."""


class NotFittedError(FirstshotError, ValueError, AttributeError):
    """A detector is used before it has learned; the bases are those of scikit-learn's error."""


class WeightsError(FirstshotError):
    """An encoder's weights are missing, damaged or another encoder's, or cannot be run."""


class DownloadError(FirstshotError):
    """A file cannot be fetched, or what came is not what was announced."""


class MissingLibraryError(FirstshotError, ImportError):
    """An optional library is not installed; the message says what to run."""


class DatasetError(FirstshotError):
    """A folder, a list of clips or a table is not laid out as expected."""


class DetectorFileError(FirstshotError):
    """A detector file is truncated, altered, or of a newer schema."""


class OutputError(FirstshotError):
    """A result cannot be written where it was asked for."""


class FirstshotWarning(UserWarning):
    """Something a careful user would want to know; the result still holds."""


_ADVICE = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free some space or choose another place"
    ),
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.ELOOP), "check the path"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "check its rights or choose another place"),
    **dict.fromkeys(
        (errno.EROFS, errno.EBUSY, errno.EEXIST, errno.ENOTEMPTY), "choose another place"
    ),
    errno.ENAMETOOLONG: "choose a shorter name",
}


def advice_on(error: Exception) -> str:
    """Say what to do about a fault of the file system, be it in reading or in writing.

    >>> advice_on(FileNotFoundError(2, "No such file or directory"))
    'check the path'
    """
    return _ADVICE.get(getattr(error, "errno", None) or 0, "check the disk or choose another place")


def cannot_write(path: Path, error: Exception, advice: str | None = None) -> OutputError:
    """Return the error for a file or folder that cannot be written; `advice` ends the message."""
    reason = (
        getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
    )
    return OutputError(f"{path}: cannot be written ({reason}); {advice or advice_on(error)}")


@contextmanager
def errors_name(place: Path, draft: Path) -> Iterator[None]:
    """Let errors name the place that the user asked for, not the hidden draft that becomes it."""
    try:
        yield
    except FirstshotError as error:
        if str(draft) not in str(error):
            raise
        raise type(error)(str(error).replace(str(draft), str(place))) from error
    except OSError as error:
        raise cannot_write(place, error) from error


_KEPT: ContextVar[list[str] | None] = ContextVar("kept warnings", default=None)
_PACKAGE = str(Path(__file__).parent) + os.sep


def warn(message: str) -> None:
    """Warn the caller of this package, or keep the message for `keep_warnings`.

    Python shows a warning with the line that caused it: the nearest one outside this package.
    """
    kept = _KEPT.get()
    if kept is not None:
        kept.append(message)
        return
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    warnings.warn_explicit(
        message,
        FirstshotWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        frame.f_globals.get("__name__"),
        frame.f_globals.setdefault("__warningregistry__", {}),
    )


@contextmanager
def keep_warnings() -> Iterator[list[str]]:
    """Collect the messages of `warn` in this thread instead of showing them.

    The caller may drop them, store them, or call `warn` with each of them later.

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
