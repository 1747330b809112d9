"""All runs beside Tables 1 to 4 of the report, on one page.

Input: comparisons, and why other systems have no result. Output: the page of `firstshot dcase
compare` with one more table: the costs of Tables 1 and 4, counted here and as published. The
overall values are those of Table 2, the values per machine those of Table 3, and the baselines are
beside Table 1 of the task paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from firstshot.complexity import PUBLISHED, complexity_table
from firstshot.dcase.comparing.compare import Comparison
from firstshot.dcase.comparing.page import Count, render_comparison


def render_reproduction(comparisons: Sequence[Comparison], failures: Mapping[str, str]) -> str:
    """Return the page as text.

    Parameters
    ----------
    comparisons : sequence of Comparison
        One per run, in the order of the page.
    failures : mapping of str to str
        Why a system, or some of its machines, has no result, by the system's name.
    """
    return render_comparison(comparisons, failures=failures, counts=published_counts())


def published_counts() -> tuple[Count, ...]:
    """Return the costs of every encoder and system, beside what the report prints.

    >>> [row.published_macs for row in published_counts() if row.name == "ced_base"]
    [21.13]
    """
    rows = []
    for cost in complexity_table():
        macs, parameters = PUBLISHED.get(cost.name, (None, None))
        rows.append(Count(cost.name, cost.macs / 1e9, macs, cost.parameters / 1e6, parameters))
    return tuple(rows)
