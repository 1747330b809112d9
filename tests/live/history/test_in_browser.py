"""The page of past days in a real browser: all is decoded, and nothing overflows."""

import html
import json
import re

import numpy as np
import pytest
from tests.report.test_page_in_browser import BROWSER, CHECK, WIDTHS, browse

from firstshot.live.history.page import render_history
from firstshot.live.history.read import read_history


@pytest.mark.skipif(BROWSER is None, reason="no browser: install chromium to check the page")
def test_the_page_works_in_a_browser(state_folder, tmp_path):
    past = read_history(state_folder / "history")
    banks = {"fan": np.linspace(0.5, 2.0, 50)}
    (tmp_path / "report.html").write_text(
        render_history(past, "Hall 3", state_folder / "clips", banks), encoding="utf-8"
    )
    (tmp_path / "check.html").write_text(CHECK % json.dumps(WIDTHS), encoding="utf-8")
    ran = browse(
        tmp_path, tmp_path / "check.html", "--dump-dom", "--virtual-time-budget=20000",
        "--window-size=1400,4200",
    )  # fmt: skip
    match = re.search(r'<pre id="found">(.*?)</pre>', ran.stdout, flags=re.S)
    assert match, f"the browser showed no page: {ran.stderr[-2000:]}"
    assert match[1].startswith("["), match[1]
    for width, seen in zip(WIDTHS, json.loads(html.unescape(match.group(1))), strict=True):
        assert seen["width"] == width
        assert seen["needed"] <= seen["shown"], "the page is wider than the screen"
        assert seen["clipped"] == []
        assert seen["overlaps"] == []
        assert all(picture > 0 for picture in seen["pictures"])
        ((duration, told, _, _),) = seen["sounds"]
        assert abs(duration - told) < 0.1
    assert "Refused to" not in ran.stderr
