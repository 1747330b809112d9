"""The command line: `firstshot demo | synth | fit | score | explain | calibrate | dcase | ...`.

Exit status: 0 done (for `score`: no anomaly, or none asked for), 1 an anomaly where
`--fail-on-anomaly` asks, 2 an error, 130 interrupted, 141 nobody reads the results any more.
Results go to standard output; progress, warnings and errors to standard error.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any, TextIO

import typer
from typer.core import TyperGroup

from firstshot import __version__
from firstshot.cli import bench, dcase, demo, encoders, export, judge, learn, store
from firstshot.errors import FirstshotError, FirstshotWarning, advice_on

PIPE_CLOSED = 128 + 13
WARNINGS_OF_A_KIND = 3
_told: Counter[str] = Counter()


class _Commands(TyperGroup):
    """The commands; a subclass because typer itself would leave with 1, which means an anomaly."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("interrupted; what the store of embeddings holds is used again", err=True)
            sys.exit(130)
        except BrokenPipeError:
            # The reader went away (`| head`): nothing is left to say to it.
            _drop_unwritten()
            sys.exit(PIPE_CLOSED)


app = typer.Typer(
    cls=_Commands,
    help="Hears when a machine is going wrong, from a few minutes of its normal sound.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Start with `firstshot demo`, or `firstshot fit NORMAL_DIR -o fan.firstshot` and "
    "`firstshot score fan.firstshot NEW_DIR`.",
)
app.command()(demo.demo)
app.command()(demo.synth)
app.command()(learn.fit)
app.command()(judge.score)
app.command()(judge.explain)
app.command()(learn.calibrate)
app.command()(export.export)
app.command()(bench.bench)
app.add_typer(dcase.app, name="dcase")
app.add_typer(encoders.app, name="encoders")
app.add_typer(store.app, name="store")


@app.callback(invoke_without_command=True)
def _version(
    version: bool = typer.Option(False, "--version", help="Print the version and leave."),
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; every fault is one line on standard error and status 2."""
    _prepare_streams()
    if "" in sys.argv[1:]:
        # typer would take it for the current folder; it is an unset variable of a script.
        sys.exit(_complain("an empty argument; name a file or folder (is a variable unset?)"))
    warnings.showwarning = _show_warning
    warnings.simplefilter("always", FirstshotWarning)
    status = _run()
    if status in (2, PIPE_CLOSED):
        _drop_unwritten()
    sys.exit(status)


def _run() -> int:
    try:
        try:
            app()
        except SystemExit as leave:
            # What is still in the buffer must be written before the status promises that it is.
            sys.stdout.flush()
            return leave.code if isinstance(leave.code, int) else 0
    except FirstshotError as error:
        return _complain(str(error))
    except BrokenPipeError:
        return PIPE_CLOSED
    except OSError as error:
        place = error.filename or "standard output"
        return _complain(f"{place}: {error.strerror or error}; {advice_on(error)}")
    except MemoryError:
        return _complain("out of memory; judge fewer or shorter clips at once")
    except Exception as error:
        # Status 1 means an anomaly, so a fault of the program must not leave with Python's 1.
        traceback.print_exc()
        return _complain(f"a fault in firstshot itself ({type(error).__name__}); please report it")
    return 0


def _complain(message: str) -> int:
    typer.echo("error: " + " ".join(message.splitlines()), err=True)
    return 2


def _prepare_streams() -> None:
    """Make every file name printable: its own bytes in UTF-8, escapes where a letter is missing."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            unicode = stream.encoding.lower().replace("-", "") == "utf8"
            stream.reconfigure(errors="surrogateescape" if unicode else "backslashreplace")


def _drop_unwritten() -> None:
    """Let Python's own flush at the end go nowhere; what went wrong has been told."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if not issubclass(category, FirstshotWarning):
        return
    # A hundred clips with one fault are three lines and a count, not a hundred lines.
    kind = " ".join(str(message).rpartition(": ")[2].split()[:4])
    _told[kind] += 1
    if _told[kind] <= WARNINGS_OF_A_KIND:
        typer.echo(f"warning: {message}", err=True)
    elif _told[kind] == WARNINGS_OF_A_KIND + 1:
        typer.echo("warning: further warnings of this kind are not shown", err=True)
