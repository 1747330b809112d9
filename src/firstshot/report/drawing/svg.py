"""A matplotlib figure becomes an SVG element inside the page.

Input: a Figure drawn in the colours of `COLOURS`. Output: `<svg>` markup without any address. Its
colours are the page's custom properties, so a plot follows the page into dark mode. Its text is
text, in the page's font.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# matplotlib draws with these values; the page's style sheet sets the real colours.
COLOURS = {
    "ink": "#010101",
    "muted": "#020202",
    "rule": "#030303",
    "normal": "#0072b1",
    "anomalous": "#d55e01",
    "source": "#009e71",
    "target": "#aa3377",
}
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "firstshot",
    "font.size": 10.0,
    "axes.edgecolor": COLOURS["muted"],
    "axes.labelcolor": COLOURS["ink"],
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "text.color": COLOURS["ink"],
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
    "xtick.labelcolor": COLOURS["ink"],
    "ytick.labelcolor": COLOURS["ink"],
}


@contextmanager
def drawing(size: tuple[float, float]) -> Iterator[Figure]:
    """Give an empty figure of that size in inches, drawn in the page's style.

    Examples
    --------
    >>> with drawing((2, 1)) as figure:
    ...     type(figure).__name__
    'Figure'
    """
    load_matplotlib()
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(SETTINGS):
        yield Figure(figsize=size)


def load_matplotlib() -> None:
    """Import matplotlib, also where MPLBACKEND names a backend that is not installed here.

    Jupyter exports its backend to the programs it starts, and without that backend matplotlib
    cannot be imported. The page's figures are objects and need no backend. A backend that can be
    used stays chosen.
    """
    chosen = None if "matplotlib" in sys.modules else os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if chosen is not None:
            os.environ["MPLBACKEND"] = chosen
    if chosen:
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = chosen


_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def inline_svg(figure: Figure, description: str) -> Markup:
    """Draw a figure as SVG markup that a screen reader announces with `description`.

    Examples
    --------
    >>> with drawing((2, 1)) as figure:
    ...     markup = inline_svg(figure, "an empty <figure>")
    >>> markup.startswith("<svg"), "://" in markup, "empty &lt;figure&gt;" in markup
    (True, False, True)
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata=_NO_METADATA)
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :].strip()
    drawn = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", drawn, flags=re.S)
    drawn = drawn.replace("xlink:href=", "href=")
    view = re.search(r'viewBox="([^"]+)"', drawn)
    box = view.group(1) if view else "0 0 1 1"
    label = escape(description)
    drawn = re.sub(r"<svg[^>]*>", "", drawn, count=1)
    drawn = _own_ids(drawn)
    for name, colour in COLOURS.items():
        drawn = drawn.replace(colour, f"var(--{name})")
    drawn = re.sub(r"font: ((?:\w+ )*)([\d.]+)px [^;\"]*", _font, drawn)
    drawn = re.sub(r' d="[^"]*"', lambda path: _compact(path.group()), drawn)
    drawn = re.sub(r"\n\s*", "\n", drawn)
    # matplotlib has escaped the text; everything else is ours.
    return Markup(f'<svg viewBox="{box}" role="img" aria-label="{label}">{drawn}')


def _own_ids(drawn: str) -> str:
    """Remove the ids that nothing refers to; make the others unique among the page's figures."""
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', drawn))
    prefix = "f" + hashlib.sha256(drawn.encode()).hexdigest()[:8]

    def renamed(match: re.Match[str]) -> str:
        name = match.group(1)
        return f' id="{prefix}{name}"' if name in used else ""

    drawn = re.sub(r' id="([^"]*)"', renamed, drawn)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}", drawn)


def _font(match: re.Match[str]) -> str:
    weight = "font-weight: bold; " if "bold" in match.group(1) or "700" in match.group(1) else ""
    return f"{weight}font-size: {match.group(2)}px"


def _compact(path: str) -> str:
    """Round a path to a tenth of a unit, which a screen does not show, and remove its spaces."""
    path = re.sub(r"\d+\.\d+", lambda number: f"{float(number.group()):.1f}", path)
    return re.sub(r"\s*\n\s*|(?<=[MLCQ])\s", "", path)
