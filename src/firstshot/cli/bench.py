"""`firstshot bench`: how fast this machine runs an encoder."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstshot.cli.options import Quiet
from firstshot.cli.printing.progress import progress_bars

if TYPE_CHECKING:
    from firstshot.deploy.benchmark import BenchReport


def bench(
    encoder: Annotated[
        str | None,
        typer.Option(
            help="See `firstshot encoders`, or a folder that `firstshot export` wrote, which needs "
            "no torch; default: ced_tiny, or logmel where torch is missing."
        ),
    ] = None,
    runtime: Annotated[
        str, typer.Option(help="auto (the fastest that is installed), torch, openvino or onnx.")
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(help="auto (the fastest that the processor has), fp32, fp16 or bf16."),
    ] = "auto",
    weights: Annotated[
        Path | None,
        typer.Option(help="The encoder's weights file; without one, random weights are timed."),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Length of the clips.")] = 10.0,
    clips: Annotated[int, typer.Option(help="How many clips are timed.")] = 32,
    threads: Annotated[int | None, typer.Option(help="Threads; default: all cores.")] = None,
    workers: Annotated[int, typer.Option(help="Clips worked on at once.")] = 1,
    live: Annotated[
        bool,
        typer.Option(
            "--live",
            help="Measure what `firstshot watch` takes of one core for a machine, with the encoder "
            "(default: logmel), preset, detector file or bundle that --encoder names.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Measure an encoder here: clips a second, wait for one clip, memory, start-up, share of peak.

    Example: firstshot bench --encoder ced_tiny --runtime openvino
    """
    if live:
        _bench_live(encoder or "logmel", as_json)
        return
    from firstshot.deploy.benchmark import bench as measure

    with progress_bars(quiet) as bars:
        report = measure(
            encoder or default_encoder(runtime, precision, weights),
            runtime=runtime,
            precision=precision,
            weights=None if weights is None else str(weights),
            clip_seconds=seconds,
            clips=clips,
            threads=threads,
            workers=workers,
            progress=bars,
        )
    typer.echo(json.dumps(asdict(report), indent=2) if as_json else table(report))


def _bench_live(detector: str, as_json: bool) -> None:
    """Print what watching one machine costs."""
    from firstshot.live.cost import measure_live

    cost = measure_live(detector)
    if as_json:
        typer.echo(json.dumps(asdict(cost), indent=2))
        return
    rows = [
        ("detector", cost.detector),
        ("windows", f"{cost.windows} of {cost.window_seconds:g} s, each {cost.hop_seconds:g} s"),
        ("one window", f"{cost.window_ms:.1f} ms of processor time"),
        ("of one core", f"{100 * cost.core_share:.2f} % for each machine"),
        ("peak memory", _with_unit(cost.peak_memory_mb, "MB")),
    ]
    typer.echo("\n".join(f"{name:<17} {value}" for name, value in rows if value))


def default_encoder(runtime: str, precision: str, weights: Path | None) -> str:
    """Return the smallest pre-trained encoder, or the embedded one where there is no torch."""
    if weights is not None or (runtime, precision) != ("auto", "auto") or _has_torch():
        return "ced_tiny"
    typer.echo(
        "torch is not installed, so the embedded encoder logmel is measured; for the others run "
        "`pip install 'firstshot[encoders]'`, or name a bundle: --encoder FOLDER",
        err=True,
    )
    return "logmel"


def _has_torch() -> bool:
    try:
        return find_spec("torch") is not None
    except (ImportError, ValueError):  # it is there and blocked
        return False


def table(report: BenchReport) -> str:
    """Return the report as lines of name and value."""
    rows = [
        ("encoder", f"{report.encoder}, layers {', '.join(map(str, report.layers))}"),
        ("runtime", f"{report.runtime} {report.precision}"),
        ("picked because", report.reason),
        ("clips a second", f"{report.clips_per_second:.1f} of {report.clip_seconds:g} s"),
        ("real-time factor", f"{report.real_time_factor:.0f}"),
        (
            "one clip",
            f"{report.latency_p50_ms:.1f} ms p50, {report.latency_p99_ms:.1f} ms p99 "
            f"of {report.latencies} latencies",
        ),
        ("its front-end", _with_unit(report.front_end_ms, "ms")),
        ("start-up", f"{report.start_up_seconds:.2f} s to the first embedding"),
        ("peak memory", _with_unit(report.peak_memory_mb, "MB")),
        ("matrix product", f"{report.peak_gflops:.0f} GFLOP/s float32, this machine's best"),
        ("share of it", _share(report.share_of_peak)),
        ("processor", f"{report.processor}, {report.threads} threads, {report.workers} workers"),
        ("versions", ", ".join(f"{name} {number}" for name, number in report.versions.items())),
    ]
    lines = [f"{name:<17} {value}" for name, value in rows if value]
    if report.random_weights:
        lines.append("The weights are made up: the published ones take as long.")
    return "\n".join(lines)


def _with_unit(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.1f} {unit}"


def _share(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"
