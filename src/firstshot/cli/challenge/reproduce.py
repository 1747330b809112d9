"""`firstshot dcase reproduce`: the report's tables by one command."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstshot.cli.challenge.download import DEFAULT_API, byte_bars
from firstshot.cli.options import Overwrite, Quiet, Store, Workers, open_store
from firstshot.cli.printing.progress import progress_bars
from firstshot.cli.printing.tables import print_rows, say

if TYPE_CHECKING:
    from firstshot.dcase.data.zenodo import Connection
    from firstshot.dcase.reproducing.cost import Cost
    from firstshot.dcase.reproducing.plan import Plan
    from firstshot.dcase.running.system import AnySystem

HEADER = ("System", "Official", "95 % interval", "published", "difference")
AGAIN = "mend what is named above and run the same command again, it goes on from here"


def reproduce(
    year: Annotated[
        int,
        typer.Option(help="Year of the challenge, 2020 to 2026; the report's tables are of 2025."),
    ] = 2025,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for a run per system and the page. Default: reproduce-<year>.",
        ),
    ] = None,
    data: Annotated[
        Path, typer.Option(help="Folder of the data, as --out of `firstshot dcase download`.")
    ] = Path("data"),
    machine: Annotated[
        list[str] | None,
        typer.Option(help="A machine; may be repeated. Default: all of the development set."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Only say what is missing, the gigabytes to download, and the hours that this "
            "machine needs, from a measurement of about a minute. Nothing is changed.",
        ),
    ] = False,
    api: Annotated[
        str,
        typer.Option(
            envvar="FIRSTSHOT_RECORDS_URL", help="Address of the archive service or of a mirror."
        ),
    ] = DEFAULT_API,
    store: Store = None,
    workers: Workers = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Reproduce the tables of the GenRep report: download, fetch weights, run, compare.

    Downloads the development set, fetches the weights that can be fetched, and names those that
    you must get yourself, with address and licence. Then runs the recommended systems, systems 1 to
    4 and both baselines, and sets them beside Tables 1 to 4 on one page, with intervals. A system
    whose weights are missing is left out and the others run. The same command given again goes on
    where it was stopped: finished downloads, trainings, embeddings and runs are not made again.

    Exit status 0 only if every system has its whole result; otherwise 2.

    Start with --dry-run: on two cores all systems together take about a day.

    Example: firstshot dcase reproduce --year 2025 --dry-run
    """
    from firstshot.dcase.comparing.published import DATA_SET, YEAR
    from firstshot.dcase.comparing.table import overall_row
    from firstshot.dcase.data.zenodo import Connection
    from firstshot.dcase.reproducing.plan import make_plan
    from firstshot.dcase.reproducing.run import Tools
    from firstshot.dcase.reproducing.run import reproduce as reproduce_tables

    connection = Connection(records_url=api)
    out = out or Path(f"reproduce-{year}")
    if dry_run:
        _tell_plan(make_plan(year, data, out, machine or None), connection, workers, quiet)
        return
    tools = Tools(
        connection=connection,
        store=open_store(store, no_store=False),
        workers=workers,
        overwrite=overwrite,
        clips=partial(progress_bars, quiet),
        bytes=partial(byte_bars, quiet),
        say=say,
        quiet=quiet,
    )
    found = reproduce_tables(year, data, out, machine or None, tools)
    if year != YEAR:
        say(f"published values are of {DATA_SET}; machines of {year} are matched by name")
    print_rows(HEADER, [overall_row(comparison) for comparison in found.comparisons])
    say(f"the page: {found.page}")
    if found.failures:
        say(f"error: without a whole result: {', '.join(found.failures)}; {AGAIN}", err=True)
        raise typer.Exit(2)


def _tell_plan(plan: Plan, connection: Connection, workers: int | None, quiet: bool) -> None:
    """Print what is missing and what it costs."""
    from firstshot.dcase.reproducing.cost import estimate_cost

    with progress_bars(quiet) as bars:
        cost = estimate_cost(plan, connection, workers, bars)
    data = sum(cost.archives.values())
    say(f"archives of {plan.year} to download: {len(cost.archives)}, {_giga(data)} GB")
    for name, size in cost.archives.items():
        say(f"  {name}: {_giga(size)} GB")
    weights = sum(cost.weights.values())
    say(f"weights to fetch: {len(cost.weights)}, {_giga(weights)} GB")
    for each in plan.needed():
        if each.place == "fetch":
            say(f"  {each.name} ({each.record.licence}): {_giga(each.size)} GB, {each.source}")
    by_hand = [each for each in plan.needed() if each.place == "by hand"]
    say(f"weights that you must get yourself: {len(by_hand)}")
    for each in by_hand:
        say(f"  {each.by_hand()}")
    if plan.torch_error:
        say(f"PyTorch: {plan.torch_error}")
    _tell_hours(plan, cost)


def _tell_hours(plan: Plan, cost: Cost) -> None:
    kind = "counted" if cost.counted else "estimated from the archives' sizes"
    say(f"clips: {cost.clips} ({kind})")
    rows = [(system.name, _hours(cost.hours[system.name])) for system in plan.systems]
    known = sum(hours for hours in cost.hours.values() if hours is not None)
    print_rows(("System", "hours here"), [*rows, ("all", _hours(known))], last_apart=True)
    say("hours are of encoders and trainings; what systems share is counted for the first of them")
    if cost.scaled:
        say(f"scaled by MACs from {cost.reference}, without weights here: {', '.join(cost.scaled)}")
    for system in plan.systems:
        say(f"{system.name}: {_state(plan, system)}")
    say("nothing was changed")


def _state(plan: Plan, system: AnySystem) -> str:
    if plan.finished(system):
        return "finished"
    by_hand = [weights.name for weights in plan.absent(system) if weights.place == "by hand"]
    if plan.lacks_torch(system):
        return "cannot run without PyTorch"
    return f"cannot run before you get {', '.join(by_hand)}" if by_hand else "can run"


def _giga(size: int) -> str:
    return f"{size / 1e9:.3g}"


def _hours(hours: float | None) -> str:
    """Show hours with two digits, and what is too short for that as such.

    >>> [_hours(hours) for hours in (None, 0.0, 0.001, 3.14159, 31.4159)]
    ['not known', '0', '0.001', '3.1', '31']
    """
    return "not known" if hours is None else f"{hours:.2g}"
