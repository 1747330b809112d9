"""Section results become one offline HTML page.

Input: `SectionResult` records. Output: a file that needs no network: it contains style, script,
pictures and sound. Its content security policy forbids the browser to fetch anything else and to
run any script but the page's own. The template escapes every name and word, and writes clips'
names as `show_name` does; only the SVG of `plots` and `example_plots` is inserted as markup.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from firstshot.disk.files import write_result
from firstshot.disk.names import show_name
from firstshot.errors import ParameterError
from firstshot.messages import show_text
from firstshot.report import example_plots
from firstshot.report.table import (
    called_anomalous,
    overall_metrics,
    percent,
    shown_metrics,
    versions,
)
from firstshot.report.views import (
    domains_in_words,
    flat_settings,
    hertz,
    number,
    scored_sections,
    section_views,
)
from firstshot.results import Interval, SectionResult

if TYPE_CHECKING:
    from jinja2 import Environment

EXAMPLES_ON_PAGE = 40  # about 0.2 MB each


def write_page(
    path: Path | str,
    sections: Sequence[SectionResult],
    title: str = "Anomalous sound report",
    settings: Mapping[str, Any] | None = None,
    overall: Mapping[str, float] | None = None,
    overall_interval: Interval | None = None,
    failures: Mapping[str, str] | None = None,
) -> Path:
    """Write the report of a run as one HTML file that opens anywhere, offline.

    Parameters
    ----------
    path : path
        The file to write, in one step.
    sections : sequence of SectionResult
        One per machine and section; at least one.
    title : str
        The page's heading.
    settings : mapping, optional
        The settings of the run, shown as a table; `settings["normalizer"] == "test_zscore"` adds
        a warning, since that normaliser uses the test clips' statistics.
    overall : mapping, optional
        Metrics of the `all` row; computed from the sections when absent.
    overall_interval : Interval, optional
        A bootstrap interval of the overall official score.
    failures : mapping, optional
        Why sections have no results, by the sections' names.

    Returns
    -------
    Path
        The path written.

    Raises
    ------
    ParameterError
        When there is no section to report.
    OutputError
        When the file cannot be written.
    """
    return write_result(
        Path(path), render_page(sections, title, settings, overall, overall_interval, failures)
    )


def render_page(
    sections: Sequence[SectionResult],
    title: str = "Anomalous sound report",
    settings: Mapping[str, Any] | None = None,
    overall: Mapping[str, float] | None = None,
    overall_interval: Interval | None = None,
    failures: Mapping[str, str] | None = None,
) -> str:
    """Return the page that `write_page` writes; the parameters are the same."""
    if not sections:
        raise ParameterError("a report needs the results of one section or more; got none")
    settings = dict(settings or {})
    script = _packaged("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    template = page_environment().from_string(_packaged("page.html.jinja"))
    return template.render(
        title=title,
        views=section_views(sections, examples=max(1, EXAMPLES_ON_PAGE // len(sections))),
        overall=overall_metrics(sections) if overall is None else overall,
        overall_interval=overall_interval,
        failures=dict(failures or {}),
        headings=shown_metrics(sections),
        domains=domains_in_words(sections),
        clips=sum(len(section.clips) for section in sections),
        anomalous=sum(map(called_anomalous, sections)),
        scored=scored_sections(sections),
        called_anomalous=called_anomalous,
        settings=flat_settings(settings),
        normalizer=settings.get("normalizer"),
        uses_test_clips=settings.get("normalizer") == "test_zscore",
        versions=versions(),
        style=Markup(page_style()),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
        time_axis=(example_plots.LEFT, example_plots.RIGHT),
    )


def page_environment() -> Environment:
    """Return what renders a page's template: it escapes everything and refuses undefined names."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    environment.filters |= {
        "percent": percent,
        "number": number,
        "hertz": hertz,
        "clip": show_name,
    }
    return environment


def _printable(value: Any) -> Any:
    """Escape characters that UTF-8 cannot hold or that a reader would not see."""
    return show_text(value) if type(value) is str else value


def page_style() -> str:
    """Return the style sheet of every page."""
    return _packaged("page.css")


def _packaged(name: str) -> str:
    return resources.files("firstshot.report").joinpath(name).read_text(encoding="utf-8")
