"""What is BEATs' own in its blocks: positions by convolution, and attention with a gated bias.

Input and output: tokens (clips, tokens, dim). Sources: BEATs (Chen et al. 2022), its gated relative
position bias from WavLM (Chen et al. 2021, section 3.1), the convolution from wav2vec 2.0 (Baevski
et al. 2020).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from firstshot.encoders.models.transformer import attend, split_heads


class PositionConvolution(nn.Module):
    """A grouped convolution over tokens, its kernel normalised tap by tap (weight_g, weight_v)."""

    def __init__(self, dim: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.weight_g = nn.Parameter(torch.ones(1, 1, kernel))
        self.weight_v = nn.Parameter(torch.ones(dim, dim // groups, kernel))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (clips, tokens, dim) to the same shape."""
        tokens, kernel = x.shape[1], self.weight_v.shape[2]
        norm = torch.linalg.vector_norm(self.weight_v, dim=(0, 1), keepdim=True)
        weight = (self.weight_v * (self.weight_g / norm)).unflatten(0, (self.groups, -1))
        padded = functional.pad(x.transpose(1, 2), (kernel // 2, kernel // 2))
        # A product per group: torch's convolution takes as long, and its last digits depend on how
        # many threads there are. An even kernel has one shift too many: the last one is dropped.
        by_group = [
            of_group.flatten(1) @ rows.unfold(2, tokens, 1)[:, :, :kernel].flatten(1, 2)
            for of_group, rows in zip(weight, padded.chunk(self.groups, dim=1), strict=True)
        ]
        positions = torch.cat(by_group, dim=1) + self.bias[:, None]
        return functional.gelu(positions).transpose(1, 2)


class GatedAttention(nn.Module):
    """Self-attention with a bias by distance, scaled by a gate of the query."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.v_proj, self.out_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.grep_linear = nn.Linear(dim // heads, 8)
        self.grep_a = nn.Parameter(torch.ones(1, heads, 1, 1))

    def forward(self, x: Tensor, distance_bias: Tensor) -> Tensor:
        """Map tokens (clips, tokens, dim) to the same shape, the bias (heads, tokens, tokens)."""
        q, k, v = (
            split_heads(projection(x), self.heads)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        gates = self.grep_linear(q).view(*q.shape[:3], 2, 4).sum(dim=4).sigmoid()
        gate = gates[..., :1] * (gates[..., 1:] * self.grep_a - 1.0) + 2.0
        mixed: Tensor = self.out_proj(attend(q, k, v, gate * distance_bias))
        return mixed
