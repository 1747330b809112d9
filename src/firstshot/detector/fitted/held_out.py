"""Held-out scores: each normal clip is scored by parts that were fitted without it.

Input: fitted parts, and which bank members are windows of one clip. Output: one score per clip, the
highest of its windows, as `predict` scores a clip. Thresholds and p-values rest on them.

Two ways. `block`: a clip is left out together with the clips of its recording, see
`firstshot.scoring.refits`, and everything is fitted again without them. `single`: clips are left
out one by one. Without transform, MemMixup and windows these are the normaliser's exact
leave-one-out scores. Otherwise everything is fitted again without each of 20 folds of whole clips
in turn; for up to 20 clips that is leave-one-out too. Leaving out the member alone would give
scores that are too low: the transform was fitted on it (after whitening nearly every new normal
clip would be called anomalous), mixtures contain a part of it, and the other windows of its clip
resemble it.
`test_zscore` scores whole sets only: its members are left out of the bank one at a time, but not
out of the transform.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from firstshot.detector.file import MemberRow
from firstshot.detector.fitted.normal_clips import FEWEST_STANDARDIZED, clip_of
from firstshot.detector.fitted.parts import Part, PartRecipe, Recipe
from firstshot.domains import DOMAINS
from firstshot.errors import DatasetError, keep_warnings, warn
from firstshot.ordered_threads import count_workers, in_order
from firstshot.progress import Progress
from firstshot.scoring.bank import MemoryBank, keep_rows, memmixup
from firstshot.scoring.normalizers import Normalizer
from firstshot.scoring.refits import Refit
from firstshot.scoring.transform import Transform, make_transform

FOLDS = 20
FEWEST_CLIPS = 3
"""With fewer clips in a domain, each of their windows is left out as if it were a clip."""

_NEEDED = {"none": 2, "test_zscore": 3, "domain_zscore": 4}


def held_out_scores(
    parts: Sequence[Part],
    recipe: Recipe,
    windows: Sequence[int],
    refits: Sequence[Refit] | None = None,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """Return the held-out score of every clip, source first, float64 (clips,).

    Parameters
    ----------
    windows : sequence of int
        How many members each clip has, in the members' order.
    refits : sequence of Refit, optional
        Which clips are left out together; None leaves them out one by one.
    progress : callable, optional
        Called with (clips scored, clips in all) as refits end.

    Raises
    ------
    DatasetError
        There are too few clips, or too few different ones, to leave any out.
    """
    groups, folds = _groups(parts[0].bank, windows, quiet=refits is not None)
    try:
        if refits is not None:
            return _by_refits(parts, recipe, windows, refits, progress)
        rows = recipe.merge([_held_out(part, recipe, folds, windows) for part in parts])
    except DatasetError as error:
        least = max(_fewest(part.recipe) for part in parts)
        raise DatasetError(
            f"{groups[-1] + 1} normal clips are too few, or too alike, to score each without "
            f"itself, which the threshold needs; give at least {least} different ones ({error})"
        ) from error
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    return np.asarray(np.maximum.reduceat(rows, starts), dtype=np.float64)


def _fewest(part: PartRecipe) -> int:
    """Return how many different clips it takes to score one by the others."""
    if part.standardize:
        return FEWEST_STANDARDIZED
    return max(_NEEDED.get(part.normalizer, 3), 2 if part.transform == "none" else 3)


def _by_refits(
    parts: Sequence[Part],
    recipe: Recipe,
    windows: Sequence[int],
    refits: Sequence[Refit],
    progress: Progress | None,
) -> NDArray[np.float64]:
    """Score clips by parts that were fitted without them and without their recordings."""
    ends = np.cumsum(windows)
    members = [np.arange(end - count, end) for end, count in zip(ends, windows, strict=True)]
    scores = np.empty(len(windows))

    def score(refit: Refit) -> NDArray[np.float64]:
        left_out = np.zeros(ends[-1], dtype=bool)
        left_out[np.concatenate([members[clip] for clip in refit.left_out])] = True
        scored = np.concatenate([members[clip] for clip in refit.scored])
        rows = recipe.merge([_scores_without(part, recipe, left_out, scored) for part in parts])
        starts = np.cumsum([0, *(windows[clip] for clip in refit.scored[:-1])])
        return np.asarray(np.maximum.reduceat(rows, starts))

    done = 0
    # The products are small: threads of theirs beside ours would wait for each other, and on a busy
    # machine the refits took five times as long.
    with keep_warnings(), threadpool_limits(1, user_api="blas"):
        for outcome in in_order(score, refits, min(count_workers(), len(refits))):
            scores[outcome.item.scored] = outcome.get()
            done += len(outcome.item.scored)
            if progress is not None:
                progress(done, len(windows))
    return scores


def _scores_without(
    part: Part, recipe: Recipe, left_out: NDArray[np.bool_], scored: NDArray[np.int64]
) -> NDArray[np.float64]:
    kept = keep_rows(part.bank, np.flatnonzero(~left_out))
    transform, normalizer = _fit_fold(kept, part.recipe, recipe, set())
    return np.asarray(normalizer.score(transform(part.bank.embeddings[scored])))


@dataclass(frozen=True)
class HeldOutGroup:
    """What has one held-out score: a clip, or a window where a domain has too few clips.

    `name` is that of the clip or of the window; `windows` counts its members.
    """

    domain: str
    name: str
    windows: int


def held_out_groups(rows: Sequence[MemberRow]) -> list[HeldOutGroup]:
    """Return what the held-out scores are of, in their order."""
    groups: list[HeldOutGroup] = []
    for domain, of_domain in groupby(rows, lambda row: row.domain):
        clips = [(clip[1], list(windows)) for clip, windows in groupby(of_domain, clip_of)]
        windows = [row for _, of_clip in clips for row in of_clip]
        if len(clips) < FEWEST_CLIPS and len(clips) < len(windows):
            groups += [HeldOutGroup(domain, row.clip, 1) for row in windows]
        else:
            groups += [HeldOutGroup(domain, name, len(of_clip)) for name, of_clip in clips]
    return groups


def held_out_windows(rows: Sequence[MemberRow]) -> int:
    """Return the typical number of windows of what has one held-out score."""
    return typical_count([group.windows for group in held_out_groups(rows)])


def typical_count(counts: Sequence[int]) -> int:
    """Return the lower median.

    >>> typical_count([1, 1, 4, 900])
    1
    """
    return sorted(counts)[(len(counts) - 1) // 2]


def _groups(
    bank: MemoryBank, windows: Sequence[int], quiet: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the group of each member, which is left out as a whole, and its fold; (members,)."""
    clips = np.repeat(np.arange(len(windows)), windows)
    groups, blocks = clips.copy(), np.full(len(clips), -1)
    for domain in DOMAINS:
        rows = bank.rows(domain)
        own = len(set(clips[rows].tolist()))
        if own < FEWEST_CLIPS and own < len(rows) and not quiet:
            warn(
                f"{own} {domain} recording{'s' if own > 1 else ''} cut into {len(rows)} windows: "
                "the threshold is of single windows, and of a longer clip many must score above "
                f"it; give {FEWEST_CLIPS} recordings or more for a threshold of whole recordings",
            )
            # Windows may overlap the next one, so those of a fold lie side by side.
            groups[rows] = len(clips) + rows
            blocks[rows] = np.arange(len(rows)) * min(FOLDS, len(rows)) // len(rows)
    groups = np.cumsum(np.diff(groups, prepend=groups[0]) != 0)
    folds = np.where(blocks < 0, groups % min(FOLDS, groups[-1] + 1), blocks)
    return groups, folds


