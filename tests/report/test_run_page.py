"""The page as text: offline, escaped, and whole for every kind of result."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from firstshot.disk.names import read_name, show_name
from firstshot.errors import ParameterError
from firstshot.report.run_page import render_page, write_page
from firstshot.report.table import overall_metrics
from firstshot.report.views import flat_settings
from firstshot.results import Example, Interval, SectionResult

MakeSection = Callable[..., SectionResult]
MakeExample = Callable[..., Example]
VOID = {"meta", "br", "img", "input", "link", "hr"}


class Outline(HTMLParser):
    """Collects elements and visible text; objects to tags that are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_the_page_refers_to_nothing_outside_itself(
    make_section: MakeSection, settings: dict[str, object]
) -> None:
    page = render_page([make_section()], settings=settings)
    for _, attributes in Outline(page).elements:
        for name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
            assert re.match(r"#|data:(image/png|audio/flac);base64,", attributes.get(name) or "#")
    assert "://" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page


def test_the_headline_is_the_official_score_with_its_interval(make_section: MakeSection) -> None:
    sections = [make_section("fan", 0, examples=0), make_section("pump", 1, examples=0)]
    text = Outline(render_page(sections, overall_interval=Interval(0.704, 0.811, 0.95))).text
    assert f"{100 * overall_metrics(sections)['official_score']:.2f} %" in text
    assert "95 % interval 70.4 to 81.1 %" in text
    low = sections[0].intervals["auc_source"].low
    assert f"{100 * low:.1f}–" in text


def test_the_settings_show_each_view_in_words_and_nothing_that_was_left_alone() -> None:
    view = {"encoder": "spectra", "layer": 1, "groups": 8, "name": "bands", "transform": "whiten"}
    assert flat_settings({"views": [view], "metric": None, "length": "native"}) == [
        ("view bands", "spectra layer 1, whiten, euclidean, max of 8 groups of bands, density"),
        ("length", "native"),
    ]


def test_source_and_target_are_explained_where_they_appear_first(make_section: MakeSection) -> None:
    section = make_section(examples=0)
    text = Outline(render_page([section])).text
    words = "Test clips of usual conditions (source) and new conditions (target)."
    assert words in text
    for domain in ("source", "target"):
        assert text.index(domain) > text.index(words)
    source_only = replace(section, domains=("source",) * len(section.clips))
    assert "usual conditions (source)." in render_page([source_only])
    assert "conditions" not in render_page([replace(section, domains=None, clip_map=None)])


def test_the_headline_tells_over_which_machines_it_is_a_mean(make_section: MakeSection) -> None:
    sections = [make_section("fan", examples=0), make_section("new", examples=0, labelled=False)]
    assert (
        "over the 1 of 2 machines where all three are known" in Outline(render_page(sections)).text
    )
    lacking = {name: v for name, v in sections[0].metrics.items() if name != "auc_target"}
    text = Outline(render_page([sections[0], replace(sections[0], metrics=lacking)])).text
    assert "so there is no official score" in text


def test_sections_that_could_not_be_run_are_reported(make_section: MakeSection) -> None:
    failures = {"fan_section_00": "fan/train/a.wav: truncated"}
    text = Outline(render_page([make_section("pump", examples=0)], failures=failures)).text
    assert "1 of 2 sections failed and are not shown below." in text
    assert "fan/train/a.wav: truncated" in text


def test_counts_at_the_threshold_are_those_of_the_decisions(make_section: MakeSection) -> None:
    section = make_section(examples=0)
    labels, decisions = section.labels, section.decisions
    assert labels is not None
    found, alarms = int(decisions[labels == 1].sum()), int(decisions[labels == 0].sum())
    text = Outline(render_page([section])).text
    assert f"{found} of 50 anomalous clips are found; {alarms} of 50 normal clips raise" in text
    source = int(decisions[:50][labels[:50] == 1].sum())
    assert f"source anomalous {25 - source} {source}" in text


