"""`firstshot embed`: clips become embeddings in an `.npz` file, without learning anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from firstshot.cli.options import NoStore, Overwrite, Quiet, Store, Workers, open_store
from firstshot.cli.printing.progress import progress_bars
from firstshot.cli.printing.tables import say
from firstshot.cli.settings import EMBEDDING, with_settings


@with_settings(only=EMBEDDING)
def embed(
    settings: dict[str, Any],
    clips: Annotated[
        list[Path],
        typer.Argument(readable=False, help="Folders or files, of the usual conditions (source)."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .npz file to write.")],
    target: Annotated[
        list[Path] | None,
        typer.Option(readable=False, help="Clips of new conditions (target); may be repeated."),
    ] = None,
    store: Store = None,
    no_store: NoStore = False,
    workers: Workers = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write clips' embeddings: names, domains, starts of windows, and an array for each layer.

    Example: firstshot embed recordings/ --encoder logmel -o embeddings.npz
    """
    from firstshot.detector.embeddings import embed as embed_clips
    from firstshot.detector.embeddings import is_embeddings_file
    from firstshot.disk.files import check_replaceable

    check_replaceable(out, overwrite, "file of embeddings", "embeddings.npz", is_embeddings_file)
    with progress_bars(quiet) as bars:
        embeddings = embed_clips(
            clips,
            target or None,
            store=open_store(store, no_store),
            progress=bars("embedding clips"),
            workers=workers,
            **settings,
        )
    embeddings.save(out)
    layers = ", ".join(map(str, embeddings.layers))
    say(f"wrote {out}: {len(embeddings.names)} rows of {embeddings.encoder}, layers {layers}")
