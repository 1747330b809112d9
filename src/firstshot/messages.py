"""Text from elsewhere becomes part of a message: one line, not long, and nothing secret in it.

Input: what a file, a server or a library says. Output: printable text. A message may be copied into
a public report, and shown by a terminal that acts on what it is sent.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from difflib import get_close_matches

HF_TOKEN = "HF_TOKEN"
"""The environment variable of the hub's token."""
_SECRETS = (HF_TOKEN,)
_SHORTEST_SECRET = 6  # less is in ordinary words too
_LONGEST, _LONGEST_VALUE = 200, 40

SURROGATES = "\ud800-\udfff"
CONTROLS = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # escape sequences begin with one of these
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff"  # and these reorder or hide text
)
LINES = "\t\n\r\u2028\u2029"
_UNPRINTABLE = re.compile(f"[{SURROGATES}{CONTROLS}{LINES}]")
BYTES = 0xDC00
"""Python gives the byte 0xHH of a name that is not UTF-8 as the character U+DCHH."""


def shown(value: object) -> str:
    r"""Write what a server, an archive or a library says: short, on one line, and no secret in it.

    >>> shown("two\nlines \x1b[31m"), shown("https://user:password@host is away")
    ('two\\x0alines \\x1b[31m', 'https://***@host is away')
    """
    text = str(value)
    for secret in map(read_token, _SECRETS):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    text = show_text(re.sub(r"//[^/\s]*@", "//***@", text))
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def show_text(text: str) -> str:
    r"""Make a sentence with names in it one line that does nothing to a terminal.

    Backslashes stay as they are, since a sentence may hold escapes already.

    >>> show_text("two\nlines.wav: is \x1b[1mempty")
    'two\\x0alines.wav: is \\x1b[1mempty'
    """
    return _UNPRINTABLE.sub(escape, text)


def escape(match: re.Match[str]) -> str:
    r"""Write one character as ``\xHH`` or ``\uHHHH``; see `firstshot.disk.names`."""
    code = ord(match[0])
    if code < 0x80:
        return f"\\x{code:02x}"
    if BYTES + 0x80 <= code <= BYTES + 0xFF:
        return f"\\x{code - BYTES:02x}"
    return f"\\u{code:04x}"


def shown_value(value: object) -> str:
    """Write a value that a user or a file gave: its beginning, on one line.

    >>> shown_value("9" * 5000), shown_value(10**5000)
    ("'999999999999999999999999999999999999...", 'a number of more than 4300 digits')
    """
    try:
        text = repr(value)
    except ValueError:  # Python writes out no longer ones
        return "a number of more than 4300 digits"
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def choose_one_of(value: object, choices: Iterable[str]) -> str:
    """Say what to choose instead of a value that is not known.

    >>> choose_one_of("cosin", ("euclidean", "cosine"))
    "choose one of euclidean, cosine (did you mean 'cosine'?)"
    """
    known = list(choices)
    near = get_close_matches(str(value)[:_LONGEST_VALUE], known, n=1)
    end = f" (did you mean {near[0]!r}?)" if near else ""
    return f"choose one of {', '.join(known)}{end}"


def first_line(error: Exception) -> str:
    r"""Return the first line of an error's message, 120 characters of it at most.

    >>> first_line(ValueError("two\nlines")), first_line(ValueError())
    ('two', 'ValueError')
    """
    return next(iter(str(error).splitlines()), type(error).__name__)[:120]


def read_token(variable: str) -> str:
    """Return what an environment variable holds, without the line break that a file ends with."""
    return os.environ.get(variable, "").strip()
