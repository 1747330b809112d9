"""The networks that `firstshot train` makes, as torch modules.

Input: features of windows, as a `TrainedSpec` makes them. Output: an embedding per window; behind
`tokens_by_layer`, unit vectors (clips, windows, 1, dim). No layer has a bias, and no norm learned
values, so that a network cannot answer with one constant direction. Sources: the dual-branch
network of Wilkinghoff (2023), squeeze-excitation (Hu et al. 2018), MobileNet (Howard et al. 2017),
each reduced.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, normalize, relu

from firstshot.encoders.specs.base import Spec
from firstshot.encoders.specs.trained_sizes import (
    BANDS,
    EMBEDDING,
    FMLP_HIDDEN,
    RESIDUAL_BLOCKS,
    RESIDUAL_FIRST,
    SPECTRUM_KERNELS,
    TINY_BLOCKS,
    TINY_FIRST,
    CnnGeometry,
    FmlpGeometry,
    SpecGeometry,
    TinyGeometry,
    squeezed,
)

DROPPED = 0.3
"""Share of `fmlp`'s values that training leaves out."""
DEVIATION_FLOOR = 1e-6
"""Added to variances before the square root, whose gradient is infinite at 0."""


class TrainedNetwork(nn.Module):
    """What all of them have in common: windows in, unit vectors out."""

    def tokens_by_layer(self, windows: Tensor, layers: tuple[int, ...]) -> list[Tensor]:
        """Map features (clips, windows, values) to unit vectors (clips, windows, 1, dim)."""
        embeddings: Tensor = self(windows.flatten(0, 1))
        return [normalize(embeddings, dim=1).view(*windows.shape[:2], 1, -1)]


def _norm(size: int, dims: int = 1) -> nn.Module:
    kind = nn.BatchNorm1d if dims == 1 else nn.BatchNorm2d
    return kind(size, affine=False)


def _linear(inputs: int, outputs: int) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=False)


def _convolution(inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> nn.Conv2d:
    """Return a convolution that pads by (kernel - 1) / 2."""
    padding = (kernel - 1) // 2
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)


