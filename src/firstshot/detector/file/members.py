"""The members of a bank as a table: one row per normal clip, or per window of one."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from firstshot.disk.names import csv_text, read_name, write_name

_PLAIN, _WRITTEN = "clip", "clip_written"


@dataclass(frozen=True)
class Origin:
    """Where clips came from that were added to a bank after the fit.

    `added` is a time in UTC, as `2026-05-04T12:00:00Z`; `seconds` are those of the shortest and the
    longest clip, None where they are not known.
    """

    source: str
    added: str
    seconds: tuple[float, float] | None = None


@dataclass(frozen=True)
class MemberRow:
    """A normal clip (or window of one) in the bank: its name, domain, and its samples' digest.

    `origin` is None for a clip of the fit. `recording` names the recording that the clip was cut
    from, "" where it is not known.
    """

    clip: str
    domain: str
    digest: str
    origin: Origin | None = None
    recording: str = ""


def members_to_csv(members: Sequence[MemberRow]) -> bytes:
    """Write the table; names that are not plain text are written as `write_name` writes them."""
    written = [write_name(member.clip) for member in members]
    plain = all(name == m.clip for name, m in zip(written, members, strict=True))
    header = [_PLAIN if plain else _WRITTEN, "domain", "samples_sha256"]
    rows = [[name, m.domain, m.digest] for name, m in zip(written, members, strict=True)]
    if any(member.recording for member in members):
        header.append("recording")
        for row, member in zip(rows, members, strict=True):
            row.append(write_name(member.recording))
    return csv_text([header, *rows]).encode("utf-8")


def members_from_csv(table: bytes) -> list[MemberRow]:
    """Read the table; raises ValueError where it is none."""
    try:
        header, *rows = csv.reader(io.StringIO(table.decode("utf-8"), newline=""))
    except csv.Error as error:
        raise ValueError(f"the table of members: {error}") from error
    if header[:1] not in ([_PLAIN], [_WRITTEN]):
        raise ValueError(f"the table of members begins with {header[:1]}")
    name = read_name if header[0] == _WRITTEN else str
    return [
        MemberRow(name(clip), domain, digest, recording=read_name(more[0]) if more else "")
        for clip, domain, digest, *more in rows
    ]
