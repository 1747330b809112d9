"""The details of sections become tables: by attribute value, by encoder, by part.

Input: a section's `Details`. Output: `TextTable`s, for the terminal, Markdown, LaTeX and the page.
Metrics are percent.
"""

from __future__ import annotations

from collections.abc import Mapping

from firstshot.report.formats import TextTable
from firstshot.report.table import percent
from firstshot.scoring.details import AttributeResult, Details

METRICS = {
    "auc_source": "AUC source",
    "auc_target": "AUC target",
    "auc_all": "AUC",
    "pauc": "pAUC",
    "official_score": "Official score",
}
_OFFICIAL = ("auc_source", "auc_target", "pauc", "official_score")


def detail_tables(name: str, details: Details) -> list[TextTable]:
    """Return the tables of a section that have something to say, under its name.

    A single encoder or part has no table: its metrics are the section's own.

    Examples
    --------
    >>> half = {"auc_all": 0.5, "pauc": 0.5}
    >>> detail_tables("fan", Details(parts={"layer 1": half, "layer 2": half}))[0].rows
    (('layer 1', '50.00', '50.00'), ('layer 2', '50.00', '50.00'))
    """
    tables = [_attribute_table(name, details)] if details.attributes else []
    for heading, groups in (("Encoder", details.encoders), ("Part", details.parts)):
        if len(groups) > 1:
            tables.append(metrics_table(f"{name}: by {heading.lower()}", heading, groups))
    return tables


def _attribute_table(name: str, details: Details) -> TextTable:
    labelled = any(one.normal_clips is not None for one in details.attributes)
    of_labels = ("Normal clips", "False alarms", "AUC") if labelled else ()
    return TextTable(
        f"{name}: by attribute value",
        ("Attribute", "Clips", "Called anomalous", *of_labels),
        tuple(_attribute_row(one, labelled) for one in details.attributes),
    )


def _attribute_row(one: AttributeResult, labelled: bool) -> tuple[str, ...]:
    row = (one.value, str(one.clips), _share(one.called_anomalous, one.clips))
    if not labelled:
        return row
    normal = one.normal_clips or 0
    alarms = _share(one.false_alarms or 0, normal) if normal else "–"
    return (*row, str(normal), alarms, percent(one.auc))


def _share(count: int, of: int) -> str:
    return f"{count} ({100 * count / of:.0f} %)"


def metrics_table(title: str, heading: str, groups: Mapping[str, Mapping[str, float]]) -> TextTable:
    """Return the metrics of named groups as a table in percent, a row per group."""
    known = {metric for metrics in groups.values() for metric in metrics}
    # The AUC over all clips is for data sets without domains.
    wanted = _OFFICIAL if known & {"auc_source", "auc_target"} else ("auc_all", "pauc")
    shown = [metric for metric in wanted if metric in known]
    return TextTable(
        title,
        (heading, *(METRICS[metric] for metric in shown)),
        tuple(
            (name, *(percent(metrics.get(metric)) for metric in shown))
            for name, metrics in groups.items()
        ),
    )
