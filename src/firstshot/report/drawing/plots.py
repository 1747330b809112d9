"""Scores become plots: their distribution, and the ROC curve.

Input: a `SectionResult`. Output: SVG markup for the page (see `svg`). AUC of a domain: the
domain's normal clips against the anomalous clips of both domains. The shaded region is the one
that pAUC averages over: false positive rates up to 0.1. Figures are objects; pyplot is not used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from firstshot.domains import DOMAINS
from firstshot.report.drawing.svg import COLOURS, drawing, inline_svg
from firstshot.report.table import percent
from firstshot.results import SectionResult
from firstshot.scoring.metrics import roc_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (5.7, 3.5)  # inches of 72 units; the page scales the figure to its column
MAX_FPR = 0.1
Group = tuple[str, NDArray[np.float64], str]


def score_groups(section: SectionResult) -> list[Group]:
    """Split a section's scores into the groups that the page shows: name, scores, colour.

    The normal clips that the threshold was set on come first, then source and target, normal and
    anomalous. Without labels or domains there are fewer groups; empty groups are left out.
    """
    groups: list[Group] = [("training", np.asarray(section.training_scores), "muted")]
    clips = len(section.clips)
    labels = np.full(clips, -1) if section.labels is None else section.labels
    domains = np.array([""] * clips if section.domains is None else section.domains)
    for domain in sorted(set(domains.tolist())):
        for label, word, colour in ((0, "normal", "normal"), (1, "anomalous", "anomalous")):
            chosen = section.scores[(domains == domain) & (labels == label)]
            groups.append((f"{domain} {word}".strip(), chosen, colour))
        unknown = section.scores[(domains == domain) & (labels == -1)]
        groups.append((f"{domain} test".strip(), unknown, "ink"))
    finite = [(name, scores[np.isfinite(scores)], colour) for name, scores, colour in groups]
    return [group for group in finite if group[1].size]


def plot_scores(section: SectionResult) -> Markup:
    """Draw one histogram per group of clips over a common score axis, and the threshold.

    Returns
    -------
    Markup
        SVG; each row says how many of its clips lie above the threshold.
    """
    groups = score_groups(section)
    with drawing(SIZE) as figure:
        axes = figure.add_axes((0.235, 0.145, 0.615, 0.75))
        _draw_histograms(axes, groups, section.threshold)
        axes.set_xlabel("anomaly score")
        names = ", ".join(
            f"{name} {np.count_nonzero(scores > section.threshold)} of {scores.size}"
            for name, scores, _ in groups
        )
        return inline_svg(figure, f"Distribution of scores; above the threshold: {names}.")


def plot_roc(section: SectionResult) -> Markup | None:
    """Draw the ROC curves of all clips and of each domain, with the region of pAUC shaded.

    Returns
    -------
    Markup or None
        SVG; None when labels are missing or all alike, so that there is no curve.
    """
    curves = _curves(section)
    if not curves:
        return None
    with drawing(SIZE) as figure:
        axes = figure.add_axes((0.11, 0.145, 0.5, 0.814))
        axes.axvspan(0, MAX_FPR, color=COLOURS["rule"], alpha=0.6, linewidth=0)
        axes.plot([0, 1], [0, 1], color=COLOURS["muted"], linewidth=0.8, linestyle=(0, (2, 3)))
        for name, (fpr, tpr) in curves.items():
            style: dict[str, Any] = {"linewidth": 1.8, "color": COLOURS[name]}
            if name == "ink":
                inside = np.linspace(0, MAX_FPR, 101)
                axes.fill_between(
                    inside, np.interp(inside, fpr, tpr), color=COLOURS["ink"], alpha=0.25, lw=0
                )
            style["linestyle"] = (0, (5, 2)) if name == "target" else "-"
            axes.plot(fpr, tpr, clip_on=False, **style)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="false positive rate")
        axes.set_ylabel("true positive rate", labelpad=2)
        axes.set_xticks([0, MAX_FPR, 0.5, 1], ["0", "0.1", "0.5", "1"])
        axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
        named = _name_curves(axes, section, list(curves))
        return inline_svg(figure, "ROC curves. " + named)


def _curves(
    section: SectionResult,
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return false and true positive rates under the colour of each curve that can be drawn."""
    if section.labels is None:
        return {}
    labels, scores = section.labels, section.scores
    rows = {"ink": np.isfinite(scores)}
    if section.domains is not None:
        of_clip = np.array(section.domains)
        for domain in DOMAINS:
            rows[domain] = rows["ink"] & ((of_clip == domain) | (labels == 1))
    # A domain without normal clips has no curve of its own.
    return {
        name: roc_curve(labels[chosen], scores[chosen])[:2]
        for name, chosen in rows.items()
        if np.unique(labels[chosen]).size == 2
    }


