"""What can go wrong, as few classes as a caller can tell apart.

Every message is one line that names the file or the value, says what was expected, and what to do.
The command line prints that line and exits with status 2.
"""

from __future__ import annotations


class FirstshotError(Exception):
    """Any fault that firstshot can name; the base of all of its errors."""


class ParameterError(FirstshotError, ValueError):
    """A setting has a value that cannot be used."""


class SoundError(FirstshotError):
    """A clip cannot be read or used as sound."""


class WeightsError(FirstshotError):
    """An encoder's weights, or the library that runs them, are missing or not as they should be."""


class DatasetError(FirstshotError):
    """A folder, a list of clips or a table is not laid out as expected."""


class DetectorFileError(FirstshotError):
    """A detector file is truncated, altered, or of a newer schema."""


class OutputError(FirstshotError):
    """A result cannot be written where it was asked for."""


class FirstshotWarning(UserWarning):
    """Something a careful user would want to know; the result still holds."""
