"""What `mkdocs build` does besides its plug-ins: set equations, and look for every public name.

Equations are set as MathML when the site is built. A browser shows MathML by itself, so a page
needs no script for it and nothing from the network. The build fails where the reference lacks a
public name of the package, or a public method of its two estimators.
"""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

import firstshot

_EQUATION = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>', re.S
)


def on_page_content(content: str, **_: Any) -> str:
    """Set the equations that the extension arithmatex has marked on a page."""
    return _EQUATION.sub(_mathml, content)


def on_post_build(config: Any) -> None:
    """Refuse a reference in which a public name has no place."""
    pages = (Path(config.site_dir) / "reference").glob("*.html")
    anchors = set(re.findall(r' id="([^"]+)"', "".join(page.read_text("utf-8") for page in pages)))
    lacking = [" or ".join(places) for places in _public() if not anchors.intersection(places)]
    if lacking:
        raise PluginError(f"docs/reference has no place for: {'; '.join(lacking)}")


def _mathml(equation: re.Match[str]) -> str:
    kind = "block" if equation["tag"] == "div" else "inline"
    return str(convert(html.unescape(equation["tex"]).strip(), display=kind))


def _public() -> Iterator[tuple[str, ...]]:
    """Yield for each public name the anchors under which the reference may show it."""
    for name in firstshot.__all__:
        thing = getattr(firstshot, name)
        if callable(thing):
            yield f"firstshot.{name}", f"{thing.__module__}.{name}"
    for estimator in (firstshot.Detector, firstshot.Ensemble):
        for name, _ in inspect.getmembers(estimator, callable):
            if not name.startswith("_"):
                yield (f"firstshot.{estimator.__name__}.{name}",)
