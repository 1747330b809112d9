"""The networks that `firstshot train` makes, as ONNX graphs.

Input: the spec and the weights under the network's own names. Output: unit vectors (clips, windows,
1, dim) of features (clips, windows, values). Batch norms are folded, in float64, into the layer
before them where there is one. Source: `models.trained`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from firstshot.encoders.runtimes.onnx_writer import INPUT, Graph, Weights
from firstshot.encoders.specs.trained import TrainedSpec
from firstshot.encoders.specs.trained_sizes import (
    BANDS,
    RESIDUAL_BLOCKS,
    SPECTRUM_KERNELS,
    TINY_BLOCKS,
    CnnGeometry,
    TrainedGeometry,
)

NORM_EPS, VARIANCE_FLOOR, LEAST_NORM = 1e-5, 1e-6, 1e-12


def write_trained(
    graph: Graph, spec: TrainedSpec, weights: Weights, layers: tuple[int, ...]
) -> dict[int, str]:
    """Write the one layer of a recipe's network; return its value."""
    writers: dict[str, Callable[[Graph, str, Weights, TrainedGeometry], str]] = {
        "trained_spec": lambda graph, x, weights, geometry: _spectrum(graph, x, weights),
        "trained_fmlp": _fmlp,
        "trained_tiny": _tiny,
        "trained_cnn": _cnn,
    }
    geometry = spec.geometry
    assert isinstance(geometry, TrainedGeometry)
    windows = graph.reshape(INPUT, [-1, geometry.mels])
    x = writers[spec.family](graph, windows, weights, geometry)
    lengths = graph.op("ReduceL2", x, graph.constant([1]), keepdims=1)[0]
    unit = graph.op("Div", x, graph.op("Max", lengths, graph.constant(LEAST_NORM))[0])[0]
    grid = [graph.size(INPUT, 0), graph.size(INPUT, 1), graph.constant([1, geometry.dim_of(1)])]
    return {1: graph.op("Reshape", unit, graph.join(grid, 0))[0]}


def _spectrum(graph: Graph, x: str, weights: Weights, name: str = "") -> str:
    x = graph.op("Unsqueeze", x, graph.constant([1]))[0]
    for number, (*_, kernel, stride) in enumerate(SPECTRUM_KERNELS):
        place = f"{name}convolutions.{3 * number}"
        kernels = graph.constant(weights[f"{place}.weight"])
        x = _relu(graph, graph.op("Conv", x, kernels, kernel_shape=[kernel], strides=[stride])[0])
        x = _weigh(graph, x, weights, f"{name}convolutions.{3 * number + 2}", [2])
    x = graph.reshape(x, [0, -1])
    for number in (0, 3):
        place = f"{name}products."
        x = _product(graph, x, weights, f"{place}{number}", f"{place}{number + 1}")
    return _product(graph, x, weights, f"{name}products.6")


def _fmlp(graph: Graph, x: str, weights: Weights, geometry: TrainedGeometry) -> str:
    x = _norm(graph, x, weights, "steps.0", 0)
    return _product(graph, _product(graph, x, weights, "steps.2", "steps.3"), weights, "steps.6")


def _tiny(graph: Graph, x: str, weights: Weights, geometry: TrainedGeometry) -> str:
    x = _norm(graph, graph.reshape(x, [0, -1, BANDS.mels]), weights, "input_norm", 0)
    x = graph.op("Unsqueeze", x, graph.constant([1]))[0]
    x = _relu(graph, _convolve(graph, x, weights, "blocks.0", 2, "blocks.1"))
    for number, (inputs, outputs, stride) in enumerate(TINY_BLOCKS, start=3):
        steps = f"blocks.{number}.steps"
        out = _convolve(graph, x, weights, f"{steps}.0", stride, f"{steps}.1", inputs)
        out = _convolve(graph, _relu(graph, out), weights, f"{steps}.3", 1, f"{steps}.4")
        out = _relu(graph, out)
        x = graph.add(x, out) if stride == 1 and inputs == outputs else out
    axis = graph.constant([2])
    mean = graph.op("ReduceMean", x, axis, keepdims=1)[0]
    offsets = graph.op("Sub", x, mean)[0]
    variance = graph.op("ReduceMean", graph.multiply(offsets, offsets), axis, keepdims=1)[0]
    deviation = graph.op("Sqrt", graph.add(variance, graph.constant(VARIANCE_FLOOR)))[0]
    pooled = graph.reshape(graph.join([mean, deviation], 1), [0, -1])
    return _product(graph, _norm(graph, pooled, weights, "output_norm", 0), weights, "product")


