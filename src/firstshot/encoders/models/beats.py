"""BEATs: a Kaldi log-mel spectrogram becomes tokens of post-norm blocks with gated positions.

Input: spectrograms (clips, frames, 128) of `specs.beats`. Output: per layer, tokens (clips, time,
8, dim). Source: BEATs (Chen et al. 2022), the published inference code, described.

Attention adds to q k^T / 8 a bias per head that depends on the distance of two tokens, scaled by a
gate of the query (WavLM, Chen et al. 2021). One table of biases serves all layers. Residual sums
weigh the input by alpha = (2 depth)^(1/4) (DeepNet, Wang et al. 2022).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from firstshot.encoders.models.beats_attention import GatedAttention, PositionConvolution
from firstshot.encoders.models.checkpoint_names import unwrap
from firstshot.encoders.models.transformer import run_blocks
from firstshot.encoders.specs.base import PATCH
from firstshot.encoders.specs.beats import BeatsGeometry, BeatsSpec, distance_buckets
from firstshot.errors import WeightsError

IGNORED = ("predictor.",)
"""Starts of the checkpoint names that no embedding needs: the tagging head."""
TABLE = "relative_attention_bias.weight"


class BeatsBlock(nn.Module):
    """Attention and MLP, each followed by LayerNorm(alpha * input + output)."""

    def __init__(self, geometry: BeatsGeometry) -> None:
        super().__init__()
        dim = geometry.dim
        self.alpha = (2.0 * geometry.depth) ** 0.25
        self.self_attn = GatedAttention(dim, geometry.heads)
        self.self_attn_layer_norm = nn.LayerNorm(dim)
        self.fc1, self.fc2 = nn.Linear(dim, geometry.hidden), nn.Linear(geometry.hidden, dim)
        self.final_layer_norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, distance_bias: Tensor) -> Tensor:
        """Map tokens (clips, tokens, dim) to the same shape."""
        x = self.self_attn_layer_norm(self.alpha * x + self.self_attn(x, distance_bias))
        branch = self.fc2(functional.gelu(self.fc1(x)))
        out: Tensor = self.final_layer_norm(self.alpha * x + branch)
        return out


class BeatsStack(nn.Module):
    """Positions and blocks; `encoder` in the checkpoints' names."""

    def __init__(self, geometry: BeatsGeometry, max_distance: int) -> None:
        super().__init__()
        self.max_distance = max_distance
        convolution = PositionConvolution(geometry.dim, geometry.kernel, geometry.groups)
        self.pos_conv = nn.ModuleList([convolution])
        self.layer_norm = nn.LayerNorm(geometry.dim)
        self.relative_attention_bias = nn.Embedding(geometry.buckets, geometry.heads)
        self.layers = nn.ModuleList(BeatsBlock(geometry) for _ in range(geometry.depth))

    def with_positions(self, x: Tensor) -> Tensor:
        """Add the positions to tokens (clips, tokens, dim) and normalise."""
        out: Tensor = self.layer_norm(x + self.pos_conv[0](x))
        return out

    def distance_bias(self, tokens: int) -> Tensor:
        """Return the bias (heads, tokens, tokens) that the gates of every layer scale."""
        table = self.relative_attention_bias.weight
        buckets = distance_buckets(tokens, table.shape[0], self.max_distance)
        by_distance = table[torch.from_numpy(buckets).to(table.device)].t()
        # Row i of the bias begins at distance -i: windows over the distances, the last one first.
        return by_distance.unfold(1, tokens, 1).flip(1)


class Beats(nn.Module):
    """The network without its tagging head; parameters are named as in the checkpoints."""

    def __init__(self, spec: BeatsSpec) -> None:
        super().__init__()
        geometry = spec.geometry
        self.patch_embedding = nn.Conv2d(1, geometry.patch_dim, PATCH, stride=PATCH, bias=False)
        self.layer_norm = nn.LayerNorm(geometry.patch_dim)
        self.post_extract_proj = nn.Linear(geometry.patch_dim, geometry.dim)
        self.encoder = BeatsStack(geometry, spec.max_distance)

    def tokens_by_layer(self, spectrogram: Tensor, layers: tuple[int, ...]) -> list[Tensor]:
        """Map (clips, frames, 128) to tokens (clips, time, 8, dim) of each of ascending layers."""
        x = self.encoder.with_positions(self.embed_patches(spectrogram))
        bias = self.encoder.distance_bias(x.shape[1])
        blocks = [partial(layer, distance_bias=bias) for layer in self.encoder.layers]
        rows = spectrogram.shape[2] // PATCH
        outputs = run_blocks(blocks, x, layers)
        return [out.view(len(out), -1, rows, out.shape[2]) for out in outputs]

    def embed_patches(self, spectrogram: Tensor) -> Tensor:
        """Map (clips, frames, mels) to patches (clips, tokens, dim), time-major, no positions."""
        patches = self.patch_embedding(spectrogram.unsqueeze(1)).flatten(2).transpose(1, 2)
        projected: Tensor = self.post_extract_proj(self.layer_norm(patches))
        return projected


def rename(state: Mapping[str, Any], spec: BeatsSpec) -> dict[str, Tensor]:
    """Return a published checkpoint's tensors under this module's names, not yet checked.

    Knows the names of the `.pt` files (perhaps wrapped in `model`) and what it returns itself. The
    tagging head is left out; the table of biases, stored once a layer, is kept once.

    Raises
    ------
    WeightsError
        The layers' tables of biases differ, or are not one a layer.
    """
    renamed, tables = {}, {}
    for name, tensor in unwrap(state).items():
        if name.startswith("encoder.layers.") and name.endswith(TABLE):
            tables[name] = tensor
        elif not name.startswith(IGNORED):
            renamed[name] = tensor
    for name, table in tables.items():
        first = renamed.setdefault(f"encoder.{TABLE}", table)
        if first.shape != table.shape or not torch.equal(first, table):
            raise WeightsError(
                f"the tensors are not those of {spec.name}: {name} differs from the first layer's, "
                f"expected one table for all layers; give the file published for {spec.name}"
            )
    if tables and len(tables) != spec.depth:
        raise WeightsError(
            f"the tensors are not those of {spec.name}: {len(tables)} tables {TABLE}, expected "
            f"{spec.depth}, one a layer; give the file published for {spec.name}"
        )
    return renamed
