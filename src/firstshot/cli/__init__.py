"""The command line: `firstshot demo | synth | fit | score | explain | calibrate | dcase | ...`.

Exit status: 0 done (for `score`: no anomaly, or none asked for), 1 an anomaly where
`--fail-on-anomaly` asks, 2 an error, 130 interrupted. Results go to standard output; progress,
warnings and errors to standard error.
"""

from __future__ import annotations

import sys
import warnings
from typing import TextIO

import typer

from firstshot import __version__
from firstshot.cli import dcase, demo, encoders, judge, learn, store
from firstshot.errors import FirstshotError, FirstshotWarning

app = typer.Typer(
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
    """Run the command line; every fault that firstshot can name is one line and status 2."""
    warnings.showwarning = _show_warning
    warnings.simplefilter("always", FirstshotWarning)
    try:
        app()
    except FirstshotError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("interrupted; start the same command again and it goes on from here", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of a pipe went away (`| head`): nothing is left to say to it.
        sys.stderr.close()
        sys.exit(0)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if issubclass(category, FirstshotWarning):
        typer.echo(f"warning: {message}", err=True)
