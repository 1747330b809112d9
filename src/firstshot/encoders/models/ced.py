"""CED (tiny, mini, small, base): a dB mel spectrogram becomes tokens of 12 pre-norm blocks.

Input: spectrograms (clips, frames, 64) of `specs.ced`, in dB. Output: per layer, tokens
(clips, time, 4, dim). Source: CED (Dinkel et al. 2023), the published inference code, described.

A spectrogram of more than 1012 frames is cut, after the batch norm, into pieces of 1012, the last
one padded with zeros; each piece is encoded alone, and their time steps are concatenated. Unlike
the original, a batch never mixes pieces of different clips, and no full last piece is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from firstshot.encoders.models.checkpoint_names import unwrap
from firstshot.encoders.models.transformer import Patches, PreNormBlock, run_blocks
from firstshot.encoders.specs.ced import CedSpec

NORM_EPS = 1e-6
INPUT_NORM_EPS = 1e-5
IGNORED = ("front_end.", "outputlayer.", "init_bn.num_batches_tracked")
"""Starts of the checkpoint names that no embedding needs: the front-end's tables, the head."""


class MelNorm(nn.Module):
    """The batch norm over mel rows as it was learned; running values never change here."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, mels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(mels))
        self.bias = nn.Parameter(torch.zeros(mels))
        self.register_buffer("running_mean", torch.zeros(mels))
        self.register_buffer("running_var", torch.ones(mels))

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Normalise each mel row of (clips, frames, mels)."""
        scale = self.weight / torch.sqrt(self.running_var + INPUT_NORM_EPS)
        return (spectrogram - self.running_mean) * scale + self.bias


class Ced(nn.Module):
    """The CED network without its tagging head; parameters are named as in the checkpoints."""

    def __init__(self, spec: CedSpec) -> None:
        super().__init__()
        geometry, dim = spec.geometry, spec.geometry.dim
        self.geometry = geometry
        self.init_bn = MelNorm(geometry.mels)
        self.patch_embed = Patches(dim)
        self.time_pos_embed = nn.Parameter(torch.zeros(1, dim, 1, geometry.positions))
        self.freq_pos_embed = nn.Parameter(torch.zeros(1, dim, geometry.rows, 1))
        self.blocks = nn.ModuleList(
            PreNormBlock(dim, geometry.heads, geometry.hidden, NORM_EPS)
            for _ in range(geometry.depth)
        )
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)

    def tokens_by_layer(self, spectrogram: Tensor, layers: tuple[int, ...]) -> list[Tensor]:
        """Map (clips, frames, 64) to tokens (clips, time, 4, dim) of each of ascending layers."""
        pieces = self._cut(self.init_bn(spectrogram))
        grid = self.embed_patches(pieces.flatten(0, 1))
        outputs = run_blocks(self.blocks, grid.flatten(1, 2), layers)
        return [self._joined(tokens.view_as(grid), len(spectrogram)) for tokens in outputs]

    def embed_patches(self, spectrogram: Tensor) -> Tensor:
        """Map normalised (clips, frames, mels) to patches plus positions (clips, 4, time, dim)."""
        patches: Tensor = self.patch_embed(spectrogram.transpose(1, 2))
        time = self.time_pos_embed[..., : patches.shape[2]]
        return patches + time.permute(0, 2, 3, 1) + self.freq_pos_embed.permute(0, 2, 3, 1)

    def final_norm(self, tokens: Tensor) -> Tensor:
        """Apply the norm that follows the last block to tokens (clips, time, freq, dim)."""
        normed: Tensor = self.norm(tokens)
        return normed

    def _cut(self, spectrogram: Tensor) -> Tensor:
        """Cut (clips, frames, mels) into (clips, pieces, piece frames, mels), zeros at the end."""
        longest = self.geometry.piece_frames
        if spectrogram.shape[1] <= longest:
            return spectrogram.unsqueeze(1)
        padded = functional.pad(spectrogram, (0, 0, 0, -spectrogram.shape[1] % longest))
        clips, frames, mels = padded.shape
        return padded.view(clips, frames // longest, longest, mels)

    def _joined(self, tokens: Tensor, clips: int) -> Tensor:
        """Join (clips * pieces, freq, time, dim) along time to (clips, time, freq, dim)."""
        pieces, freq, time, dim = tokens.shape
        grid = tokens.view(clips, pieces // clips, freq, time, dim)
        return grid.transpose(2, 3).flatten(1, 2)


def rename(state: Mapping[str, Tensor], spec: CedSpec) -> dict[str, Tensor]:
    """Return a published checkpoint's tensors under this module's names, not yet checked.

    Knows the names of the hub's safetensors files (all under `encoder.` but the tagging head) and
    of the Zenodo files (plain, the batch norm as `init_bn.1`, perhaps wrapped in `model`), and what
    it returns itself. Front-end tables, the head and the batch counter are left out.
    """
    tensors = unwrap(state)
    prefix = "encoder." if any(name.startswith("encoder.") for name in tensors) else ""
    renamed = {}
    for name, tensor in tensors.items():
        plain = name.removeprefix(prefix).replace("init_bn.1.", "init_bn.")
        if plain.startswith(IGNORED):
            continue
        renamed[plain if name.startswith(prefix) else f"{name} (without {prefix})"] = tensor
    return renamed
