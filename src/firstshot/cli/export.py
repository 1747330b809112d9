"""`firstshot export`: a detector file becomes a bundle that scores without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from firstshot.cli.options import Overwrite


def export(
    detector_file: Annotated[Path, typer.Argument(help="A file written by `firstshot fit`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    weights: Annotated[
        Path | None,
        typer.Option(help="The encoder's weights file, where neither cache nor detector has it."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    r"""Write a detector as a bundle: encoder graph, front-end constants, bank, threshold, a check.

    A machine with `pip install 'firstshot\[onnx]'` scores with it, without torch and weights.

    Example: firstshot export fan.firstshot --out fan_bundle
    """
    from firstshot.deploy.export import export_detector
    from firstshot.detector import Detector
    from firstshot.detector.loading import read_detector
    from firstshot.encoders import load_encoder

    encoder = None
    if weights is not None:
        manifest, _, _ = read_detector(detector_file)
        changed = {**manifest.encoder_settings, "weights": weights}
        encoder = load_encoder(manifest.encoder, **changed)
    detector = Detector.load(detector_file, encoder=encoder)
    folder = export_detector(detector, out, overwrite)
    size = sum(path.stat().st_size for path in folder.iterdir())
    settings = detector.embedding_settings()
    layers = ", ".join(str(layer) for layer in sorted(settings.layers))
    typer.echo(
        f"wrote {folder}: {settings.encoder.name} up to the deepest of layers {layers}, "
        f"{len(detector.fitted_.normal_clips.rows)} normal clips, {size / 1e6:.0f} MB; "
        "its self-check passed"
    )
