"""EfficientAT as an ONNX graph that stops at the deepest requested stage.

Input: the spec and the weights under the network's own names. Output: per layer, the value (clips,
time, freq, channels) on the grid of its stage. Source: that of `models.efficientat`.

Each batch norm is folded, in float64, into the convolution before it. Images are (time, freq) here
and (freq, time) in the torch module, so kernels are turned, and only the outputs are transposed.
"""

from __future__ import annotations

import numpy as np

from firstshot.encoders.runtimes.onnx_writer import INPUT, Graph, Weights
from firstshot.encoders.specs.efficientat import NORM_EPS, EfficientAtSpec, Stage


def write_stages(
    graph: Graph, spec: EfficientAtSpec, weights: Weights, layers: tuple[int, ...]
) -> dict[int, str]:
    """Write the stages up to the deepest of ascending `layers`; return the value of each layer."""
    x = graph.op("Unsqueeze", INPUT, graph.constant([1]))[0]
    found = {}
    for layer in range(1, layers[-1] + 1):
        stage, name = spec.geometry.stages[layer - 1], f"features.{layer - 1}"
        if stage.plain:
            x = _activate(graph, _convolve(graph, x, weights, name, stage.stride), stage)
        else:
            x = _inverted_residual(graph, x, weights, f"{name}.block", stage)
        if layer in layers:
            found[layer] = graph.transpose(x, 0, 2, 3, 1)
    return found


def _inverted_residual(graph: Graph, x: str, weights: Weights, name: str, stage: Stage) -> str:
    out, step = x, 0
    if stage.expands:
        out = _activate(graph, _convolve(graph, out, weights, f"{name}.{step}"), stage)
        step += 1
    depthwise = (f"{name}.{step}", stage.stride, stage.expanded)
    out = _activate(graph, _convolve(graph, out, weights, *depthwise), stage)
    step += 1
    if stage.squeezed:
        out = _weigh_channels(graph, out, weights, f"{name}.{step}.conc_se_layers.0")
        step += 1
    out = _convolve(graph, out, weights, f"{name}.{step}")
    return graph.add(x, out) if stage.residual else out


def _convolve(
    graph: Graph, x: str, weights: Weights, name: str, stride: int = 1, groups: int = 1
) -> str:
    """Convolve without bias, padded by (kernel - 1) / 2, and normalise: one convolution."""
    kernel = weights[f"{name}.0.weight"].astype(np.float64).swapaxes(2, 3)
    norm = {
        part: weights[f"{name}.1.{part}"].astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    }
    scale = norm["weight"] / np.sqrt(norm["running_var"] + NORM_EPS)
    shift = norm["bias"] - norm["running_mean"] * scale
    folded = (kernel * scale[:, None, None, None]).astype(np.float32)
    size = kernel.shape[2]
    return graph.op(
        "Conv",
        x,
        graph.constant(folded),
        graph.constant(shift.astype(np.float32)),
        group=groups,
        kernel_shape=[size, size],
        pads=[(size - 1) // 2] * 4,
        strides=[stride, stride],
    )[0]


def _weigh_channels(graph: Graph, x: str, weights: Weights, name: str) -> str:
    """Squeeze-excitation: weigh each channel by what all channels hold on average."""
    axes = graph.constant([2, 3])
    inner = graph.op("ReduceMean", x, axes, keepdims=0)[0]
    inner = graph.linear(inner, weights[f"{name}.fc1.weight"], weights[f"{name}.fc1.bias"])
    inner = graph.op("Relu", inner)[0]
    inner = graph.linear(inner, weights[f"{name}.fc2.weight"], weights[f"{name}.fc2.bias"])
    shares = graph.op("Unsqueeze", graph.op("Sigmoid", inner)[0], axes)[0]
    return graph.multiply(x, shares)


def _activate(graph: Graph, x: str, stage: Stage) -> str:
    return graph.op("HardSwish" if stage.hard else "Relu", x)[0]
