"""Dataclasses become plain values for JSON and come back, checked by their type hints.

Input: a dataclass of texts, numbers, booleans, times, lists and other such dataclasses. Output:
dicts and lists. What does not fit is a ValueError that names the field: a file may be damaged.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections import deque
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from firstshot.disk.documents import Table
from firstshot.live.clock import read_utc, utc_text
from firstshot.messages import shown_value

Record = TypeVar("Record")


def to_plain(value: Any) -> Any:
    """Return a record as dicts, lists, texts and numbers.

    >>> to_plain(datetime.fromisoformat("2026-03-01T12:00:00+00:00"))
    '2026-03-01T12:00:00.000000Z'
    """
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {field.name: to_plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, datetime):
        return utc_text(value, "microseconds")
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, (list, tuple, deque)):
        return [to_plain(one) for one in value]
    return value


def from_plain(kind: type[Record], values: Any, place: str = "") -> Record:
    """Return the record that `to_plain` made plain.

    Raises
    ------
    ValueError
        A field is missing, unknown, or of another type.
    """
    table = Table.of(values, place)
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    table.only(names)
    found = {}
    for name in names:
        if name not in table.values:
            raise ValueError(f"{place + '.' if place else ''}{name} is missing")
        found[name] = _read(hints[name], table.values[name], f"{place}.{name}".lstrip("."))
    return kind(**found)


def _read(hint: Any, value: Any, place: str) -> Any:
    if hint is Any:
        return value
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType or origin is typing.Union:
        if value is None and type(None) in inner:
            return None
        (hint,) = [one for one in inner if one is not type(None)]
        return _read(hint, value, place)
    if origin is list and isinstance(value, list):
        return [_read(inner[0], one, f"{place}[{i}]") for i, one in enumerate(value)]
    if origin is typing.Literal and value in inner:
        return value
    if dataclasses.is_dataclass(hint):
        return from_plain(typing.cast(type[Any], hint), value, place)
    if isinstance(hint, type) and (found := _plain(hint, value)) is not None:
        return found
    raise ValueError(f"{place} is {shown_value(value)}, which was not written here")


def _plain(kind: type, value: Any) -> Any:
    """Return a value of a plain type, None where it is of another."""
    try:
        if kind is datetime and isinstance(value, str):
            return read_utc(value)
        if issubclass(kind, StrEnum):
            return kind(value)
    except ValueError:
        return None
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) else None
    return value if type(value) is kind else None
