"""A result in one line, as plain values, and several of them as a data frame."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest

from firstshot.errors import MissingLibraryError, ParameterError
from firstshot.results import FRAMES, Neighbor, Result, Window, to_frame

NEAR = Neighbor("n.wav", "target", 0.5)
ONE = Result(
    "a.wav",
    3.25,
    0.1,
    2.0,
    True,
    "source",
    (NEAR, Neighbor("m.wav", "source", 0.75)),
    {"layer 1": 3.0, "layer 2": 3.5},
    window_scores=(3.25,),
    windows=(Window(0.0, 1.5, 3.25, 0.1, True),),
    normal_clips=9,
)
BARE = Result("b.wav", 1.0, 0.8, 2.0, False, "target", (), {"layer 1": 1.0})


def test_a_result_is_one_line_even_of_an_odd_name():
    assert str(ONE) == "a.wav: ANOMALY, score 3.25 above threshold 2, p = 0.1"
    assert repr(BARE) == "<Result b.wav: normal, score 1 not above threshold 2, p = 0.8>"
    odd = Result("two\nlines\x1b[31m", 1.0, 0.8, 2.0, False, "target", (), {})
    assert str(odd).isprintable()
    assert repr([ONE, BARE]) == f"[{ONE!r}, {BARE!r}]"


def test_a_result_as_a_dict_is_what_comes_back_from_json():
    told = ONE.to_dict()
    assert json.loads(json.dumps(told)) == told
    assert told["nearest"][0] == {"clip": "n.wav", "domain": "target", "distance": 0.5}
    assert told["windows"] == [
        {
            "start_seconds": 0.0,
            "end_seconds": 1.5,
            "score": 3.25,
            "p_value": 0.1,
            "is_anomaly": True,
        }
    ]
    assert told["parts"] == {"layer 1": 3.0, "layer 2": 3.5}


def stand_in(monkeypatch, *installed):
    """Let only these libraries be installed; their frames are their columns."""
    for name in FRAMES:
        frame = SimpleNamespace(DataFrame=lambda columns, name=name: (name, columns))
        monkeypatch.setitem(sys.modules, name, frame if name in installed else None)


def test_a_frame_has_a_row_per_clip_and_a_column_per_value(monkeypatch):
    stand_in(monkeypatch, "pandas", "polars")
    library, columns = to_frame(iter([ONE, BARE]))
    assert library == "pandas"
    assert columns == {
        "clip": ["a.wav", "b.wav"],
        "score": [3.25, 1.0],
        "p_value": [0.1, 0.8],
        "threshold": [2.0, 2.0],
        "is_anomaly": [True, False],
        "domain": ["source", "target"],
        "start_seconds": [0.0, 0.0],
        "normal_clips": [9, 0],
        "pieces": [1, 1],
        "pieces_above": [0, 0],
        "pieces_needed": [1, 1],
        "nearest": ["n.wav", None],
        "nearest_domain": ["target", None],
        "nearest_distance": [0.5, None],
        "layer 1": [3.0, 1.0],
        "layer 2": [3.5, None],
    }
    assert to_frame(ONE)[1]["clip"] == ["a.wav"]
    assert to_frame([])[1]["score"] == []


def test_the_library_is_the_one_named_or_the_one_installed(monkeypatch):
    stand_in(monkeypatch, "polars")
    assert to_frame([ONE])[0] == to_frame([ONE], "polars")[0] == "polars"
    with pytest.raises(MissingLibraryError, match="a data frame needs pandas; run `pip install"):
        to_frame([ONE], "pandas")
    with pytest.raises(ParameterError, match="library 'arrow': choose one of pandas, polars"):
        to_frame([ONE], "arrow")
    stand_in(monkeypatch)
    with pytest.raises(MissingLibraryError, match="needs pandas or polars; run `pip install pan"):
        to_frame([ONE])


@pytest.mark.parametrize("library", FRAMES)
def test_the_real_libraries_make_frames_of_it(library):
    pytest.importorskip(library)
    frame = to_frame([ONE, BARE], library)
    assert type(frame).__module__.split(".")[0] == library
    assert frame.shape == (2, 16)
    assert list(frame["score"]) == [3.25, 1.0]
    assert to_frame([], library).shape[0] == 0
