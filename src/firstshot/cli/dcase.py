"""`firstshot dcase run | check | evaluate`: data sets in the challenge's layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstshot.cli.options import NoStore, Overwrite, Quiet, Store, open_store
from firstshot.cli.progress import progress_bars

if TYPE_CHECKING:
    from firstshot.dcase.run import Run

app = typer.Typer(
    help="Run, check and evaluate data sets in the layout of DCASE Task 2.", no_args_is_help=True
)
Root = Annotated[Path, typer.Argument(help="Folder with <machine>/train and <machine>/test in it.")]


@app.command()
def run(
    root: Root,
    system: Annotated[
        str, typer.Option(help="A packaged system, or a .toml file of your own.")
    ] = "embedded",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results. Default: runs/<data>-<system>.")
    ] = None,
    normalizer: Annotated[
        str | None, typer.Option(help="Use another normaliser, with its default parameters.")
    ] = None,
    machine: Annotated[
        list[str] | None, typer.Option(help="A machine to run; may be repeated. Default: all.")
    ] = None,
    store: Store = None,
    no_store: NoStore = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Run a system on every machine: scores, decisions, tables and report.html.

    A run that was stopped goes on when the same command is given again. Exit status 2 where a
    machine could not be run; the others' results are written all the same.

    Example: firstshot dcase run data/dcase2025t2 --system embedded --out runs/first
    """
    from firstshot.dcase.run import run_system
    from firstshot.dcase.system import load_system

    chosen = load_system(system)
    if normalizer is not None:
        chosen = chosen.with_normalizer(normalizer)
    if out is None:
        parts = [root.resolve().name, chosen.name, normalizer or ""]
        out = Path("runs") / "-".join(part for part in parts if part)
    with progress_bars(quiet) as bars:
        found = run_system(
            root,
            chosen,
            out,
            machines=machine or None,
            store=open_store(store, no_store),
            overwrite=overwrite,
            progress=bars,
        )
    print_run(found, out)
    if found.failures:
        raise typer.Exit(2)


def print_run(run: Run, out: Path) -> None:
    """Print a run's table, what stopped which machine, and where the page is."""
    from rich.console import Console

    from firstshot.report.table import terminal_table

    Console().print(terminal_table(run.results))
    for name, fault in run.failures.items():
        typer.echo(f"error: {name} was left out: {fault}", err=True)
    typer.echo(f"scores, decisions and tables: {out}")
    typer.echo(f"the page: {out / 'report.html'}")


@app.command()
def check(root: Root) -> None:
    """Say what a data set holds, what is missing and what is odd. Exit status 2 if it cannot run.

    Example: firstshot dcase check data/dcase2025t2
    """
    from firstshot.dcase.check import check as check_root

    report = check_root(root)
    for line in report.lines():
        typer.echo(line)
    if not report.ok:
        raise typer.Exit(2)


@app.command()
def evaluate(
    scores: Annotated[Path, typer.Argument(help="Folder with anomaly_score_*.csv files.")],
    truth: Annotated[Path, typer.Option(help="The evaluator's ground-truth folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    lenient_positions: Annotated[
        bool,
        typer.Option("--lenient-positions", help="Match rows by position, as the official script."),
    ] = False,
) -> None:
    """Evaluate score files as the official evaluator does, and refuse what it silently accepts.

    Example: firstshot dcase evaluate teams/mine/system_1 --truth ground_truth --json
    """
    from firstshot.dcase.evaluate import evaluate_scores

    evaluation = evaluate_scores(scores, truth, lenient_positions=lenient_positions)
    if as_json:
        typer.echo(json.dumps(evaluation.to_json(), indent=2))
        return
    typer.echo(f"{'section':32} {'AUC source':>10} {'AUC target':>10} {'pAUC':>8}")
    for name, metrics in evaluation.sections.items():
        cells = [metrics.get(key, float("nan")) for key in ("auc_source", "auc_target", "pauc")]
        typer.echo(f"{name:32} {cells[0]:10.4f} {cells[1]:10.4f} {cells[2]:8.4f}")
    typer.echo(f"official score {evaluation.official_score:.4f}")
