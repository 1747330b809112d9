"""Weights and waveforms of the golden BEATs, EAT and SSLAM numbers, by the recipe beside them.

The original code was run once on these made-up weights and clips; what it gave is stored in
tests/golden (mini models) and in the folder `shared` beside the repository (full models).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from firstshot.encoders.models import build, map_names  # noqa: E402
from firstshot.encoders.pooling import pool  # noqa: E402
from firstshot.encoders.pretrained_encoder import PretrainedEncoder  # noqa: E402
from firstshot.encoders.runtimes.torch import torch_encoder  # noqa: E402

MINI = Path(__file__).resolve().parents[1] / "golden"
FULL = Path(__file__).resolve().parents[3] / "shared" / "golden" / "encoders" / "beats_eat"


class Golden:
    """The stored numbers of one model: `arrays`, `facts` and the list of its `tensors`."""

    def __init__(self, name: str, folder: Path = MINI) -> None:
        self.arrays = dict(np.load(folder / f"{name}.npz"))
        self.facts = json.loads((folder / f"{name}.json").read_text())
        manifest = json.loads((folder / f"{name}_manifest.json").read_text())
        self.tensors: list[dict[str, Any]] = manifest["tensors"]

    def state(self, naming: str = "name", heads: bool = True) -> dict[str, torch.Tensor]:
        """Return the weights under the names of one official format.

        `naming` is `name`, `fairseq_finetuned_name` or `fairseq_pretrained_name`.
        """
        named = {}
        for entry in self.tensors:
            if entry.get(naming) and (heads or not entry.get("head_only")):
                named[entry[naming]] = torch.from_numpy(self.values(entry))
        return named

    def values(self, entry: dict[str, Any]) -> np.ndarray:
        """Return the values of one listed tensor."""
        fill = entry["fill"]
        if isinstance(fill, str):
            return sine_cosine_table(*entry["shape"][1:])[None]
        name = entry.get("alias_of") or entry["name"]
        draws = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(entry["shape"])
        return np.float32(fill["mean"]) + np.float32(fill["std"]) * draws.astype(np.float32)


def sine_cosine_table(rows: int, dim: int) -> np.ndarray:
    """The table (rows, dim) of EAT's positions in float64: row t*8+f holds E(f), then E(t)."""
    rates = 10000.0 ** (-np.arange(dim // 4) / (dim // 4))

    def encode(positions: np.ndarray) -> np.ndarray:
        phase = positions[:, None] * rates
        return np.concatenate([np.sin(phase), np.cos(phase)], axis=1)

    token = np.arange(rows)
    table = np.concatenate([encode(token % 8), encode(token // 8)], axis=1)
    return table.astype(np.float32)


def clip(index: int) -> np.ndarray:
    """Clip 0, 1 (10 s) or 2 (6 s): three modulated tones, noise and an offset, float32."""
    samples = 96000 if index == 2 else 160000
    time = np.arange(samples) / 16000
    tones = zip((0.30, 0.20, 0.10), (220, 1000 + 250 * index, 3100 - 400 * index), strict=True)
    wave = sum(a * np.sin(2 * np.pi * f * time + 0.5 * k) for k, (a, f) in enumerate(tones))
    wave = wave * (1 + 0.5 * np.sin(2 * np.pi * (0.7 + 0.3 * index) * time))
    wave = wave + 0.05 * np.random.default_rng(1000 + index).standard_normal(samples)
    return (wave + 0.01 * (index + 1)).astype(np.float32)


def padded_clip() -> np.ndarray:
    """Clip 2 with zero samples behind it, 10 s in all."""
    return np.pad(clip(2), (0, 64000))


def summary(values: np.ndarray) -> np.ndarray:
    """Mean, deviation, sum, sum of squares and a random projection, as the fixtures keep them."""
    values = np.asarray(values, dtype=np.float64)
    weights = np.random.default_rng(7).standard_normal(values.shape)
    total, squares = values.sum(), (values * values).sum()
    return np.array([values.mean(), values.std(), total, squares, (values * weights).sum()])


def encoder(spec: Any, state: dict[str, Any], **settings: Any) -> PretrainedEncoder:
    """Build the encoder of a spec around an official checkpoint's tensors, without a first fill."""
    with torch.device("meta"):
        module = build(spec)
    module.load_state_dict(map_names(spec, state), strict=True, assign=True)
    return torch_encoder(spec, module, weights_hash="golden", **settings)


@contextmanager
def outputs_of(modules: Iterable[Any]) -> Iterator[list[np.ndarray]]:
    """Collect what each of the modules gives out, in the order in which they run."""
    seen: list[np.ndarray] = []
    handles = [
        module.register_forward_hook(lambda _, __, out: seen.append(out.float().numpy()))
        for module in modules
    ]
    yield seen
    for handle in handles:
        handle.remove()


def assert_golden(
    golden: Golden, case: str, entries: list[np.ndarray], layers: list[np.ndarray], atol: float
) -> None:
    """Compare a clip's whole tokens (the input, then each layer) and grids with the stored ones.

    `entries` are (1, tokens, dim) with a CLS where there is one, `layers` (1, time, freq, dim).
    """
    arrays, rows = golden.arrays, golden.facts["token_index_in_tok"][case]
    stored = arrays[f"{case}_tok"]
    assert len(entries) == len(stored) == len(layers) + 1
    for entry, expected, stats in zip(entries, stored, arrays[f"{case}_stats"], strict=True):
        np.testing.assert_allclose(entry[0, rows, : expected.shape[1]], expected, atol=atol, rtol=0)
        assert_summary(entry[0], stats, atol)
    for number, (grid, stats) in enumerate(
        zip(layers, arrays[f"{case}_pooled_stats"], strict=True)
    ):
        patches = grid.reshape(1, -1, grid.shape[3])
        np.testing.assert_array_equal(patches, entries[number + 1][:, -patches.shape[1] :])
        pooled = pool(grid)[0]
        assert_summary(pooled, stats, atol)
        if f"{case}_pooled" in arrays:
            expected, found = arrays[f"{case}_pooled"][number], pooled
        else:
            expected = arrays[f"{case}_pooled_head"][number]
            found = pooled.reshape(grid.shape[2], -1)[:, : expected.shape[1]]
        np.testing.assert_allclose(found, expected, atol=atol, rtol=0)


def assert_summary(values: np.ndarray, stored: np.ndarray, atol: float) -> None:
    """Compare the summaries of whole arrays, each value being allowed to be wrong by `atol`.

    Errors of rounding have no common sign, so sums over n values may be wrong by sqrt(n) atol.
    """
    mean, deviation, total, squares, dot = np.abs(summary(values) - stored)
    allowed = atol * np.sqrt(values.size)
    assert mean < atol
    assert deviation < atol
    assert total < allowed
    assert squares < 2 * allowed * max(1.0, stored[1])
    assert dot < allowed
