r"""A clip's name, of whatever bytes, becomes text that a file or a terminal can hold, and back.

Input: names as Python gives them, where a byte that is not UTF-8 is a lone surrogate. Output: valid
Unicode, where ``\xHH`` is the byte HH of a name and ``\uHHHH`` a character, digits in lower case.
A backslash of the name itself stays, unless it would read as an escape: then it is ``\x5c``. What
is escaped depends on where the name goes (`write_name`, `cell_name`, `show_name`); `read_name`
undoes all three, and ``os.fsencode`` of what it returns is the bytes of the file's name.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from firstshot.messages import BYTES, CONTROLS, LINES, SURROGATES, escape

_AMBIGUOUS = r"|\\(?=x[0-9a-f]{2}|u[0-9a-f]{4})"

_WRITTEN = re.compile(f"[{SURROGATES}]{_AMBIGUOUS}")
_CELL = re.compile(f"[{SURROGATES}{CONTROLS}]{_AMBIGUOUS}")
_SHOWN = re.compile(f"[{SURROGATES}{CONTROLS}{LINES}]{_AMBIGUOUS}")
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4}))")

Cell: TypeAlias = str | int | float | None


def write_name(name: str) -> str:
    r"""Write a name for a format that holds any Unicode text, as JSON does.

    >>> write_name("two\nlines.wav") == "two\nlines.wav", write_name("caf\udce9.wav")
    (True, 'caf\\xe9.wav')
    """
    return _WRITTEN.sub(escape, name)


def cell_name(name: str) -> str:
    r"""Write a name for a CSV file, whose quotes hold tabs and line breaks but no other controls.

    >>> cell_name("two\nlines.wav") == "two\nlines.wav", cell_name("\x1b[31mred.wav")
    (True, '\\x1b[31mred.wav')
    """
    return _CELL.sub(escape, name)


def show_name(name: str) -> str:
    r"""Write a name for people: on one line, and nothing in it acts on a terminal.

    >>> show_name("two\nlines.wav"), show_name("a\u202egpj.wav"), show_name(r"C:\x41.wav")
    ('two\\x0alines.wav', 'a\\u202egpj.wav', 'C:\\x5cx41.wav')
    """
    return _SHOWN.sub(escape, name)


def read_name(text: str) -> str:
    r"""Return the name that `write_name`, `cell_name` or `show_name` wrote.

    >>> read_name(r"caf\xe9.wav") == "caf\udce9.wav", read_name(r"two\x0alines.wav")
    (True, 'two\nlines.wav')
    """
    return _ESCAPE.sub(_unescape, text)


def write_names(value: object) -> object:
    """Apply `write_name` to every text in nested dictionaries and lists, for JSON."""
    if isinstance(value, str):
        return write_name(value)
    if isinstance(value, dict):
        return {write_names(key): write_names(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [write_names(item) for item in value]
    return value


def csv_text(rows: Iterable[Sequence[Cell]]) -> str:
    r"""Return rows as CSV that every reader gives back, line breaks of any kind within quotes.

    >>> csv_text([("a\rb.wav", 1), ("c.wav", None)])
    '"a\rb.wav","1"\nc.wav,\n'
    """
    text = io.StringIO(newline="")
    plain = csv.writer(text, lineterminator="\n")
    # Before Python 3.13 a carriage return alone is no reason for quotes, and cannot be read back.
    quoted = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        breaks = any(isinstance(cell, str) and "\r" in cell for cell in row)
        (quoted if breaks else plain).writerow(row)
    return text.getvalue()


def _unescape(match: re.Match[str]) -> str:
    code = int(match[1] or match[2], 16)
    return chr(code + BYTES if match[1] and code >= 0x80 else code)
