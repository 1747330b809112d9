"""Documents that anyone may have written are read, or refused in a few words."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstshot.disk.documents import DEEPEST, Table, parse_json, parse_toml, read_json, read_toml

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * 100_000, "nested more than 32 deep"),
        ('{"a":' * 100_000, "nested more than 32 deep"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "nested more than 32 deep"),
        ("[NaN]", "the number NaN is not finite"),
        ("-Infinity", "the number -Infinity is not finite"),
        ("1e999", "the number 1e999 is not finite"),
        ("9" * 5000, "has more than 20 digits"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "names 'c' twice in one table"),
        (b'"\xff"', "not text in UTF-8"),
        ('"a"'.encode("utf-16"), "not text in UTF-8"),
        ("", "Expecting value"),
        (" " * 11 + "1", "longer than 10 bytes"),
    ],
)
def test_json_that_is_not_plain_is_refused(text, told):
    most = 10 if told.startswith("longer") else 1 << 20
    with pytest.raises(ValueError, match=told):
        parse_json(text, most)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = " + "[" * 100_000, "nested more than 32 deep"),
        ("a = " + "{a = " * 100_000, "nested more than 32 deep"),
        ("a" + ".a" * 1000 + " = 1", "nested more than 32 deep"),
        ("a = nan", "the number nan is not finite"),
        ("a = -inf", "the number -inf is not finite"),
        ("a = 1e999", "the number 1e999 is not finite"),
        ("a = " + "9" * 30, "has more than 20 digits"),
        ("a = " + "9" * 5000, "has more than 20 digits"),
        ("a = 1979-05-27", "holds 1979-05-27, which is no text"),
        ("a = 1\na = 2", "Cannot overwrite"),
        (b"a = '\xff'", "not text in UTF-8"),
    ],
)
def test_toml_that_is_not_plain_is_refused(text, told):
    with pytest.raises(ValueError, match=told):
        parse_toml(text)


def test_what_is_nested_as_deep_as_it_may_be_is_read():
    text = "[" * DEEPEST + "]" * DEEPEST
    assert json.dumps(parse_json(text)) == text


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60))
def test_any_bytes_are_a_document_or_a_value_error(content):
    for parse in (parse_json, parse_toml):
        with contextlib.suppress(ValueError):
            parse(content)


@settings(deadline=None)
@given(VALUES)
def test_a_table_gives_what_is_asked_for_or_a_value_error_on_one_line(value):
    table = Table({"field": value}, "place")
    kinds = {
        "number": float,
        "whole": int,
        "wholes": tuple,
        "text": str,
        "line": str,
        "flag": bool,
        "items": list,
        "table": Table,
    }
    for method, kind in kinds.items():
        try:
            found = getattr(table, method)("field")
        except ValueError as error:
            assert str(error).startswith("place.field")
            assert len(str(error)) < 200
        else:
            assert type(found) is kind


def test_a_missing_an_unknown_and_a_mistyped_field_are_named():
    table = Table.of({"rate": 2, "names": {"a": 1}})
    for use, told in (
        (lambda: table.number("gain"), "gain is missing"),
        (lambda: table.only(("rate",)), "names is not known; known: rate"),
        (lambda: table.number("rate", 0, 1), "rate is 2, expected a number from 0 to 1"),
        (lambda: table.table("names").text("a"), "names.a is 1, expected text of 1 to 4096"),
        (lambda: table.choice("rate", ("a", "b")), "rate is 2, expected one of a, b"),
        (lambda: Table.of([1], "it"), r"it is \[1\], expected a table"),
    ):
        with pytest.raises(ValueError, match=told):
            use()


def test_a_file_is_read_no_further_than_it_may_be_long(tmp_path):
    (tmp_path / "long.json").write_text("1" * 100)
    with pytest.raises(ValueError, match="longer than 50 bytes"):
        read_json(tmp_path / "long.json", 50)
    (tmp_path / "bom.toml").write_bytes(b"\xef\xbb\xbfa = 1")
    assert read_toml(tmp_path / "bom.toml") == {"a": 1}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_or_a_device_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(OSError, match="not a plain file"):
            read_json(path)
