"""Text from elsewhere becomes part of a message: one line, not long, and nothing secret in it.

Input: what a file, a server or a library says. Output: printable text. A message may be copied into
a public report, and shown by a terminal that acts on what it is sent.
"""

from __future__ import annotations

import os
import re

HF_TOKEN = "HF_TOKEN"
"""The environment variable of the hub's token."""
_SECRETS = (HF_TOKEN,)
_SHORTEST_SECRET = 6  # less is in ordinary words too
_LONGEST, _LONGEST_VALUE = 200, 40


def shown(told: object) -> str:
    r"""Write what was told: no line breaks, no escape sequences, no tokens, no passwords.

    >>> shown("two\nlines \x1b[31m"), shown("https://user:password@host is away")
    ('two\\nlines \\x1b[31m', 'https://***@host is away')
    """
    text = str(told)
    for secret in map(read_token, _SECRETS):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    text = re.sub(r"//[^/\s]*@", "//***@", text)
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


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


def first_line(error: Exception) -> str:
    r"""Return the first line of an error's message, 120 characters of it at most.

    >>> first_line(ValueError("two\nlines")), first_line(ValueError())
    ('two', 'ValueError')
    """
    return next(iter(str(error).splitlines()), type(error).__name__)[:120]


def read_token(variable: str) -> str:
    """Return what an environment variable holds, without the line break that a file ends with."""
    return os.environ.get(variable, "").strip()
