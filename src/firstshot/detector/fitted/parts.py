"""A detector's parts: one nearest-neighbour system per layer, and their scores as one.

Input: raw embeddings (members, values) per layer with the members' domains. Output: scores. A
clip's score is the plain mean over the parts; its domain is the one whose mean normalised score is
lowest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.file import MemberRow
from firstshot.errors import ParameterError
from firstshot.messages import choose_one_of
from firstshot.results import Neighbor
from firstshot.scoring.bank import Member, MemoryBank, memmixup
from firstshot.scoring.normalizers import Normalizer, Restorable, make_normalizer
from firstshot.scoring.normalizers.base import State
from firstshot.scoring.search.exact import Index, search
from firstshot.scoring.search.float16 import to_float16
from firstshot.scoring.search.vectors import make_points
from firstshot.scoring.transform import Transform, make_transform

COMBINATIONS = ("score_mean", "concat")
BANK_PRECISIONS = ("float32", "float16")


@dataclass(frozen=True)
class Recipe:
    """How parts are built.

    The name of the transform; the name, metric and parameters of the normaliser; whether MemMixup
    widens the target bank; whether each layer is a part (`score_mean`) or all layers are one
    (`concat`); and the precision that members are kept in.
    """

    transform: str
    normalizer: str
    metric: str
    settings: dict[str, Any]
    memmixup: bool = False
    combine: str = "score_mean"
    bank_precision: str = "float32"

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
        make_transform(self.transform)
        self.unfitted_normalizer()

    def join(self, layers: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Return one array per part: the layers as they are, or joined into one."""
        return [np.concatenate(layers, axis=1)] if self.combine == "concat" else list(layers)

    def keep(self, members: NDArray[Any]) -> NDArray[Any]:
        """Return members (clips, values) as a bank keeps them, read-only.

        Raises ParameterError for values that float16 cannot hold.
        """
        if self.bank_precision == "float16" and members.dtype != np.float16:
            return _read_only(to_float16(members, "the members' embeddings"))
        return members

    def unfitted_normalizer(self) -> Normalizer:
        """Return the normaliser; raises ParameterError for names and values it cannot have."""
        return make_normalizer(self.normalizer, metric=self.metric, **self.settings)


@dataclass(frozen=True)
class Part:
    """One nearest-neighbour system.

    `bank` holds the embeddings as the encoder gave them, `transformed` the same after the
    transform; with the transform `none` the two are one.
    """

    label: str
    bank: MemoryBank
    transformed: MemoryBank
    transform: Transform
    normalizer: Normalizer
    metric: str

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
    label: str,
    embeddings: NDArray[Any],
    rows: Sequence[MemberRow],
    recipe: Recipe,
    saved: SavedPart | None = None,
) -> Part:
    """Fit one part, or restore a saved one; a read-only array is held without a copy."""
    if saved is None:
        embeddings = recipe.keep(embeddings)
        transform: Transform = make_transform(recipe.transform).fit(embeddings)
    else:
        transform = saved.transform
    bank = _bank_of(embeddings, rows)
    transformed = bank
    if transform.name != "none":
        transformed = MemoryBank(recipe.keep(_read_only(transform(bank.embeddings))), bank.members)
    used = memmixup(transformed) if recipe.memmixup else transformed
    normalizer = recipe.unfitted_normalizer()
    if saved is not None and saved.state is not None and isinstance(normalizer, Restorable):
        normalizer = normalizer.restore(used.arrays(), saved.state)
    else:
        normalizer = normalizer.fit(used.arrays(), used.names())
    return Part(label, bank, transformed, transform, normalizer, recipe.metric)


def fit_parts(
    labels: Sequence[str],
    layers: Sequence[NDArray[Any]],
    rows: Sequence[MemberRow],
    recipe: Recipe,
    saved: Sequence[SavedPart] | None = None,
) -> tuple[Part, ...]:
    """Fit a part per layer, or one of all layers joined; `labels` name the layers."""
    labels = [" + ".join(labels)] if recipe.combine == "concat" else labels
    return tuple(
        fit_part(label, bank, rows, recipe, saved[i] if saved else None)
        for i, (label, bank) in enumerate(zip(labels, layers, strict=True))
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


def score_parts(parts: Sequence[Part], queries: Sequence[NDArray[np.float32]]) -> Scores:
    """Score raw embeddings, one array (clips, values) per part."""
    of_parts = [
        part.normalizer.domain_scores(part.transform(rows))
        for part, rows in zip(parts, queries, strict=True)
    ]
    domains = list(of_parts[0])
    table = np.array([[scores[domain] for domain in domains] for scores in of_parts])
    lowest = table.min(axis=1)
    chosen = table.mean(axis=0).argmin(axis=0)
    return Scores(lowest.mean(axis=0), lowest, tuple(domains[i] for i in chosen))


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
