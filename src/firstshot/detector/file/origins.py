"""Where clips came from that were added after the fit, as the manifest keeps it.

Each addition is a table: its source, its time, the seconds of its clips, and which members of the
bank are of it, as pairs of first row and number of rows. Files without additions have none of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, TypeAlias

from firstshot.detector.file.members import MemberRow, Origin
from firstshot.disk.documents import Table

Additions: TypeAlias = tuple[tuple[Origin, tuple[int, ...]], ...]
"""Each origin with its rows: first, number, first, number, ..."""

_ENDS = ("shortest", "longest")
_SECONDS = (1e-6, 1e9)
_FIELDS = ("source", "added", "heard_seconds", "members")


def additions_of(rows: Sequence[MemberRow]) -> list[dict[str, Any]]:
    """Return the additions among the members as plain values, in the order of their first rows."""
    found: dict[Origin, list[int]] = {}
    first = 0
    for origin, group in groupby(rows, lambda row: row.origin):
        count = len(list(group))
        if origin is not None:
            found.setdefault(origin, []).extend((first, count))
        first += count
    return [
        {
            "source": origin.source,
            "added": origin.added,
            "heard_seconds": seconds_table(origin.seconds),
            "members": members,
        }
        for origin, members in found.items()
    ]


def read_additions(table: Table) -> Additions:
    """Check what a manifest says of additions; raises ValueError for what is none."""
    found = []
    for i, value in enumerate(table.items("additions") if "additions" in table else ()):
        one = Table.of(value, f"additions[{i}]").only(_FIELDS)
        origin = Origin(one.line("source", 4096), one.line("added"), read_seconds(one))
        found.append((origin, one.wholes("members")))
    return tuple(found)


def with_origins(rows: Sequence[MemberRow], additions: Additions) -> tuple[MemberRow, ...]:
    """Give the members their origins; raises ValueError for rows that are not there."""
    marked = list(rows)
    for origin, members in additions:
        if len(members) % 2:
            raise ValueError(f"an addition has {len(members)} numbers for its members")
        for first, count in zip(members[::2], members[1::2], strict=True):
            if first + count > len(rows):
                raise ValueError(f"an addition has the members {first} to {first + count - 1}")
            for row in range(first, first + count):
                marked[row] = replace(marked[row], origin=origin)
    return tuple(marked)


def seconds_table(seconds: tuple[float, float] | None) -> dict[str, float] | None:
    """Return the shortest and the longest clip's seconds as plain values."""
    return None if seconds is None else dict(zip(_ENDS, seconds, strict=True))


def read_seconds(table: Table) -> tuple[float, float] | None:
    """Return the shortest and the longest clip's seconds, None where the table has none."""
    if "heard_seconds" not in table:
        return None
    ends = table.table("heard_seconds").only(_ENDS)
    shortest = ends.number(_ENDS[0], *_SECONDS)
    return shortest, ends.number(_ENDS[1], shortest, _SECONDS[1])