@pytest.mark.parametrize("normalizer", ["none", "test_zscore", "domain_zscore"])
def test_a_banner_warns_exactly_where_scores_looked_at_the_test_clips(
    make_section: MakeSection, normalizer: str
) -> None:
    text = Outline(
        render_page([make_section(examples=0)], settings={"normalizer": normalizer})
    ).text
    assert ("These scores use statistics of the test clips." in text) == (
        normalizer == "test_zscore"
    )


def test_a_view_that_looks_at_the_test_clips_is_warned_of_too(make_section: MakeSection) -> None:
    settings = {"views": [{"normalizer": "density"}, {"normalizer": "test_zscore"}]}
    text = Outline(render_page([make_section(examples=0)], settings=settings)).text
    assert "These scores use statistics of the test clips." in text
    assert "Normaliser: density, test_zscore" in text


def test_hostile_names_are_shown_and_do_nothing(
    make_section: MakeSection, make_example: MakeExample
) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;$x_1$.wav"
    section = replace(
        make_section(evil, examples=0),
        examples=(replace(make_example(1), clip=evil, nearest=evil, domain=evil, words=evil),),
        notes=(evil,),
        normal_clips=(evil,),
    )
    outline = Outline(render_page([section], title=evil, settings={evil: evil}))
    assert len(outline.all("script")) == 1
    assert outline.all("img") == []
    assert not any(name.startswith("on") for _, held in outline.elements for name in held)
    assert outline.text.count(evil) >= 8


def test_what_is_unusual_among_the_normal_clips_is_told(make_section: MakeSection) -> None:
    section = make_section(examples=0)
    assert "normal clips looked at" not in Outline(render_page([section])).text
    told = replace(section, normal_clips=("12 normal clips looked at", "1 is odd: a.wav"))
    text = Outline(render_page([told])).text
    assert "Normal clips 12 normal clips looked at; 1 is odd: a.wav." in text


def test_without_labels_the_page_counts_decisions(make_section: MakeSection) -> None:
    section = make_section("pump", labelled=False)
    text = Outline(render_page([section])).text
    called = int(section.decisions.sum())
    assert f"{called} of 100 clips called anomalous" in text
    assert "official score" not in text
    assert "ROC" not in text
    assert "rightly" not in text and "wrongly" not in text


def test_a_wrong_decision_is_called_wrong(
    make_section: MakeSection, make_example: MakeExample
) -> None:
    section = replace(make_section(examples=0), examples=(make_example(1, label=0, score=99.0),))
    assert "called anomalous , wrongly: it is normal" in Outline(render_page([section])).text


def test_every_picture_and_player_has_a_name_and_every_table_a_caption(
    make_section: MakeSection,
) -> None:
    outline = Outline(render_page([make_section()]))
    assert len(outline.all("audio")) == 4
    for picture in outline.all("svg"):
        assert picture["role"] in ("img", "group") and picture["aria-label"]
    for point in outline.all("path"):
        assert "data-plays" not in point or (point["role"] == "button" and point["aria-label"])
    for player in outline.all("audio"):
        assert "controls" in player and player["aria-label"]
    assert len(outline.all("caption")) == len(outline.all("table"))
    levels = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(below - above <= 1 for above, below in itertools.pairwise(levels))
    ids = [held["id"] for _, held in outline.elements if "id" in held]
    assert len(ids) == len(set(ids))


def test_one_clip_constant_scores_and_no_examples_make_a_page(make_section: MakeSection) -> None:
    one = make_section(clips=1, examples=0, labelled=False)
    constant = replace(make_section(examples=0), scores=np.ones(100), metrics={}, intervals={})
    text = Outline(render_page([one, replace(constant, section="01")])).text
    assert "BearingRig, section 01" in text
    assert "Most anomalous" not in text


