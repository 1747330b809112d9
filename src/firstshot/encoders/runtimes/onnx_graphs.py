"""Every encoder with weights as an ONNX graph that stops at the deepest requested layer.

Input: an encoder's spec and its weights under the network's own names. Output: an ONNX model that
maps a spectrogram (clips, frames, mels) to `layer_7` and so on, (clips, time, freq, dim) each, the
CLS dropped, what `tokens_by_layer` of the torch module gives. Sources: those of `models`.

M2D's graph takes one piece of up to `piece_frames`; `CompiledNetwork` cuts longer clips.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from firstshot.encoders.runtimes.onnx_efficientat import write_stages
from firstshot.encoders.runtimes.onnx_trained import write_trained
from firstshot.encoders.runtimes.onnx_writer import INPUT, Graph, Weights, output_name
from firstshot.encoders.specs.base import PATCH, Spec
from firstshot.encoders.specs.beats import BeatsGeometry, BeatsSpec, distance_buckets
from firstshot.encoders.specs.ced import CedGeometry, CedSpec
from firstshot.encoders.specs.eat import EatSpec, position_table
from firstshot.encoders.specs.m2d import M2dGeometry, M2dSpec
from firstshot.encoders.specs.trained import RECIPES

PRE_NORM_EPS = EAT_EPS = 1e-6
BEATS_EPS = INPUT_NORM_EPS = 1e-5

Layers = tuple[int, ...]
Outputs = dict[int, str]


def build_graph(spec: Spec, weights: Weights, layers: Layers, last_layer: str = "raw") -> bytes:
    """Return the encoder as an ONNX model.

    Parameters
    ----------
    spec : Spec
        The encoder's constants.
    weights : dict
        The network's tensors, float32, by their names in its state dict.
    layers : tuple of int
        The outputs, 1-based; nothing beyond the deepest is written.
    last_layer : "raw" or "normed"
        Output of the last block as it is, or after the norm that follows it (CED and M2D).
    """
    writers: dict[str, Callable[..., Outputs]] = {
        "beats": _beats,
        "ced": _ced,
        "eat": _eat,
        "efficientat": write_stages,
        "m2d": _m2d,
        **{kind.family: write_trained for kind, _ in RECIPES.values()},
    }
    geometry = spec.geometry
    graph = Graph(geometry.mels)
    outputs = writers[spec.family](graph, spec, weights, tuple(sorted(set(layers))))
    if last_layer == "normed" and geometry.depth in outputs:
        outputs[geometry.depth] = graph.norm(outputs[geometry.depth], weights, "norm", PRE_NORM_EPS)
    return graph.finish({output_name(layer): value for layer, value in outputs.items()})


def _attend(graph: Graph, x: str, weights: Weights, name: str, heads: int) -> str:
    """Self-attention whose one projection holds q, k and v."""
    joint = graph.linear(x, weights[f"{name}.qkv.weight"], weights[f"{name}.qkv.bias"])
    q, k, v = graph.op("Split", joint, outputs=3, axis=2, num_outputs=3)
    mixed = graph.attention(q, k, v, heads)
    return graph.linear(mixed, weights[f"{name}.proj.weight"], weights[f"{name}.proj.bias"])


def _pre_norm_blocks(graph: Graph, x: str, weights: Weights, heads: int, layers: Layers) -> Outputs:
    found = {}
    for layer in range(1, layers[-1] + 1):
        block = f"blocks.{layer - 1}"
        inner = graph.norm(x, weights, f"{block}.norm1", PRE_NORM_EPS)
        x = graph.add(x, _attend(graph, inner, weights, f"{block}.attn", heads))
        inner = graph.norm(x, weights, f"{block}.norm2", PRE_NORM_EPS)
        x = graph.add(x, graph.mlp(inner, weights, f"{block}.mlp."))
        if layer in layers:
            found[layer] = x
    return found


def _ced(graph: Graph, spec: CedSpec, weights: Weights, layers: Layers) -> Outputs:
    geometry = spec.geometry
    scale = weights["init_bn.weight"] / np.sqrt(
        weights["init_bn.running_var"] + np.float32(INPUT_NORM_EPS)
    )
    x = graph.op("Sub", INPUT, graph.constant(weights["init_bn.running_mean"]))[0]
    x = graph.add(graph.multiply(x, graph.constant(scale)), graph.constant(weights["init_bn.bias"]))
    pieces = graph.transpose(_cut(graph, x, geometry), 0, 2, 1)
    patch = "patch_embed.proj"
    grid = graph.patches(pieces, weights[f"{patch}.weight"], weights[f"{patch}.bias"])
    times = graph.constant(weights["time_pos_embed"])
    grid = graph.add(grid, graph.span(times, 3, 0, graph.size(grid, 3)))
    grid = graph.add(grid, graph.constant(weights["freq_pos_embed"]))
    blocks = _pre_norm_blocks(graph, graph.tokens(grid), weights, geometry.heads, layers)
    clips = graph.size(INPUT, 0)
    return {layer: _joined(graph, x, clips, geometry) for layer, x in blocks.items()}


def _cut(graph: Graph, x: str, geometry: CedGeometry) -> str:
    """Cut into pieces as wide as the whole, or as `piece_frames` where that is longer."""
    frames, longest = graph.size(x, 1), graph.constant([geometry.piece_frames])
    rounded = graph.add(frames, graph.constant([geometry.piece_frames - 1]))
    count = graph.op("Div", rounded, longest)[0]
    width = graph.op("Min", frames, longest)[0]
    missing = graph.op("Sub", graph.multiply(count, width), frames)[0]
    padded = graph.pad_end(x, 1, missing)
    shape = graph.join([graph.constant([-1]), width, graph.constant([geometry.mels])], 0)
    return graph.op("Reshape", padded, shape)[0]


def _joined(graph: Graph, x: str, clips: str, geometry: CedGeometry) -> str:
    """Join (clips * pieces, freq * time, dim) along time to (clips, time, freq, dim)."""
    by_row = graph.transpose(graph.reshape(x, [0, geometry.rows, -1, geometry.dim]), 0, 2, 1, 3)
    rest = graph.constant([-1, geometry.rows, geometry.dim])
    return graph.op("Reshape", by_row, graph.join([clips, rest], 0))[0]


def _m2d(graph: Graph, spec: M2dSpec, weights: Weights, layers: Layers) -> Outputs:
    geometry = spec.geometry
    rows, dim = geometry.rows, geometry.dim
    mean, deviation = weights["norm_stats"]
    x = graph.op("Sub", INPUT, graph.constant(mean))[0]
    x = graph.op("Div", x, graph.constant(deviation))[0]
    x = graph.transpose(_whole_patches(graph, x, geometry), 0, 2, 1)
    patch = "patch_embed.proj"
    grid = graph.patches(x, weights[f"{patch}.weight"], weights[f"{patch}.bias"])
    table = weights["pos_embed"]
    of_patches = table[0, 1:].reshape(1, rows, -1, dim).transpose(0, 3, 1, 2)
    positions = graph.span(graph.constant(of_patches), 3, 0, graph.size(grid, 3))
    tokens = graph.tokens(graph.add(grid, positions))
    x = _with_first(graph, tokens, weights["cls_token"] + table[:, :1])
    found = {}
    for layer, out in _pre_norm_blocks(graph, x, weights, geometry.heads, layers).items():
        by_row = graph.reshape(graph.span(out, 1, 1), [0, rows, -1, dim])
        found[layer] = graph.transpose(by_row, 0, 2, 1, 3)
    return found


def _whole_patches(graph: Graph, x: str, geometry: M2dGeometry) -> str:
    """Append zeros until a piece's frames are whole patches; a whole piece is as it is."""
    frames = graph.size(x, 1)
    steps = graph.op("Div", graph.add(frames, graph.constant([PATCH - 1])), graph.constant([PATCH]))
    most = graph.constant([geometry.piece_frames // PATCH])
    wanted = graph.multiply(graph.op("Min", steps[0], most)[0], graph.constant([PATCH]))
    missing = graph.op("Sub", graph.op("Max", wanted, frames)[0], frames)[0]
    return graph.pad_end(x, 1, missing)


def _with_first(graph: Graph, tokens: str, first: NDArray[np.float32]) -> str:
    """Put one token (1, 1, dim) before those of every clip."""
    shape = graph.join([graph.size(tokens, 0), graph.constant(first.shape[1:])], 0)
    return graph.join([graph.op("Expand", graph.constant(first), shape)[0], tokens], 1)


def _eat(graph: Graph, spec: EatSpec, weights: Weights, layers: Layers) -> Outputs:
    geometry = spec.geometry
    rows, dim = geometry.rows, geometry.dim
    patch = "local_encoder.proj"
    grid = graph.patches(INPUT, weights[f"{patch}.weight"], weights[f"{patch}.bias"])
    tokens = graph.tokens(grid)
    table = graph.constant(position_table(geometry.most_steps, rows, dim))
    tokens = graph.add(tokens, graph.span(table, 0, 0, graph.size(tokens, 1)))
    x = _with_first(graph, tokens, weights["extra_tokens"])
    x = graph.norm(x, weights, "pre_norm", EAT_EPS)
    found = {}
    for layer in range(1, layers[-1] + 1):
        block = f"blocks.{layer - 1}"
        mixed = graph.add(x, _attend(graph, x, weights, f"{block}.attn", geometry.heads))
        x = graph.norm(mixed, weights, f"{block}.norm1", EAT_EPS)
        branch = graph.mlp(x, weights, f"{block}.mlp.")
        x = graph.norm(graph.add(x, branch), weights, f"{block}.norm2", EAT_EPS)
        if layer in layers:
            out = branch if spec.output == "ffn" else x
            found[layer] = graph.reshape(graph.span(out, 1, 1), [0, -1, rows, dim])
    return found


def _beats(graph: Graph, spec: BeatsSpec, weights: Weights, layers: Layers) -> Outputs:
    geometry = spec.geometry
    tokens = graph.tokens(graph.patches(INPUT, weights["patch_embedding.weight"]))
    tokens = graph.norm(tokens, weights, "layer_norm", BEATS_EPS)
    tokens = graph.linear(
        tokens, weights["post_extract_proj.weight"], weights["post_extract_proj.bias"]
    )
    x = graph.add(tokens, _positions(graph, tokens, weights, geometry))
    x = graph.norm(x, weights, "encoder.layer_norm", BEATS_EPS)
    bias = _distance_bias(graph, graph.size(x, 1), weights, spec)
    alpha = graph.constant((2.0 * geometry.depth) ** 0.25)
    found = {}
    for layer in range(1, layers[-1] + 1):
        block = f"encoder.layers.{layer - 1}"
        mixed = _gated_attention(graph, x, weights, f"{block}.self_attn", geometry, bias)
        x = graph.add(graph.multiply(x, alpha), mixed)
        x = graph.norm(x, weights, f"{block}.self_attn_layer_norm", BEATS_EPS)
        branch = graph.mlp(x, weights, f"{block}.")
        x = graph.add(graph.multiply(x, alpha), branch)
        x = graph.norm(x, weights, f"{block}.final_layer_norm", BEATS_EPS)
        if layer in layers:
            found[layer] = graph.reshape(x, [0, -1, geometry.rows, geometry.dim])
    return found


def _positions(graph: Graph, tokens: str, weights: Weights, geometry: BeatsGeometry) -> str:
    """Convolve over tokens in groups, the kernel normalised tap by tap beforehand."""
    name, kernel = "encoder.pos_conv.0", geometry.kernel
    direction = weights[f"{name}.weight_v"].astype(np.float64)
    norm = np.sqrt((direction**2).sum(axis=(0, 1), keepdims=True))
    weight = (direction * (weights[f"{name}.weight_g"] / norm)).astype(np.float32)
    positions = graph.op(
        "Conv",
        graph.transpose(tokens, 0, 2, 1),
        graph.constant(weight),
        graph.constant(weights[f"{name}.bias"]),
        group=geometry.groups,
        kernel_shape=[kernel],
        # An even kernel makes one position too many: here it is not computed.
        pads=[kernel // 2, (kernel - 1) // 2],
    )[0]
    return graph.transpose(graph.op("Gelu", positions)[0], 0, 2, 1)


def _distance_bias(graph: Graph, tokens: str, weights: Weights, spec: BeatsSpec) -> str:
    """Return the bias (heads, tokens, tokens) by distance, which every layer's gates scale."""
    table = weights["encoder.relative_attention_bias.weight"]
    # From max_distance on there is one bucket, so a table up to there serves clips of any length.
    farthest = spec.max_distance
    by_distance = table[distance_buckets(farthest + 1, len(table), farthest)]
    count = graph.op("Squeeze", tokens)[0]
    zero, one = graph.constant(np.asarray(0)), graph.constant(np.asarray(1))
    place = graph.op("Range", zero, count, one)[0]
    row = graph.op("Unsqueeze", place, graph.constant([1]))[0]
    distance = graph.op("Sub", place, row)[0]
    limits = graph.constant(np.asarray(-farthest)), graph.constant(np.asarray(farthest))
    index = graph.add(graph.op("Clip", distance, *limits)[0], limits[1])
    return graph.op("Gather", graph.constant(by_distance.T), index, axis=1)[0]


def _gated_attention(
    graph: Graph, x: str, weights: Weights, name: str, geometry: BeatsGeometry, bias: str
) -> str:
    """Attention whose bias is scaled by a gate of the query, all projections in one product.

    The two gates of a head are linear in its query (sums of four units each), which is linear in
    x: their weights are multiplied out beforehand, in float64.
    """
    heads, dim = geometry.heads, geometry.dim
    query = weights[f"{name}.q_proj.weight"].astype(np.float64).reshape(heads, -1, dim)
    shift = weights[f"{name}.q_proj.bias"].astype(np.float64).reshape(heads, -1)
    units = weights[f"{name}.grep_linear.weight"].astype(np.float64).reshape(2, 4, -1).sum(axis=1)
    offset = weights[f"{name}.grep_linear.bias"].astype(np.float64).reshape(2, 4).sum(axis=1)
    gate_weight = np.einsum("gk,hkd->ghd", units, query).reshape(2 * heads, dim)
    gate_bias = (np.einsum("gk,hk->gh", units, shift) + offset[:, None]).reshape(-1)
    parts = [f"{name}.{part}_proj" for part in "qkv"]
    weight = np.concatenate([*(weights[f"{part}.weight"] for part in parts), gate_weight])
    shifts = np.concatenate([*(weights[f"{part}.bias"] for part in parts), gate_bias])
    joint = graph.linear(x, weight.astype(np.float32), shifts.astype(np.float32))
    sizes = graph.constant([dim, dim, dim, heads, heads])
    q, k, v, first, second = graph.op("Split", joint, sizes, outputs=5, axis=2)
    scale = graph.constant(weights[f"{name}.grep_a"].reshape(heads))
    inner = graph.multiply(graph.op("Sigmoid", second)[0], scale)
    inner = graph.op("Sub", inner, graph.constant(1.0))[0]
    gate = graph.add(graph.multiply(graph.op("Sigmoid", first)[0], inner), graph.constant(2.0))
    column = graph.op("Unsqueeze", graph.transpose(gate, 0, 2, 1), graph.constant([3]))[0]
    mixed = graph.attention(q, k, v, heads, graph.multiply(column, bias))
    return graph.linear(mixed, weights[f"{name}.out_proj.weight"], weights[f"{name}.out_proj.bias"])
