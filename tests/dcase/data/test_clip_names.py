"""Every name in the grammar is read as it was written; any other text is not a clip name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstshot.dcase.data.clip_names import (
    ClipName,
    check_machine,
    parse_clip_name,
    parse_supplemental_name,
    why_not_scored,
)
from firstshot.dcase.evaluation.score_files import (
    SCORES,
    file_name,
    read_decisions,
    read_scores,
    write_decisions,
    write_scores,
)
from firstshot.errors import ParameterError

SECTIONS = st.integers(0, 99).map("{:02d}".format)
NUMBERS = st.integers(0, 9999).map("{:04d}".format)
DOMAINS = st.sampled_from(["source", "target"])
SPLITS = st.sampled_from(["train", "test"])
LABELS = st.sampled_from(["normal", "anomaly"])
ATTRIBUTES = st.text("abcXYZ0123456789_.-+", max_size=30)
TEXTS = st.text(max_size=40)
CLIPS = st.lists(TEXTS.map(lambda t: f"{t}.wav"), min_size=1, max_size=20, unique=True)


@given(SECTIONS, DOMAINS, SPLITS, LABELS, NUMBERS, ATTRIBUTES)
def test_a_full_name_gives_its_parts(section, domain, split, label, number, attributes):
    stem = f"section_{section}_{domain}_{split}_{label}_{number}_{attributes}"
    is_anomaly = int(label == "anomaly")
    assert parse_clip_name(stem) == ClipName(section, domain, split, is_anomaly, attributes)


@given(SECTIONS, NUMBERS, st.none() | DOMAINS)
def test_a_name_of_a_test_clip_without_a_label_gives_none(section, number, domain):
    middle = f"_{domain}_test" if domain else ""
    name = parse_clip_name(f"section_{section}{middle}_{number}")
    assert name == ClipName(section, domain, "test" if domain else None, None, "")


@given(SECTIONS, st.integers(0, 10**8 - 1), st.none() | LABELS)
def test_a_name_of_2020_has_neither_domain_nor_split(section, number, label):
    name = parse_clip_name((f"{label}_" if label else "") + f"id_{section}_{number:08d}")
    expected = None if label is None else int(label == "anomaly")
    assert name == ClipName(section, None, None, expected, "")


@given(TEXTS)
def test_any_text_is_a_clip_name_or_none_and_a_supplemental_name(text):
    name = parse_clip_name(text)
    assert name is None or re.match(r"(section|id|normal|anomaly)_", text)
    assert parse_supplemental_name(text).kind in ("noise", "clean", None)


@given(TEXTS)
def test_a_machine_name_is_accepted_exactly_where_a_file_can_have_it(text):
    try:
        check_machine(text)
    except ParameterError as error:
        assert str(error).isprintable()
        with pytest.raises(ParameterError):
            file_name(SCORES, text, "00")
    else:
        assert Path(file_name(SCORES, text, "00")).name == file_name(SCORES, text, "00")


@given(CLIPS, st.data())
def test_scores_and_decisions_come_back_bit_for_bit(tmp_path_factory, clips, data):
    size = len(clips)
    finite = st.floats(allow_nan=False, allow_infinity=False)
    scores = data.draw(st.lists(finite, min_size=size, max_size=size))
    decisions = data.draw(st.lists(st.integers(0, 1), min_size=size, max_size=size))
    folder = tmp_path_factory.mktemp("scores")
    if any(why_not_scored(clip) for clip in clips):
        with pytest.raises(ParameterError):
            write_scores(folder, "fan", "00", clips, scores)
        assert list(folder.iterdir()) == []
        return
    read = read_scores(write_scores(folder, "fan", "00", clips, scores))
    assert read.clips == tuple(clips)
    assert [value.hex() for value in read.values.tolist()] == [value.hex() for value in scores]
    path = write_decisions(folder, "fan", "00", clips, decisions)
    assert read_decisions(path).values.tolist() == decisions
