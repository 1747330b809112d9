"""The plan is carried out: data and weights are fetched, systems run, and one page compares them.

Input: a `Plan`. Output: a `Reproduction`, a folder per system and `reproduce.html`. Every step
finds what an earlier call finished: archives by their markers, weights in the cache, runs by their
identity, embeddings in the store, trainings by their checkpoints. A system that cannot run is
named, and the others run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from firstshot.dcase.comparing.compare import Comparison, compare_runs
from firstshot.dcase.comparing.page import is_comparison_page
from firstshot.dcase.data.download import download
from firstshot.dcase.data.zenodo import Connection
from firstshot.dcase.reproducing.page import render_reproduction
from firstshot.dcase.reproducing.plan import PART, Plan, make_plan
from firstshot.dcase.running.run import run_system
from firstshot.dcase.running.system import AnySystem
from firstshot.disk.files import check_replaceable, write_result
from firstshot.encoders.weights.find import fetch
from firstshot.errors import DatasetError, FirstshotError
from firstshot.progress import Bars, silent
from firstshot.store import EmbeddingStore

PAGE = "reproduce.html"


def _no_bars() -> AbstractContextManager[Bars]:
    return nullcontext(silent)


@dataclass(frozen=True)
class Tools:
    """What the steps work with.

    Attributes
    ----------
    connection : Connection
        The archive service.
    store : EmbeddingStore or None
        Where embeddings and trainings are kept.
    workers : int or None
        Clips at a time; None means one per core.
    overwrite : bool
        Whether the results of other runs in the folders may be replaced.
    clips, bytes : callable
        Begin a block in which bars are shown, of clips or epochs and of bytes; each yields a
        `Bars`.
    say : callable
        Called with a line for the user as soon as it is known.
    quiet : bool
        Whether the hub's own progress bar is left out.
    """

    connection: Connection = field(default_factory=Connection)
    store: EmbeddingStore | None = None
    workers: int | None = None
    overwrite: bool = False
    clips: Callable[[], AbstractContextManager[Bars]] = _no_bars
    bytes: Callable[[], AbstractContextManager[Bars]] = _no_bars
    say: Callable[[str], object] = lambda line: None
    quiet: bool = True


@dataclass(frozen=True)
class Reproduction:
    """What was reached: the page, the comparisons on it, and why the other systems are absent."""

    page: Path
    comparisons: tuple[Comparison, ...]
    failures: dict[str, str]


def reproduce(
    year: int,
    data: Path,
    out: Path,
    machines: Sequence[str] | None = None,
    tools: Tools | None = None,
) -> Reproduction:
    """Fetch what is missing, run what is not finished, and write the page.

    Parameters
    ----------
    year, data, out, machines
        See `firstshot.dcase.reproducing.plan.make_plan`.
    tools : Tools, optional
        The archive service, the store, and who is told; None means the defaults.

    Raises
    ------
    ParameterError
        No such year or machine.
    DownloadError, OutputError
        The data cannot be fetched, the disk is too small, or the folder cannot be written to.
    DatasetError
        The data do not have the challenge's layout, or no system has a result.
    """
    tools = tools or Tools()
    page = out / PAGE
    plan = make_plan(year, data, out, machines)
    check_replaceable(page, True, "comparison", PAGE, is_comparison_page)
    if plan.missing:
        with tools.bytes() as bars:
            download(
                year,
                data,
                parts=[PART],
                machines=machines,
                connection=tools.connection,
                progress=bars,
            )
        plan = make_plan(year, data, out, machines)
    _fetch_weights(plan, tools)
    done, failures = _run_systems(plan, tools)
    if not done:
        raise DatasetError(f"no system has a result; {_first_of(failures)}")
    comparisons = compare_runs(done)
    write_result(page, render_reproduction(comparisons, failures))
    return Reproduction(page, comparisons, failures)


def _first_of(failures: dict[str, str]) -> str:
    name, fault = next(iter(failures.items()))
    return f"{name}: {fault}"


def _fetch_weights(plan: Plan, tools: Tools) -> None:
    """Fetch what can be fetched, and say once what a person must get."""
    if plan.torch_error:
        return  # without PyTorch no weights can be read
    for weights in plan.needed():
        if weights.place == "by hand":
            tools.say(f"weights of {weights.by_hand()}")
        else:
            tools.say(f"weights of {weights.name}: fetching {weights.size / 1e9:.2g} GB")
            try:
                fetch(weights.record, weights.variant, tools.quiet)
            except FirstshotError as error:
                tools.say(f"weights of {weights.name}: not fetched, {error}")


def _run_systems(plan: Plan, tools: Tools) -> tuple[list[Path], dict[str, str]]:
    """Run every system that can run.

    Returns the folders of those with results, and why the others, or some machines, have none.
    """
    done, failures = [], {}
    for system in plan.systems:
        if plan.finished(system):
            done.append(plan.folder(system))
            tools.say(f"{system.name}: finished before")
            continue
        fault = plan.obstacle(system)
        if fault is None:
            tools.say(f"{system.name}: running")
            found, fault = _run(plan, tools, system)
            done += [plan.folder(system)] if found else []
        if fault:
            failures[system.name] = fault
            tools.say(f"{system.name}: not done, {fault}")
    return done, failures


def _run(plan: Plan, tools: Tools, system: AnySystem) -> tuple[bool, str | None]:
    """Run one system; return whether it has results, and what stopped it or some machines."""
    try:
        with tools.clips() as bars:
            found = run_system(
                plan.data,
                system,
                plan.folder(system),
                machines=[archive.machine for archive in plan.archives],
                store=tools.store,
                overwrite=tools.overwrite,
                progress=bars,
                workers=tools.workers,
            )
    except FirstshotError as error:
        return False, str(error)
    faults = [f"{name}: {fault}" for name, fault in found.failures.items()]
    return True, "; ".join(faults) or None
