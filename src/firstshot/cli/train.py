"""`firstshot train`: folders of normal sound become the file of an encoder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Annotated

import typer

from firstshot.cli.options import NoStore, Overwrite, Quiet, Store, Workers, open_store
from firstshot.cli.printing.progress import progress_bars
from firstshot.cli.printing.tables import say
from firstshot.cli.settings import help_of, read_channel

if TYPE_CHECKING:
    from firstshot.training.classes import Classes
    from firstshot.training.seeds import Run
    from firstshot.training.settings import TrainingSettings
    from firstshot.training.training import Epoch

NAMED = 3
"""Classes or machines that a note names before it counts the rest."""


def train(
    roots: Annotated[
        list[Path],
        typer.Argument(
            help="Data sets in the challenge's layout, or folders with a folder of normal sound "
            "for each machine."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .safetensors file to write.")],
    recipe: Annotated[
        str,
        typer.Option(
            help="spec (the spectrum, by convolutions), fmlp (log spectra, by two products), tiny "
            "(log-mel, by few convolutions) or cnn (spec beside a spectrogram); docs/trained.md."
        ),
    ] = "spec",
    epochs: Annotated[
        int | None,
        typer.Option(help="Passes over all clips; 0 trains nothing. Default: the recipe's."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides every random choice.")] = 0,
    seeds: Annotated[
        int,
        typer.Option(help="Trainings, with seeds from --seed on; each writes a file of its own."),
    ] = 1,
    loss: Annotated[
        str | None,
        typer.Option(
            help="sub_cluster_adacos, adacos, adaproj or arcface. Default: sub_cluster_adacos."
        ),
    ] = None,
    window: Annotated[
        float | None,
        typer.Option(
            help="Seconds that the network gets at once. Default: the shortest clip, 1 to 2 s."
        ),
    ] = None,
    pseudo_attributes: Annotated[
        bool | None,
        typer.Option(
            help="Let clusters stand for attributes that a machine does not give. "
            "Default: the recipe's."
        ),
    ] = None,
    channel: Annotated[str, typer.Option(help=help_of("channel"))] = "mean",
    device: Annotated[str, typer.Option(help="cpu, or cuda for a graphics card.")] = "cpu",
    store: Store = None,
    no_store: NoStore = False,
    workers: Workers = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Train a network to tell machines, domains and attributes apart; its file is an encoder.

    A training that was killed goes on where it was when the command is given again.

    Example: firstshot train data/dev_data --recipe spec -o my_encoder.safetensors
    """
    from firstshot.dcase.data.training_clips import list_training_clips
    from firstshot.encoders.loading import check_device
    from firstshot.training.clips import load_clips
    from firstshot.training.settings import LossSettings, make_settings

    settings = make_settings(
        recipe,
        epochs=epochs,
        loss=None if loss is None else LossSettings(loss),
        window_seconds=window,
        pseudo_attributes=pseudo_attributes,
    )
    numbers = _check_seeds(seed, seeds)
    _check_output(out, numbers, overwrite)
    check_device(device, "firstshot train")

    from firstshot.training.seeds import make_plan, train_seeds

    kept = open_store(store, no_store)
    with progress_bars(quiet) as bars:
        clips = list_training_clips(roots)
        loaded = load_clips(
            clips, read_channel(channel), progress=bars("clips read"), workers=workers
        )
        plan = make_plan(loaded, settings)
    _describe(plan.classes, settings)
    runs = train_seeds(
        plan,
        numbers,
        out,
        device=device,
        checkpoints=None if kept is None else kept.folder / "training",
        on_epoch=_Epochs(settings, len(numbers)).tell,
        workers=workers,
    )
    _report(runs)


def _check_seeds(seed: int, seeds: int) -> range:
    from firstshot.numbers import check_whole

    check_whole("--seed", seed, 0, 2**31)
    return range(seed, seed + check_whole("--seeds", seeds, 1, 1000))


def _check_output(out: Path, seeds: range, overwrite: bool) -> None:
    """Refuse files that cannot be written, before any work."""
    from firstshot.disk.files import check_replaceable
    from firstshot.encoders.weights.trained_file import SUFFIX, is_trained_file, is_trained_name
    from firstshot.errors import ParameterError
    from firstshot.training.seeds import seed_paths

    if not is_trained_name(out.name):
        raise ParameterError(f"--out {out}: expected a name that ends in {SUFFIX}")
    for path in seed_paths(out, seeds):
        check_replaceable(
            path, overwrite, "trained encoder", "my_encoder.safetensors", is_trained_file
        )


class _Epochs:
    """Tells of every epoch: loss, share of clips whose class was found, rate, time left."""

    def __init__(self, settings: TrainingSettings, seeds: int) -> None:
        self.settings, self.all = settings, settings.epochs * seeds
        self.seconds: list[float] = []
        self.done: dict[int, int] = {}

    def tell(self, seed: int, epoch: Epoch) -> None:
        from firstshot.log import logger

        self.seconds.append(epoch.seconds)
        self.done[seed] = epoch.number
        logger.info(
            "seed %d, epoch %d of %d: loss %.3f, class found in %.0f %%, learning rate %g, "
            "about %.0f s left",
            seed,
            epoch.number,
            self.settings.epochs,
            epoch.loss,
            100 * epoch.found,
            self.settings.learning_rate,
            (self.all - sum(self.done.values())) * mean(self.seconds),
        )


def _describe(classes: Classes, settings: TrainingSettings) -> None:
    """Say what is told apart, and what of it is weak."""
    from firstshot.log import logger

    sizes = classes.sizes
    changed = ", each with five changes of the sound" if settings.transforms else ""
    logger.info("%d clips of %d classes%s", sum(sizes.values()), len(sizes), changed)
    alone = [name for name, size in sizes.items() if size == 1]
    if alone:
        more = f" and {len(alone) - NAMED} more" if len(alone) > NAMED else ""
        logger.info("note: one clip alone has the class %s%s", ", ".join(alone[:NAMED]), more)
    plain = Counter(name.count("/") for name in sizes)[2]
    if plain:
        logger.info("note: %d classes are of clips without attributes", plain)


def _report(runs: tuple[Run, ...]) -> None:
    for run in runs:
        say(f"wrote {run.path}{_of_last(run)}")
    if len(runs) > 1 and all(run.epochs for run in runs):
        losses, found = zip(*((r.epochs[-1].loss, r.epochs[-1].found) for r in runs), strict=True)
        say(
            f"{len(runs)} seeds: loss {mean(losses):.3f} +- {stdev(losses):.3f}, class found in "
            f"{100 * mean(found):.1f} +- {100 * stdev(found):.1f} % of clips"
        )
    say(f"next: firstshot fit NORMAL_DIR --view trained:{runs[0].path} -o machine.firstshot")


def _of_last(run: Run) -> str:
    if not run.epochs:
        return ": untrained"
    last = run.epochs[-1]
    return f": loss {last.loss:.3f}, class found in {100 * last.found:.0f} % of clips"
