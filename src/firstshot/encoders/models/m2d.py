"""M2D-CLAP: a log-mel spectrogram becomes tokens of 12 pre-norm blocks.

Input: spectrograms (clips, frames, 80) of `specs.m2d`, natural logarithms. Output: per
layer, tokens (clips, time, 5, dim), the CLS token dropped. Source: M2D-CLAP (Niizumi et al. 2024),
described: a plain ViT-B behind a log-mel front-end.

A normalised spectrogram is padded with a few frames of zeros and cut into pieces of 1001 frames,
the last one shorter; each piece has its own CLS token and positions that start again at 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from firstshot.encoders.models.checkpoint_names import unwrap
from firstshot.encoders.models.transformer import Patches, PreNormBlock, run_blocks
from firstshot.encoders.specs.m2d import M2dSpec
from firstshot.errors import WeightsError

NORM_EPS = 1e-6
DEFAULT_MEAN, DEFAULT_STD = -7.1, 4.2
"""Mean and deviation of the log-mel where a checkpoint does not bring its own."""
PREFIXES = ("module.ar.runtime.backbone.", "backbone.", "")
"""What stands before the backbone's names: fine-tuned 2024, 2025, and 2024 before fine-tuning."""
IGNORED = (
    "audio_proj.",
    "text_proj.",
    "text_encoder.",
    "logit_scale",
    "decoder_",
    "mask_token",
    "target_",
)
"""Starts of the names besides the backbone's that no embedding needs."""


class M2d(nn.Module):
    """The M2D backbone; parameters are named as in the checkpoints."""

    norm_stats: Tensor
    pos_embed: Tensor

    def __init__(self, spec: M2dSpec) -> None:
        super().__init__()
        geometry, dim = spec.geometry, spec.geometry.dim
        self.geometry = geometry
        # Fixed tables of the checkpoint, not learned: they are stored but are no parameters.
        self.register_buffer("norm_stats", torch.tensor([DEFAULT_MEAN, DEFAULT_STD]))
        self.register_buffer("pos_embed", torch.zeros(1, geometry.positions, dim))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.patch_embed = Patches(dim)
        self.blocks = nn.ModuleList(
            PreNormBlock(dim, geometry.heads, geometry.hidden, NORM_EPS)
            for _ in range(geometry.depth)
        )
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)

    def tokens_by_layer(self, spectrogram: Tensor, layers: tuple[int, ...]) -> list[Tensor]:
        """Map (clips, frames, 80) to tokens (clips, time, 5, dim) of each of ascending layers."""
        mean, std = self.norm_stats
        frames = spectrogram.shape[1]
        padding = (0, 0, 0, self.geometry.padding(frames))
        normalised = functional.pad((spectrogram - mean) / std, padding)
        pieces = self.geometry.pieces(frames)
        longest = self.geometry.piece_frames
        by_piece = [
            self._encode(normalised[:, number * longest : number * longest + length], layers)
            for number, length in enumerate(pieces)
        ]
        return [torch.cat(outputs, dim=1) for outputs in zip(*by_piece, strict=True)]

    def embed_patches(self, piece: Tensor) -> Tensor:
        """Map a normalised piece (clips, frames, mels) to tokens with positions, the CLS first."""
        patches: Tensor = self.patch_embed(piece.transpose(1, 2))
        clips, rows, time, dim = patches.shape
        positions = self.pos_embed[:, 1:].view(1, rows, -1, dim)[:, :, :time]
        first = (self.cls_token + self.pos_embed[:, :1]).expand(clips, -1, -1)
        return torch.cat([first, (patches + positions).flatten(1, 2)], dim=1)

    def final_norm(self, tokens: Tensor) -> Tensor:
        """Apply the norm that follows the last block to tokens (clips, time, freq, dim)."""
        normed: Tensor = self.norm(tokens)
        return normed

    def _encode(self, piece: Tensor, layers: tuple[int, ...]) -> list[Tensor]:
        """Map one normalised piece (clips, frames, mels) to tokens (clips, time, freq, dim)."""
        outputs = run_blocks(self.blocks, self.embed_patches(piece), layers)
        return [self._grid(tokens[:, 1:]) for tokens in outputs]

    def _grid(self, patches: Tensor) -> Tensor:
        clips, count, dim = patches.shape
        rows = self.geometry.rows
        return patches.reshape(clips, rows, count // rows, dim).transpose(1, 2)


def rename(state: Mapping[str, Tensor], spec: M2dSpec) -> dict[str, Tensor]:
    """Return a published checkpoint's tensors under this module's names, not yet checked.

    Knows the three prefixes of the published files, and what it returns itself. What stands outside
    a prefix is left out (front-end, heads, text encoder), inside it only the names of `IGNORED`.
    A file without `norm_stats` gets the mean and deviation of the 2024 models.

    Raises
    ------
    WeightsError
        No tensor has the name of the CLS token.
    """
    tensors = unwrap(state)
    prefix = next((start for start in PREFIXES if f"{start}cls_token" in tensors), None)
    if prefix is None:
        expected = " or ".join(f"{start}cls_token" for start in PREFIXES)
        raise WeightsError(
            f"the tensors are not those of {spec.name}: expected {expected} among them; "
            f"give the file published for {spec.name}"
        )
    renamed = {"norm_stats": torch.tensor([DEFAULT_MEAN, DEFAULT_STD])}
    for name, tensor in tensors.items():
        plain = name.removeprefix(prefix)
        if name.startswith(prefix) and not plain.startswith(IGNORED):
            renamed[plain] = tensor
    return renamed
