"""The command line: `firstshot demo | synth | fit | score | explain | calibrate | dcase | ...`.

Exit status: 0 done (for `score`: no anomaly, or none asked for), 1 an anomaly where
`--fail-on-anomaly` asks, 2 an error, 130 interrupted, 141 a pipe whose reader has gone.
Results go to standard output; progress, warnings and errors to standard error.
"""

from __future__ import annotations

import os
import sys
import traceback
from logging import DEBUG
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from firstshot.cli import (
    bank,
    bench,
    demo,
    doctor,
    embed,
    encoders,
    export,
    judge,
    learn,
    store,
    train,
    watch,
    watch_report,
)
from firstshot.cli.challenge import app as dcase
from firstshot.cli.printing.notices import set_level, show_notices
from firstshot.cli.printing.streams import drop_unwritten, prepare_streams
from firstshot.cli.printing.tables import say
from firstshot.errors import FirstshotError, advice_on
from firstshot.numbers import read_whole
from firstshot.version import __version__

INTERRUPTED, PIPE_CLOSED = 128 + 2, 128 + 13
WIDEST = 9999
"""Columns of a terminal; what claims more is no terminal."""


class Leave(BaseException):
    """A command's own status, which typer must not mix with those that it leaves with by itself."""

    def __init__(self, status: int) -> None:
        self.status = status


class _Commands(TyperGroup):
    """The commands; a subclass because typer itself would leave with 1, which means an anomaly."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        for name in ("COLUMNS", "LINES"):
            # rich takes every text for a number here that Python calls digits.
            if not 0 < (read_whole(os.environ.get(name, "80")) or 0) <= WIDEST:
                del os.environ[name]
        return super().main(*args, **kwargs)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if " ".join(args[:2]) in self.commands:  # `watch report`, beside `watch FILE`
            args = [" ".join(args[:2]), *args[2:]]
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.Exit as leave:
            raise Leave(leave.exit_code) from None
        except EOFError as error:
            raise RuntimeError(f"an unexpected end of a file ({error})") from error
        except KeyboardInterrupt:
            raise Leave(_interrupted()) from None
        except BrokenPipeError:
            # The reader went away (`| head`): nothing is left to say to it.
            drop_unwritten()
            sys.exit(PIPE_CLOSED)


app = typer.Typer(
    cls=_Commands,
    help="Finds anomalous machine sound, from a few minutes of the machine's normal sound.",
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
app.command()(watch.watch)
app.command("watch report")(watch_report.report)
app.command()(doctor.doctor)
app.command()(learn.calibrate)
app.command()(export.export)
app.command()(train.train)
app.command()(embed.embed)
app.command()(bench.bench)
app.add_typer(bank.app, name="bank")
app.add_typer(dcase.app, name="dcase")
app.add_typer(encoders.app, name="encoders")
app.add_typer(store.app, name="store")


@app.callback(invoke_without_command=True)
def _version(
    version: bool = typer.Option(False, "--version", help="Print the version and leave."),
    verbose: bool = typer.Option(
        False, "--verbose", "-v", help="Say more of what is done: firstshot -v fit ..."
    ),
) -> None:
    if verbose:
        set_level(DEBUG)
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; every fault is one line on standard error and status 2."""
    prepare_streams()
    if "" in sys.argv[1:]:
        # typer would take it for the current folder; it is an unset variable of a script.
        sys.exit(_complain("an empty argument; name a file or folder (is a variable unset?)"))
    show_notices()
    status = _run()
    if status in (2, PIPE_CLOSED):
        drop_unwritten()
    sys.exit(status)


def _run() -> int:
    try:
        status = _status_of_command()
        # The buffer must be written before the status says that it is.
        sys.stdout.flush()
        return status
    except FirstshotError as error:
        return _complain(str(error))
    except BrokenPipeError:
        return PIPE_CLOSED
    except OSError as error:
        if not error.filename and _is_working_folder_gone():
            return _complain("the working folder was deleted; change to a folder that exists")
        place = error.filename or "standard output"
        return _complain(f"{place}: {error.strerror or error}; {advice_on(error)}")
    except MemoryError:
        return _complain("out of memory; judge fewer or shorter clips at once")
    except Exception as error:
        # Status 1 means an anomaly, so a fault of the program must not leave with Python's 1.
        traceback.print_exc()
        return _complain(f"a fault in firstshot itself ({type(error).__name__}); please report it")


def _status_of_command() -> int:
    """Run the command and return its status; 1 is the command's own word, never typer's."""
    try:
        app()
    except Leave as leave:
        return leave.status
    except KeyboardInterrupt:
        return _interrupted()
    except SystemExit as leave:
        if leave.code == INTERRUPTED:  # typer turns an interrupt into this, and says nothing
            return _interrupted()
        # typer and rich leave with 1 where the reader of their help has gone.
        own = leave.code in (None, 0, 2, PIPE_CLOSED)
        return int(leave.code or 0) if own else PIPE_CLOSED if leave.code == 1 else 2
    return 0


def _is_working_folder_gone() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _interrupted() -> int:
    """Tell of Ctrl-C, wherever it was caught, and return its status."""
    say("interrupted; what the store of embeddings holds is used again", err=True)
    return INTERRUPTED


def _complain(message: str) -> int:
    say(f"error: {message}", err=True)
    return 2
