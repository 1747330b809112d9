"""`firstshot dcase`: download, check, run, show, compare, reproduce, evaluate, sweep, submit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstshot.cli.challenge.compare import compare
from firstshot.cli.challenge.download import download
from firstshot.cli.challenge.reproduce import reproduce
from firstshot.cli.challenge.show import print_details, show
from firstshot.cli.challenge.submit import submit
from firstshot.cli.challenge.sweep import sweep
from firstshot.cli.options import (
    NoStore,
    Overwrite,
    Quiet,
    Store,
    Workers,
    open_store,
)
from firstshot.cli.printing.progress import progress_bars
from firstshot.cli.printing.tables import print_json, print_rows, print_table, say
from firstshot.cli.settings import with_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstshot.dcase.evaluation.evaluate import Evaluation
    from firstshot.dcase.running.run import Run

app = typer.Typer(
    help="Run, check and evaluate data sets in the layout of DCASE Task 2.", no_args_is_help=True
)
app.command()(download)
WARNINGS_SHOWN = 3
Root = Annotated[
    Path,
    typer.Argument(readable=False, help="Folder with <machine>/train and <machine>/test in it."),
]


@app.command()
@with_settings(overrides=True)
def run(
    root: Root,
    settings: dict[str, Any],
    system: Annotated[
        str | None,
        typer.Option(
            help="A packaged system, a .toml file of your own, or auto. Default: auto, which is "
            "recommended_fusion where its weights are found, else recommended; with options of "
            "Encoder or Scores, embedded."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results. Default: runs/<data>-<system>.")
    ] = None,
    machine: Annotated[
        list[str] | None, typer.Option(help="A machine to run; may be repeated. Default: all.")
    ] = None,
    store: Store = None,
    no_store: NoStore = False,
    details: Annotated[
        bool,
        typer.Option(
            "--details", help="Print the results by attribute value, encoder and part too."
        ),
    ] = False,
    workers: Workers = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Run a system on every machine: scores, decisions, tables and report.html.

    A run that was stopped goes on when the same command is given again. Exit status 2 where a
    machine could not be run; the others' results are written all the same. An option of the groups
    Encoder, Clips, Scores and Threshold takes the place of what the system says.

    Example: firstshot dcase run data/dcase2025t2 --system recommended --out runs/first
    """
    from firstshot.dcase.running.run import run_system
    from firstshot.dcase.running.system import load_system, usual_system
    from firstshot.detector.views import AUTO
    from firstshot.disk.files import without_links

    system = system or usual_system(settings)
    chosen = load_system(system).changed(settings)
    if {"runtime", "precision"} & settings.get("encoder_settings", {}).keys():
        chosen, picked = chosen.pick_runtimes()
    else:
        picked = []
    for reason in picked:
        typer.echo(f"picked {reason}", err=True)
    if out is None:
        parts = [without_links(root).name, chosen.name, *_names_of(settings)]
        out = Path("runs") / "-".join(parts)
    with progress_bars(quiet) as bars:
        found = run_system(
            root,
            chosen,
            out,
            machines=machine or None,
            store=open_store(store, no_store),
            overwrite=overwrite,
            progress=bars,
            workers=workers,
        )
    if details:
        print_details(found.results)
    print_run(found, out, automatic=settings.get("views", system) == AUTO)
    if found.failures:
        raise typer.Exit(2)


def _names_of(settings: Mapping[str, Any]) -> list[str]:
    """Return what distinguishes a run with other settings, for the name of its folder.

    >>> _names_of({"normalizer": "none", "layers": (7, 10), "encoder_settings": {"weights": "/w"}})
    ['none', 'layers_7_10', 'weights_w']
    """
    names = []
    for name, value in settings.items():
        if name in ("normalizer", "threshold"):
            names.append(str(value))
        elif isinstance(value, dict):
            names += _names_of(value)
        else:
            names.append(f"{name}_{value}")
    return [re.sub(r"[^A-Za-z0-9.+-]+", "_", name).strip("_") for name in names]


def print_run(run: Run, out: Path, automatic: bool = False) -> None:
    """Print a run's table, what is odd, what stopped which machine, and where the page is.

    Of a system that was chosen automatically it is said why.
    """
    from firstshot.detector.views import default_preset
    from firstshot.report.terminal import terminal_table

    if automatic:
        typer.echo("system {}: {}".format(*default_preset()), err=True)

    print_table(terminal_table(run.results))
    warnings = list(run.warnings().items())
    for note, names in warnings[:WARNINGS_SHOWN]:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        say(f"warning: {names[0]}{more}: {note}", err=True)
    if len(warnings) > WARNINGS_SHOWN:
        rest = len(warnings) - WARNINGS_SHOWN
        typer.echo(f"warning: {rest} more such notes are in {out / 'results.json'}", err=True)
    for name, fault in run.failures.items():
        say(f"error: {name} was left out: {fault}", err=True)
    typer.echo(f"scores, decisions and tables: {out}")
    typer.echo(f"the page: {out / 'report.html'}")


@app.command()
def check(root: Root, quiet: Quiet = False) -> None:
    """Say what a data set holds, what is missing and what is odd. Exit status 2 if it cannot run.

    Example: firstshot dcase check data/dcase2025t2
    """
    from firstshot.dcase.data.check import check as check_root

    with progress_bars(quiet) as bars:
        report = check_root(root, progress=bars("looking at clips"))
    header, *rows = report.table()
    print_rows(*_shorten(header, rows))
    for line in report.lines():
        say(line)
    if not report.ok:
        raise typer.Exit(2)


def _shorten(
    header: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """Leave out columns that say nothing, and let long headings break."""
    shown = [
        i
        for i, heading in enumerate(header)
        if heading.split()[0] not in ("test", "clean/noise")
        or any(set(row[i]) - set("0/") for row in rows)
    ]
    headings = [header[i].replace("/", " / ") for i in shown]
    return headings, [[row[i] for i in shown] for row in rows]


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
    from firstshot.dcase.evaluation.evaluate import evaluate_scores

    evaluation = evaluate_scores(scores, truth, lenient_positions=lenient_positions)
    if as_json:
        print_json(evaluation.to_json())
    else:
        _print_evaluation(evaluation)


COLUMNS = {
    "AUC source": "auc_source",
    "AUC target": "auc_target",
    "pAUC": "pauc",
    "pAUC source": "pauc_source",
    "pAUC target": "pauc_target",
    "F1 source": "f1_source",
    "F1 target": "f1_target",
    "Official score": "official_score",
}


def _print_evaluation(evaluation: Evaluation) -> None:
    """Print the sections in percent, the harmonic means below them, the official score last."""
    from firstshot.report.table import percent
    from firstshot.scoring.metrics import harmonic_mean

    sections = evaluation.sections
    found = {
        heading: [metrics[key] for metrics in sections.values() if key in metrics]
        for heading, key in COLUMNS.items()
    }
    headings = [heading for heading, values in found.items() if values]
    rows = [
        (
            name.replace("_section_", " "),
            *(percent(metrics.get(COLUMNS[heading])) for heading in headings),
        )
        for name, metrics in sections.items()
    ]
    means = {heading: harmonic_mean(found[heading]) for heading in headings}
    means["Official score"] = evaluation.official_score
    rows.append(("all", *(percent(means[heading]) for heading in headings)))
    print_rows(("Machine", *headings), rows, last_apart=True)
    typer.echo(f"official score {100 * evaluation.official_score:.2f}")


app.command()(show)
app.command()(compare)
app.command()(reproduce)
app.command()(sweep)
app.command()(submit)
