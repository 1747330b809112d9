r"""Names of any bytes come back from every form that they are written in.

The escapes are pinned by hand: ``\xHH`` a byte, ``\uHHHH`` a character.
"""

from __future__ import annotations

import csv
import io
import json
import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from firstshot.disk.names import (
    cell_name,
    csv_text,
    read_name,
    show_name,
    write_name,
    write_names,
)
from firstshot.messages import show_text

ODD = [
    b"cr\r.wav",
    b"lf\n.wav",
    b"crlf\r\n.wav",
    b"tab\t.wav",
    b'q"uo,te.wav',
    b"\x1b]0;title\x07red.wav",
    b"caf\xe9.wav",
    b"\xff\xfe.wav",
    b"=cmd|A1.wav",
    b"back\\x41.wav",
    b"back\\\x1b.wav",
    b"C:\\users\\xavier.wav",
    b"l" * 251 + b".wav",
    b" lead and trail .wav ",
    "ls\u2028ps\u2029nel\x85.wav".encode(),
    "rtl\u202egpj.wav".encode(),
    "\ufeffemoji😀.wav".encode(),
]


@pytest.mark.parametrize("write", [write_name, cell_name, show_name])
@pytest.mark.parametrize("name", ODD)
def test_the_bytes_of_a_file_name_come_back_from_valid_utf_8(write, name):
    text = write(os.fsdecode(name)).encode("utf-8").decode("utf-8")
    assert os.fsencode(read_name(text)) == name


@given(st.text(st.characters(exclude_categories=()), max_size=30))
@example("\\x5cx41")
@example("\\\\u202e\udcff\ud83d")
def test_any_name_comes_back_from_every_form(name):
    for write in (write_name, cell_name, show_name):
        text = write(name)
        text.encode("utf-8")
        assert read_name(text) == name


@pytest.mark.parametrize(
    ("name", "written", "in_csv", "shown"),
    [
        ("two\r\n lines\t.wav", "two\r\n lines\t.wav", "two\r\n lines\t.wav", None),
        ("a\x1b[2Jb", "a\x1b[2Jb", r"a\x1b[2Jb", r"a\x1b[2Jb"),
        ("a\u202eb\u2028", "a\u202eb\u2028", "a\\u202eb\u2028", r"a\u202eb\u2028"),
        ("caf\udce9", r"caf\xe9", r"caf\xe9", r"caf\xe9"),
        ("c\x9b1m", "c\x9b1m", r"c\u009b1m", r"c\u009b1m"),
        (r"D:\x\u1", r"D:\x\u1", r"D:\x\u1", r"D:\x\u1"),
        (r"D:\xab", r"D:\x5cxab", r"D:\x5cxab", r"D:\x5cxab"),
        ("ü 日本 '\"|=.wav", "ü 日本 '\"|=.wav", "ü 日本 '\"|=.wav", "ü 日本 '\"|=.wav"),
    ],
)
def test_each_form_escapes_what_its_place_cannot_hold(name, written, in_csv, shown):
    shown = shown or r"two\x0d\x0a lines\x09.wav"
    assert (write_name(name), cell_name(name), show_name(name)) == (written, in_csv, shown)


def test_a_shown_sentence_is_one_line_and_keeps_its_backslashes():
    text = "a\nb\r\u2028: it is '\\x1b' \x1b[1m and caf\udce9"
    assert show_text(text) == "a\\x0ab\\x0d\\u2028: it is '\\x1b' \\x1b[1m and caf\\xe9"


@given(st.lists(st.lists(st.text(max_size=8), min_size=1, max_size=3), max_size=4))
@example([["a\rb", "c"], ["\r"], ["\n"], [""]])
def test_rows_of_any_text_come_back_from_csv(rows):
    rows = [[cell_name(cell) for cell in row] for row in rows]
    assert list(csv.reader(io.StringIO(csv_text(rows), newline=""))) == rows


def test_plain_rows_are_written_as_they_always_were():
    assert csv_text([("clip", "n"), ('a,"b".wav', 1), ("ü.wav", None)]) == (
        'clip,n\n"a,""b"".wav",1\nü.wav,\n'
    )


def test_names_in_records_become_json_without_lone_surrogates():
    record = {"caf\udce9": ["a\udcff.wav", ("b\n", 1, None)], "n": 0.5}
    text = json.dumps(write_names(record), ensure_ascii=False)
    assert json.loads(text.encode("utf-8")) == {
        r"caf\xe9": [r"a\xff.wav", ["b\n", 1, None]],
        "n": 0.5,
    }
