"""How fast this machine runs an encoder: what `firstshot bench` measures.

Input: an encoder and a clip length. Output: a `BenchReport`: clips a second, the latency of one
clip, memory, start-up time, and the share of the machine's matrix product that the encoder reaches.
Speed does not depend on the weights' values, so random weights are measured where the real ones
are not on this machine.

The peak is that of numpy's float32 product of two matrices with as many threads, the best of a
second. An encoder in bf16 or fp16 may be above it.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.deploy.bundle import DESCRIPTION, load_bundle
from firstshot.deploy.timing import GIGA, latencies, matrix_peak_of, peak_memory, run_fresh, seconds
from firstshot.encoders import load_encoder
from firstshot.encoders.joint import members_of
from firstshot.encoders.loading import random_encoder
from firstshot.encoders.pooling import resolve_layers
from firstshot.encoders.protocol import Encoder
from firstshot.encoders.runtimes.processor import (
    describe_processor,
    installed_versions,
)
from firstshot.encoders.specs.base import Geometry
from firstshot.encoders.weights.catalog import ENCODERS
from firstshot.encoders.weights.trained_file import is_trained_name
from firstshot.errors import ParameterError
from firstshot.messages import shown_value
from firstshot.numbers import MOST_AT_ONCE, is_whole
from firstshot.ordered_threads import count_threads
from firstshot.progress import Bars, silent

PACKAGES = ("firstshot", "numpy", "torch", "openvino", "onnxruntime")


@dataclass(frozen=True)
class BenchReport:
    """What was measured.

    Attributes
    ----------
    encoder, runtime, precision, reason : str
        What ran, on which runtime, and why, where `auto` picked the runtime or the precision.
    random_weights : bool
        Whether random weights were measured.
    layers : tuple of int
        The layers computed; nothing runs beyond the deepest.
    clips_per_second, real_time_factor : float
        Clips encoded a second, many in one call, and seconds of sound per second.
    latency_p50_ms, latency_p99_ms : float
        Median and 99th percentile of the time from one waveform to its embedding.
    latencies : int
        How many latencies were measured: a hundred or more, fewer where those take too long.
    front_end_ms : float or None
        The part of it that is the front-end, where the encoder tells.
    start_up_seconds : float
        From the start of a Python process to its first embedding.
    peak_memory_mb : float or None
        The most memory that this process held, in 10^6 bytes, where the system tells.
    macs_per_clip : int or None
        True multiply-accumulates up to the deepest layer, attention products included.
    peak_gflops, share_of_peak : float, float or None
        The float32 matrix product of this machine, and what share of it the encoder reaches.
    """

    encoder: str
    runtime: str
    precision: str
    reason: str
    random_weights: bool
    layers: tuple[int, ...]
    clip_seconds: float
    threads: int
    workers: int
    clips_per_second: float
    real_time_factor: float
    latency_p50_ms: float
    latency_p99_ms: float
    latencies: int
    front_end_ms: float | None
    start_up_seconds: float
    peak_memory_mb: float | None
    macs_per_clip: int | None
    peak_gflops: float
    share_of_peak: float | None
    processor: str
    versions: Mapping[str, str]


def bench(
    name: str,
    *,
    runtime: str = "auto",
    precision: str = "auto",
    weights: str | None = None,
    layers: Sequence[int] | None = None,
    clip_seconds: float = 10.0,
    clips: int = 32,
    threads: int | None = None,
    workers: int = 1,
    progress: Bars = silent,
) -> BenchReport:
    """Measure an encoder on this machine.

    Parameters
    ----------
    name : str
        One of `firstshot.list_encoders()`, or the folder of a bundle, whose encoder is measured.
    runtime, precision, threads, workers
        See `firstshot.encoders.runtimes.with_runtime.with_runtime`; for pre-trained encoders only.
    weights, layers : optional
        A weights file; without one, the cache's weights, else random ones. The layers to compute;
        None means the encoder's default layers.
    clip_seconds, clips
        Length and number of the clips: timed one by one, in turn, and then all in one call.
    progress : callable, optional
        Given the name of a step, returns what is called with (done, total) of it.

    Raises
    ------
    ParameterError
        No encoder has that name, or a number is out of range.
    MissingLibraryError
        torch, or the runtime, is not installed.
    """
    whole = is_whole(clips, 1, 10_000) and is_whole(workers, 1, MOST_AT_ONCE)
    if not whole or not 0 < clip_seconds <= 3600:
        raise ParameterError(
            f"{shown_value(clips)} clips of {shown_value(clip_seconds)} s by "
            f"{shown_value(workers)} workers: expected 1 to 10000 clips of up to an hour, "
            "and at least one worker"
        )
    count_threads(threads)
    if is_bundle(name) and layers is None:
        layers = load_bundle(name).embedding_settings().layers
    options: dict[str, Any] = {"name": name, "runtime": runtime, "precision": precision}
    options |= {"weights": weights, "layers": None if layers is None else list(layers)}
    options |= {"threads": threads, "workers": workers}
    return measure(options, clip_seconds, clips, progress)


def measure(
    options: dict[str, Any], clip_seconds: float, clips: int, progress: Bars = silent
) -> BenchReport:
    """Measure the encoder that `open_encoder` opens with these options."""
    encoder, is_random = open_encoder(**options)
    layers = options["layers"] or encoder.default_layers
    chosen = resolve_layers(layers, encoder.depth, encoder.name)
    samples = round(clip_seconds * encoder.sample_rate)
    waveforms = _noise(samples, clips)
    _embed(encoder, waveforms[:1], chosen)
    one_by_one = [partial(_embed, encoder, x[None], chosen) for x in waveforms]
    taken = latencies(one_by_one, progress("one clip at a time"))
    rest = progress("all clips in one call, a new process, the matrix product")
    rest(0, 3)
    together = seconds(partial(_embed, encoder, waveforms, chosen))
    rest(1, 3)
    chosen_runtime = {"runtime": _runtime(encoder), "precision": _precision(encoder)}
    started, memory = start_up(
        options | (chosen_runtime if _has_runtimes(options["name"]) else {}), samples
    )
    rest(2, 3)
    threads = count_threads(options["threads"])
    peak = matrix_peak_of(threads)
    rest(3, 3)
    macs = _true_macs(encoder, chosen, samples)
    return BenchReport(
        encoder=encoder.name,
        **chosen_runtime,
        reason=getattr(encoder, "reason", ""),
        random_weights=is_random,
        layers=chosen,
        clip_seconds=clip_seconds,
        threads=threads,
        workers=options["workers"],
        clips_per_second=clips / together,
        real_time_factor=clips * clip_seconds / together,
        latency_p50_ms=1e3 * statistics.median(taken),
        latency_p99_ms=1e3 * float(np.quantile(taken, 0.99)),
        latencies=len(taken),
        front_end_ms=_front_end_ms(encoder, waveforms),
        start_up_seconds=started,
        peak_memory_mb=memory,
        macs_per_clip=macs,
        peak_gflops=peak,
        share_of_peak=None if macs is None else 2 * macs * clips / together / GIGA / peak,
        processor=describe_processor(),
        versions={"python": platform.python_version(), **installed_versions(PACKAGES)},
    )


def open_encoder(
    name: str,
    runtime: str = "auto",
    precision: str = "auto",
    weights: str | None = None,
    layers: Sequence[int] | None = None,
    threads: int | None = None,
    workers: int = 1,
) -> tuple[Encoder, bool]:
    """Return the encoder on a runtime, and whether its weights are random."""
    if not _has_runtimes(name):
        if (runtime, precision, weights) != ("auto", "auto", None):
            raise ParameterError(
                f"encoder {name!r} has a runtime and weights of its own; leave these options out"
            )
        if is_bundle(name):
            return load_bundle(name, threads, workers).embedding_settings().encoder, False
        return load_encoder(name), False
    from firstshot.encoders.runtimes.with_runtime import with_runtime
    from firstshot.encoders.weights.cache import read_pointer

    if name in ENCODERS and weights is None and read_pointer(ENCODERS[name]) is None:
        encoder, is_random = random_encoder(name), True
    else:
        encoder, is_random = load_encoder(name, weights), False
    wanted = layers or encoder.default_layers
    opened: Any = encoder
    return with_runtime(
        opened, runtime, precision, wanted, threads=threads, workers=workers
    ), is_random


def _has_runtimes(name: str) -> bool:
    """Tell whether several runtimes can run an encoder: a pre-trained or a trained one."""
    return name in ENCODERS or is_trained_name(name)


def is_bundle(name: str) -> bool:
    """Tell whether a name is the folder of a bundle."""
    return (Path(name) / DESCRIPTION).is_file()


def start_up(options: Mapping[str, Any], samples: int) -> tuple[float, float | None]:
    """Return seconds from process start to a first embedding, and that process's peak memory, MB.

    Raises `WeightsError` with the process's last words where it failed.
    """
    program = "import sys; from firstshot.deploy.benchmark import start; start(sys.argv[1])"
    request = json.dumps([dict(options), samples])
    began = time.perf_counter()
    memory = run_fresh(program, "start the encoder", request)
    return time.perf_counter() - began, json.loads(memory)


def start(request: str) -> None:
    """Open an encoder, embed one clip, print the peak memory in MB: what `start_up` runs."""
    options, samples = json.loads(request)
    encoder, _ = open_encoder(**options)
    layers = options["layers"] or encoder.default_layers
    _embed(encoder, _noise(samples, 1), resolve_layers(layers, encoder.depth, encoder.name))
    print(json.dumps(peak_memory()))


def _embed(encoder: Encoder, waveforms: NDArray[np.float32], layers: Sequence[int]) -> object:
    return encoder.embed(waveforms, encoder.sample_rate, layers)


def _noise(samples: int, clips: int) -> NDArray[np.float32]:
    draws = np.random.default_rng(0).standard_normal((clips, samples), dtype=np.float32)
    return np.float32(0.1) * draws


def _front_end_ms(encoder: Any, waveforms: NDArray[np.float32]) -> float | None:
    spec = getattr(encoder, "spec", None)
    if spec is None:
        return None
    taken = [seconds(partial(spec.front_end, x)) for x in waveforms]
    return 1e3 * statistics.median(taken)


def _true_macs(encoder: Any, layers: Sequence[int], samples: int) -> int | None:
    """Return the MACs up to the deepest layer, attention included, the tagging head left out."""
    geometry: Geometry | None = getattr(getattr(encoder, "spec", None), "geometry", None)
    return None if geometry is None else geometry.macs_up_to(max(layers), samples)


def _runtime(encoder: Any) -> str:
    return _of_members(encoder, "runtime", "numpy")


def _precision(encoder: Any) -> str:
    return _of_members(encoder, "precision", "fp32")


def _of_members(encoder: Encoder, name: str, usual: str) -> str:
    found = [str(getattr(member, name, usual)) for member in members_of(encoder)]
    return " + ".join(dict.fromkeys(found))
