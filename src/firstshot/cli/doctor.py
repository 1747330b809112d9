"""`firstshot doctor` tells whether this computer is ready to watch a machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from firstshot.cli.printing.tables import say


def doctor(
    detector: Annotated[
        Path | None, typer.Argument(help="A detector file or a folder of `firstshot export`.")
    ] = None,
    input: Annotated[  # noqa: A002
        str | None,
        typer.Option(help="Record a window from it and score it: mic, mic:NAME, file:PATH, ..."),
    ] = None,
    state: Annotated[
        Path, typer.Option(help="Where `firstshot watch` keeps clips and the history.")
    ] = Path(),
    rate: Annotated[int | None, typer.Option(help="Sample rate in Hz of a microphone.")] = None,
) -> None:
    """Look at all that watching needs: versions, devices, disk, clock, and a short recording.

    Exit status: 0 nothing has to be mended, 2 something has.

    Example: firstshot doctor fan.firstshot --input mic
    """
    from firstshot.live.clock import SystemClock
    from firstshot.live.doctor import look
    from firstshot.live.sources import Sound

    faults = 0
    for found in look(detector, input, state, Sound(rate=rate), SystemClock()):
        say(f"{found.verdict:<6}{found.what:<11}{found.words}")
        faults += found.verdict == "fault"
    if faults:
        raise typer.Exit(2)
