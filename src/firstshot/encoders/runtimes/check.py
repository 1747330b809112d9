"""Whether a runtime computes an encoder's network as torch in fp32 does: one clip by both.

Input: an encoder, its layers, and what runs them. Output: the relative L2 error of the pooled
layers, and an error for the user where it exceeds the precision's bound. A library may compute
nonsense for one geometry on one processor: OpenVINO 2026.4 in bf16 with AMX does so for grouped
convolutions of 8 or 12 channels a group, with an error of 0.3 to 0.5.

A measurement takes one forward pass of each, is made once and is kept in the cache's
`runtime_errors.json`, under the processor, the versions, the encoder's geometry, its weights and
the layers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from firstshot.encoders.pooling import pool
from firstshot.encoders.pretrained_encoder import PretrainedEncoder
from firstshot.encoders.runtimes.measured import keep_measured, read_measured
from firstshot.encoders.runtimes.processor import describe_processor, runtime_versions
from firstshot.errors import ParameterError

BOUNDS = {"fp32": 1e-5, "fp16": 1e-3, "bf16": 1e-2}
"""The largest relative L2 error of a clip's embedding; what exceeds it is not run."""

ERRORS = "runtime_errors"
NOT_FINITE = 1e9
"""The error of an output with NaN or infinity, as a number that JSON can hold."""
SECONDS = 10

Run = Callable[[NDArray[np.float32]], Sequence[NDArray[np.float32]]]
"""Maps spectrograms (clips, frames, mels) to layers (clips, time, freq, dim), shallowest first."""


def probe_spectrogram(encoder: PretrainedEncoder) -> NDArray[np.float32]:
    """Return the front-end's output (1, frames, mels) for ten seconds of noise.

    Of an encoder that takes a clip piece by piece, the first piece.
    """
    noise = np.random.default_rng(0).standard_normal(SECONDS * encoder.sample_rate)
    spectrogram = encoder.spec.front_end((0.1 * noise).astype(np.float32), encoder.sample_rate)
    longest = getattr(encoder.spec.geometry, "piece_frames", len(spectrogram))
    return np.ascontiguousarray(spectrogram[None, :longest])


def layers_to_compare(encoder: PretrainedEncoder) -> tuple[int, ...]:
    """Return the default layers; of a network that is not so deep, its last one."""
    return tuple(n for n in encoder.default_layers if n <= encoder.depth) or (encoder.depth,)


def runtime_error(
    encoder: PretrainedEncoder, layers: Sequence[int], runtime: str, precision: str, run: Run
) -> float:
    """Return the largest relative L2 error of one clip's pooled layers, against torch in fp32.

    `NOT_FINITE` where the runtime's output is not. Measured where it is not yet known.
    """
    wanted = tuple(sorted(set(layers)))
    key = _key(encoder, wanted, runtime, precision)
    known = read_measured(ERRORS).get(key)
    if isinstance(known, float) and known >= 0:  # NaN would pass every bound
        return known
    spectrogram = probe_spectrogram(encoder)
    found, expected = run(spectrogram), encoder.network.tokens(spectrogram, wanted)
    error = max(_relative_error(x, y) for x, y in zip(found, expected, strict=True))
    keep_measured(ERRORS, key, error)
    return error


def check_runtime(
    encoder: PretrainedEncoder, layers: Sequence[int], runtime: str, precision: str, run: Run
) -> None:
    """Raise ParameterError, with the numbers, where a runtime does not compute what torch does."""
    error = runtime_error(encoder, layers, runtime, precision, run)
    if error > BOUNDS[precision]:
        raise ParameterError(
            f"runtime {runtime} in {precision}: it computes {encoder.name} wrongly on this machine "
            f"(relative error {error:.2g} on one clip, at most {BOUNDS[precision]:g} is allowed; "
            f"{runtime_versions(runtime)}, {describe_processor()}); choose "
            + ("the runtime torch" if precision == "fp32" else "fp32")
        )


def _relative_error(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    embedding, reference = (pool(x).astype(np.float64) for x in (found, expected))
    error = float(np.linalg.norm(embedding - reference) / np.linalg.norm(reference))
    return error if np.isfinite(error) else NOT_FINITE


def _key(encoder: PretrainedEncoder, layers: tuple[int, ...], runtime: str, precision: str) -> str:
    versions = [runtime_versions(runtime), runtime_versions("torch")]
    how = [runtime, precision, str(getattr(encoder.network, "device", "cpu")), versions]
    # Some weights magnify rounding and others of the same network do not.
    network = [*describe_geometry(encoder), getattr(encoder.network, "weights_hash", "")]
    key = [describe_processor(), how, network, layers]
    return json.dumps(key, sort_keys=True)


def describe_geometry(encoder: PretrainedEncoder) -> list[object]:
    """Return the sizes of an encoder's network as JSON values: what decides its pace and error."""
    geometry = encoder.spec.geometry
    return [type(geometry).__name__, asdict(geometry)]
