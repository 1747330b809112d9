"""Which clips are removed, and why.

Input: the clips of a folder. Output: those to remove, oldest first, each with a reason. Locked
clips stay, and the newest clips of every machine stay up to a minimum; that may mean that there is
no room for new ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from firstshot.errors import ParameterError
from firstshot.messages import shown_value
from firstshot.numbers import read_whole

_UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@dataclass(frozen=True)
class Limits:
    """How much is kept.

    Attributes
    ----------
    most_bytes : int
        Of all files in the folder, at every moment.
    days : float
        Clips of older events are removed.
    least : int
        The newest clips of each machine, which stay nevertheless.
    """

    most_bytes: int = 10 * 10**9
    days: float = 30.0
    least: int = 10


@dataclass(frozen=True)
class KeptClip:
    """A clip on disk: the path of its files without endings, its event, and its bytes."""

    base: Path
    machine: str
    started: datetime
    size: int
    locked: bool = False


@dataclass(frozen=True)
class Removal:
    """A clip to remove, and why, as a sentence."""

    clip: KeptClip
    reason: str


def read_size(text: str) -> int:
    """Return a number of bytes, such as 500 MB.

    >>> read_size("500 MB"), read_size("2GB")
    (500000000, 2000000000)
    """
    for unit, factor in _UNITS.items():
        number = read_whole(text.removesuffix(unit).strip())
        if text.endswith(unit) and number is not None and number > 0:
            return number * factor
    raise ParameterError(
        f"{shown_value(text)} is no size, such as 500 MB; units: {', '.join(_UNITS)}"
    )


def to_remove(
    clips: Sequence[KeptClip], limits: Limits, now: datetime, used: int, needed: int = 0
) -> Iterator[Removal]:
    """Yield what is removed so that `needed` more bytes fit beside the `used` ones."""
    by_machine: dict[str, list[KeptClip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: clip.started):
        by_machine[clip.machine].append(clip)
    free = [
        clip
        for of_machine in by_machine.values()
        for clip in of_machine[: max(0, len(of_machine) - limits.least)]
        if not clip.locked
    ]
    for clip in sorted(free, key=lambda clip: clip.started):
        if now - clip.started > timedelta(days=limits.days):
            yield Removal(clip, f"The event is older than {limits.days:g} days.")
        elif used + needed > limits.most_bytes:
            yield Removal(clip, f"All clips together reach {limits.most_bytes / 10**6:g} MB.")
        else:
            continue
        used -= clip.size