def _name_curves(axes: Axes, section: SectionResult, curves: list[str]) -> str:
    """Write each curve's name and area to the right of the plot; return the same as a sentence."""
    lines = [("ink", "all clips", "AUC", section.metrics.get("auc_all"))]
    lines += [(domain, domain, "AUC", section.metrics.get(f"auc_{domain}")) for domain in DOMAINS]
    lines = [line for line in lines if line[0] in curves]
    named = []
    for place, (colour, name, metric, value) in enumerate(lines):
        height = 0.93 - 0.17 * place
        text = f"{metric} {percent(value)} %" if value is not None else ""
        axes.plot(
            [1.06, 1.13], [height + 0.02] * 2, transform=axes.transAxes, clip_on=False,
            color=COLOURS[colour], linewidth=2.2,
            linestyle=(0, (3, 1.2)) if colour == "target" else "-",
        )  # fmt: skip
        axes.text(1.16, height, name, transform=axes.transAxes, weight="bold", fontsize=10)
        axes.text(1.16, height - 0.07, text, transform=axes.transAxes, fontsize=10)
        named.append(f"{name}: {text}".rstrip(": "))
    if "pauc" in section.metrics:
        text = f"pAUC {percent(section.metrics['pauc'])} %"
        height = 0.93 - 0.17 * len(lines) - 0.02
        axes.text(1.06, height, text, transform=axes.transAxes, weight="bold", fontsize=10)
        for line, words in enumerate(("shaded: false positive", "rates up to 0.1")):
            axes.text(
                1.06, height - 0.07 * (line + 1), words, transform=axes.transAxes,
                fontsize=9.5, color=COLOURS["muted"],
            )  # fmt: skip
        named.append(text)
    return "; ".join(named) + "."


def _draw_histograms(axes: Axes, groups: list[Group], threshold: float) -> None:
    values = np.concatenate([scores for _, scores, _ in groups] or [np.zeros(0)])
    shown = np.append(values, threshold) if np.isfinite(threshold) else values
    if shown.size == 0:
        shown = np.zeros(1)
    low, high = float(shown.min()), float(shown.max())
    # A few very high scores would press all others into one bar of a linear axis.
    logarithmic = low > 0 and high > 20 * float(np.median(shown))
    if logarithmic:
        axes.set_xscale("log")
        edges = np.geomspace(low * 0.97, high * 1.03, 37)
    else:
        margin = 0.02 * (high - low) or max(abs(high), 1.0) * 0.05
        edges = np.linspace(low - margin, high + margin, 37)
    axes.set_xlim(edges[0], edges[-1])
    shares = [np.histogram(scores, edges)[0] / scores.size for _, scores, _ in groups]
    tallest = max((float(share.max()) for share in shares), default=1.0) or 1.0
    for row, ((_, scores, colour), share) in enumerate(zip(groups, shares, strict=True)):
        base = len(groups) - 1 - row
        # The square root makes a single clip visible beside a hundred.
        height = base + 0.82 * np.sqrt(share / tallest)
        axes.stairs(height, edges, baseline=base, fill=True, color=COLOURS[colour], alpha=0.85)
        axes.axhline(base, color=COLOURS["rule"], linewidth=0.8, zorder=0)
        above = int(np.count_nonzero(scores > threshold))
        axes.text(
            1.015, base + 0.1, f"{above} of {scores.size}",
            transform=axes.get_yaxis_transform(), fontsize=9.5,
        )  # fmt: skip
    _draw_threshold(axes, threshold, len(groups))
    axes.set_ylim(-0.04, max(len(groups), 1))
    ticks = [len(groups) - 1 - row + 0.2 for row in range(len(groups))]
    axes.set_yticks(ticks, [name for name, _, _ in groups])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _draw_threshold(axes: Axes, threshold: float, rows: int) -> None:
    if not np.isfinite(threshold):
        return
    axes.axvline(threshold, color=COLOURS["ink"], linewidth=1.2, linestyle=(0, (4, 2)))
    low, high = axes.get_xlim()
    if axes.get_xscale() == "log":
        place = np.log(threshold / low) / np.log(high / low)
    else:
        place = (threshold - low) / (high - low)
    beside = "left" if place < 0.6 else "right"
    shift = 3 if beside == "left" else -3
    axes.annotate(
        f"threshold {threshold:.4g}", (threshold, 1.0), xycoords=("data", "axes fraction"),
        xytext=(shift, 3), textcoords="offset points", ha=beside, va="bottom", fontsize=9.5,
    )  # fmt: skip
    if rows:
        axes.text(1.015, 1.0, "above", transform=axes.transAxes, fontsize=9.5, va="bottom",
                  color=COLOURS["muted"])  # fmt: skip
