"""`firstshot watch report` draws a page of past days."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstshot.cli.options import Overwrite
from firstshot.errors import ParameterError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def report(
    state: Annotated[Path, typer.Argument(help="The folder of `firstshot watch --state`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path(
        "watch.html"
    ),
    days: Annotated[int | None, typer.Option(min=1, help="The latest days. Default: all.")] = None,
    detector: Annotated[
        list[str] | None,
        typer.Option(
            help="MACHINE=FILE: the detector of a machine, to compare its scores with those of the "
            "learned clips; may be repeated."
        ),
    ] = None,
    clips: Annotated[
        Path | None, typer.Option(help="The folder of clips, where it is not in the state's.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw a page of past days: scores, alarms to listen to, times without usable sound, drift.

    Example: firstshot watch report ~/.local/state/firstshot/fan --detector fan=fan.firstshot
    """
    from firstshot.disk.files import check_replaceable, write_result
    from firstshot.live.history.page import is_history_page, render_history
    from firstshot.live.history.read import read_history

    check_replaceable(out, overwrite, "page of past days", "watch.html", is_history_page)
    past = read_history(state / "history", days)
    banks = {}
    for one in detector or ():
        machine, _, path = one.partition("=")
        if machine not in past.machines or not path:
            known = ", ".join(past.machines)
            raise ParameterError(f"--detector {one}: expected MACHINE=FILE, machines: {known}")
        banks[machine] = _scores(Path(path))
    title = f"Watched: {', '.join(sorted(past.machines))}"
    text = render_history(past, title, clips or state / "clips", banks)
    write_result(out, text, overwrite)
    typer.echo(f"the page: {out}")


def _scores(path: Path) -> NDArray[np.float64]:
    """Return the held-out scores of the clips that a detector has learned."""
    from firstshot.live.scorer import open_scorer

    return open_scorer(path).normal_scores
