"""`firstshot store info | prune`: the embeddings kept between runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstshot.cli.options import Store

if TYPE_CHECKING:
    from firstshot.store import EmbeddingStore

app = typer.Typer(help="Look at or empty the store of embeddings.", no_args_is_help=True)


@app.command()
def info(store: Store = None) -> None:
    """Say where the store is, how many clips it holds and how large it is.

    Example: firstshot store info
    """
    kept = _existing_store(store)
    summary = kept.summary()
    typer.echo(f"{kept.folder}: {summary.entries} entries, {summary.size / 1e6:.1f} MB")


@app.command()
def prune(
    store: Store = None,
    older_than_days: Annotated[float, typer.Option(help="Delete older entries only.")] = 0.0,
) -> None:
    """Delete kept embeddings; they are computed again when they are needed.

    Example: firstshot store prune --older-than-days 30
    """
    kept = _existing_store(store)
    deleted = kept.prune(older_than_days)
    typer.echo(f"{kept.folder}: deleted {deleted.entries} entries, {deleted.size / 1e6:.1f} MB")


def _existing_store(folder: Path | None) -> EmbeddingStore:
    """Return the store in a folder; the default one may be not made yet, a named one must be there.

    Raises DatasetError for a folder that is missing or holds something else.
    """
    from firstshot.errors import DatasetError
    from firstshot.store import PRECISIONS, EmbeddingStore, default_store_folder

    if folder is None:
        return EmbeddingStore(default_store_folder())
    advice = "name the folder that was given to `firstshot fit --store`"
    try:
        held = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise DatasetError(f"{folder}: {error.strerror or error}; {advice}") from error
    # A run of an autoencoder baseline keeps its training states in the same folder.
    if held and held.isdisjoint({*PRECISIONS, "autoencoder"}):
        raise DatasetError(f"{folder}: holds {min(held)} and is no store of embeddings; {advice}")
    return EmbeddingStore(folder)
