"""EAT (base, large) and SSLAM: a Kaldi log-mel spectrogram becomes tokens of post-norm blocks.

Input: spectrograms (clips, frames, 128) of `specs.eat`. Output: per layer, tokens (clips, time, 8,
dim), the CLS token dropped. Sources: EAT (Chen et al. 2024) and SSLAM (Alex et al. 2025),
whose inference code is one and the same; SSLAM is EAT base with other weights.

A layer's output is the block's, after its second norm. The training framework of the original
lists another tensor under the name of layer results, the MLP's output before the residual sum;
`specs.eat.EatSpec.output = "ffn"` gives that one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from firstshot.encoders.models.checkpoint_names import unwrap
from firstshot.encoders.models.transformer import Patches, PostNormBlock, run_blocks
from firstshot.encoders.specs.base import PATCH
from firstshot.encoders.specs.eat import EatSpec, position_table
from firstshot.errors import WeightsError

NORM_EPS = 1e-6
IGNORED = (
    "fc_norm.",
    "head.",
    "_ema",
    "modality_encoders.IMAGE.decoder",
    "recon_proj",
    "shared_decoder",
    "cls_proj",
    "center",
)
"""Starts of the checkpoint names that no embedding needs: the head, what only training has."""
POSITIONS = "fixed_positional_encoder.positions"


class Eat(nn.Module):
    """The network without its tagging head; parameters are named as in the hub's checkpoints."""

    def __init__(self, spec: EatSpec) -> None:
        super().__init__()
        geometry, dim = spec.geometry, spec.geometry.dim
        self.output = spec.output
        self.extra_tokens = nn.Parameter(torch.zeros(1, 1, dim))
        self.local_encoder = Patches(dim)
        self.pre_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.blocks = nn.ModuleList(
            PostNormBlock(dim, geometry.heads, geometry.hidden, NORM_EPS)
            for _ in range(geometry.depth)
        )

    def tokens_by_layer(self, spectrogram: Tensor, layers: tuple[int, ...]) -> list[Tensor]:
        """Map (clips, frames, 128) to tokens (clips, time, 8, dim) of each of ascending layers."""
        x = self.pre_norm(self.embed_patches(spectrogram))
        branches = self.output == "ffn"
        outputs = self._branches(x, layers) if branches else run_blocks(self.blocks, x, layers)
        clips, rows = len(x), spectrogram.shape[2] // PATCH
        return [out[:, 1:].reshape(clips, -1, rows, out.shape[2]) for out in outputs]

    def embed_patches(self, spectrogram: Tensor) -> Tensor:
        """Map (clips, frames, mels) to the CLS, then patches plus positions, time-major."""
        patches: Tensor = self.local_encoder(spectrogram)
        clips, time, rows, dim = patches.shape
        table = torch.from_numpy(position_table(time, rows, dim)).to(patches)
        first = self.extra_tokens.expand(clips, -1, -1)
        return torch.cat([first, patches.flatten(1, 2) + table], dim=1)

    def _branches(self, x: Tensor, layers: tuple[int, ...]) -> list[Tensor]:
        outputs = []
        for number, block in enumerate(self.blocks, start=1):
            if number > layers[-1]:
                break
            x, branch = cast(PostNormBlock, block).with_branch(x)
            if number in layers:
                outputs.append(branch)
        return outputs


def rename(state: Mapping[str, Any], spec: EatSpec) -> dict[str, Tensor]:
    """Return a published checkpoint's tensors under this module's names, not yet checked.

    Knows the names of the hub's safetensors files (all under `model.`), of the original's `.pt`
    files before and after fine-tuning (perhaps wrapped in `model`), and what it returns itself. The
    tagging head and what only training needs are left out; so is the position table, which is
    computed, once it equals the known one.

    Raises
    ------
    WeightsError
        The positions are not the fixed ones.
    """
    renamed = {}
    for name, tensor in unwrap(state).items():
        plain = name.removeprefix("model.")
        if plain.startswith(IGNORED):
            continue
        plain = plain.replace("modality_encoders.IMAGE.context_encoder.norm.", "pre_norm.")
        renamed[plain.removeprefix("modality_encoders.IMAGE.")] = tensor
    if POSITIONS in renamed:
        _check_positions(renamed.pop(POSITIONS), spec)
    return renamed


def _check_positions(stored: Tensor, spec: EatSpec) -> None:
    known = position_table(
        spec.geometry.least_frames // PATCH, spec.geometry.rows, spec.geometry.dim
    )
    rows = stored.reshape(-1, stored.shape[-1])[: len(known)]
    if tuple(rows.shape) != known.shape or np.abs(rows.float().numpy() - known).max() > 1e-3:
        raise WeightsError(
            f"the tensors are not those of {spec.name}: {POSITIONS}, {tuple(stored.shape)}, is not "
            f"the sine-cosine table of {spec.geometry.dim} values; give the file published for "
            f"{spec.name}"
        )
