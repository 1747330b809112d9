"""Templates become offline HTML pages.

A page needs no network: it contains style, script, pictures and sound. Its content security policy
forbids the browser to fetch anything else and to run any script but the page's own. Templates
escape every name and word, and write clips' names as `show_name` does; only the SVG of
`firstshot.report.drawing` is inserted as markup. Every page begins as `base.html.jinja` says.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from firstshot.disk.names import show_name
from firstshot.messages import show_text
from firstshot.report.drawing import example_plots
from firstshot.report.examples import hertz, number
from firstshot.report.table import percent, versions

if TYPE_CHECKING:
    from collections.abc import Callable

    from jinja2 import Environment

TITLE_BYTES = 4096
"""A page's title lies within so many bytes from its beginning."""


def fill_template(
    template: str,
    filters: dict[str, Callable[..., Any]] | None = None,
    script: str | None = None,
    **values: Any,
) -> str:
    """Return a page; the template, given as text, extends `base.html.jinja`.

    Parameters
    ----------
    template : str
        Text of a Jinja template; `packaged` reads one of this package.
    filters : dict, optional
        Further filters of the template.
    script : str, optional
        None takes the script of pages with players and points, "" takes none.
    values
        What the template shows.
    """
    script = packaged("page.js") if script is None else script
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    environment = _environment()
    environment.filters |= filters or {}
    return environment.from_string(template).render(
        style=Markup(packaged("page.css")),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
        versions=versions(),
        time_axis=(example_plots.LEFT, example_plots.RIGHT),
        **values,
    )


def packaged(name: str) -> str:
    """Return a template of this package, or its style sheet or script."""
    folder = resources.files("firstshot.report").joinpath("templates")
    return folder.joinpath(name).read_text(encoding="utf-8")


def has_mark(path: Path, mark: str) -> bool:
    """Return whether a file is a page of one kind: `<meta name="generator">` has that mark."""
    with path.open("rb") as file:
        return f'<meta name="generator" content="{mark}">'.encode() in file.read(TITLE_BYTES)


def _environment() -> Environment:
    """Return what renders a template: it escapes everything and refuses undefined names."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(packaged),
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
