"""The sizes that Transformers over patches of a spectrogram have in common, and their counts.

Input: a clip's length in samples. Output: the token grid, MACs and parameters as exact integers.

MACs and parameters follow thop 0.1.1, as the report's Table 4 does: Linear and Conv count one MAC
per weight and position (biases are free), a LayerNorm 4 per element; GELU, softmax and the two
products inside attention count only on request. Parameters outside a layer (CLS,
positions, a table of biases) are not counted, nor is the front-end.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace

from firstshot.encoders.specs.base import PATCH, Geometry

VALUES_PER_DIM = 16
"""Numbers of `dim` that are held of a token: the MLP's four, and those before and after it."""
ATTENTION_COPIES = 3


@dataclass(frozen=True)
class TransformerGeometry(Geometry):
    """The sizes of a Transformer: all its layers have one grid and one number of values.

    Attributes
    ----------
    dim, heads, depth : int
        Numbers per token, attention heads per layer, and layers.
    mels : int
        Rows of the spectrogram; 16 of them make a frequency row of the token grid.
    minimum_samples : int
        The shortest clip that fills one patch.
    """

    dim: int = 768
    heads: int = 12
    depth: int = 12
    mels: int = 128
    minimum_samples: int = 400

    @property
    def hidden(self) -> int:
        """Units of an MLP."""
        return 4 * self.dim

    @property
    def rows(self) -> int:
        """Frequency rows of the token grid."""
        return self.mels // PATCH

    @abstractmethod
    def steps(self, samples: int) -> tuple[int, ...]:
        """Return the time steps of each piece that a clip is encoded in."""

    def dim_of(self, layer: int) -> int:
        """Return the numbers per token, which are those of every layer."""
        return self.dim

    def grid(self, samples: int, layer: int) -> tuple[int, int]:
        """Return the token grid (time, freq), which is that of every layer."""
        return sum(self.steps(samples)), self.rows

    def macs(self, samples: int, attention: bool = False) -> int:
        """Return the MACs of one clip; here with one CLS token a piece, and without a head."""
        total = 0
        for steps in self.steps(samples):
            patches = steps * self.rows
            total += patches * self.dim * PATCH**2 + self.stack_macs(patches + 1, attention)
        return total

    def macs_up_to(self, layer: int, samples: int) -> int:
        """Return the MACs of one clip up to a layer, with attention's products, without a head."""
        without_head = {"classes": 0} if hasattr(self, "classes") else {}
        cut = replace(self, depth=layer, **without_head)
        return cut.macs(samples, attention=True)

    def counted_parameters(self) -> int:
        """Return the parameters as thop counts them: without CLS and positions."""
        return self.dim * (PATCH**2 + 1) + self.stack_parameters()

    def learned_parameters(self) -> int:
        """Return how many learned values reach an embedding: a position table here is fixed."""
        return self.counted_parameters() + self.dim

    def working_values(self, samples: int) -> int:
        """Return about how many float32 values are held at once while a clip is encoded.

        Attention compares all tokens of a piece, so they grow with the square of its length.
        """
        tokens, longest = sum(self.steps(samples)) * self.rows, max(self.steps(samples)) * self.rows
        attention = ATTENTION_COPIES * self.heads * longest**2
        return VALUES_PER_DIM * tokens * self.dim + attention

    def stack_macs(self, tokens: int, attention: bool = False) -> int:
        """Return the MACs of all blocks and one more LayerNorm over the tokens of one piece.

        `attention` adds query times key and weights times value, which grow with tokens squared.
        """
        linears = self.depth * (4 * self.dim * self.dim + 2 * self.dim * self.hidden)
        norms = 4 * (2 * self.depth + 1) * self.dim
        products = 2 * self.depth * tokens * self.dim if attention else 0
        return tokens * (linears + norms + products)

    def stack_parameters(self) -> int:
        """Return the parameters of all blocks (attention, MLP, two norms) and one LayerNorm."""
        attention = 4 * self.dim * (self.dim + 1)
        mlp = self.hidden * (self.dim + 1) + self.dim * (self.hidden + 1)
        return self.depth * (attention + mlp + 4 * self.dim) + 2 * self.dim