def _held_out(
    part: Part, recipe: Recipe, folds: NDArray[np.int64], windows: Sequence[int]
) -> NDArray[np.float64]:
    """Return the score of every member (members,) under a fit without its fold."""
    plain = part.transform.name == "none" and not recipe.memmixup and max(windows) == 1
    if plain or part.recipe.normalizer == "test_zscore":
        normalizer = part.normalizer
        if recipe.memmixup:
            normalizer = part.recipe.unfitted_normalizer().fit(
                part.transformed.arrays(), part.transformed.names()
            )
        scores = normalizer.leave_one_out()
        return np.concatenate([scores[domain] for domain in DOMAINS if domain in scores])
    held_out = np.empty(len(part.bank))
    lone: set[str] = set()
    with keep_warnings():
        # A warning about a fold (too few members, say) was given about the whole bank before.
        for fold in np.unique(folds):
            left_out = folds == fold
            kept = keep_rows(part.bank, np.flatnonzero(~left_out))
            transform, normalizer = _fit_fold(kept, part.recipe, recipe, lone)
            held_out[left_out] = normalizer.score(transform(part.bank.embeddings[left_out]))
    for domain in sorted(lone):
        warn(
            f"{part.recipe.normalizer}: the {domain} holds too few clips to leave one out; the "
            "other domain alone then gives the held-out scores",
        )
    return held_out


def _fit_fold(
    kept: MemoryBank, part: PartRecipe, recipe: Recipe, lone: set[str]
) -> tuple[Transform, Normalizer]:
    """Fit transform and normaliser; a domain that has no density any more is added to `lone`."""
    if not len(kept):
        raise DatasetError("no clip is left to score the others by")
    transform = make_transform(part.transform).fit(kept.embeddings)
    bank = MemoryBank(recipe.keep(transform(kept.embeddings)), kept.members)
    if recipe.memmixup and len(bank.rows("target")) and len(bank.rows("source")):
        bank = memmixup(bank)
    banks = bank.arrays()
    if part.normalizer == "domain_local_density":
        bare = [domain for domain, rows in banks.items() if len(rows) and _all_alike(rows)]
        if len(bare) == 1 and all(len(rows) for rows in banks.values()):
            banks[bare[0]] = banks[bare[0]][:0]
            lone.update(bare)
    return transform, part.unfitted_normalizer().fit(banks)


def _all_alike(rows: NDArray[np.float32]) -> bool:
    return not (rows[1:] != rows[0]).any()