def _cnn(graph: Graph, values: str, weights: Weights, geometry: TrainedGeometry) -> str:
    assert isinstance(geometry, CnnGeometry)
    split = geometry.spectrum.mels
    spectrum = _spectrum(graph, graph.span(values, 1, 0, split), weights, "spectrum.")
    x = graph.reshape(graph.span(values, 1, split), [0, -1, geometry.bins])
    x = graph.op("Unsqueeze", _norm(graph, x, weights, "input_norm", 0), graph.constant([1]))[0]
    x = _halve(graph, _relu(graph, _convolve(graph, x, weights, "blocks.0", 2, "blocks.1")))
    for number, (*_, stride) in enumerate(RESIDUAL_BLOCKS, start=4):
        x = _residual(graph, x, weights, f"blocks.{number}", stride)
    pooled = graph.op("ReduceMax", x, graph.constant([2]), keepdims=0)[0]
    pooled = _norm(graph, graph.reshape(pooled, [0, -1]), weights, "output_norm", 0)
    return graph.join([spectrum, _product(graph, pooled, weights, "product")], 1)


def _residual(graph: Graph, x: str, weights: Weights, name: str, stride: int) -> str:
    beside, steps = _norm(graph, x, weights, f"{name}.norm", 2), f"{name}.steps"
    out = _convolve(graph, _relu(graph, beside), weights, f"{steps}.1", stride, f"{steps}.2")
    out = _convolve(graph, _relu(graph, out), weights, f"{steps}.4", 1)
    out = _weigh(graph, out, weights, f"{steps}.5", [2, 3])
    if stride == 2:
        beside = _convolve(graph, _halve(graph, beside), weights, f"{name}.skip", 1)
    return graph.add(out, beside)


def _relu(graph: Graph, x: str) -> str:
    return graph.op("Relu", x)[0]


def _halve(graph: Graph, x: str) -> str:
    return graph.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)[0]


def _scale_and_shift(weights: Weights, name: str) -> tuple[NDArray[np.float64], ...]:
    """Return what a batch norm without learned values multiplies by, and then adds."""
    mean, variance = (
        weights[f"{name}.running_{part}"].astype(np.float64) for part in ("mean", "var")
    )
    scale = 1 / np.sqrt(variance + NORM_EPS)
    return scale, -mean * scale


def _norm(graph: Graph, x: str, weights: Weights, name: str, after: int) -> str:
    """Normalise an axis with `after` axes behind it."""
    scale, shift = (
        graph.constant(values.astype(np.float32).reshape(-1, *(1,) * after))
        for values in _scale_and_shift(weights, name)
    )
    return graph.add(graph.multiply(x, scale), shift)


def _product(graph: Graph, x: str, weights: Weights, name: str, norm: str = "") -> str:
    """Return x W^T, and where a norm follows, it and a ReLU."""
    weight = weights[f"{name}.weight"]
    if not norm:
        return graph.op("MatMul", x, graph.constant(weight.T))[0]
    scale, shift = _scale_and_shift(weights, norm)
    folded = (weight * scale[:, None]).astype(np.float32)
    return _relu(graph, graph.linear(x, folded, shift.astype(np.float32)))


def _convolve(
    graph: Graph,
    x: str,
    weights: Weights,
    name: str,
    stride: int,
    norm: str = "",
    groups: int = 1,
) -> str:
    """Convolve without bias, padded by (kernel - 1) / 2; a norm that follows is folded in."""
    kernels = weights[f"{name}.weight"]
    shifts = []
    if norm:
        scale, shift = _scale_and_shift(weights, norm)
        kernels = (kernels * scale[:, None, None, None]).astype(np.float32)
        shifts = [graph.constant(shift.astype(np.float32))]
    size = kernels.shape[2]
    return graph.op(
        "Conv",
        x,
        graph.constant(kernels),
        *shifts,
        group=groups,
        kernel_shape=[size, size],
        pads=[(size - 1) // 2] * 4,
        strides=[stride, stride],
    )[0]


def _weigh(graph: Graph, x: str, weights: Weights, name: str, axes: list[int]) -> str:
    """Squeeze-excitation over these axes."""
    over = graph.constant(axes)
    means = graph.op("ReduceMean", x, over, keepdims=0)[0]
    inner = _relu(graph, _product(graph, means, weights, f"{name}.reduce"))
    shares = graph.op("Sigmoid", _product(graph, inner, weights, f"{name}.expand"))[0]
    return graph.multiply(x, graph.op("Unsqueeze", shares, over)[0])
