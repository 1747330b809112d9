"""The challenge's autoencoder: 640 values are reduced to eight and reconstructed.

Input: float32 (rows, 640). Output: reconstruction (rows, 640) and latent (rows, 8). Nine blocks of
Linear, BatchNorm and ReLU (the bottleneck has them too), then one Linear. Source: the published
code; the tensors have the same names, so its checkpoints can be loaded.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from firstshot.autoencoder.features import GEOMETRY

BOTTLENECK = GEOMETRY.units.index(min(GEOMETRY.units))


class Autoencoder(nn.Module):
    """The network; its first weights depend on the seed alone.

    Weights and biases are uniform within 1 / sqrt(inputs), torch's default. They are drawn as by
    torch after `torch.manual_seed(seed)`, but from a separate generator.

    Examples
    --------
    >>> network = Autoencoder(seed=13711).eval()
    >>> [tuple(part.shape) for part in network(torch.zeros(3, 640))]
    [(3, 640), (3, 8)]
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        units = GEOMETRY.units
        self.encoder = nn.Sequential(*_blocks(units[: BOTTLENECK + 1]))
        self.decoder = nn.Sequential(*_blocks(units[BOTTLENECK:-1]), _linear(units[-2], units[-1]))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for layer in self.modules():
                if isinstance(layer, nn.Linear):
                    bound = 1.0 / math.sqrt(layer.in_features)
                    layer.weight.uniform_(-bound, bound, generator=generator)
                    layer.bias.uniform_(-bound, bound, generator=generator)

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return the reconstruction (rows, 640) and the latent (rows, 8)."""
        latent = self.encoder(vectors)
        return self.decoder(latent), latent


def _linear(inputs: int, outputs: int) -> nn.Linear:
    # Not initialised: that would change the state of torch's global generator.
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
    return layer


def _blocks(units: tuple[int, ...]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(units):
        # Keras' defaults, with which the first baselines were trained.
        norm = nn.BatchNorm1d(outputs, momentum=0.01, eps=1e-3)
        layers += [_linear(inputs, outputs), norm, nn.ReLU()]
    return layers
