"""`firstshot demo` and `firstshot synth`: the whole way on synthetic machines."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from firstshot.cli.options import Overwrite, Quiet
from firstshot.cli.printing.progress import progress_bars
from firstshot.errors import OutputError

_DEMO_FOLDERS = ("data", "embeddings", "results")


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the clips and the results.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Another seed makes other machines' clips.")] = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Make synthetic machines, learn each from normal sound, find their faults, draw the page.

    Example: firstshot demo --out demo
    """
    from firstshot.cli.challenge.app import print_run
    from firstshot.dcase.running.run import run_system
    from firstshot.dcase.running.system import load_system
    from firstshot.detector.views import AUTO
    from firstshot.sound.synth import MACHINES
    from firstshot.sound.synth.dataset import write_dataset
    from firstshot.store import EmbeddingStore

    data, results = out / "data", out / "results"
    _check_folder(out)
    typer.echo(f"making synthetic machines in {data} ...")
    with progress_bars(quiet) as bars:
        try:
            write_dataset(data, seed=seed, progress=bars("making clips"))
        except OutputError:
            if not overwrite or {path.name for path in data.iterdir()} - set(MACHINES):
                raise
            shutil.rmtree(data)  # another seed's machines
            write_dataset(data, seed=seed, progress=bars("making clips"))
    typer.echo("learning each machine from its normal clips, scoring its test clips ...")
    with progress_bars(quiet) as bars:
        run = run_system(
            data,
            load_system(AUTO),
            results,
            store=EmbeddingStore(out / "embeddings"),
            overwrite=overwrite,
            progress=bars,
        )
    print_run(run, results, automatic=True)
    typer.echo("The same on your own machine: firstshot fit NORMAL_DIR -o mine.firstshot")


def _check_folder(out: Path) -> None:
    """Refuse a folder that holds anything else than what `demo` writes."""
    others = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    foreign = [name for name in others if name not in _DEMO_FOLDERS and name[:1] != "."]
    if foreign:
        raise OutputError(
            f"{out}: holds {foreign[0]}, which `firstshot demo` did not write; "
            "choose another folder with --out"
        )


def synth(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    machine: Annotated[
        list[str] | None, typer.Option(help="A machine to make; may be repeated. Default: all.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    seconds: Annotated[float, typer.Option(help="Length of every clip in seconds.")] = 2.5,
    source: Annotated[int, typer.Option(help="Source training clips per machine.")] = 100,
    target: Annotated[int, typer.Option(help="Target training clips per machine.")] = 10,
    test: Annotated[int, typer.Option(help="Test clips per machine, domain and label.")] = 25,
    quiet: Quiet = False,
) -> None:
    """Write a synthetic data set in the challenge's layout: machines, faults, domain shift.

    Example: firstshot synth data/ --machine SynthFan --seconds 10
    """
    from firstshot.sound.synth import MACHINES
    from firstshot.sound.synth.dataset import write_dataset

    machines = machine or list(MACHINES)
    with progress_bars(quiet) as bars:
        write_dataset(
            folder,
            machines,
            seed=seed,
            clip_seconds=seconds,
            train_source=source,
            train_target=target,
            test_per_class=test,
            progress=bars("making clips"),
        )
    typer.echo(f"wrote {', '.join(machines)} to {folder}")
    typer.echo(f"next: firstshot dcase run {folder} --system recommended")
