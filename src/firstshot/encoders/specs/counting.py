"""What a stack of transformer blocks costs: MACs and parameters as exact integers.

Input: tokens, depth, widths. Output: integers in the conventions of thop 0.1.1, which are those of
the report's Table 4: Linear and Conv count one MAC per weight and position (biases free), a
LayerNorm 4 per element; GELU, softmax and the two products inside attention count nothing unless
they are asked for.
"""

from __future__ import annotations


def stack_macs(tokens: int, depth: int, dim: int, hidden: int, attention: bool = False) -> int:
    """Return the MACs of `depth` blocks and one more LayerNorm over the tokens of one sequence.

    `attention` adds query times key and weights times value, which grow with tokens squared.

    >>> stack_macs(10, depth=1, dim=2, hidden=8)  # 10 * (16 + 32) in Linear, 10 * 24 in norms
    720
    """
    linears = depth * (4 * dim * dim + 2 * dim * hidden)
    norms = 4 * (2 * depth + 1) * dim
    products = 2 * depth * tokens * dim if attention else 0
    return tokens * (linears + norms + products)


def stack_parameters(depth: int, dim: int, hidden: int) -> int:
    """Return the parameters of `depth` blocks (attention, MLP, two norms) and one more LayerNorm.

    >>> stack_parameters(depth=12, dim=768, hidden=3072)
    85056000
    """
    attention = 4 * dim * (dim + 1)
    mlp = hidden * (dim + 1) + dim * (hidden + 1)
    return depth * (attention + mlp + 4 * dim) + 2 * dim
