"""EfficientAT `mn`: a MobileNetV3 on log-mel; layers are the outputs of its 17 stages.

Input: spectrograms (clips, frames, 128) of `EfficientAtSpec.front_end`. Output: per layer, values
(clips, time, freq, channels) on the grid of its stage. Source: EfficientAT (Schmid et al. 2023),
MobileNetV3 (Howard et al. 2019). Parameters are named as in the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from firstshot.encoders.models.checkpoint_names import unwrap
from firstshot.encoders.specs.efficientat import NORM_EPS, EfficientAtSpec, Stage

IGNORED_STARTS = ("classifier.",)
IGNORED_ENDS = (".num_batches_tracked",)
"""Checkpoint names that no embedding needs: the tagging head, the counters of training."""

Activation = Callable[[Tensor], Tensor]


class Norm(nn.Module):
    """The batch norm over channels as it was learned; running values never change here."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each channel of (clips, channels, freq, time)."""
        return functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=NORM_EPS
        )


def _convolution(inputs: int, outputs: int, kernel: int, stride: int, groups: int) -> nn.Module:
    """Return a convolution without bias that pads by (kernel - 1) / 2, and its norm."""
    padding = (kernel - 1) // 2
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    return nn.Sequential(convolution, Norm(outputs))


class _Squeeze(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.fc2(functional.relu(self.fc1(x.mean(dim=(2, 3)))))
        return x * torch.sigmoid(weights)[:, :, None, None]


class SqueezeExcitation(nn.Module):
    """Channels weighted by what the clip holds of all of them, averaged over its whole grid."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.conc_se_layers = nn.ModuleList([_Squeeze(channels, hidden)])

    def forward(self, x: Tensor) -> Tensor:
        """Weigh (clips, channels, freq, time)."""
        weighted: Tensor = self.conc_se_layers[0](x)
        return weighted


class Head(nn.Sequential):
    """A convolution, its norm, and hard-swish: the first stage and the last one."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__(*_convolution(inputs, outputs, kernel, stride, groups=1).children())

    def forward(self, x: Tensor) -> Tensor:
        """Map (clips, channels, freq, time)."""
        for step in self:
            x = step(x)
        return functional.hardswish(x)


class InvertedResidual(nn.Module):
    """Expand, filter each channel by itself, weigh the channels, project, add the input."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.activation: Activation = functional.hardswish if stage.hard else functional.relu
        self.residual = stage.residual
        steps: list[nn.Module] = []
        if stage.expands:
            steps.append(_convolution(stage.inputs, stage.expanded, 1, 1, groups=1))
        depthwise = (stage.kernel, stage.stride, stage.expanded)
        steps.append(_convolution(stage.expanded, stage.expanded, *depthwise))
        self.activated = len(steps)
        if stage.squeezed:
            steps.append(SqueezeExcitation(stage.expanded, stage.squeezed))
        steps.append(_convolution(stage.expanded, stage.outputs, 1, 1, groups=1))
        self.block = nn.ModuleList(steps)

    def forward(self, x: Tensor) -> Tensor:
        """Map (clips, channels, freq, time)."""
        out = x
        for number, step in enumerate(self.block):
            out = step(out)
            if number < self.activated:
                out = self.activation(out)
        return x + out if self.residual else out


class EfficientAt(nn.Module):
    """The network without its tagging head."""

    def __init__(self, spec: EfficientAtSpec) -> None:
        super().__init__()
        stages = spec.geometry.stages
        first, last = stages[0], stages[-1]
        self.features = nn.ModuleList(
            [
                Head(first.inputs, first.outputs, first.kernel, first.stride),
                *(InvertedResidual(stage) for stage in stages[1:-1]),
                Head(last.inputs, last.outputs, last.kernel, last.stride),
            ]
        )

    def tokens_by_layer(self, spectrogram: Tensor, layers: tuple[int, ...]) -> list[Tensor]:
        """Map (clips, frames, 128) to (clips, time, freq, channels) of each of ascending layers."""
        x, outputs = spectrogram.transpose(1, 2).unsqueeze(1), []
        for number, stage in enumerate(self.features[: layers[-1]], start=1):
            x = stage(x)
            if number in layers:
                outputs.append(x.permute(0, 3, 2, 1))
        return outputs


def rename(state: Mapping[str, Tensor], spec: EfficientAtSpec) -> dict[str, Tensor]:
    """Return a checkpoint's tensors, not yet checked, without tagging head and counters."""
    return {
        name: tensor
        for name, tensor in unwrap(state).items()
        if not name.startswith(IGNORED_STARTS) and not name.endswith(IGNORED_ENDS)
    }
