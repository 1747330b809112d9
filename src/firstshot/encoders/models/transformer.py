"""The pieces that every pre-trained encoder is built of: patches, attention, MLP, block, stack.

Input: tokens (clips, tokens, dim). Output: tokens of the same shape after each requested layer.
Source: the Transformer (Vaswani et al. 2017) as the published encoders have it. CED and M2D
normalise before attention and MLP, EAT and SSLAM after; BEATs puts an attention of its own between
the same norms. The names of the parameters are those of the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from torch import Tensor, nn
from torch.nn import functional


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """Attend over tokens, (clips, heads, tokens, head dim) each, and merge the heads.

    `bias` (clips, heads, tokens, tokens) is added to q k^T / sqrt(head dim) before the softmax.

    >>> import torch
    >>> one = torch.ones(1, 2, 3, 4)
    >>> attend(one, one, one).shape
    torch.Size([1, 3, 8])
    """
    mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    return mixed.transpose(1, 2).flatten(2)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Turn (clips, tokens, heads*head dim) into (clips, heads, tokens, head dim).

    >>> import torch
    >>> split_heads(torch.zeros(1, 3, 8), heads=2).shape
    torch.Size([1, 2, 3, 4])
    """
    clips, tokens, values = x.shape
    return x.view(clips, tokens, heads, values // heads).transpose(1, 2)


class Attention(nn.Module):
    """Self-attention whose one projection holds q, k and v in this order, head by head."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (clips, tokens, dim) to the same shape."""
        q, k, v = (split_heads(part, self.heads) for part in self.qkv(x).chunk(3, dim=2))
        mixed: Tensor = self.proj(attend(q, k, v))
        return mixed


class Mlp(nn.Module):
    """Two linear layers around the exact (erf) GELU."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (clips, tokens, dim) to the same shape."""
        mapped: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return mapped


class _Block(nn.Module):
    """The parts that a pre-norm and a post-norm block share."""

    def __init__(self, dim: int, heads: int, hidden: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, hidden)


class PreNormBlock(_Block):
    """x + attention(norm1(x)), then x + mlp(norm2(x)): CED and M2D."""

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (clips, tokens, dim) to the same shape."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class PostNormBlock(_Block):
    """norm1(x + attention(x)), then norm2(x + mlp(x)): EAT and SSLAM."""

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (clips, tokens, dim) to the same shape."""
        return self.with_branch(x)[0]

    def with_branch(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the block's output, and the MLP's before the residual sum and `norm2`."""
        x = self.norm1(x + self.attn(x))
        branch = self.mlp(x)
        return self.norm2(x + branch), branch


class Patches(nn.Module):
    """Square patches of a spectrogram become vectors: one convolution, its stride its size."""

    def __init__(self, dim: int, patch: int = 16, bias: bool = True) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, dim, patch, stride=patch, bias=bias)

    def forward(self, image: Tensor) -> Tensor:
        """Map (clips, height, width) to (clips, height / patch, width / patch, dim), rounded down.

        The axes of the kernel are those of the image: (time, mel) or (mel, time).
        """
        patches: Tensor = self.proj(image.unsqueeze(1))
        return patches.permute(0, 2, 3, 1)


def run_blocks(
    blocks: Iterable[Callable[[Tensor], Tensor]], x: Tensor, layers: Sequence[int]
) -> list[Tensor]:
    """Return the tokens after each of `layers` (1-based, ascending); run no block beyond the last.

    >>> import torch
    >>> double = lambda x: 2 * x
    >>> [int(out) for out in run_blocks([double, double, double], torch.tensor(1), (1, 2))]
    [2, 4]
    """
    outputs = []
    for number, block in enumerate(blocks, start=1):
        if number > layers[-1]:
            break
        x = block(x)
        if number in layers:
            outputs.append(x)
    return outputs
