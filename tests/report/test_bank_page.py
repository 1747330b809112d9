"""The page of an inspected bank: what is unusual, to listen to, and the map."""

from __future__ import annotations

import re

import numpy as np
import pytest
import soundfile

from firstshot.detector import Detector
from firstshot.report.bank_page import is_bank_page, render_bank

RATE = 16000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Thirty clips of noise, a stopped machine, and a copy with dither of the first clip."""
    root = tmp_path_factory.mktemp("normal")
    noise = [np.random.default_rng(i).standard_normal(RATE // 2) for i in range(31)]
    for i in range(30):
        soundfile.write(root / f"{i:02}.wav", 0.1 * noise[i], RATE, subtype="FLOAT")
    hum = 1e-3 * np.sin(2 * np.pi * 50 * np.arange(RATE // 2) / RATE)
    soundfile.write(root / "stopped & off.wav", hum, RATE, subtype="FLOAT")
    copy = 0.1 * noise[0] + 1e-6 * noise[30]
    soundfile.write(root / "copy.wav", copy, RATE, subtype="FLOAT")
    return root


@pytest.fixture(scope="module")
def detector(folder):
    return Detector("logmel").fit(folder)


def page_of(detector, **how):
    return render_bank(detector.fitted_, detector.inspect(), "The bank of a", **how)


def test_each_unusual_clip_has_its_reason_and_players_for_it_and_the_clip_beside_it(
    detector, folder, tmp_path
):
    text = page_of(detector, normal_folders=[folder], commands=["firstshot bank remove a b"])
    summaries = re.findall(r"<summary>(.*?)</summary>", text)
    assert [re.sub("<[^>]+>", "", one).split(" ·")[0] for one in summaries] == [
        "stopped &amp; off.wav unlike the others",
        "00.wav near-copy",
    ]
    assert text.count("<audio") == 4
    assert "<code>firstshot bank remove a b</code>" in text
    assert "1 of 32 normal clips does not sound like the others" in text
    assert "Map of 32 normal clips and 0 clips that were scored." in text
    (tmp_path / "a.html").write_text(text, encoding="utf-8")
    assert is_bank_page(tmp_path / "a.html")


def test_the_points_of_clips_with_players_play_them(detector, folder):
    text = page_of(detector, normal_folders=[folder])
    anchors = set(re.findall(r'<audio id="([^"]+)"', text))
    played = set(re.findall(r'data-plays="([^"]+)"', text))
    assert len(anchors) == 4
    assert played == anchors


def test_without_the_files_the_clips_are_named_and_nothing_is_played(detector):
    text = page_of(detector)
    assert "stopped &amp; off.wav" in text
    assert "<audio" not in text


def test_a_bank_without_unusual_clips_says_so_and_has_its_map(folder):
    detector = Detector("logmel").fit([folder / f"{i:02}.wav" for i in range(30)])
    text = page_of(detector)
    assert "Nothing is unusual" in text
    assert "Unusual clips" not in text
    assert "Map of 30 normal clips" in text
