"""Which normal clips are left out together when one of them is scored.

Input: the normal clips' domains and names, and the recordings they are of where that is known.
Output: refits, each the clips that are scored and the clips that the detector is fitted without.

A clip's score by a detector that has seen it, or a clip cut from the same recording, is too low,
and a threshold from such scores gives more false alarms than it promises. So whole recordings are
left out together. Where nothing tells the recordings, the clips before and after a clip in the
natural order of the names count as its recording. Above `MOST_SINGLE` clips, contiguous folds of
about a twentieth are left out at once, which takes a twentieth of the time of single refits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEIGHBORS = 4
"""Clips before and after a clip that are left out with it, at most a quarter of its domain."""
MOST_SINGLE = 200
FOLDS = 20


@dataclass(frozen=True, eq=False)
class Refit:
    """Clips that are scored, and those that the detector is fitted without; numbers, ascending."""

    scored: NDArray[np.int64]
    left_out: NDArray[np.int64]


def plan_refits(
    domains: Sequence[str], names: Sequence[str], recordings: Sequence[object] | None = None
) -> list[Refit]:
    """Return refits that score every clip once.

    Parameters
    ----------
    domains, names : sequence of str
        Of every normal clip.
    recordings : sequence, optional
        The recording that each clip is of; None where it is not known.

    Examples
    --------
    >>> refits = plan_refits(["source"] * 12, [f"clip_{n}.wav" for n in range(12)])
    >>> refits[5].scored.tolist(), refits[5].left_out.tolist()
    ([5], [3, 4, 5, 6, 7])
    """
    if recordings is not None:
        return list(_of_recordings(domains, recordings))
    orders = [_natural_order(domains, names, domain) for domain in dict.fromkeys(domains)]
    if len(names) > MOST_SINGLE:
        return _of_folds(orders)
    return sorted(_of_clips(orders), key=lambda refit: int(refit.scored[0]))


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return what sorts names as a person does: clip_2 before clip_10.

    >>> sorted(["clip_10", "clip_2"], key=natural_key)
    ['clip_2', 'clip_10']
    """
    parts = re.split(r"(\d+)", name)
    return tuple((0, int(p), "") if p.isdecimal() and p.isascii() else (1, 0, p) for p in parts)


def _natural_order(domains: Sequence[str], names: Sequence[str], domain: str) -> NDArray[np.int64]:
    numbers = [number for number, own in enumerate(domains) if own == domain]
    return np.array(sorted(numbers, key=lambda number: natural_key(names[number])), dtype=np.int64)


def _of_clips(orders: Sequence[NDArray[np.int64]]) -> Iterator[Refit]:
    """Leave out each clip with its neighbours of the same domain."""
    for order in orders:
        reach = min(NEIGHBORS, (len(order) - 1) // 4)
        for place, number in enumerate(order):
            around = order[max(0, place - reach) : place + reach + 1]
            yield Refit(np.array([number]), np.sort(around))


def _of_folds(orders: Sequence[NDArray[np.int64]]) -> list[Refit]:
    """Leave out contiguous parts of every domain together."""
    pieces = [np.array_split(order, FOLDS) for order in orders]
    # A small domain fills only some of the folds: spread them over the others.
    folds = [np.sort(np.concatenate(parts)) for parts in zip(*pieces, strict=True)]
    return [Refit(fold, fold) for fold in folds if len(fold)]


def _of_recordings(domains: Sequence[str], recordings: Sequence[object]) -> Iterator[Refit]:
    """Leave out whole recordings, several at once where there are many."""
    members: dict[object, list[int]] = {}
    for number, recording in enumerate(recordings):
        members.setdefault(recording, []).append(number)
    groups = list(members.values())
    count = len(groups) if len(recordings) <= MOST_SINGLE else min(FOLDS, len(groups))
    for fold in np.array_split(np.arange(len(groups)), count):
        numbers = np.sort(np.concatenate([groups[number] for number in fold]))
        yield Refit(numbers, numbers)