def test_an_example_without_samples_bands_or_p_value_is_reported_in_words(
    make_section: MakeSection, make_example: MakeExample
) -> None:
    bare = replace(
        make_example(1),
        waveform=np.zeros(0, np.float32),
        bands=(),
        p_value=float("nan"),
    )
    outline = Outline(render_page([replace(make_section(examples=0), examples=(bare,))]))
    assert "The sound of this clip is not available." in outline.text
    assert "p-value –" in outline.text
    assert outline.all("audio") == []


def test_p_values_are_reported_as_what_the_normal_clips_can_show(
    make_section: MakeSection, make_example: MakeExample
) -> None:
    section = replace(make_section(examples=0), training_scores=np.arange(28.0))
    examples = tuple(replace(make_example(i), p_value=p / 29) for i, p in ((1, 1), (2, 4)))
    text = Outline(render_page([replace(section, examples=examples)])).text
    assert (
        "no normal clip of 28 scores as high (the smallest p-value that 28 clips can show is 1 in "
        "29)" in text
    )
    assert "3 of 28 normal clips score at least as high (p = 0.138)" in text
    assert "Levels are relative to each clip's overall level" in text


def test_five_machines_with_four_examples_stay_small(make_section: MakeSection) -> None:
    sections = [make_section(f"machine {k}", k, examples=4) for k in range(5)]
    assert len(render_page(sections)) < 7e6


def test_fifty_machines_share_the_examples_and_the_page_says_so(
    make_section: MakeSection,
) -> None:
    first = make_section("first", examples=2)
    sections = [first] + [replace(first, machine=f"m{k}", examples=()) for k in range(49)]
    outline = Outline(render_page(sections))
    assert len(outline.all("audio")) == 2
    assert "1 more is left out to keep the page small" in outline.text
    assert outline.text.count("official score") == 1


def test_a_page_is_written_to_a_new_folder_and_needs_a_section(
    tmp_path: Path, make_section: MakeSection
) -> None:
    path = write_page(
        tmp_path / "new" / "report.html", [make_section(examples=0)], title="Fan hall"
    )
    assert "<title>Fan hall</title>" in path.read_text(encoding="utf-8")
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]
    with pytest.raises(ParameterError, match="one section or more"):
        write_page(tmp_path / "report.html", [])


def test_names_of_any_bytes_are_shown_escaped_and_can_be_read_back(
    make_section: MakeSection, make_example: MakeExample, tmp_path: Path
) -> None:
    name = "a\x1b[1m\n\u202e<b>caf\udce9\\x41.wav"
    example = replace(make_example(0), clip=name, nearest=name)
    path = write_page(
        tmp_path / "page.html",
        [replace(make_section(), examples=(example,))],
        title="r\udcfcn",
        failures={"fan": "a\x1bb: is '\\x1b'"},
    )
    page = path.read_bytes().decode("utf-8")
    assert not set(page) & set("\x1b\u202e")
    words = " ".join(Outline(page).words)
    assert r"a\x1b[1m\x0a\u202e<b>caf\xe9\x5cx41.wav" in words
    assert read_name(show_name(name)) == name
    assert r"r\xfcn" in words
    assert r"a\x1bb: is '\x1b'" in words


def test_the_map_plays_the_clips_that_have_a_player_and_no_other(make_section: MakeSection) -> None:
    outline = Outline(render_page([make_section()]))
    players = {player["id"] for player in outline.all("audio")}
    points = [path for path in outline.all("path") if "data-decision" in path]
    played = [point["data-plays"] for point in points if "data-plays" in point]
    assert len(points) == 130
    assert len(played) == 2 and set(played) < players
    switches = [held["value"] for held in outline.all("input")]
    assert switches == ["decision", "domain", "a0", "a1"]
    assert {"data-domain", "data-a0", "data-a1"} < points[0].keys()
    assert "by attribute value" in outline.text


def test_a_page_without_a_map_has_no_switch(make_section: MakeSection) -> None:
    outline = Outline(render_page([replace(make_section(), clip_map=None)]))
    assert outline.all("input") == []
    assert "Map of the clips" not in outline.text
