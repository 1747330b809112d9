"""`firstshot store info | prune`: the embeddings kept between runs."""

from __future__ import annotations

from typing import Annotated

import typer

from firstshot.cli.options import Store

app = typer.Typer(help="Look at or empty the store of embeddings.", no_args_is_help=True)


@app.command()
def info(store: Store = None) -> None:
    """Say where the store is, how many clips it holds and how large it is.

    Example: firstshot store info
    """
    from firstshot.store import EmbeddingStore, default_store_folder

    kept = EmbeddingStore(store or default_store_folder())
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
    from firstshot.store import EmbeddingStore, default_store_folder

    kept = EmbeddingStore(store or default_store_folder())
    deleted = kept.prune(older_than_days)
    typer.echo(f"{kept.folder}: deleted {deleted.entries} entries, {deleted.size / 1e6:.1f} MB")
