"""The page of scored clips as text: every clip in it, and nothing of it from elsewhere."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.report.test_page_in_browser import BROWSER, browse
from tests.report.test_run_page import Outline

from firstshot.report.clips_page import is_clips_page, render_clips
from firstshot.report.scored_clips import ScoredClips
from firstshot.results import Example, Neighbor, Result
from firstshot.scoring.plane import ClipMap, MappedClip
from firstshot.scoring.threshold import fit_threshold

MakeExample = Callable[..., Example]
THRESHOLD = fit_threshold(np.linspace(0, 1, 40), "quantile", 0.1)


def scored(
    names: Sequence[str], examples: Sequence[Example] = (), timed: bool = True
) -> ScoredClips:
    results = tuple(
        Result(
            name, 0.1 * k, 0.2, THRESHOLD.value, 0.1 * k > THRESHOLD.value, "source",
            (Neighbor("n.wav", "source", 1.0),), {}, normal_clips=40,
        )
        for k, name in enumerate(names)
    )  # fmt: skip
    clips = [MappedClip("n.wav", True, "source")]
    clips += [MappedClip(r.clip, False, r.domain, None, r.score, r.is_anomaly) for r in results]
    points = np.random.default_rng(0).normal(size=(len(clips), 2))
    times = tuple(1e9 + 60.0 * k for k in range(len(names))) if timed else None
    return ScoredClips(results, times, tuple(examples), ClipMap(tuple(clips), points, (0.6, 0.2)))


NAMES = [f"clip_{k}.wav" for k in range(20)]


def test_the_page_counts_lists_and_draws_every_clip(make_example: MakeExample) -> None:
    example = replace(make_example(1), clip=NAMES[-1], label=None)
    page = render_clips(scored(NAMES, [example]), "Today", THRESHOLD, {"encoder": "logmel"}, "/d")
    outline = Outline(page)
    anomalous = sum(0.1 * k > THRESHOLD.value for k in range(20))
    assert f"{anomalous} of 20 clips called anomalous" in outline.text
    assert THRESHOLD.promise in outline.text
    assert "Clips of /d" in outline.text
    for name in NAMES:
        assert outline.text.count(f"{name}: score") == 2  # over time, and on the map
    rows = re.findall(r'<th scope="row" class="name">(clip_\d+\.wav)', page)
    assert rows == NAMES[::-1]
    players = {player["id"] for player in outline.all("audio")}
    played = [p["data-plays"] for p in outline.all("path") if "data-plays" in p]
    assert len(played) == 2 and set(played) <= players
    assert "at which their files were last written" in outline.text


def test_the_views_that_made_a_score_are_listed_where_there_are_several(
    make_example: MakeExample,
) -> None:
    views = ("bands (spectra layer 1): 1,200 to 1,900 Hz, 3.1 deviations above", "lines <4>: 1.2")
    example = replace(make_example(1), clip=NAMES[-1], views=views)
    page = render_clips(scored(NAMES, [example]), "Today", THRESHOLD, {})
    assert f"<li>{views[0]}</li><li>lines &lt;4&gt;: 1.2</li>" in page
    alone = replace(example, views=views[:1])
    assert "<li>" not in render_clips(scored(NAMES, [alone]), "Today", THRESHOLD, {})


def test_the_page_refers_to_nothing_outside_itself(make_example: MakeExample) -> None:
    page = render_clips(
        scored([*NAMES, make_example(1).clip], [make_example(1)]), "T", THRESHOLD, {}
    )
    for _, attributes in Outline(page).elements:
        for name in ("src", "href", "srcset", "action", "data"):
            assert re.match(r"#|data:(image/png|audio/flac);base64,", attributes.get(name) or "#")
    assert "://" not in page
    levels = [int(tag[1]) for tag, _ in Outline(page).elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(below - above <= 1 for above, below in itertools.pairwise(levels))
    ids = [held["id"] for _, held in Outline(page).elements if "id" in held]
    assert len(ids) == len(set(ids))


def test_without_times_the_clips_are_in_the_natural_order_of_their_names() -> None:
    names = ["a10.wav", "a9.wav", "a1.wav"]
    page = render_clips(scored(names, timed=False), "T", THRESHOLD, {})
    assert "in order of their names" in page
    places = {
        name: float(x) for x, name in re.findall(r'd="M([\d.]+) [^>]*><title>(a\d+\.wav)', page)[:3]
    }
    assert places["a1.wav"] < places["a9.wav"] < places["a10.wav"]


def test_a_normal_clip_without_its_sound_is_named_only(make_example: MakeExample) -> None:
    bare = replace(make_example(1), clip=NAMES[0], nearest_waveform=np.zeros(0, np.float32))
    outline = Outline(render_clips(scored(NAMES, [bare]), "T", THRESHOLD, {}))
    assert len(outline.all("audio")) == 1
    assert "Its sound is not at hand" in outline.text
    assert bare.nearest in outline.text


def test_clips_that_could_not_be_read_are_told() -> None:
    failures = [(f"bad_{k}.wav", "is truncated") for k in range(12)]
    text = Outline(render_clips(scored(NAMES), "T", THRESHOLD, {}, failures=failures)).text
    assert "12 could not be read and are not shown below." in text
    assert "bad_9.wav" in text and "bad_10.wav" not in text and "and 2 more" in text


def test_many_clips_stay_a_page_that_opens() -> None:
    page = render_clips(scored([f"{k}.wav" for k in range(9000)]), "T", THRESHOLD, {})
    text = Outline(page).text
    assert len(page) < 5e6
    assert "Table of the highest 500 scores" in text
    assert 1500 < page.count('data-decision="') - 9001 <= 2000


def test_hostile_names_do_nothing(make_example: MakeExample) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;.wav"
    example = replace(make_example(1), clip=evil, nearest=evil, words=evil)
    page = render_clips(
        scored([evil], [example]), evil, THRESHOLD, {evil: evil}, evil, [(evil, "")]
    )
    outline = Outline(page)
    assert len(outline.all("script")) == 1
    assert outline.all("img") == []


def test_a_page_of_scored_clips_is_known_by_its_mark(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(render_clips(scored(NAMES), "T" * 200, THRESHOLD, {}), encoding="utf-8")
    assert is_clips_page(path)
    path.write_text("<title>firstshot score</title>")
    assert not is_clips_page(path)


@pytest.mark.skipif(BROWSER is None, reason="no browser: install chromium to check the page")
def test_a_click_on_a_point_plays_its_clip(tmp_path: Path, make_example: MakeExample) -> None:
    example = replace(make_example(1), clip=NAMES[-1])
    page = render_clips(scored(NAMES, [example]), "T", THRESHOLD, {})
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    (tmp_path / "check.html").write_text(
        """<!doctype html><pre id="found"></pre><iframe src="report.html"></iframe><script>
        document.querySelector("iframe").onload = event => {
          const page = event.target.contentDocument, found = [];
          for (const point of page.querySelectorAll("[data-plays]")) {
            for (const folded of page.querySelectorAll("details")) folded.open = false;
            point.dispatchEvent(new MouseEvent("click", {bubbles: true}));
            const player = page.getElementById(point.dataset.plays);
            found.push(!player.paused && player.closest("details").open);
            player.pause();
          }
          document.getElementById("found").textContent = found.join();
        };</script>""",
        encoding="utf-8",
    )
    ran = browse(tmp_path, tmp_path / "check.html", "--dump-dom", "--virtual-time-budget=5000")
    assert '<pre id="found">true,true</pre>' in ran.stdout, ran.stderr[-2000:]
