"""`firstshot encoders`: what there is, what it costs, and where its weights come from."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstshot.cli.options import Quiet

if TYPE_CHECKING:
    from rich.table import Table

    from firstshot.encoders.protocol import Encoder
    from firstshot.encoders.weights.catalog import EncoderRecord

app = typer.Typer(
    help="List the encoders, count what they cost, fetch their weights.",
    invoke_without_command=True,
)
SAMPLE_RATE = 16000
WIDTH_WITHOUT_TERMINAL = 170
COMPLEXITY_NOTE = """\
published: Table 4 of the report, G MACs and M parameters of a 10 s clip, counted as thop does:
no attention products, no front-end. Its autoencoder counts two operations a MAC, and its system4
is ced_tiny alone, 1.334 G, printed there as 1.33 and as 1.34. trained_*: the recipes of
`firstshot train` with windows of 1 s, learned layers alone."""


@app.callback()
def encoders(
    context: typer.Context,
    complexity: Annotated[
        bool,
        typer.Option("--complexity", help="Count MACs and parameters as the report's Table 4."),
    ] = False,
    seconds: Annotated[float, typer.Option(help="Length of the clip that is counted.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the encoders: size, cost of a clip, layers, licence, and where the weights are.

    A layer is written as time x freq x dim: time steps, frequency rows, numbers of each.

    Example: firstshot encoders --complexity --seconds 6
    """
    if context.invoked_subcommand is not None:
        return
    from firstshot.numbers import check_number

    samples = round(check_number("--seconds", seconds, 0.001, 86400) * SAMPLE_RATE)
    rows = _complexity_rows(samples) if complexity else _encoder_rows(samples)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    _print(_complexity_table(rows, seconds) if complexity else _encoder_table(rows, seconds))


