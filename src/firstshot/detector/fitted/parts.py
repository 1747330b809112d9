"""A detector's parts: one nearest-neighbour system per layer, and their scores as one.

Input: raw embeddings (members, values) per layer with the members' domains. Output: scores. A
clip's score is the plain mean over the parts; its domain is the one whose mean normalised score is
lowest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.file import MemberRow
from firstshot.errors import ParameterError
from firstshot.messages import choose_one_of
from firstshot.numbers import is_whole
from firstshot.results import Neighbor
from firstshot.scoring.bank import Member, MemoryBank, memmixup
from firstshot.scoring.normalizers import Normalizer, Restorable, make_normalizer
from firstshot.scoring.normalizers.base import State
from firstshot.scoring.normalizers.grouped import OVER_GROUPS, Grouped
from firstshot.scoring.search.exact import Index, search
from firstshot.scoring.search.float16 import to_float16
from firstshot.scoring.search.vectors import make_points
from firstshot.scoring.transform import Transform, make_transform

COMBINATIONS = ("score_mean", "score_min", "concat")
BANK_PRECISIONS = ("float32", "float16")


@dataclass(frozen=True)
class PartRecipe:
    """How one part is built; see `firstshot.detector.views.View` for each field."""

    label: str
    transform: str
    normalizer: str
    metric: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    groups: int = 1
    over_groups: str = "max"
    standardize: bool = False

    def unfitted_normalizer(self) -> Normalizer:
        """Return the normaliser; raises ParameterError for names and values it cannot have."""
        # No function of its own, so that a fitted detector can be pickled.
        make = partial(make_normalizer, self.normalizer, metric=self.metric, **self.settings)
        plain = make()
        if self.groups == 1 and not self.standardize:
            return plain
        if not isinstance(plain, Restorable):
            raise ParameterError(f"normaliser {self.normalizer!r} has no state, so no groups")
        return Grouped(make, self.groups, self.standardize, self.over_groups)

    def check(self) -> None:
        """Raise ParameterError for names and values that no part can have."""
        if not is_whole(self.groups, 1, 1 << 20):
            raise ParameterError(f"groups {self.groups!r}: give how many groups of bands, as 8")
        if self.over_groups not in OVER_GROUPS:
            raise ParameterError(f"over_groups {self.over_groups!r}: choose max or mean")
        make_transform(self.transform)
        self.unfitted_normalizer()


@dataclass(frozen=True)
class Recipe:
    """How the parts are built, and how their scores become one.

    Attributes
    ----------
    parts : tuple of PartRecipe
        One per view; one for all layers where `combine` is `concat`.
    columns : tuple of int
        Which of the embedded layers each part takes, unless `combine` is `concat`.
    memmixup : bool
        Whether MemMixup widens the target bank.
    combine : str
        The mean of the parts' scores (`score_mean`), the smallest (`score_min`), or one part of all
        layers (`concat`).
    bank_precision : str
        What members are kept in.
    """

    parts: tuple[PartRecipe, ...]
    columns: tuple[int, ...]
    memmixup: bool = False
    combine: str = "score_mean"
    bank_precision: str = "float32"

    @property
    def standardized(self) -> bool:
        """Whether the parts' scores are on scales of their own, as those of the presets."""
        return all(part.standardize for part in self.parts)

    @property
    def transductive(self) -> bool:
        """Whether a score depends on the other clips of a call."""
        return any(part.normalizer == "test_zscore" for part in self.parts)

    def check(self) -> None:
        """Raise ParameterError for names and values that no part can have."""
        if self.combine not in COMBINATIONS:
            raise ParameterError(
                f"combine {self.combine!r}: {choose_one_of(self.combine, COMBINATIONS)}"
            )
        if self.bank_precision not in BANK_PRECISIONS:
            raise ParameterError(
                f"bank_precision {self.bank_precision!r}: choose float32 or float16"
            )
        for part in self.parts:
            part.check()

    def join(self, layers: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Return one array per part: the layers as they are, or joined into one."""
        if self.combine == "concat":
            return [np.concatenate(layers, axis=1)]
        return [layers[column] for column in self.columns]

    def merge(self, scores: Any) -> NDArray[np.float64]:
        """Return one score per clip from the parts' scores (parts, clips)."""
        table = np.asarray(scores)
        merged: NDArray[np.float64]
        merged = table.min(axis=0) if self.combine == "score_min" else table.mean(axis=0)
        return merged

    def keep(self, members: NDArray[Any]) -> NDArray[Any]:
        """Return members (clips, values) as a bank keeps them, read-only.

        Raises ParameterError for values that float16 cannot hold.
        """
        if self.bank_precision == "float16" and members.dtype != np.float16:
            return _read_only(to_float16(members, "the members' embeddings"))
        return members


@dataclass(frozen=True)
class Part:
    """One nearest-neighbour system.

    `bank` holds the embeddings as the encoder gave them, `transformed` the same after the
    transform; with the transform `none` the two are one.
    """

    recipe: PartRecipe
    bank: MemoryBank
    transformed: MemoryBank
    transform: Transform
    normalizer: Normalizer

    @property
    def label(self) -> str:
        """What it is called in results."""
        return self.recipe.label

    @property
    def metric(self) -> str:
        """The distance between its embeddings."""
        return self.recipe.metric

    def scores(self, clips: NDArray[Any]) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Return the scores of raw embeddings (clips, values), and the term of each domain."""
        queries = self.transform(clips)
        if isinstance(self.normalizer, Grouped):
            return self.normalizer.scores(queries)
        terms = self.normalizer.domain_scores(queries)
        return np.minimum.reduce(list(terms.values())), terms

    @cached_property
    def index(self) -> Index:
        """All members, ready for a search; built when nearest members are first needed."""
        return Index.of(make_points(self.transformed.embeddings, self.metric, "member"))


@dataclass(frozen=True)
class SavedPart:
    """What was fitted of a part: its transform, and its normaliser's `state()`.

    The state is None where the file has none (schema 1, or a normaliser without a state); the
    normaliser is then fitted again.
    """

    transform: Transform
    state: State | None = None


@dataclass(frozen=True)
class Scores:
    """Scores of clips: `total` (clips,), `parts` (parts, clips), and the domain chosen for each."""

    total: NDArray[np.float64]
    parts: NDArray[np.float64]
    domains: tuple[str, ...]


def fit_part(
    part: PartRecipe,
    embeddings: NDArray[Any],
    rows: Sequence[MemberRow],
    recipe: Recipe,
    saved: SavedPart | None = None,
) -> Part:
    """Fit one part, or restore a saved one; a read-only array is held without a copy."""
    if saved is None:
        embeddings = recipe.keep(embeddings)
        transform: Transform = make_transform(part.transform).fit(embeddings)
    else:
        transform = saved.transform
    bank = _bank_of(embeddings, rows)
    transformed = bank
    if transform.name != "none":
        transformed = MemoryBank(recipe.keep(_read_only(transform(bank.embeddings))), bank.members)
    used = memmixup(transformed) if recipe.memmixup else transformed
    normalizer = part.unfitted_normalizer()
    if saved is not None and saved.state is not None and isinstance(normalizer, Restorable):
        normalizer = normalizer.restore(used.arrays(), saved.state)
    else:
        normalizer = normalizer.fit(used.arrays(), used.names())
    return Part(part, bank, transformed, transform, normalizer)


def fit_parts(
    banks: Sequence[NDArray[Any]],
    rows: Sequence[MemberRow],
    recipe: Recipe,
    saved: Sequence[SavedPart] | None = None,
) -> tuple[Part, ...]:
    """Fit the parts on their banks (members, values), or restore them."""
    return tuple(
        fit_part(part, bank, rows, recipe, saved[i] if saved else None)
        for i, (part, bank) in enumerate(zip(recipe.parts, banks, strict=True))
    )


def saved_parts(parts: Sequence[Part]) -> list[SavedPart]:
    """Return what was fitted of each part, as `fit_parts` takes it."""
    return [
        SavedPart(
            part.transform,
            part.normalizer.state() if isinstance(part.normalizer, Restorable) else None,
        )
        for part in parts
    ]


def _bank_of(embeddings: NDArray[Any], rows: Sequence[MemberRow]) -> MemoryBank:
    """Make a bank whose rows are in the order given, which is source first."""
    if embeddings.flags.writeable:
        embeddings = _read_only(embeddings.copy())
    return MemoryBank(embeddings, tuple(Member(row.clip, row.domain) for row in rows))


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    array.setflags(write=False)
    return array


def score_parts(
    parts: Sequence[Part], recipe: Recipe, queries: Sequence[NDArray[np.float32]]
) -> Scores:
    """Score raw embeddings, one array (clips, values) per part."""
    pairs = [part.scores(rows) for part, rows in zip(parts, queries, strict=True)]
    lowest = np.array([scores for scores, _ in pairs])
    domains = list(pairs[0][1])
    table = np.array([[terms[domain] for domain in domains] for _, terms in pairs])
    chosen = table.mean(axis=0).argmin(axis=0)
    return Scores(recipe.merge(lowest), lowest, tuple(domains[i] for i in chosen))


def nearest_members(
    part: Part, clips: NDArray[np.float32], count: int
) -> tuple[tuple[Neighbor, ...], ...]:
    """Return the `count` nearest members of every raw embedding in `clips`, nearest first."""
    members = part.bank.members
    count = min(count, len(members))
    if count == 0:
        return tuple(() for _ in clips)
    queries = make_points(part.transform(clips), part.metric, "query")
    distances, rows = search(queries, part.index, count)
    return tuple(
        tuple(
            Neighbor(members[row].clip, members[row].domain, float(distance))
            for distance, row in zip(of_distances, of_rows, strict=True)
        )
        for of_distances, of_rows in zip(distances, rows, strict=True)
    )
