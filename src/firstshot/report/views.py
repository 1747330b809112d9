"""Section results become what the page's template shows: sentences, counts, plots and sounds.

Input: a `SectionResult`. Output: a `SectionView` with every number ready to print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from firstshot.detector.views import View
from firstshot.domains import DOMAIN_WORDS, DOMAINS
from firstshot.report.details import detail_tables
from firstshot.report.drawing.clip_map import MapView, draw_map
from firstshot.report.drawing.plots import plot_roc, plot_scores
from firstshot.report.examples import ExampleView, example_view, sounds_of, words_of_p_value
from firstshot.report.formats import TextTable
from firstshot.report.table import called_anomalous
from firstshot.results import Example, SectionResult
from firstshot.scoring.metrics import OFFICIAL_METRICS


@dataclass(frozen=True)
class Count:
    """How the clips of one group were called; `label` is None where it is not known."""

    group: str
    label: int | None
    normal: int
    anomalous: int


@dataclass(frozen=True)
class SectionView:
    """One section, under a title that is unique enough for its heading."""

    section: SectionResult
    title: str
    anchor: str
    summary: str
    scores_plot: Markup
    roc_plot: Markup | None
    counts: list[Count]
    tables: list[TextTable]
    clip_map: MapView | None
    examples: list[ExampleView]
    left_out: int


def section_views(sections: Sequence[SectionResult], examples: int) -> list[SectionView]:
    """Prepare every section for the page, with at most `examples` clips to listen to in each."""
    machines = [section.machine for section in sections]
    return [
        _section_view(section, f"machine-{number}", machines.count(section.machine) > 1, examples)
        for number, section in enumerate(sections, start=1)
    ]


def _section_view(section: SectionResult, anchor: str, several: bool, examples: int) -> SectionView:
    title = f"{section.machine}, section {section.section}" if several else section.machine
    counts = decision_counts(section)
    shown = _example_views(section, section.examples[:examples], anchor)
    mapped = section.clip_map
    return SectionView(
        section=section,
        title=title,
        anchor=anchor,
        summary=summarise(section, counts),
        scores_plot=plot_scores(section),
        roc_plot=plot_roc(section),
        counts=counts,
        tables=detail_tables(title, section.details),
        clip_map=draw_map(mapped, sounds_of(shown)) if mapped is not None else None,
        examples=shown,
        left_out=len(section.examples) - len(shown),
    )


def _example_views(
    section: SectionResult, examples: Sequence[Example], anchor: str
) -> list[ExampleView]:
    normal_clips = len(section.training_scores)
    views = []
    for number, example in enumerate(examples, start=1):
        called = example.score > section.threshold
        if example.clip in section.clips:
            called = bool(section.decisions[section.clips.index(example.clip)])
        name = f"{anchor}-example-{number}"
        evidence = words_of_p_value(example.p_value, normal_clips)
        views.append(example_view(example, name, called, section.threshold, evidence))
    return views


def domains_in_words(sections: Sequence[SectionResult]) -> str:
    """Say what the domains mean that the results name; "" where none is named.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> domains_in_words([SimpleNamespace(domains=["source", "target"])])
    'usual conditions (source) and new conditions (target)'
    >>> domains_in_words([SimpleNamespace(domains=None)])
    ''
    """
    named = {domain for section in sections for domain in section.domains or ()}
    return " and ".join(DOMAIN_WORDS[domain] for domain in DOMAINS if domain in named)


def scored_sections(sections: Sequence[SectionResult]) -> str:
    """Say in words which sections the overall official score is a mean over.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> metrics = {"auc_source": 0.9, "auc_target": 0.8, "pauc": 0.7}
    >>> fan, pump = (SimpleNamespace(machine=m, metrics=metrics) for m in ("fan", "pump"))
    >>> scored_sections([fan]), scored_sections([fan, pump]), scored_sections([fan, fan])
    ('one machine', 'all 2 machines', 'all 2 sections')
    >>> scored_sections([fan, pump, SimpleNamespace(machine="valve", metrics={})])
    'the 2 of 3 machines where all three are known'
    """
    machines = {section.machine for section in sections}
    noun = "machine" if len(machines) == len(sections) else "section"
    whole = sum(all(name in s.metrics for name in OFFICIAL_METRICS) for s in sections)
    if whole < len(sections):
        return f"the {whole} of {len(sections)} {noun}s where all three are known"
    return f"one {noun}" if whole == 1 else f"all {whole} {noun}s"


def decision_counts(section: SectionResult) -> list[Count]:
    """Count the decisions of each domain's normal and anomalous clips; empty groups are left out.

    Returns
    -------
    list of Count
        One per domain and label; one for all clips when neither is known.
    """
    clips = len(section.clips)
    labels = np.full(clips, -1) if section.labels is None else np.asarray(section.labels)
    domains = np.array([""] * clips if section.domains is None else section.domains)
    counts = []
    for domain in dict.fromkeys(sorted(domains.tolist())):
        for label, word in ((0, "normal"), (1, "anomalous"), (-1, "test clips")):
            decisions = np.asarray(section.decisions)[(domains == domain) & (labels == label)]
            if decisions.size:
                called = int(np.count_nonzero(decisions))
                group = f"{domain} {word}".strip()
                counts.append(
                    Count(group, None if label < 0 else label, decisions.size - called, called)
                )
    return counts


def summarise(section: SectionResult, counts: Sequence[Count]) -> str:
    """Say in one sentence what the threshold did.

    Examples
    --------
    >>> counts = [Count("normal", 0, 47, 3), Count("anomalous", 1, 9, 41)]
    >>> summarise(None, counts)
    '41 of 50 anomalous clips are found; 3 of 50 normal clips raise a false alarm.'
    """
    parts = []
    for label, words in (
        (1, "{} of {} anomalous clips are found"),
        (0, "{} of {} normal clips raise a false alarm"),
    ):
        chosen = [count for count in counts if count.label == label]
        called = sum(count.anomalous for count in chosen)
        if chosen:
            parts.append(words.format(called, called + sum(count.normal for count in chosen)))
    if not parts:
        return f"{called_anomalous(section)} of {len(section.clips)} clips are called anomalous."
    return "; ".join(parts) + "."


def flat_settings(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Turn nested settings into name and value pairs; those left at None are left out.

    Examples
    --------
    >>> flat_settings({"encoder": "logmel", "K": None, "normalizer": {"K": 16}, "layers": (7, 10)})
    [('encoder', 'logmel'), ('normalizer.K', '16'), ('layers', '7, 10')]
    >>> flat_settings({"views": [View("logmel", name="bands", normalizer="none")]})
    [('view bands', 'logmel layer 1, euclidean, none')]
    """
    pairs: list[tuple[str, str]] = []
    for name, value in settings.items():
        if name == "views" and isinstance(value, (list, tuple)):
            views = [view if isinstance(view, View) else _view(view) for view in value]
            pairs += [(f"view {view.label}", view_in_words(view)) for view in views]
        elif isinstance(value, Mapping) and value:
            pairs += flat_settings(value, f"{prefix}{name}.")
        elif isinstance(value, (list, tuple)):
            pairs.append((f"{prefix}{name}", ", ".join(map(str, value)) or "none"))
        elif value is not None:
            pairs.append((f"{prefix}{name}", str(value)))
    return pairs


def _view(values: Mapping[str, Any]) -> View:
    """Return the view of plain values, of which some may be missing: it is only shown."""
    known = {name: v for name, v in values.items() if name in View.__dataclass_fields__}
    return View(**{"encoder": "encoder", **known})


_USUAL = ("temporal", "none")
"""The pooling and the transform that are not worth a word."""


def view_in_words(view: View) -> str:
    """Say what a view compares, and how; what is usual is left out.

    Examples
    --------
    >>> view_in_words(View("spectra", 1, transform="standardize", groups=8))
    'spectra layer 1, standardize, euclidean, max of 8 groups of bands, density'
    """
    words = [f"{view.encoder_name} layer {view.layer}"]
    words += [value for value in (view.pooling, view.transform) if value not in _USUAL]
    words.append(view.metric)
    if view.groups > 1:
        words.append(f"{view.over_groups} of {view.groups} groups of bands")
    words.append(view.normalizer)
    words += [f"{name} {value}" for name, value in view.normalizer_settings.items()]
    return ", ".join(words)
