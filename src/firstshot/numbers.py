"""A number that a user gives is whole or finite and within its range, or is refused by its name.

NaN passes every comparison that asks for what is wrong instead of what is right, digits such as ²
pass `str.isdigit` but not `int`, and neither text nor number need fit into 64 bits: here that is
thought of once.
"""

from __future__ import annotations

import math
import operator
import re
from typing import Any

from firstshot.errors import ParameterError
from firstshot.messages import shown_value

MOST_DIGITS = 18
"""Of a whole number in a text: any of them fits into 64 bits."""
_DECIMAL = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]{1,3})?", re.IGNORECASE)
LARGEST_SEED = 2**63 - 1
MOST_AT_ONCE = 4096
"""More threads than any machine has cores; the libraries that compute fail at far more."""


def read_whole(text: str) -> int | None:
    """Return the number that plain digits write, None for any other text.

    >>> read_whole("16"), read_whole("-1"), read_whole("²"), read_whole("9" * 5000)
    (16, None, None, None)
    """
    plain = text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS
    return int(text) if plain else None


def read_decimal(text: str) -> float | None:
    """Return the number that plain digits with a point or an exponent write, None for other text.

    >>> read_decimal("2.5"), read_decimal("1e1"), read_decimal("1_0"), read_decimal("nan")
    (2.5, 10.0, None, None)
    """
    plain = len(text) <= 2 * MOST_DIGITS and _DECIMAL.fullmatch(text)
    return float(text) if plain else None


def is_whole(value: Any, least: int, most: int) -> bool:
    """Tell whether a value is a whole number of `least` to `most`.

    >>> is_whole(2, 1, 8), is_whole(2.0, 1, 8), is_whole(float("nan"), 1, 8), is_whole(True, 1, 8)
    (True, False, False, False)
    """
    try:
        return not isinstance(value, bool) and least <= operator.index(value) <= most
    except TypeError:
        return False


def check_whole(
    name: str, value: Any, least: int, most: int, advice: str = "", expected: str = ""
) -> int:
    """Return a whole number of `least` to `most`.

    Raises
    ------
    ParameterError
        It is another number, or none. The message says what was `expected`, by default the range,
        and ends in `advice`.

    Examples
    --------
    >>> check_whole("workers", 2, 1, 8)
    2
    >>> check_whole("workers", float("nan"), 1, 8)
    Traceback (most recent call last):
    firstshot.errors.ParameterError: workers nan: expected a whole number from 1 to 8
    """
    if not is_whole(value, least, most):
        expected = expected or f"a whole number from {least} to {most}"
        raise _refused(name, value, expected, advice)
    return operator.index(value)


def check_at_once(name: str, value: Any, advice: str = "") -> int:
    """Return how many (threads, workers, clips of a batch) do something at once.

    >>> check_at_once("workers", 0)
    Traceback (most recent call last):
    firstshot.errors.ParameterError: workers 0: expected at least one, at most 4096
    """
    expected = f"at least one, at most {MOST_AT_ONCE}"
    return check_whole(name, value, 1, MOST_AT_ONCE, advice, expected)


def check_number(name: str, value: Any, least: float, most: float, advice: str = "") -> float:
    """Return a finite number of `least` to `most`; otherwise as `check_whole`.

    >>> check_number("seconds", 10, 0.1, 3600)
    10.0
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, (bool, str)) or not least <= number <= most:
        raise _refused(name, value, f"a number from {least:g} to {most:g}", advice)
    return number


def _refused(name: str, value: Any, expected: str, advice: str) -> ParameterError:
    end = f"; {advice}" if advice else ""
    return ParameterError(f"{name} {shown_value(value)}: expected {expected}{end}")
