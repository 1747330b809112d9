"""Weights, waveforms and stored numbers of the CED and M2D fixtures.

The originals were run once on weights that a name and a shape determine, and on synthetic clips;
slices of what they gave are stored. Small models lie beside the tests, full ones in ../shared.
"""

import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

LOCAL = Path(__file__).resolve().parents[1] / "golden" / "ced_m2d"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "golden" / "encoders" / "ced_m2d"


def golden(name):
    """The stored numbers of one model, or a skip where the full fixtures are absent."""
    for folder in (LOCAL, SHARED):
        if (folder / f"{name}.npz").is_file():
            return np.load(folder / f"{name}.npz")
    return pytest.skip(f"the full fixture {name}.npz is not beside this repository")


def tensor_values(name, shape):
    """The made-up values of the checkpoint tensor of that name."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, dtype=np.int64)
    if name.endswith("norm_stats"):
        return np.array([-7.1, 4.2], dtype=np.float32)
    z = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith("running_mean"):
        values = -30.0 + 3.0 * z
    elif name.endswith("running_var"):
        values = 400.0 * (1.0 + 0.1 * np.abs(z))
    elif name.endswith(("pos_embed", "cls_token")):
        values = 0.2 * z
    elif len(shape) == 1:
        values = 1.0 + 0.1 * z if name.endswith(".weight") else 0.1 * z
    else:
        values = z / np.sqrt(np.prod(shape[1:]))
    return values.astype(np.float32)


def checkpoint(shapes):
    """A checkpoint with those names and shapes."""
    return {name: torch.from_numpy(tensor_values(name, shape)) for name, shape in shapes.items()}


def statistics(values):
    """[sum, sum of absolute values, sum of squares] in float64, as the fixtures store them."""
    values = np.asarray(values, dtype=np.float64)
    return np.array([values.sum(), np.abs(values).sum(), (values**2).sum()])


@cache
def clip(name):
    """One of the fixtures' clips: A10, B10, C6, D12, C6pad10, Q6pad10."""
    if name in ("C6pad10", "Q6pad10"):
        loudness = np.float32(0.1 if name == "Q6pad10" else 1.0)
        return np.concatenate([clip("C6") * loudness, np.zeros(64000, dtype=np.float32)])
    index, seconds = {"A10": (0, 10.0), "B10": (1, 10.0), "C6": (2, 6.0), "D12": (3, 12.3)}[name]
    samples = round(seconds * 16000)
    t = np.arange(samples, dtype=np.float64) / 16000
    wave = 0.10 * np.sin(2 * np.pi * (120.0 * (index + 1)) * t)
    beat = 1.0 + 0.5 * np.sin(2 * np.pi * 0.3 * t)
    wave = wave + 0.05 * beat * np.sin(2 * np.pi * 997.0 * t + 0.5)
    wave = wave + 0.02 * np.sin(2 * np.pi * (3150.0 + 50.0 * index) * t + 1.0)
    wave = wave + 0.01 * np.sin(2 * np.pi * 6100.0 * t + 1.5)
    wave = wave + 0.01 * np.random.default_rng(1000 + index).standard_normal(samples)
    return wave.astype(np.float32)


def assert_statistics(values, stored, rtol=2e-5):
    """Sums over a whole tensor agree with the stored ones, as far as rounding carries."""
    found = statistics(values)
    scale = np.array([stored[1], stored[1], stored[2]])
    np.testing.assert_allclose(found / scale, stored / scale, rtol=0, atol=rtol)
