"""`firstshot fit` and `firstshot calibrate`: a folder of normal sound becomes a detector file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from firstshot.cli.options import (
    Channel,
    Length,
    NoStore,
    Overwrite,
    Precision,
    Quiet,
    Runtime,
    Store,
    Workers,
    open_store,
    parse_channel,
)
from firstshot.cli.progress import progress_bars

RATE_HELP = "Share of normal clips that may be called anomalous."
METHOD_HELP = (
    "conformal (promises the rate), quantile (of the normal scores) or gamma (the challenge's way)."
)


def fit(
    normal: Annotated[
        list[Path], typer.Argument(readable=False, help="Folders or files of normal sound.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The detector file to write.")],
    target: Annotated[
        list[Path] | None,
        typer.Option(
            readable=False,
            help="Normal sound of new conditions (speed, load, place); may be repeated.",
        ),
    ] = None,
    encoder: Annotated[str, typer.Option(help="See `firstshot encoders`.")] = "logmel",
    weights: Annotated[Path | None, typer.Option(help="The encoder's weights file.")] = None,
    runtime: Runtime = None,
    precision: Precision = None,
    layers: Annotated[
        str | None, typer.Option(help="Layers such as 7,10 or -2,-1; default: the encoder's own.")
    ] = None,
    normalizer: Annotated[
        str,
        typer.Option(
            help="none, domain_zscore, local_density, domain_local_density, or test_zscore "
            "(which looks at the clips under test)."
        ),
    ] = "domain_local_density",
    metric: Annotated[str, typer.Option(help="sqeuclidean, euclidean or cosine.")] = "sqeuclidean",
    bank_precision: Annotated[
        str,
        typer.Option(
            help="What members are kept in: float32, or float16, which halves the file and is "
            "searched where it lies there; for hundreds of thousands of members."
        ),
    ] = "float32",
    length: Length = "native",
    channel: Channel = "mean",
    false_alarm_rate: Annotated[float, typer.Option(help=RATE_HELP)] = 0.1,
    threshold: Annotated[str, typer.Option(help=METHOD_HELP)] = "conformal",
    store: Store = None,
    no_store: NoStore = False,
    workers: Workers = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Learn a machine from folders of its normal sound and write a detector file.

    Example: firstshot fit recordings/normal --target recordings/high_speed -o fan.firstshot
    """
    from firstshot.detector import Detector
    from firstshot.scoring.progress import telling

    _refuse_existing(out, overwrite)
    detector = Detector(
        encoder,
        layers=_parse_layers(layers),
        normalizer=normalizer,
        metric=metric,
        length=length,
        channel=parse_channel(channel),
        threshold=threshold,
        false_alarm_rate=false_alarm_rate,
        bank_precision=bank_precision,
        encoder_settings=_encoder_settings(weights, runtime, precision),
    )
    with progress_bars(quiet) as bars, telling(bars("comparing normal clips")):
        detector.fit(
            normal,
            target or None,
            store=open_store(store, no_store),
            progress=bars("listening to clips"),
            workers=workers,
        )
    detector.save(out)
    reason = getattr(detector.embedding_settings().encoder, "reason", "")
    if reason:
        typer.echo(f"picked {reason}", err=True)
    domains = [row.domain for row in detector.fitted_.normal_clips.rows]
    typer.echo(
        f"learned {domains.count('source')} source and {domains.count('target')} target clips "
        f"with {detector.embedding_settings().encoder.name}"
    )
    typer.echo(f"threshold {detector.threshold_.value:.4g}: {detector.threshold_.promise}")
    typer.echo(f"wrote {out}; next: firstshot score {out} NEW_CLIPS")


def calibrate(
    detector_file: Annotated[Path, typer.Argument(help="A file written by `firstshot fit`.")],
    false_alarm_rate: Annotated[float | None, typer.Option(help=RATE_HELP)] = None,
    method: Annotated[str | None, typer.Option(help=METHOD_HELP)] = None,
    clips: Annotated[
        list[Path] | None,
        typer.Option(
            readable=False,
            help="Held-out normal clips; default: the training clips' held-out scores.",
        ),
    ] = None,
    extrapolate: Annotated[
        bool, typer.Option("--extrapolate", help="Let the gamma law speak beyond its clips.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write here; default: the file itself.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Set a detector's threshold anew on normal clips alone; nothing is learned again.

    Example: firstshot calibrate fan.firstshot --false-alarm-rate 0.05 --method conformal
    """
    from firstshot.detector import Detector
    from firstshot.disk.files import check_not_read_only

    if out is not None:
        _refuse_existing(out, overwrite)
    else:
        check_not_read_only(detector_file)
    detector = Detector.load(detector_file)
    detector.calibrate(false_alarm_rate, method, clips=clips or None, extrapolate=extrapolate)
    detector.save(out or detector_file)
    typer.echo(f"threshold {detector.threshold_.value:.4g}: {detector.threshold_.promise}")


def _encoder_settings(
    weights: Path | None, runtime: str | None, precision: str | None
) -> dict[str, str] | None:
    given = {"weights": weights, "runtime": runtime, "precision": precision}
    return {name: str(value) for name, value in given.items() if value is not None} or None


def _refuse_existing(path: Path, overwrite: bool) -> None:
    from firstshot.detector.file import is_detector_file
    from firstshot.disk.files import check_replaceable

    check_replaceable(path, overwrite, "detector file", "fan.firstshot", is_detector_file)


def _parse_layers(text: str | None) -> tuple[int, ...] | None:
    from firstshot.errors import ParameterError
    from firstshot.messages import shown_value

    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ParameterError(
            f"layers {shown_value(text)}: expected numbers such as 7,10 or -2,-1"
        ) from error
