"""Documents with one wrong value each, for the tests of what reads them."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

WRONG: tuple[Any, ...] = (
    None,
    "",
    [],
    {},
    -1,
    0,
    1e300,
    10**400,
    math.nan,
    math.inf,
    True,
    "x" * 1000,
    [[[1]], {"a": [None]}],
)


def mutations(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield (what was done, document) for every value of a document and every wrong value."""
    for place in list(_places(document)):
        for wrong in WRONG:
            changed = copy.deepcopy(document)
            inside: Any = changed
            for key in place[:-1]:
                inside = inside[key]
            inside[place[-1]] = copy.deepcopy(wrong)
            yield f"{'.'.join(map(str, place))} = {str(wrong)[:20]}", changed


def without_one(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield (what was done, document) for every field of a document left out."""
    for place in list(_places(document)):
        changed = copy.deepcopy(document)
        inside: Any = changed
        for key in place[:-1]:
            inside = inside[key]
        del inside[place[-1]]
        yield f"without {'.'.join(map(str, place))}", changed


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if place:
        yield place
    if isinstance(value, (dict, list)):
        # Of a list the first and the last item: those between are checked alike.
        ends = dict(list(enumerate(value))[:: max(1, len(value) - 1)])
        items: Any = value.items() if isinstance(value, dict) else ends.items()
        for key, inside in items:
            yield from _places(inside, (*place, key))
