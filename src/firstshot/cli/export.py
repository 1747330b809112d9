"""`firstshot export`: a detector file becomes a bundle that scores without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstshot.cli.options import Overwrite

if TYPE_CHECKING:
    from firstshot.encoders.protocol import Encoder


def export(
    detector_file: Annotated[Path, typer.Argument(help="A file written by `firstshot fit`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    weights: Annotated[
        Path | None,
        typer.Option(
            help="The pre-trained encoder's weights file, where neither cache nor detector has it."
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    r"""Write a detector as a bundle: encoder graphs, front-end constants, bank, threshold, a check.

    A machine with `pip install 'firstshot\[onnx]'` scores with it, without torch and weights.

    Example: firstshot export fan.firstshot --out fan_bundle
    """
    from firstshot.deploy.export import export_detector
    from firstshot.detector import Detector
    from firstshot.encoders.joint import layers_by_member

    encoder = None if weights is None else _load_encoder_of(detector_file, weights)
    detector = Detector.load(detector_file, encoder=encoder)
    folder = export_detector(detector, out, overwrite)
    size = sum(path.stat().st_size for path in folder.iterdir())
    settings = detector.embedding_settings()
    encoders = " and ".join(
        f"{member.name} layers {', '.join(map(str, sorted(layers)))}"
        for member, layers in layers_by_member(settings.encoder, settings.layers)
    )
    typer.echo(
        f"wrote {folder}: {encoders}, {len(detector.fitted_.normal_clips.rows)} normal clips, "
        f"{size / 1e6:.1f} MB; its self-check passed"
    )


def _load_encoder_of(detector_file: Path, weights: Path) -> Encoder:
    """Load a detector's only pre-trained encoder from a file, set as the detector says."""
    from firstshot.detector.loading import read_detector
    from firstshot.encoders import WITHOUT_WEIGHTS, load_encoder
    from firstshot.encoders.weights.trained_file import is_trained_name
    from firstshot.errors import ParameterError

    manifest, _, _ = read_detector(detector_file)
    settings = {manifest.encoder: manifest.encoder_settings}
    if manifest.views is not None:
        settings = {view["encoder"]: view["encoder_settings"] for view in manifest.views}
    names = [n for n in settings if n not in WITHOUT_WEIGHTS and not is_trained_name(n)]
    if len(names) != 1:
        raise ParameterError(
            f"--weights {weights}: {detector_file} has {len(names)} encoders with weights "
            f"({', '.join(names) or 'none'}), expected one; leave --weights out, and put the files "
            "into the cache with `firstshot encoders fetch`"
        )
    return load_encoder(names[0], **{**settings[names[0]], "weights": weights})
