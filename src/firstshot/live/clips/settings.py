"""The table `[clips]` of a configuration becomes limits and lengths."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from firstshot.disk.documents import Table
from firstshot.errors import ParameterError
from firstshot.live.clips.recorder import Lengths
from firstshot.live.clips.retention import Limits, read_size

FIELDS = ("folder", "limit", "days", "least", "before", "after", "longest")


@dataclass(frozen=True)
class ClipSettings:
    """How clips are recorded; `folder` is None for `clips` in the folder of the state."""

    folder: Path | None = None
    limits: Limits = field(default_factory=Limits)
    lengths: Lengths = field(default_factory=Lengths)


def read_clips(table: Table, beside: Path = Path()) -> ClipSettings:
    """Return what a table says; a relative folder lies in `beside`.

    Raises
    ------
    ValueError
        A field is not known or wrong; it names the field.

    Examples
    --------
    >>> read_clips(Table({"limit": "500 MB", "before": 20}, "clips")).limits.most_bytes
    500000000
    """
    table.only(FIELDS)
    limits, lengths = Limits(), Lengths()

    def number(name: str, low: float, high: float, default: float) -> float:
        return table.number(name, low, high) if name in table else default

    try:
        most = read_size(table.line("limit", 20)) if "limit" in table else limits.most_bytes
    except ParameterError as error:
        raise ValueError(f"{table.place}.limit: {error}") from None
    return ClipSettings(
        beside / table.line("folder", 1000) if "folder" in table else None,
        Limits(
            most,
            number("days", 0.01, 36500, limits.days),
            table.whole("least", 0, 10**6) if "least" in table else limits.least,
        ),
        Lengths(
            number("before", 0.1, 120, lengths.before),
            number("after", 0, 120, lengths.after),
            number("longest", 1, 3600, lengths.most),
        ),
    )