class SqueezeExcitation(nn.Module):
    """Channels weighed by what all of them hold on average."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = _linear(channels, squeezed(channels))
        self.expand = _linear(squeezed(channels), channels)

    def forward(self, x: Tensor) -> Tensor:
        """Weigh (batch, channels, ...)."""
        means = x.flatten(2).mean(dim=2)
        weights: Tensor = torch.sigmoid(self.expand(relu(self.reduce(means))))
        return x * weights.view(*weights.shape, *(1,) * (x.ndim - 2))


class SpecNet(TrainedNetwork):
    """`spec`: convolutions along the bins of a spectrum, then products."""

    def __init__(self, geometry: SpecGeometry) -> None:
        super().__init__()
        convolutions: list[nn.Module] = []
        for inputs, outputs, kernel, stride in SPECTRUM_KERNELS:
            convolution = nn.Conv1d(inputs, outputs, kernel, stride, bias=False)
            convolutions += [convolution, nn.ReLU(), SqueezeExcitation(outputs)]
        self.convolutions = nn.Sequential(*convolutions)
        products: list[nn.Module] = []
        for inputs, outputs in pairwise((geometry.flat, EMBEDDING, EMBEDDING)):
            products += [_linear(inputs, outputs), _norm(outputs), nn.ReLU()]
        self.products = nn.Sequential(*products, _linear(EMBEDDING, EMBEDDING))

    def forward(self, bins: Tensor) -> Tensor:
        """Map (batch, bins) to (batch, 128)."""
        embeddings: Tensor = self.products(self.convolutions(bins[:, None]).flatten(1))
        return embeddings


class FmlpNet(TrainedNetwork):
    """`fmlp`: two products of log spectra."""

    def __init__(self, geometry: FmlpGeometry) -> None:
        super().__init__()
        self.steps = nn.Sequential(
            _norm(geometry.mels),
            nn.Dropout(DROPPED),
            _linear(geometry.mels, FMLP_HIDDEN),
            _norm(FMLP_HIDDEN),
            nn.ReLU(),
            nn.Dropout(DROPPED),
            _linear(FMLP_HIDDEN, EMBEDDING),
        )

    def forward(self, values: Tensor) -> Tensor:
        """Map (batch, 592) to (batch, 128)."""
        embeddings: Tensor = self.steps(values)
        return embeddings


class SeparableBlock(nn.Module):
    """Filter each channel by itself, mix the channels; where the sizes allow, add the input."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.residual = stride == 1 and inputs == outputs
        self.steps = nn.Sequential(
            _convolution(inputs, inputs, 3, stride, groups=inputs),
            _norm(inputs, 2),
            nn.ReLU(),
            _convolution(inputs, outputs, 1, 1),
            _norm(outputs, 2),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, time, rows)."""
        out: Tensor = self.steps(x)
        return x + out if self.residual else out


class TinyNet(TrainedNetwork):
    """`tiny`: depthwise-separable convolutions of a log-mel spectrogram."""

    def __init__(self, geometry: TinyGeometry) -> None:
        super().__init__()
        self.input_norm = _norm(BANDS.mels)
        first = [_convolution(1, TINY_FIRST, 3, 2), _norm(TINY_FIRST, 2), nn.ReLU()]
        self.blocks = nn.Sequential(*first, *(SeparableBlock(*block) for block in TINY_BLOCKS))
        self.output_norm = _norm(geometry.pooled)
        self.product = _linear(geometry.pooled, EMBEDDING)

    def forward(self, values: Tensor) -> Tensor:
        """Map (batch, frames * 64) to (batch, 128)."""
        bands = values.view(len(values), -1, BANDS.mels).transpose(1, 2)
        x = self.blocks(self.input_norm(bands).transpose(1, 2)[:, None])
        deviations = (x.var(dim=2, unbiased=False) + DEVIATION_FLOOR).sqrt()
        pooled = torch.cat([x.mean(dim=2), deviations], dim=1).flatten(1)
        embeddings: Tensor = self.product(self.output_norm(pooled))
        return embeddings


class ResidualBlock(nn.Module):
    """Two convolutions beside the input, which a stride of 2 halves by a maximum."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm = _norm(inputs, 2)
        self.steps = nn.Sequential(
            nn.ReLU(),
            _convolution(inputs, outputs, 3, stride),
            _norm(outputs, 2),
            nn.ReLU(),
            _convolution(outputs, outputs, 3, 1),
            SqueezeExcitation(outputs),
        )
        self.skip = _convolution(inputs, outputs, 1, 1) if stride == 2 else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, time, rows)."""
        beside: Tensor = self.norm(x)
        out: Tensor = self.steps(beside)
        if self.skip is not None:
            beside = self.skip(max_pool2d(beside, 3, 2, 1))
        return out + beside


class CnnNet(TrainedNetwork):
    """`cnn`: the network of `spec` beside a residual network of a spectrogram."""

    def __init__(self, geometry: CnnGeometry) -> None:
        super().__init__()
        self.split, self.bins = geometry.spectrum.mels, geometry.bins
        self.spectrum = SpecNet(geometry.spectrum)
        self.input_norm = _norm(geometry.bins)
        self.blocks = nn.Sequential(
            _convolution(1, RESIDUAL_FIRST, 7, 2),
            _norm(RESIDUAL_FIRST, 2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
            *(ResidualBlock(*block) for block in RESIDUAL_BLOCKS),
        )
        self.output_norm = _norm(geometry.pooled)
        self.product = _linear(geometry.pooled, EMBEDDING)

    def forward(self, values: Tensor) -> Tensor:
        """Map (batch, bins and frames * 513) to (batch, 256)."""
        bands = values[:, self.split :].view(len(values), -1, self.bins).transpose(1, 2)
        x = self.blocks(self.input_norm(bands).transpose(1, 2)[:, None])
        pooled = x.amax(dim=2).flatten(1)
        beside = self.product(self.output_norm(pooled))
        return torch.cat([self.spectrum(values[:, : self.split]), beside], dim=1)


_NETWORKS: dict[str, Any] = {
    "trained_spec": SpecNet,
    "trained_fmlp": FmlpNet,
    "trained_tiny": TinyNet,
    "trained_cnn": CnnNet,
}


def build_trained(spec: Spec) -> TrainedNetwork:
    """Return the network of a recipe's spec, its first weights drawn by torch's own rule."""
    network: TrainedNetwork = _NETWORKS[spec.family](spec.geometry)
    return network


def own_names(state: Any, spec: Spec) -> dict[str, Tensor]:
    """Return a file's tensors: `firstshot train` writes them under the network's own names."""
    return dict(state)
