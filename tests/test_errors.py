"""Errors and warnings say what is wrong, and Python shows a warning with the caller's line."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

from firstshot.errors import FirstshotWarning, keep_warnings, warn
from firstshot.scoring.threshold import fit_threshold

SOURCE = Path(__file__).parents[1] / "src" / "firstshot"


def test_a_warning_names_the_line_of_the_caller_however_deep_it_is_raised() -> None:
    scores = np.arange(10.0)
    with pytest.warns(FirstshotWarning, match="10 normal clips promise") as caught:
        fit_threshold(scores, "quantile", 0.1)
    assert caught[0].filename == __file__
    line = Path(__file__).read_text().splitlines()[caught[0].lineno - 1]
    assert "fit_threshold(scores" in line


def test_the_same_warning_of_the_same_line_is_shown_once_by_default() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            warn("digital silence")
        warn("digital silence")
    assert [str(w.message) for w in caught] == ["digital silence"] * 2


def test_kept_warnings_are_not_shown_and_belong_to_their_thread() -> None:
    other = threading.Thread(target=warn, args=("of another thread",))
    shown = pytest.warns(FirstshotWarning, match="of another thread")
    with shown as caught, keep_warnings() as outer:
        warn("first")
        with keep_warnings() as inner:
            warn("second")
        warn("third")
        other.start()
        other.join()
    assert (outer, inner, len(caught)) == (["first", "third"], ["second"], 1)


def test_no_module_counts_stack_levels_by_hand() -> None:
    named = [p.name for p in SOURCE.rglob("*.py") if "stacklevel" in p.read_text()]
    assert named == []
