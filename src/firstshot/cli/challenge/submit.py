"""`firstshot dcase submit`: runs become the zip that the challenge takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from firstshot.cli.options import Overwrite

PLACEHOLDER = "Lastname_Institute"


def submit(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of 1 to 4 runs of the same data, in order.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The zip to write.")],
    team: Annotated[
        str, typer.Option(help="Lastname_Institute of the corresponding author.")
    ] = PLACEHOLDER,
    author: Annotated[
        list[str] | None,
        typer.Option(help="Firstname Lastname; may be repeated, the corresponding author first."),
    ] = None,
    development: Annotated[
        list[Path] | None,
        typer.Option(
            help="Run of a submitted system on the development set, whose results go into the meta "
            "file; may be repeated."
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Pack runs into one submission, with meta files, and check it by reading it back.

    Example: firstshot dcase submit runs/eval-system1 runs/eval-system4 --out submission.zip
    --team Curie_IdR --author "Marie Curie" --development runs/dev-system1
    """
    from firstshot.dcase.submitting.submit import write_submission

    systems = write_submission(runs, out, team, author or (), development or (), overwrite)
    for system in systems:
        typer.echo(f"{system.label}: {len(system.scores)} sections, {system.clips} clips")
    typer.echo(f"the submission: {out}")
    typer.echo("before you send it: fill in what its meta files mark, and add your report")
    if team == PLACEHOLDER:
        typer.echo(f"its labels say {PLACEHOLDER}: give --team Lastname_Institute, your own")
