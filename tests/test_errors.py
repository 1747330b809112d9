"""Errors and warnings say what is wrong, and Python shows a warning with the caller's line."""

from __future__ import annotations

import sys
import threading
import tomllib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firstshot.detector import Detector, Ensemble
from firstshot.errors import (
    FirstshotError,
    FirstshotWarning,
    MissingLibraryError,
    NotFittedError,
    keep_warnings,
    warn,
)
from firstshot.libraries import EXTRAS, import_library
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


@pytest.mark.parametrize(
    "make", [Detector, lambda: Ensemble([Detector("logmel"), Detector("logmel")])]
)
def test_a_detector_that_has_learned_nothing_says_so_by_its_own_error(make: Any) -> None:
    with pytest.raises(NotFittedError, match=r"call fit\(\.\.\.\) first") as caught:
        make().predict("today.wav")
    # scikit-learn's error has these bases too.
    for base in (ValueError, AttributeError, FirstshotError):
        assert isinstance(caught.value, base)


@pytest.mark.parametrize("module", EXTRAS)
def test_a_missing_library_is_one_error_that_says_what_to_install(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    library, extra = EXTRAS[module]
    said = rf"^a setting needs {library} \(.+\); run `pip install 'firstshot\[{extra}\]'`$"
    with pytest.raises(MissingLibraryError, match=said):
        import_library(module, "a setting")


def test_every_extra_that_a_message_names_can_be_installed() -> None:
    project = tomllib.loads((SOURCE.parents[1] / "pyproject.toml").read_text())["project"]
    named = {extra for module, (_, extra) in EXTRAS.items() if module != "huggingface_hub"}
    assert named <= project["optional-dependencies"].keys()
