"""A detector's parts: one nearest-neighbour system per layer, and their scores as one.

Input: raw embeddings (members, values) per layer with the members' domains. Output: scores. A
clip's score is the plain mean over the parts; its domain is the one whose mean normalised score is
lowest.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.detector_file import MemberRow
from firstshot.errors import DatasetError, FirstshotWarning
from firstshot.results import Neighbor
from firstshot.scoring.bank import DOMAINS, MemoryBank, keep_rows, make_bank, memmixup, merge
from firstshot.scoring.neighbors import nearest
from firstshot.scoring.normalizers import Normalizer, make_normalizer
from firstshot.scoring.transform import Transform, make_transform

FOLDS = 20


@dataclass(frozen=True)
class Recipe:
    """How a part is built.

    The transform's name; the normaliser's name, metric and parameters; and whether MemMixup widens
    the target bank that clips are scored against.
    """

    transform: str
    normalizer: str
    metric: str
    settings: dict[str, Any]
    memmixup: bool = False

    def unfitted_normalizer(self) -> Normalizer:
        """Return the normaliser; raises ParameterError for names and values it cannot have."""
        return make_normalizer(self.normalizer, metric=self.metric, **self.settings)


@dataclass(frozen=True)
class Part:
    """One nearest-neighbour system.

    `bank` holds the embeddings as the encoder gave them, `moved` (members, values) the same after
    the transform. `calibrator` gives the leave-one-out scores: it is the normaliser itself unless
    MemMixup put mixtures of the left-out clip into the bank.
    """

    label: str
    bank: MemoryBank
    moved: NDArray[np.float32]
    transform: Transform
    normalizer: Normalizer
    calibrator: Normalizer
    metric: str


@dataclass(frozen=True)
class Scores:
    """Scores of clips: `total` (clips,), `parts` (parts, clips), and the domain chosen for each."""

    total: NDArray[np.float64]
    parts: NDArray[np.float64]
    domains: tuple[str, ...]


def fit_part(
    label: str,
    embeddings: NDArray[np.float32],
    rows: Sequence[MemberRow],
    recipe: Recipe,
    transform: Transform | None = None,
) -> Part:
    """Fit one part; a transform that was fitted before (and saved) is taken as it is."""
    if transform is None:
        transform = make_transform(recipe.transform).fit(embeddings)
    bank = _bank_of(embeddings, rows)
    moved = _bank_of(transform(embeddings), rows)
    calibrator = normalizer = recipe.unfitted_normalizer().fit(moved.arrays(), moved.names())
    if recipe.memmixup:
        mixed = memmixup(moved)
        normalizer = recipe.unfitted_normalizer().fit(mixed.arrays(), mixed.names())
    return Part(label, bank, moved.embeddings, transform, normalizer, calibrator, recipe.metric)


def _bank_of(embeddings: NDArray[np.float32], rows: Sequence[MemberRow]) -> MemoryBank:
    """Make a bank whose rows are in the order given, which is source first."""
    first_target = sum(row.domain == "source" for row in rows)
    names = [row.clip for row in rows]
    source = make_bank(embeddings[:first_target], names[:first_target], "source")
    target = make_bank(embeddings[first_target:], names[first_target:], "target")
    return merge(source, target)


def held_out_scores(parts: Sequence[Part], recipe: Recipe) -> NDArray[np.float64]:
    """Return every member's score (members,) by parts that never heard it, source first.

    Without a transform these are exact leave-one-out scores. A transform is fitted on the members
    too, and would flatter them (whitening so much that nearly every new normal clip would be called
    anomalous); then transform and normaliser are fitted anew without each of 20 folds in turn,
    which is leave-one-out for up to 20 clips. `test_zscore` scores whole sets only, so its training
    clips are left out of the bank but not of the transform.
    """
    rows = [_held_out(part, recipe) for part in parts]
    return np.asarray(np.mean(rows, axis=0), dtype=np.float64)


def _held_out(part: Part, recipe: Recipe) -> NDArray[np.float64]:
    if part.transform.name == "none" or recipe.normalizer == "test_zscore":
        scores = part.calibrator.leave_one_out()
        return np.concatenate([scores[domain] for domain in DOMAINS if domain in scores])
    held_out = np.empty(len(part.bank))
    folds = np.arange(len(part.bank)) % min(FOLDS, len(part.bank))
    with warnings.catch_warnings():
        # What is said of a fold (too few members, say) was said of the whole bank before.
        warnings.simplefilter("ignore", FirstshotWarning)
        for fold in range(folds.max() + 1):
            left_out = folds == fold
            kept = keep_rows(part.bank, np.flatnonzero(~left_out))
            transform = make_transform(part.transform.name).fit(kept.embeddings)
            banks = {d: transform(x) if len(x) else x for d, x in kept.arrays().items()}
            normalizer = recipe.unfitted_normalizer().fit(banks, kept.names())
            held_out[left_out] = normalizer.score(transform(part.bank.embeddings[left_out]))
    return held_out


def score_parts(parts: Sequence[Part], queries: Sequence[NDArray[np.float32]]) -> Scores:
    """Score raw embeddings, one array (clips, values) per part."""
    of_parts = [
        part.normalizer.domain_scores(part.transform(query))
        for part, query in zip(parts, queries, strict=True)
    ]
    domains = list(of_parts[0])
    table = np.array([[scores[domain] for domain in domains] for scores in of_parts])
    lowest = table.min(axis=1)
    chosen = table.mean(axis=0).argmin(axis=0)
    return Scores(lowest.mean(axis=0), lowest, tuple(domains[i] for i in chosen))


def nearest_members(
    part: Part, query: NDArray[np.float32], count: int
) -> tuple[tuple[Neighbor, ...], ...]:
    """Return the `count` nearest members of every raw embedding in `query`, nearest first."""
    members = part.bank.members
    count = min(count, len(members))
    if count == 0:
        return tuple(() for _ in query)
    distances, rows = nearest(part.transform(query), part.moved, count, part.metric)
    return tuple(
        tuple(
            Neighbor(members[row].clip, members[row].domain, float(distance))
            for distance, row in zip(of_distances, of_rows, strict=True)
        )
        for of_distances, of_rows in zip(distances, rows, strict=True)
    )


def check_rows(rows: Sequence[MemberRow], source_clips: int) -> None:
    """Refuse a bank that is too small to learn from, and say how to get a larger one."""
    if sum(row.domain == "source" for row in rows) < 2:
        raise DatasetError(
            f"{source_clips} source clip{'' if source_clips == 1 else 's'}: at least 2 normal "
            "clips are needed to learn from; record more, or cut a long one with the length "
            "policy windows:SECONDS"
        )
