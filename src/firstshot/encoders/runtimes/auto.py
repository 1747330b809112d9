"""What `auto` means: the runtime and precision that run an encoder fastest on this processor.

Input: an encoder, a runtime and a precision, where `auto` leaves one open. Output: a `Choice` and
its reason. Candidates are the installed runtimes, in the precisions that the processor has
instructions for. A probe of a second runs the encoder's first layer, or a convolutional network's
default ones, on ten seconds of noise with each of them in turn. A reduced precision must be faster
by a fifth at least to be worth its error.

A choice decides an embedding's last digits, so it is made once: it is kept in the cache's
`runtime_choices.json`, under the processor, the threads, the versions and the encoder's geometry.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from firstshot.disk.caches import warn_of_damage
from firstshot.encoders.pretrained_encoder import PretrainedEncoder
from firstshot.encoders.runtimes.check import (
    BOUNDS,
    describe_geometry,
    layers_to_compare,
    probe_spectrogram,
    runtime_error,
)
from firstshot.encoders.runtimes.compile import compile_graph
from firstshot.encoders.runtimes.measured import AGAIN, keep_measured, measured_file, read_measured
from firstshot.encoders.runtimes.processor import (
    PACKAGES,
    describe_processor,
    native_precisions,
    runtime_versions,
)
from firstshot.encoders.specs.transformer import TransformerGeometry
from firstshot.errors import ParameterError

PROBE_SECONDS = 1.0
LEAST_ROUNDS, RUNS_IN_A_ROW = 2, 3
WORTH_ITS_ERROR = 1.2
CHOICES = "runtime_choices"

Candidate = tuple[str, str]


@dataclass(frozen=True)
class Choice:
    """A runtime and a precision, and why they were picked."""

    runtime: str
    precision: str
    reason: str


def choose(
    encoder: PretrainedEncoder,
    runtime: str = "auto",
    precision: str = "auto",
    threads: int = 1,
    layers: Sequence[int] | None = None,
) -> Choice:
    """Return the runtime and the precision for an encoder; one of them may be given.

    What computes one clip's `layers` (None: the default ones) otherwise than torch is not picked,
    see `firstshot.encoders.runtimes.check`; the only candidate is returned unchecked.

    Raises
    ------
    ParameterError
        No runtime that is installed computes in that precision here.
    """
    candidates = list_candidates(runtime, precision)
    layers = layers or layers_to_compare(encoder)
    while len(candidates) > 1:
        choice = _fastest(encoder, candidates, threads)
        picked = choice.runtime, choice.precision
        if picked == ("torch", "fp32") or _is_exact(encoder, picked, threads, layers):
            return choice
        candidates.remove(picked)
    (only,) = candidates
    return Choice(*only, f"{' '.join(only)}: the only one that is possible here")


def _fastest(encoder: PretrainedEncoder, candidates: list[Candidate], threads: int) -> Choice:
    key = _key(encoder, candidates, threads)
    kept = read_measured(CHOICES).get(key)
    for candidate in candidates:
        if isinstance(kept, dict) and (kept.get("runtime"), kept.get("precision")) == candidate:
            return Choice(*candidate, str(kept.get("reason", "")))
    if kept is not None:
        warn_of_damage(measured_file(CHOICES), "it names a runtime that it cannot mean", AGAIN)
    choice = pick(probe(encoder, candidates, threads))
    keep_measured(CHOICES, key, asdict(choice))
    return choice


def _is_exact(
    encoder: PretrainedEncoder, candidate: Candidate, threads: int, layers: Sequence[int]
) -> bool:
    wanted = tuple(sorted(set(layers)))

    def run(spectrogram: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return _runner(encoder, candidate, threads, wanted)(spectrogram)

    return runtime_error(encoder, wanted, *candidate, run) <= BOUNDS[candidate[1]]


def list_candidates(runtime: str, precision: str) -> list[Candidate]:
    """Return every (runtime, precision) that could be meant and that nothing has to emulate."""
    runtimes = (
        [name for name in PACKAGES if runtime_versions(name)] if runtime == "auto" else [runtime]
    )
    found = []
    for name in runtimes:
        able = _able(name, precision)
        found += [(name, p) for p in able if precision in ("auto", p)]
    if not found:
        installed = ", ".join(name for name in PACKAGES if runtime_versions(name))
        raise ParameterError(
            f"precision {precision!r}: no runtime here computes in it ({describe_processor()}; "
            f"installed: {installed}); choose fp32"
        )
    return found


def _able(runtime: str, wanted: str) -> tuple[str, ...]:
    if runtime == "openvino":
        from firstshot.encoders.runtimes.openvino import openvino_precisions

        return tuple(p for p in openvino_precisions() if p in native_precisions())
    # torch on a processor is no faster below fp32, so it runs there only at the user's wish.
    return ("fp32",) if runtime == "onnx" or wanted == "auto" else (wanted,)


def probe(
    encoder: PretrainedEncoder, candidates: list[Candidate], threads: int
) -> dict[Candidate, float]:
    """Return the seconds that a network's start takes by each candidate, the best of several runs.

    That is the first layer of a Transformer, whose layers are all alike, and of any other network
    all up to the deepest default layer.
    """
    spectrogram = probe_spectrogram(encoder)
    alike = isinstance(encoder.spec.geometry, TransformerGeometry)
    layers = (1,) if alike else (max(layers_to_compare(encoder)),)
    runs = {c: partial(_runner(encoder, c, threads, layers), spectrogram) for c in candidates}
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
    encoder: PretrainedEncoder, candidate: Candidate, threads: int, layers: tuple[int, ...]
) -> Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]:
    from firstshot.encoders.runtimes.torch import torch_network, with_precision

    runtime, precision = candidate
    if runtime == "torch":
        by_torch = encoder if precision == "fp32" else with_precision(encoder, precision, None)
        return partial(by_torch.network.tokens, layers=layers)
    return compile_graph(torch_network(encoder), layers, runtime, precision, threads).run


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
    reference = (
        ("torch", "fp32") if ("torch", "fp32") in others else min(others, key=taken.__getitem__)
    )
    ratio = taken[reference] / taken[chosen]
    reason = f"{' '.join(chosen)}: {ratio:.1f} times as fast as {' '.join(reference)}"
    if best != chosen:
        gain = taken[chosen] / taken[best]
        reason += f" ({best[1]} by {best[0]} is {gain:.1f} times as fast as that)"
    return Choice(*chosen, reason)


def _key(encoder: PretrainedEncoder, candidates: list[Candidate], threads: int) -> str:
    known = [f"{r} {p} {runtime_versions(r)}" for r, p in candidates]
    key = [describe_processor(), threads, known, describe_geometry(encoder)]
    return json.dumps(key, sort_keys=True)
