"""What `auto` means: the runtime and precision that run an encoder fastest on this processor.

Input: an encoder and what was asked for. Output: a `Choice`, with its reason in words. Candidates
are the runtimes that are installed, in the precisions that the processor has instructions for; a
probe of a second runs the encoder's first layer on ten seconds of noise by each in turn. A reduced
precision must be faster by a fifth at least to be worth its error.

A choice decides an embedding's last digits, so it is made once: it is kept in the cache's
`runtime_choices.json`, under the processor, the threads, the versions and the encoder's geometry.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from firstshot.caches import warn_of_damage
from firstshot.documents import Table, read_json
from firstshot.encoders.precision import (
    PRECISIONS,
    describe_processor,
    installed_versions,
    native_precisions,
)
from firstshot.encoders.weight_cache import weights_folder
from firstshot.errors import ParameterError
from firstshot.files import write_atomically

if TYPE_CHECKING:
    from firstshot.encoders.torch_encoder import TorchEncoder

PROBE_SECONDS = 1.0
LEAST_ROUNDS, RUNS_IN_A_ROW = 2, 3
WORTH_ITS_ERROR = 1.2
PACKAGES = {"openvino": ("openvino", "onnx"), "onnx": ("onnxruntime", "onnx"), "torch": ("torch",)}

Candidate = tuple[str, str]


@dataclass(frozen=True)
class Choice:
    """A runtime and a precision, and why they were picked."""

    runtime: str
    precision: str
    reason: str


def choose(
    encoder: TorchEncoder, runtime: str = "auto", precision: str = "auto", threads: int = 1
) -> Choice:
    """Return what to run the encoder by; `runtime` or `precision` may be settled already.

    Raises
    ------
    ParameterError
        No runtime that is installed computes in that precision here.
    """
    candidates = list_candidates(runtime, precision)
    if len(candidates) == 1:
        (only,) = candidates
        return Choice(*only, f"{only[0]} {only[1]}: the only one here that can do what was asked")
    key = _key(encoder, candidates, threads)
    remembered = _remembered().get(key)
    if remembered is not None and (remembered.runtime, remembered.precision) in candidates:
        return remembered
    taken = probe(encoder, candidates, threads)
    choice = pick(taken)
    _remember(key, choice)
    return choice


def list_candidates(runtime: str, precision: str) -> list[Candidate]:
    """Return every (runtime, precision) that could be meant and that nothing has to emulate."""
    runtimes = [name for name in PACKAGES if _versions(name)] if runtime == "auto" else [runtime]
    found = []
    for name in runtimes:
        able = _able(name, asked=precision)
        found += [(name, p) for p in able if precision in ("auto", p)]
    if not found:
        raise ParameterError(
            f"precision {precision!r}: no runtime here computes in it ({describe_processor()}; "
            f"installed: {', '.join(name for name in PACKAGES if _versions(name))}); choose fp32"
        )
    return found


def _able(runtime: str, asked: str) -> tuple[str, ...]:
    if runtime == "openvino":
        from firstshot.encoders.runtime_openvino import openvino_precisions

        return tuple(p for p in openvino_precisions() if p in native_precisions())
    # torch on a processor gains nothing from less than fp32, but does what it is told to.
    return ("fp32",) if runtime == "onnx" or asked == "auto" else (asked,)


def probe(
    encoder: TorchEncoder, candidates: list[Candidate], threads: int
) -> dict[Candidate, float]:
    """Return the seconds that the first layer takes by each candidate, the best of several runs."""
    noise = np.random.default_rng(0).standard_normal(10 * encoder.sample_rate)
    spectrogram = encoder.spec.front_end((0.1 * noise).astype(np.float32), encoder.sample_rate)[
        None
    ]
    runs = {c: _runner(encoder, c, threads, spectrogram) for c in candidates}
    for run in runs.values():
        run()
    taken = dict.fromkeys(candidates, np.inf)
    began, rounds = time.perf_counter(), 0
    while rounds < LEAST_ROUNDS or time.perf_counter() - began < PROBE_SECONDS:
        for candidate, run in runs.items():
            # Some in a row: threads of the one before may still be spinning during the first.
            for _ in range(RUNS_IN_A_ROW):
                start = time.perf_counter()
                run()
                taken[candidate] = min(taken[candidate], time.perf_counter() - start)
        rounds += 1
    return taken


def _runner(
    encoder: TorchEncoder, candidate: Candidate, threads: int, spectrogram: Any
) -> Callable[[], object]:
    from firstshot.encoders.runtime import compile_network

    runtime, precision = candidate
    if runtime == "torch":
        return lambda: encoder.tokens(spectrogram, (1,))
    longest = getattr(encoder.spec.geometry, "piece_frames", spectrogram.shape[1])  # type: ignore[attr-defined]
    piece = np.ascontiguousarray(spectrogram[:, :longest])
    network = compile_network(encoder, (1,), runtime, precision, threads)
    return lambda: network.run(piece)


def pick(taken: Mapping[Candidate, float]) -> Choice:
    """Return the fastest candidate; a reduced precision only where it is faster by a fifth.

    >>> pick({("openvino", "fp32"): 1.0, ("openvino", "bf16"): 0.9, ("torch", "fp32"): 2.0}).reason
    'openvino fp32: 2.0 times as fast as torch fp32 (bf16 by openvino is 1.1 times as fast as that)'
    """
    full = {c: seconds for c, seconds in taken.items() if c[1] == "fp32"} or dict(taken)
    best_full = min(full, key=lambda c: full[c])
    best = min(taken, key=lambda c: taken[c])
    chosen = best if taken[best] * WORTH_ITS_ERROR <= full[best_full] else best_full
    others = [c for c in taken if c != chosen]
    beside = (
        ("torch", "fp32") if ("torch", "fp32") in others else min(others, key=taken.__getitem__)
    )
    ratio = taken[beside] / taken[chosen]
    reason = f"{' '.join(chosen)}: {ratio:.1f} times as fast as {' '.join(beside)}"
    if best != chosen:
        gain = taken[chosen] / taken[best]
        reason += f" ({best[1]} by {best[0]} is {gain:.1f} times as fast as that)"
    return Choice(*chosen, reason)


def _versions(runtime: str) -> str:
    """Return the versions of what a runtime needs; empty where a part is not installed."""
    found = installed_versions(PACKAGES[runtime])
    complete = len(found) == len(PACKAGES[runtime])
    return " ".join(f"{name} {number}" for name, number in found.items()) if complete else ""


def _key(encoder: TorchEncoder, candidates: list[Candidate], threads: int) -> str:
    spec: Any = encoder.spec
    known = [f"{r} {p} {_versions(r)}" for r, p in candidates]
    geometry = [type(spec.geometry).__name__, asdict(spec.geometry)]
    return json.dumps([describe_processor(), threads, known, geometry], sort_keys=True)


def _choices_file() -> Path:
    return weights_folder().parent / "runtime_choices.json"


def _remembered() -> dict[str, Choice]:
    """Return the choices kept; where they are absent or damaged, the probe is made again."""
    path = _choices_file()
    try:
        kept = Table.of(read_json(path)).tables()
        return {key: _as_choice(choice) for key, choice in kept.items()}
    except OSError:
        return {}
    except ValueError as error:
        warn_of_damage(path, error, "the runtimes are timed again")
        return {}


def _as_choice(table: Table) -> Choice:
    return Choice(
        table.choice("runtime", PACKAGES),
        table.choice("precision", PRECISIONS),
        table.text("reason"),
    )


def _remember(key: str, choice: Choice) -> None:
    path = _choices_file()
    kept = {known: asdict(other) for known, other in _remembered().items()} | {key: asdict(choice)}
    # Where the cache cannot be written, the probe is made again next time.
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(kept, indent=1))
