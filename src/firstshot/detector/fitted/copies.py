"""Copies among the normal clips: clips of identical samples, and near-copies.

Input: `NormalClips`. Output: those in which every clip counts once. A near-copy is the same sound
with other dither, or through another codec. Twenty of them among eighty clips would move what is
measured of all: means and deviations, the median width of the density, and above all the
deviation of the leave-one-out scores, since a copy scores far below every other clip.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.fitted.normal_clips import NormalClips, clip_of, clip_windows
from firstshot.errors import warn
from firstshot.scoring.refits import natural_key
from firstshot.scoring.search.exact import nearest

NEAR = 0.1
"""Near-copies are nearer than this part of the usual distance to the nearest other clip.

Different recordings of one machine have 0.8 and more, dithered copies at most 0.02 (measured on
nine machines, with every view of `recommended`).
"""
USUAL = 0.75
"""The quantile of these distances that is usual, so that more than half may be copies."""
COMPARED = 10
"""Nearest clips among which near-copies are looked for."""
FEWEST = 10
"""Clips; among fewer no distance is usual."""


def without_copies(normal: NormalClips) -> NormalClips:
    """Return the clips, identical and near-copies once: the first by name is kept.

    A clip that was in the bank before stays, whatever the name of a copy that is added later.
    """
    digests = [row.digest for row in normal.first_rows]
    numbers = {digest: number for number, digest in enumerate(dict.fromkeys(digests))}
    different = _keep_first(
        normal, [numbers[one] for one in digests], "copies", "clips of the same samples"
    )
    groups = near_copies([clip_means(different, bank) for bank in different.banks])
    return _keep_first(different, groups, "near-copies", "clips that sound the same in every view")


def clip_means(normal: NormalClips, values: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the mean of each clip's windows, float64 (clips, values)."""
    counts = np.array(clip_windows(normal.rows))
    sums = np.add.reduceat(values.astype(np.float64), np.cumsum(counts) - counts)
    return np.asarray(sums / counts[:, np.newaxis])


def near_copies(views: Sequence[NDArray[np.float64]]) -> list[int]:
    """Return a number for each clip, the same for clips that are near-copies in every view.

    Parameters
    ----------
    views : sequence of float64 (clips, values)
        Each measures the clips in another way, by Euclidean distance.
    """
    count = len(views[0])
    if count < FEWEST:
        return list(range(count))
    pairs: NDArray[np.int64] | None = None
    for view in views:
        kept = min(COMPARED, count - 1) if pairs is None else 1
        distances, members = nearest(view, view, kept, "euclidean", exclude_self=True)
        limit = NEAR * float(np.quantile(distances[:, 0], USUAL))
        if pairs is None:
            row, place = np.nonzero(distances < limit)
            pairs = np.stack([row, members[row, place]], axis=1)
        else:
            apart = np.linalg.norm(view[pairs[:, 0]] - view[pairs[:, 1]], axis=1)
            pairs = pairs[apart < limit]
        if not len(pairs):
            break
    return _connected(count, [] if pairs is None else pairs.tolist())


def _connected(count: int, pairs: Sequence[tuple[int, int]]) -> list[int]:
    """Return the smallest number that each of `count` numbers is connected with by pairs.

    >>> _connected(5, [(1, 3), (3, 4)])
    [0, 1, 2, 1, 1]
    """
    smallest = list(range(count))

    def find(number: int) -> int:
        while smallest[number] != number:
            smallest[number] = number = smallest[smallest[number]]
        return number

    for one, other in pairs:
        low, high = sorted((find(one), find(other)))
        smallest[high] = low
    return [find(number) for number in range(count)]


def _keep_first(normal: NormalClips, groups: Sequence[int], what: str, why: str) -> NormalClips:
    """Keep one clip of each group, and say which others do not count."""
    firsts = normal.first_rows
    clips = [clip_of(row) for row in firsts]
    added = [row.origin.added if row.origin else "" for row in firsts]
    order = sorted(
        range(len(clips)), key=lambda i: (added[i], natural_key(clips[i][1]), clips[i][0])
    )
    kept: dict[int, int] = {}
    for i in order:
        kept.setdefault(groups[i], i)
    copies = [i for i in range(len(clips)) if kept[groups[i]] != i]
    if not copies:
        return normal
    more = f" and {len(copies) - 1} more" if len(copies) > 1 else ""
    warn(
        f"{what} among the normal clips: {clips[copies[0]][1]} of "
        f"{clips[kept[groups[copies[0]]]][1]}{more}; {why} count once"
    )
    dropped = {clips[i] for i in copies}
    rows = [i for i, row in enumerate(normal.rows) if clip_of(row) not in dropped]
    return normal.keep(np.asarray(rows, dtype=np.intp))
