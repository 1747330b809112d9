"""Figures are drawn whatever backend the environment names."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

DRAW = """
import os
from firstshot.report.drawing.svg import drawing, inline_svg
with drawing((2, 1)) as figure:
    assert inline_svg(figure, "a figure").startswith("<svg")
import matplotlib
print(os.environ.get("MPLBACKEND"), matplotlib.get_backend(auto_select=False))
"""


def draw(backend: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", DRAW],
        env={**os.environ, "MPLBACKEND": backend},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


BACKENDS = ["module://matplotlib_inline.backend_inline", "module://no_such.backend", "no_such", "²"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backend_that_is_not_installed_keeps_no_figure_from_being_drawn(backend):
    assert draw(backend).split()[0] == backend


def test_a_backend_that_the_caller_chose_stays_chosen():
    assert draw("svg") == "svg svg"
