"""JSON and TOML that anyone may have written become plain values, and their fields are checked.

Input: a file, or its content. Output: dicts, lists, text and numbers, or a ValueError that says in
a few words what is wrong, for the caller to put beside the file's name. A document is UTF-8, holds
at most `MOST_BYTES`, is nested at most `DEEPEST` deep, names no key of a table twice (JSON and TOML
alike), and all of its numbers are finite. `Table` takes fields of the type and range that is
expected; that the command line starts fast is why no validation library does it.
"""

from __future__ import annotations

import errno
import json
import math
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firstshot.messages import shown_value

MOST_BYTES = 1 << 24
DEEPEST = 32
MOST_DIGITS = 20
"""Of a whole number: as many as 64 bits have."""
SHOWN = 40
"""Characters of a wrong value that a message shows."""


def read_json(path: Path, most: int = MOST_BYTES) -> Any:
    """Read a JSON file; raises the `OSError` of the file system, or ValueError."""
    return parse_json(_read(path, most), most)


def read_toml(path: Path, most: int = MOST_BYTES) -> dict[str, Any]:
    """Read a TOML file; raises the `OSError` of the file system, or ValueError."""
    return parse_toml(_read(path, most), most)


def parse_json(content: bytes | str, most: int = MOST_BYTES) -> Any:
    """Return what a JSON document holds.

    >>> parse_json('{"a": [1, 2.5]}')
    {'a': [1, 2.5]}
    >>> parse_json("[NaN]")
    Traceback (most recent call last):
    ValueError: the number NaN is not finite
    """
    text = _decode(content, most)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_once,
            parse_float=_finite,
            parse_constant=_finite,
            parse_int=_whole,
        )
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    _check_depth(value)
    return value


def parse_toml(content: bytes | str, most: int = MOST_BYTES) -> dict[str, Any]:
    """Return what a TOML document holds, which may be what JSON can hold: no dates.

    >>> parse_toml("rate = 0.5")
    {'rate': 0.5}
    """
    text = _decode(content, most)
    try:
        value = tomllib.loads(text, parse_float=_finite)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except ValueError as error:
        if "int_max_str_digits" in str(error):
            raise ValueError(f"a number has more than {MOST_DIGITS} digits") from None
        raise
    _check_depth(value)
    plain: dict[str, Any] = json.loads(json.dumps(value, default=_refuse), parse_int=_whole)
    return plain


_TOO_DEEP = f"it is nested more than {DEEPEST} deep"


def _read(path: Path, most: int) -> bytes:
    if path.exists() and not path.is_file():
        # A pipe would be waited for, a device read without end.
        raise OSError(errno.EINVAL, "not a plain file")
    with path.open("rb") as file:
        return file.read(most + 1)


def _decode(content: bytes | str, most: int) -> str:
    if len(content) > most:
        raise ValueError(f"it is longer than {most} bytes")
    if isinstance(content, str):
        return content
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not text in UTF-8 (byte {error.start})") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it names {shown_value(twice)} twice in one table")
    return table


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:SHOWN]} is not finite")
    return value


def _refuse(value: object) -> None:
    raise ValueError(f"it holds {value}, which is no text, number, list or table")


def _whole(text: str) -> int:
    if len(text.lstrip("-")) > MOST_DIGITS:
        raise ValueError(f"the number {text[:SHOWN]} has more than {MOST_DIGITS} digits")
    return int(text)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST):
        level = [item for table in level for item in _items(table)]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _items(value: Any) -> Iterator[Any]:
    """Yield the tables and lists in a table or list, and nothing of anything else."""
    inside: Any = value.values() if isinstance(value, dict) else value
    if isinstance(value, (dict, list)):
        yield from (item for item in inside if isinstance(item, (dict, list)))


