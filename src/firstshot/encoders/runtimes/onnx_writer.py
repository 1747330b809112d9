"""A network written down as an ONNX graph, piece by piece, with batch and time left open.

Input: arrays of weights. Output: the bytes of an ONNX model that OpenVINO and ONNX Runtime both
run. The graph is written, not traced from torch: a tracer freezes the batch size and every number
that Python computed from a length, such as positions and cuts. Operators are those of ONNX opset
23; `attention` is its `Attention` (Vaswani et al. 2017), `gelu` the exact (erf) one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.libraries import import_library

OPSET = 23
IR_VERSION = 11
TO_END = 2**31
INPUT = "spectrogram"
"""The graph's input, float32 (clips, frames, mels)."""

Array = NDArray[Any]
Weights = dict[str, NDArray[np.float32]]


class Graph:
    """An ONNX graph under construction; it names the values itself.

    Raises
    ------
    MissingLibraryError
        onnx is not installed.
    """

    def __init__(self, mels: int) -> None:
        onnx = import_library("onnx", "writing an encoder as a graph")
        self._onnx = onnx
        self._mels = mels
        # Everything is written into the model itself: its parts copy what they are made of, and
        # weights are large.
        self._model = onnx.ModelProto(ir_version=IR_VERSION)
        self._model.opset_import.add(domain="", version=OPSET)
        self._model.graph.name = "encoder"

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> list[str]:
        """Add an operator and return the names of its outputs."""
        nodes = self._model.graph.node
        names = [f"value_{len(nodes)}_{i}" for i in range(outputs)]
        nodes.append(self._onnx.helper.make_node(kind, list(inputs), names, **attributes))
        return names

    def constant(self, values: Array | Sequence[int] | float) -> str:
        """Add a constant: float32 for floats, int64 for whole numbers."""
        array = np.asarray(values)
        floats, kinds = array.dtype.kind == "f", self._onnx.TensorProto
        constants = self._model.graph.initializer
        tensor = constants.add(name=f"constant_{len(constants)}", dims=array.shape)
        tensor.data_type = kinds.FLOAT if floats else kinds.INT64
        tensor.raw_data = array.astype("<f4" if floats else "<i8", copy=False).tobytes()
        return str(tensor.name)

    def add(self, a: str, b: str) -> str:
        """Return a + b."""
        return self.op("Add", a, b)[0]

    def multiply(self, a: str, b: str) -> str:
        """Return a * b."""
        return self.op("Mul", a, b)[0]

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """Reshape; 0 keeps the size of that axis, -1 takes what is left."""
        return self.op("Reshape", x, self.constant(list(shape)))[0]

    def transpose(self, x: str, *axes: int) -> str:
        """Permute the axes."""
        return self.op("Transpose", x, perm=list(axes))[0]

    def size(self, x: str, axis: int) -> str:
        """Return the size of an axis, int64 (1,)."""
        return self.op("Shape", x, start=axis, end=axis + 1)[0]

    def span(self, x: str, axis: int, start: int, end: int | str = TO_END) -> str:
        """Cut an axis from `start` to `end`, a number or the name of an int64 (1,)."""
        last = end if isinstance(end, str) else self.constant([end])
        return self.op("Slice", x, self.constant([start]), last, self.constant([axis]))[0]

    def join(self, parts: Sequence[str], axis: int) -> str:
        """Concatenate along an axis."""
        return self.op("Concat", *parts, axis=axis)[0]

    def pad_end(self, x: str, axis: int, count: str) -> str:
        """Append `count` (the name of an int64 (1,)) zeros to an axis of (clips, frames, mels)."""
        before = [0, 0, 0]
        zeros = [self.constant([value]) for value in before]
        after = [count if i == axis else zeros[i] for i in range(3)]
        return self.op("Pad", x, self.join([*zeros, *after], 0))[0]

    def linear(self, x: str, weight: Array, bias: Array) -> str:
        """Return x W^T + b."""
        product = self.op("MatMul", x, self.constant(weight.T))[0]
        return self.add(product, self.constant(bias))

    def norm(self, x: str, weights: Weights, name: str, eps: float) -> str:
        """Normalise the last axis; `name` is that of the layer norm among the weights."""
        scale, shift = (self.constant(weights[f"{name}.{part}"]) for part in ("weight", "bias"))
        return self.op("LayerNormalization", x, scale, shift, axis=-1, epsilon=eps)[0]

    def attention(self, q: str, k: str, v: str, heads: int, bias: str | None = None) -> str:
        """Attend over tokens (clips, tokens, dim) each; `bias` (clips, heads, tokens, tokens)."""
        inputs = (q, k, v) if bias is None else (q, k, v, bias)
        return self.op("Attention", *inputs, q_num_heads=heads, kv_num_heads=heads)[0]

    def mlp(self, x: str, weights: Weights, name: str) -> str:
        """Two linear layers around the exact GELU; `name` ends where `fc1` and `fc2` begin."""
        inner = self.linear(x, weights[f"{name}fc1.weight"], weights[f"{name}fc1.bias"])
        inner = self.op("Gelu", inner)[0]
        return self.linear(inner, weights[f"{name}fc2.weight"], weights[f"{name}fc2.bias"])

    def patches(self, image: str, weight: Array, bias: Array | None = None) -> str:
        """Map (clips, height, width) to (clips, dim, height / patch, width / patch)."""
        patch = list(weight.shape[2:])
        inputs = [self.op("Unsqueeze", image, self.constant([1]))[0], self.constant(weight)]
        if bias is not None:
            inputs.append(self.constant(bias))
        return self.op("Conv", *inputs, kernel_shape=patch, strides=patch)[0]

    def tokens(self, grid: str) -> str:
        """Map (clips, dim, rows, columns) to (clips, rows * columns, dim)."""
        return self.transpose(self.reshape(grid, [0, 0, -1]), 0, 2, 1)

    def finish(self, outputs: dict[str, str]) -> bytes:
        """Return the model: name of an output -> name of its value (clips, time, freq, dim)."""
        helper, kind = self._onnx.helper, self._onnx.TensorProto.FLOAT
        graph = self._model.graph
        for name, value in outputs.items():
            graph.node.append(helper.make_node("Identity", [value], [name]))
            # Layers may have grids of their own, so no two share the name of an axis.
            axes = ["clips", *(f"{name}_{axis}" for axis in ("time", "freq", "dim"))]
            graph.output.append(helper.make_tensor_value_info(name, kind, axes))
        given: list[str | int] = ["clips", "frames", self._mels]
        graph.input.append(helper.make_tensor_value_info(INPUT, kind, given))
        data: bytes = self._model.SerializeToString()
        return data


def output_name(layer: int) -> str:
    """Return the name of a layer's output, float32 (clips, time, freq, dim).

    >>> output_name(7)
    'layer_7'
    """
    return f"layer_{layer}"
