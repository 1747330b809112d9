"""The page in a real browser: everything decodes, nothing overflows, nothing complains."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from firstshot.report.run_page import write_page
from firstshot.results import Interval, SectionResult

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
WIDTHS = (400, 1280)
# The checking page shows the report in frames of both widths, opens everything that folds, waits
# for every picture and sound, and leaves what it found in its own text.
CHECK = """<!doctype html><meta charset="utf-8"><body>
<pre id="found">nothing yet</pre>
<script>
const widths = %s;
async function look(width) {
  const frame = document.createElement("iframe");
  frame.style = `border:0;height:4000px;width:${width}px`;
  const loaded = new Promise(resolve => frame.addEventListener("load", resolve));
  frame.src = "report.html";
  document.body.append(frame);
  await loaded;
  const page = frame.contentDocument;
  for (const folded of page.querySelectorAll("details")) folded.open = true;
  const pictures = await Promise.all([...page.querySelectorAll("image, img")].map(async shown => {
    const picture = new Image();
    picture.src = shown.getAttribute("href") || shown.getAttribute("src");
    try { await picture.decode(); return picture.naturalWidth; } catch { return 0; }
  }));
  const sounds = await Promise.all([...page.querySelectorAll("audio")].map(async player => {
    if (player.readyState < 1) await new Promise(resolve => {
      player.addEventListener("loadedmetadata", resolve);
      player.addEventListener("error", resolve);
      player.load();
    });
    // A real seek ends in real time, which the browser's virtual clock does not wait for.
    player.currentTime = player.duration / 2;
    player.dispatchEvent(new Event("seeked"));
    const line = player.closest("figure").querySelector(".playhead");
    const played = Number(line.style.getPropertyValue("--played"));
    return [player.duration || 0, Number(player.dataset.seconds), player.tabIndex, played];
  }));
  const root = page.documentElement;
  const clipped = [...page.querySelectorAll("h1, h2, h3, h4, p, svg, audio, summary, table")]
    .filter(e => e.getBoundingClientRect().right > root.clientWidth + 1 && !e.closest(".scroll"))
    .map(e => e.tagName + ": " + e.textContent.slice(0, 60));
  const plots = [...page.querySelectorAll("svg")].map(e => e.getBoundingClientRect().height);
  const overlaps = [];
  for (const plot of page.querySelectorAll("svg")) {
    const texts = [...plot.querySelectorAll("text")]
      .map(e => [e.textContent.trim(), e.getBoundingClientRect()]).filter(([words]) => words);
    texts.forEach(([a, p], k) => texts.slice(k + 1).forEach(([b, q]) => {
      if (Math.min(p.right, q.right) - Math.max(p.left, q.left) > 1 &&
          Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 0.25 * p.height)
        overlaps.push(a + " | " + b);
    }));
  }
  const maps = [...page.querySelectorAll(".points")].map(map => {
    const points = [...map.querySelectorAll(".point")], told = map.querySelector(".told");
    const colours = () => points.map(point => getComputedStyle(point).color).join();
    const before = colours(), heard = map.querySelector("[data-plays]");
    const radios = map.querySelectorAll("input");
    radios[radios.length - 1].click();
    heard.dispatchEvent(new MouseEvent("click", {bubbles: true}));
    const player = page.getElementById(heard.dataset.plays);
    const inside = points.every(point => {
      const box = map.querySelector("svg").getBoundingClientRect();
      const at = point.getBoundingClientRect();
      return at.left > box.left && at.right < box.right && at.top > box.top &&
        at.bottom < box.bottom;
    });
    const legends = [...map.querySelectorAll(".legend")].filter(keys => !keys.hidden);
    const found = {recoloured: before !== colours(), told: told.textContent, inside,
      heard: heard.querySelector("title").textContent, playing: !player.paused,
      legends: legends.map(keys => keys.dataset.for), by: radios[radios.length - 1].value};
    player.pause();
    return found;
  });
  return {width, maps, shown: root.clientWidth, needed: root.scrollWidth, pictures, sounds, clipped,
          plots, overlaps};
}
(async () => {
  const seen = [];
  for (const width of widths) seen.push(await look(width));
  document.getElementById("found").textContent = JSON.stringify(seen);
})().catch(fault => { document.getElementById("found").textContent = String(fault); });
</script>"""


def browse(folder: Path, address: Path, *wishes: str) -> subprocess.CompletedProcess[str]:
    assert BROWSER is not None
    return subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", "--hide-scrollbars", "--allow-file-access-from-files",
            "--autoplay-policy=no-user-gesture-required",
            "--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}", *wishes,
            address.as_uri(),
        ],
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip


@pytest.mark.skipif(
    BROWSER is None,
    reason="no browser: install chromium (Debian: apt-get install chromium) to check the page",
)
def test_the_page_works_in_a_browser(
    tmp_path: Path, make_section: Callable[..., SectionResult], settings: dict[str, object]
) -> None:
    names = ("BearingRig", "A_machine_with_a_very_long_name_" + "x" * 60)
    sections = [make_section(name, seed) for seed, name in enumerate(names)]
    sections.append(make_section("<script>throw 1</script>", 2, examples=1, labelled=False))
    page = write_page(
        tmp_path / "report.html", sections, "Three machines", settings,
        overall_interval=Interval(0.7, 0.8, 0.95),
    )  # fmt: skip
    (tmp_path / "check.html").write_text(CHECK % json.dumps(WIDTHS), encoding="utf-8")

    ran = browse(
        tmp_path, tmp_path / "check.html", "--dump-dom", "--virtual-time-budget=20000",
        "--window-size=1400,4200",
    )  # fmt: skip
    match = re.search(r'<pre id="found">(.*?)</pre>', ran.stdout, flags=re.S)
    assert match, f"the browser showed no page: {ran.stderr[-2000:]}"
    seen: list[dict[str, Any]] = json.loads(html.unescape(match.group(1)))

    assert "CONSOLE" not in ran.stderr, ran.stderr
    assert [view["shown"] for view in seen] == list(WIDTHS)
    for view in seen:
        assert view["needed"] <= view["width"], f"{view['width']} px wide overflows"
        assert view["clipped"] == []
        assert view["overlaps"] == []
        assert len(view["pictures"]) == 10 and min(view["pictures"]) > 100
        assert len(view["sounds"]) == 10
        for duration, expected, tab, played in view["sounds"]:
            assert duration == pytest.approx(expected, abs=0.05)
            assert tab == 0
            assert played == pytest.approx(0.5, abs=0.01)
        assert min(view["plots"]) > 150
        assert len(view["maps"]) == 3
        for shown in view["maps"]:
            assert shown["recoloured"] and shown["inside"] and shown["playing"]
            assert shown["told"] == shown["heard"] != ""
            assert shown["legends"] == [shown["by"]]

    picture = tmp_path / "page.png"
    browse(tmp_path, page, f"--screenshot={picture}", "--window-size=1280,3000")
    assert picture.stat().st_size > 100_000
