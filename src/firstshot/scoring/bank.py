"""Embeddings of normal clips become a memory bank: members with a clip name and a domain.

Input: float32 embeddings (members, dim), one clip name and one domain ("source" or "target") per
member. Output: the arrays per domain that normalisers are fitted on, with names in the same order.

A bank holds one matrix. A detector with several layers or encoders has one bank for each, all with
the same members. A bank never changes: every operation returns a new one, so a detector in use
keeps its members. A clip name may occur once in a domain.

MemMixup (GenRep, 2024): every target member t is mixed with its n nearest source members s, and
alpha * t + (1 - alpha) * s joins the target bank; alpha is 0.9 and n all source members (990 in the
challenge).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstshot.domains import DOMAINS
from firstshot.errors import ParameterError
from firstshot.messages import shown_value
from firstshot.numbers import is_whole

_MIXED_NAME = re.compile(r"(?P<target>.+) \* [0-9.e-]+ \+ (?P<source>.+) \* [0-9.e-]+")
_ROWS_AT_ONCE = 1024


class Member(NamedTuple):
    """A bank member: the clip's name and its domain."""

    clip: str
    domain: str


@dataclass(frozen=True, eq=False)
class MemoryBank:
    """Embeddings (members, dim) of normal clips with `members` naming each row; see `make_bank`.

    The embeddings are float32, or float16 to halve the memory of a large bank. They are not copied.
    """

    embeddings: NDArray[Any]
    members: tuple[Member, ...]

    def __post_init__(self) -> None:
        """Refuse members that do not fit the rows, and a clip that occurs twice."""
        if self.embeddings.ndim != 2 or self.embeddings.shape[0] != len(self.members):
            raise ParameterError(
                f"embeddings have shape {self.embeddings.shape} for {len(self.members)} members; "
                "give one row per member"
            )
        seen: set[Member] = set()
        for member in self.members:
            if member.domain not in DOMAINS:
                raise ParameterError(
                    f"domain {member.domain!r} of clip {member.clip!r} is not known; "
                    "use 'source' or 'target'"
                )
            if member in seen:
                raise ParameterError(
                    f"clip {member.clip!r} is in the {member.domain} bank twice; "
                    "remove it first, or give the second one another name"
                )
            seen.add(member)

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members)

    @property
    def dim(self) -> int:
        """Number of values of one embedding."""
        return int(self.embeddings.shape[1])

    def rows(self, domain: str) -> NDArray[np.intp]:
        """Row numbers of a domain's members, in the bank's order."""
        _check_domain(domain)
        return np.flatnonzero([member.domain == domain for member in self.members])

    def names(self) -> dict[str, tuple[str, ...]]:
        """Clip names per domain, in the order of `arrays`."""
        return {
            domain: tuple(member.clip for member in self.members if member.domain == domain)
            for domain in DOMAINS
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Embeddings per domain (members, dim); a domain without members has 0 rows.

        Views, where the members of a domain lie side by side, as after `make_bank` and `merge`.

        >>> bank = make_bank([[0.0, 1.0]], ["a.wav"], "source")
        >>> {domain: array.shape for domain, array in bank.arrays().items()}
        {'source': (1, 2), 'target': (0, 2)}
        """
        return {domain: self._of_rows(self.rows(domain)) for domain in DOMAINS}

    def _of_rows(self, rows: NDArray[np.intp]) -> NDArray[Any]:
        if len(rows) and rows[-1] - rows[0] + 1 == len(rows):  # they ascend
            return self.embeddings[rows[0] : rows[-1] + 1]
        return self.embeddings[rows]


def make_bank(embeddings: ArrayLike, clips: Sequence[str], domain: str) -> MemoryBank:
    """Make a bank of one domain from embeddings (clips, dim) and clip names.

    The embeddings are copied. Raises ParameterError for shapes that do not fit, a name given twice,
    an unknown domain, and an embedding with a value that is not finite.

    >>> bank = make_bank([[0.0, 1.0], [2.0, 3.0]], ["a.wav", "b.wav"], "source")
    >>> len(bank), bank.dim, bank.members[1]
    (2, 2, Member(clip='b.wav', domain='source'))
    """
    _check_domain(domain)
    array = np.array(embeddings, dtype=np.float32, order="C")
    if array.ndim == 2:
        unusable = np.flatnonzero(~np.isfinite(array).all(axis=1))
        if unusable.size and unusable[0] < len(clips):
            raise ParameterError(
                f"the embedding of clip {clips[unusable[0]]!r} has a value that is not finite"
            )
    array.setflags(write=False)
    return MemoryBank(array, tuple(Member(clip, domain) for clip in clips))


def merge(first: MemoryBank, second: MemoryBank) -> MemoryBank:
    """Join two banks, the first one's members before the second one's.

    >>> a, b = make_bank([[0.0]], ["a.wav"], "source"), make_bank([[1.0]], ["a.wav"], "target")
    >>> merge(a, b).names()
    {'source': ('a.wav',), 'target': ('a.wav',)}
    """
    if len(first) and len(second) and first.dim != second.dim:
        raise ParameterError(
            f"banks of {first.dim} and {second.dim} values per clip cannot be merged; "
            "use one encoder, layer and pooling for both"
        )
    parts = [bank.embeddings for bank in (first, second) if len(bank)] or [first.embeddings]
    embeddings = np.concatenate(parts)
    embeddings.setflags(write=False)
    return MemoryBank(embeddings, first.members + second.members)


def add(bank: MemoryBank, embeddings: ArrayLike, clips: Sequence[str], domain: str) -> MemoryBank:
    """Add clips to a bank; arguments and errors are those of `make_bank` and `merge`.

    >>> bank = make_bank([[0.0]], ["a.wav"], "source")
    >>> add(bank, [[1.0]], ["b.wav"], "target").names()
    {'source': ('a.wav',), 'target': ('b.wav',)}
    """
    return merge(bank, make_bank(embeddings, clips, domain))


def remove(bank: MemoryBank, clips: Iterable[str], domain: str | None = None) -> MemoryBank:
    """Remove clips by name, from one domain or (None) from both.

    Raises ParameterError naming a clip that is not in the bank.

    >>> bank = make_bank([[0.0], [1.0]], ["a.wav", "b.wav"], "source")
    >>> remove(bank, ["a.wav"]).names()["source"]
    ('b.wav',)
    """
    if domain is not None:
        _check_domain(domain)
    unwanted = dict.fromkeys(clips)
    of_domain = [member for member in bank if domain in (None, member.domain)]
    there = {member.clip for member in of_domain}
    for clip in unwanted:
        if clip not in there:
            raise ParameterError(
                f"clip {clip!r} is not in the {domain + ' ' if domain else ''}bank of "
                f"{len(of_domain)} members; it cannot be removed"
            )
    kept = [
        row
        for row, member in enumerate(bank)
        if member.clip not in unwanted or domain not in (None, member.domain)
    ]
    return keep_rows(bank, np.asarray(kept, dtype=np.intp))


def keep_rows(bank: MemoryBank, rows: NDArray[np.intp]) -> MemoryBank:
    """Keep the members of the given rows, in the given order.

    >>> bank = make_bank([[0.0], [1.0]], ["a.wav", "b.wav"], "source")
    >>> keep_rows(bank, np.array([1])).members
    (Member(clip='b.wav', domain='source'),)
    """
    embeddings = bank.embeddings[rows]
    embeddings.setflags(write=False)
    return MemoryBank(embeddings, tuple(bank.members[row] for row in rows))


def memmixup(bank: MemoryBank, n: int | None = None, alpha: float = 0.9) -> MemoryBank:
    """Add mixtures of every target member and its n nearest source members to the target bank.

    `n` None means all source members, as 990 does in the challenge; "nearest" is by Euclidean
    distance, and of equal ones the first member. `alpha` is the target's part. The name of a
    mixture holds both names (see `mixture_parents`). Raises ParameterError when a domain is empty,
    for n below 1 or above the number of source members, and for a bank that has mixtures already.

    >>> bank = merge(
    ...     make_bank([[0.0]], ["s.wav"], "source"), make_bank([[1.0]], ["t.wav"], "target")
    ... )
    >>> memmixup(bank).members[-1].clip
    't.wav * 0.9 + s.wav * 0.1'
    """
    if not 0 <= alpha <= 1:
        raise ParameterError(f"alpha is {alpha}; it must lie between 0 and 1, as 0.9")
    names, arrays = bank.names(), bank.arrays()
    for domain in DOMAINS:
        if not names[domain]:
            raise ParameterError(f"the {domain} bank is empty; MemMixup mixes source and target")
    mixed = [name for name in names["target"] if mixture_parents(name)]
    if mixed:
        raise ParameterError(f"target member {mixed[0]!r} is a mixture already; mix a bank once")
    n = len(names["source"]) if n is None else n
    if not is_whole(n, 1, len(names["source"])):
        raise ParameterError(
            f"n is {shown_value(n)}; MemMixup takes 1 to {len(names['source'])} source members; "
            "leave it out for all"
        )
    parts, clips = [], []
    for target, clip in zip(arrays["target"], names["target"], strict=True):
        nearest = _nearest(target, arrays["source"], n)
        mixture = alpha * target.astype(np.float64) + (1 - alpha) * arrays["source"][nearest]
        parts.append(mixture.astype(np.float32))
        clips += [f"{clip} * {alpha:g} + {names['source'][i]} * {1 - alpha:g}" for i in nearest]
    return add(bank, np.concatenate(parts), clips, "target")


def mixture_parents(clip: str) -> tuple[str, str] | None:
    """Return the target and the source clip that a MemMixup member is made of; None for others.

    >>> mixture_parents("t.wav * 0.9 + s.wav * 0.1")
    ('t.wav', 's.wav')
    >>> mixture_parents("t.wav") is None
    True
    """
    match = _MIXED_NAME.fullmatch(clip)
    return (match["target"], match["source"]) if match else None


def _nearest(target: NDArray[np.float32], source: NDArray[np.float32], n: int) -> NDArray[np.intp]:
    """Rows of the n nearest source members, in the bank's order."""
    if n == len(source):
        return np.arange(n)
    distance = np.empty(len(source))
    for first in range(0, len(source), _ROWS_AT_ONCE):
        gap = source[first : first + _ROWS_AT_ONCE].astype(np.float64) - target
        distance[first : first + _ROWS_AT_ONCE] = np.einsum("ij,ij->i", gap, gap)
    return np.sort(np.argsort(distance, kind="stable")[:n])


def _check_domain(domain: str) -> None:
    if domain not in DOMAINS:
        raise ParameterError(f"domain {domain!r} is not known; use 'source' or 'target'")
