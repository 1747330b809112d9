"""Section results become one offline HTML page.

Input: `SectionResult` records. Output: a file for a browser; see `firstshot.report.page`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from firstshot.disk.files import write_result
from firstshot.errors import ParameterError
from firstshot.report.page import fill_template, packaged
from firstshot.report.table import called_anomalous, overall_metrics, shown_metrics
from firstshot.report.views import (
    domains_in_words,
    flat_settings,
    scored_sections,
    section_views,
)
from firstshot.results import Interval, SectionResult, normalizers_of

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
        The settings of the run, shown as a table; the normaliser `test_zscore` among them adds
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
    return fill_template(
        packaged("run.html.jinja"),
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
        normalizer=", ".join(normalizers_of(settings)),
        uses_test_clips="test_zscore" in normalizers_of(settings),
    )