@app.command()
def fetch(
    names: Annotated[list[str], typer.Argument(help="Encoders, see `firstshot encoders`.")],
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Take this published file, which you have, for one encoder."),
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(help="A variant, where there are several; see docs/encoders.md."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Bring weights into the cache, from the network or from a file, so that the name finds them.

    Set HF_ENDPOINT to use a mirror of the hub and FIRSTSHOT_CACHE to choose the folder. A download
    that was interrupted goes on where it stopped.

    Example: firstshot encoders fetch ced_tiny sslam
    """
    from firstshot.encoders.weights.cache import weights_folder
    from firstshot.encoders.weights.catalog import find_record
    from firstshot.encoders.weights.find import fetch as fetch_weights
    from firstshot.encoders.weights.find import keep_file
    from firstshot.errors import ParameterError

    records = [find_record(name) for name in names]
    if source is not None and len(records) > 1:
        raise ParameterError(f"--from {source}: one file is one encoder's; name one encoder")
    for record in records:
        if record.terms:
            typer.echo(record.terms, err=True)
        if source is not None:
            pointer = keep_file(record, source, variant)
        else:
            pointer = fetch_weights(record, variant, quiet)
        typer.echo(
            f"{record.name}: {weights_folder() / pointer.entry}\n  from {pointer.source}\n"
            f"  SHA-256 of the file {pointer.source_sha256}\n"
            f"  SHA-256 of the weights {pointer.weights_sha256}"
        )


def _encoder_rows(samples: int) -> list[dict[str, Any]]:
    from firstshot.encoders import WITHOUT_WEIGHTS, list_encoders, load_encoder, registered
    from firstshot.encoders.weights.catalog import ENCODERS

    rows: list[dict[str, Any]] = [
        _embedded_row(load_encoder(name), samples) for name in WITHOUT_WEIGHTS
    ]
    rows += [_pretrained_row(record, samples) for record in ENCODERS.values()]
    points = registered()
    for name in list_encoders()[len(rows) :]:
        packages = sorted({point.dist.name if point.dist else "?" for point in points[name]})
        rows.append({"name": name, "weights": f"plug-in of {', '.join(packages)}"})
    return rows


def _embedded_row(encoder: Encoder, samples: int) -> dict[str, Any]:
    layers = range(1, encoder.depth + 1)
    return {
        "name": encoder.name,
        "parameters": encoder.parameters,
        "macs": encoder.macs(samples),
        "depth": encoder.depth,
        "dim": [encoder.dim(layer) for layer in layers],
        "grid": [list(encoder.grid(samples, layer)) for layer in layers],
        "licence": "MIT (firstshot)",
        "weights": "none needed",
        "ready": True,
    }


def _pretrained_row(record: EncoderRecord, samples: int) -> dict[str, Any]:
    from firstshot.complexity import complexity
    from firstshot.encoders.weights.cache import read_pointer, weights_folder

    counted, spec = complexity(record.name, samples), record.spec
    own, layers = samples * spec.sample_rate // SAMPLE_RATE, range(1, spec.depth + 1)
    pointer = read_pointer(record)
    weights = str(weights_folder() / pointer.entry) if pointer else _how_to_get(record)
    return {
        "name": record.name,
        "parameters": counted.parameters,
        "macs": counted.macs,
        "depth": spec.depth,
        "dim": [spec.dim(layer) for layer in layers],
        "grid": [list(spec.geometry.grid(own, layer)) for layer in layers],
        "licence": record.licence,
        "weights": weights,
        "ready": pointer is not None,
        "formats": list(record.formats),
        "variants": {name: str(file) for name, file in record.files.items()},
        "get": record.advice(),
    }


def _how_to_get(record: EncoderRecord) -> str:
    from firstshot.encoders.weights.catalog import HandFile

    file = record.file()
    if isinstance(file, HandFile):
        return f"get {file.get}; then `firstshot encoders fetch {record.name} --from FILE`"
    return f"`firstshot encoders fetch {record.name}` ({file})"


def _complexity_rows(samples: int) -> list[dict[str, Any]]:
    from dataclasses import asdict

    from firstshot.complexity import PUBLISHED, TEN_SECONDS, complexity_table

    rows = []
    for row in complexity_table(samples):
        giga, mega = PUBLISHED.get(row.name, (None, None))
        published = {
            "published_gmacs": giga if samples == TEN_SECONDS else None,
            "published_mparameters": mega,
        }
        rows.append({**asdict(row), **published})
    return rows


def _complexity_table(rows: Sequence[dict[str, Any]], seconds: float) -> Table:
    from rich.table import Table

    table = Table(title=f"One clip of {seconds:g} s", caption=COMPLEXITY_NOTE)
    table.title_justify = table.caption_justify = "left"
    table.add_column("encoder or system", no_wrap=True)
    for heading in ("MACs", "G", "published", "with attention", "parameters", "M", "published"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['macs']:,}",
            f"{row['macs'] / 1e9:.{2 if row['macs'] > 1e8 else 4}f}",
            _figure(row["published_gmacs"]),
            f"{row['macs_with_attention']:,}",
            f"{row['parameters']:,}",
            f"{row['parameters'] / 1e6:.2f}",
            _figure(row["published_mparameters"]),
        )
    return table


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _encoder_table(rows: Sequence[dict[str, Any]], seconds: float) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    headings = ("encoder", "parameters", f"MACs {seconds:g} s", "layers", "licence", "weights")
    for heading in headings:
        table.add_column(heading, no_wrap=heading not in ("weights", "licence"), overflow="fold")
    for row in rows:
        if "macs" not in row:
            table.add_row(row["name"], "", "", "", "", row["weights"])
            continue
        cells = (
            row["name"],
            f"{row['parameters'] / 1e6:.2f} M" if row["parameters"] else "0",
            f"{row['macs'] / 1e9:.2f} G",
            _in_short(row["grid"], row["dim"]),
            row["licence"],
            row["weights"],
        )
        # As text, because rich would read brackets as mark-up.
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _in_short(grids: Sequence[Sequence[int]], dims: Sequence[int]) -> str:
    """Describe all layers by time x freq x dim: of the one shape, or of the first and the last.

    >>> _in_short([[62, 8], [62, 8]], [768, 768]), _in_short([[2, 8], [1, 4]], [16, 64])
    ('2 of 62 x 8 x 768', '2, 2 x 8 x 16 to 1 x 4 x 64')
    """
    shapes = [f"{time} x {freq} x {dim}" for (time, freq), dim in zip(grids, dims, strict=True)]
    if len(set(shapes)) == 1:
        return f"{len(shapes)} of {shapes[0]}"
    return f"{len(shapes)}, {shapes[0]} to {shapes[-1]}"


def _print(table: Table) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL).print(table)