@dataclass(frozen=True)
class Table:
    """A table of a document, whose fields are checked as they are taken.

    Every method raises ValueError for a field that is missing, of another type, or out of range,
    naming it with its `place` in the document.

    Examples
    --------
    >>> clip = Table({"seconds": 10, "name": "a.wav"}, "clip")
    >>> clip.number("seconds", low=0), clip.text("name")
    (10.0, 'a.wav')
    >>> clip.whole("seconds", high=5)
    Traceback (most recent call last):
    ValueError: clip.seconds is 10, expected a whole number from 0 to 5
    """

    values: Mapping[str, Any]
    place: str = ""

    @classmethod
    def of(cls, value: Any, place: str = "") -> Table:
        """Return a value that should be a table."""
        if not isinstance(value, dict):
            raise ValueError(f"{place or 'it'} is {shown_value(value)}, expected a table")
        return cls(value, place)

    def __contains__(self, name: str) -> bool:
        """Tell whether a field is there and not null."""
        return self.values.get(name) is not None

    def only(self, names: Collection[str]) -> Table:
        """Refuse fields of other names; return the table itself."""
        for name in self.values:
            if name not in names:
                raise ValueError(f"{self._named(name)} is not known; known: {', '.join(names)}")
        return self

    def number(self, name: str, low: float = -math.inf, high: float = math.inf) -> float:
        """Return a finite number."""
        value = self._get(name)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not (whole or isinstance(value, float)) or not _is_finite(value):
            raise self._wrong(name, "a finite number")
        if not low <= value <= high:
            raise self._wrong(name, f"a number from {low:g} to {high:g}")
        return float(value)

    def whole(self, name: str, low: int = 0, high: int = 2**53) -> int:
        """Return a whole number."""
        return self._checked_whole(self._get(name), name, low, high)

    def wholes(self, name: str, low: int = 0, high: int = 2**53) -> tuple[int, ...]:
        """Return a list of whole numbers, one at least."""
        items = self.items(name)
        if not items:
            raise self._wrong(name, "one whole number or more")
        return tuple(self._checked_whole(x, f"{name}[{i}]", low, high) for i, x in enumerate(items))

    def text(self, name: str, longest: int = 4096) -> str:
        """Return text that is not empty."""
        value = self._get(name)
        if not isinstance(value, str) or not 0 < len(value) <= longest:
            raise self._wrong(name, f"text of 1 to {longest} characters")
        return value

    def line(self, name: str, longest: int = 200) -> str:
        """Return text that can be printed: no line break, no control character."""
        value = self.text(name, longest)
        if not value.isprintable():
            raise self._wrong(name, "text on one line")
        return value

    def choice(self, name: str, choices: Collection[str]) -> str:
        """Return text that is one of a few."""
        value = self._get(name)
        if not isinstance(value, str) or value not in choices:
            raise self._wrong(name, f"one of {', '.join(choices)}")
        return value

    def flag(self, name: str) -> bool:
        """Return true or false."""
        value = self._get(name)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def items(self, name: str) -> list[Any]:
        """Return a list, whose items are not checked."""
        value = self._get(name)
        if not isinstance(value, list):
            raise self._wrong(name, "a list")
        return value

    def table(self, name: str) -> Table:
        """Return a table."""
        value = self._get(name)
        if not isinstance(value, dict):
            raise self._wrong(name, "a table")
        return Table(value, self._named(name))

    def table_or_none(self, name: str) -> Table | None:
        """Return a table, or None for null; the field must be there."""
        return None if self._get(name) is None else self.table(name)

    def tables(self) -> dict[str, Table]:
        """Return every field, all of which should be tables."""
        return {name: self.table(name) for name in self.values}

    def numbers(self, low: float = -math.inf, high: float = math.inf) -> dict[str, float]:
        """Return every field, all of which should be numbers."""
        return {name: self.number(name, low, high) for name in self.values}

    def _get(self, name: str) -> Any:
        if name not in self.values:
            raise ValueError(f"{self._named(name)} is missing")
        return self.values[name]

    def _named(self, name: str) -> str:
        return f"{self.place}.{name[:SHOWN]}" if self.place else name[:SHOWN]

    def _checked_whole(self, value: Any, name: str, low: int, high: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            found, wanted = shown_value(value), f"a whole number from {low} to {high}"
            raise ValueError(f"{self._named(name)} is {found}, expected {wanted}")
        return value

    def _wrong(self, name: str, wanted: str) -> ValueError:
        return ValueError(
            f"{self._named(name)} is {shown_value(self._get(name))}, expected {wanted}"
        )


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
