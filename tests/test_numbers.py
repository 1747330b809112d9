"""Numbers that a user gives: taken where they are right, refused by name where they are not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstshot.errors import ParameterError
from firstshot.messages import shown_value
from firstshot.numbers import (
    MOST_AT_ONCE,
    check_at_once,
    check_number,
    check_whole,
    read_whole,
)

ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers())
)


@given(st.text() | st.integers().map(str))
def test_plain_digits_are_read_and_no_text_raises(text):
    plain = re.fullmatch(r"[0-9]{1,18}", text)
    assert read_whole(text) == (int(text) if plain else None)


@pytest.mark.parametrize("text", ["²", "½", "٣", "３", "1_0", " 1", "+1", "9" * 19, "9" * 5000])
def test_what_only_looks_like_digits_is_no_number(text):
    assert read_whole(text) is None


@given(ANYTHING)
def test_a_whole_number_comes_back_and_all_else_is_refused(value):
    good = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 8
    if good:
        assert check_whole("workers", value, 1, 8) == value
    else:
        with pytest.raises(
            ParameterError, match=r"^workers .*: expected a whole number from 1 to 8"
        ):
            check_whole("workers", value, 1, 8)


@given(ANYTHING)
def test_a_number_in_its_range_comes_back_and_all_else_is_refused(value):
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and 0.5 <= value <= 10:
        assert check_number("seconds", value, 0.5, 10) == value
    else:
        with pytest.raises(ParameterError, match=r"^seconds .*: expected a number from 0.5 to 10"):
            check_number("seconds", value, 0.5, 10)


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), 1e300, 10**400, 10**5000, "9" * 5000],
    ids=["nan", "inf", "large", "400 digits", "5000 digits", "text"],
)
def test_a_message_stays_a_line_whatever_the_value(value):
    with pytest.raises(ParameterError) as raised:
        check_number("seconds", value, 0, 1)
    assert len(str(raised.value)) < 120


def test_a_value_is_shown_as_it_is_where_it_is_short():
    assert shown_value(0.1) == "0.1"
    assert shown_value("a") == "'a'"


@pytest.mark.parametrize("value", [0, -1, MOST_AT_ONCE + 1, 2**70, 1.5, float("nan"), True])
def test_so_many_cannot_do_something_at_once(value):
    with pytest.raises(ParameterError, match="expected at least one, at most"):
        check_at_once("workers", value)
