"""What the package says while it works, on standard error: its warnings and its log."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from typing import TextIO

import typer

from firstshot.cli.printing.tables import say
from firstshot.errors import FirstshotWarning
from firstshot.log import logger

WARNINGS_OF_A_KIND = 3
_shown: Counter[str] = Counter()


def show_notices() -> None:
    """Print warnings and the log from now on."""
    warnings.showwarning = _show_warning
    warnings.simplefilter("always", FirstshotWarning)
    if not any(isinstance(handler, _Handler) for handler in logger.handlers):
        logger.addHandler(_Handler())
    set_level(logging.INFO)


def set_level(level: int) -> None:
    """Print what is logged at that level or above."""
    logger.setLevel(level)


class _Handler(logging.Handler):
    """Prints a record as one line; a progress bar makes room for it."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = "warning: " if record.levelno >= logging.WARNING else ""
        say(kind + record.getMessage(), err=True)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if not issubclass(category, FirstshotWarning):
        return
    # A hundred clips with one fault are three lines and a count, not a hundred lines.
    kind = " ".join(str(message).rpartition(": ")[2].split()[:4])
    _shown[kind] += 1
    if _shown[kind] <= WARNINGS_OF_A_KIND:
        say(f"warning: {message}", err=True)
    elif _shown[kind] == WARNINGS_OF_A_KIND + 1:
        typer.echo("warning: further warnings of this kind are not shown", err=True)
