"""M2D-CLAP: a log-mel spectrogram becomes tokens of 12 pre-norm blocks.

Input: spectrograms (clips, frames, 80) of `M2dSpec.front_end`, natural logarithms. Output: per
layer, tokens (clips, time, 5, dim), the CLS token dropped. Source: M2D-CLAP (Niizumi et al. 2024),
described: a plain ViT-B behind a log-mel front-end.

A normalised spectrogram is padded with a few frames of zeros and cut into pieces of 1001 frames,
the last one shorter; each piece has its own CLS token and positions that start again at 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from firstshot.encoders.models.checkpoint_names import check_tensors, unwrap
from firstshot.encoders.models.transformer import Patches, PreNormBlock, run_blocks, shapes_of
from firstshot.encoders.specs import geometry
from firstshot.encoders.specs.geometry import M2dGeometry
from firstshot.errors import ParameterError, WeightsError
from firstshot.sound.mel import M2D_MEL, MelSpec, fixed_length, m2d_logmel, row_bands

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
"""Starts of the names beside the backbone's that no embedding needs."""


@dataclass(frozen=True)
class M2dSpec:
    """The constants and the numpy part of an M2D encoder.

    Attributes
    ----------
    fixed_samples : int
        Make every waveform that long first, by zeros behind it or by keeping its start; 0 for as
        it is. GenRep's code did so with 160000.

    Examples
    --------
    >>> M2D_CLAP.front_end(np.zeros(16000, dtype=np.float32)).shape, M2D_CLAP.grid(16000)
    ((101, 80), (7, 5))
    """

    name: str
    geometry: M2dGeometry
    mel: MelSpec = M2D_MEL
    fixed_samples: int = 0
    default_layers: tuple[int, ...] = (7, 10)

    def __post_init__(self) -> None:
        if self.fixed_samples and self.fixed_samples < self.geometry.minimum_samples:
            raise ParameterError(
                f"fixed_samples {self.fixed_samples}: {self.name} needs at least "
                f"{self.geometry.minimum_samples}, or 0 to hear clips as they are"
            )

    @property
    def depth(self) -> int:
        """Number of layers."""
        return self.geometry.depth

    @property
    def dim(self) -> int:
        """Numbers per token."""
        return self.geometry.dim

    @property
    def minimum_samples(self) -> int:
        """Samples of the shortest clip that can be mirrored, one sample where it is padded."""
        return 1 if self.fixed_samples else self.geometry.minimum_samples

    def front_end(
        self, waveform: NDArray[np.float32], sample_rate: int = 16000
    ) -> NDArray[np.float32]:
        """Return the log-mel (frames, 80) of a clip (samples,) at 16 kHz, not yet normalised."""
        if sample_rate != self.mel.sample_rate:
            raise ParameterError(
                f"sample_rate {sample_rate}: {self.name} hears at {self.mel.sample_rate} Hz; "
                "resample the clip first"
            )
        if self.fixed_samples:
            waveform = fixed_length(waveform, self.fixed_samples)
        return m2d_logmel(waveform)

    def grid(self, samples: int) -> tuple[int, int]:
        """Return the token grid (time, freq) of a clip of that many samples."""
        return self.geometry.grid(self.fixed_samples or samples)

    def macs(self, samples: int) -> int:
        """Return the MACs of one clip, as Table 4 of the report counts them."""
        return self.geometry.macs(self.fixed_samples or samples)

    def frequency_bands(self) -> tuple[tuple[float, float], ...]:
        """Return lowest and highest frequency in Hz of each row of the grid."""
        return row_bands(self.mel, self.geometry.rows)

    def build(self) -> M2d:
        """Return the network, its weights not yet loaded."""
        return M2d(self.geometry)

    def map_names(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a published checkpoint's tensors under this module's names; see `map_names`."""
        return map_names(state, self.geometry, self.name)


M2D_CLAP = M2dSpec("m2d_clap", geometry.M2D_CLAP)


class M2d(nn.Module):
    """The M2D backbone; parameters are named as in the checkpoints."""

    norm_stats: Tensor
    pos_embed: Tensor

    def __init__(self, geometry: M2dGeometry) -> None:
        super().__init__()
        dim = geometry.dim
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


def expected_shapes(geometry: M2dGeometry) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every tensor the network needs.

    >>> expected_shapes(geometry.M2D_CLAP)["pos_embed"]
    (1, 311, 768)
    """
    return shapes_of(lambda: M2d(geometry))


def map_names(
    state: Mapping[str, Tensor], geometry: M2dGeometry, encoder: str = "m2d_clap"
) -> dict[str, Tensor]:
    """Return a published checkpoint's tensors under this module's names.

    Knows the three prefixes of the published files, and what it returns itself. What stands outside
    a prefix is left out (front-end, heads, text encoder), inside it only the names of `IGNORED`.
    A file without `norm_stats` gets the mean and deviation of the 2024 models.

    Raises
    ------
    WeightsError
        A tensor is missing, too many or misshapen; the message lists them.
    """
    tensors = unwrap(state)
    prefix = next((start for start in PREFIXES if f"{start}cls_token" in tensors), None)
    if prefix is None:
        expected = " or ".join(f"{start}cls_token" for start in PREFIXES)
        raise WeightsError(
            f"the tensors are not those of {encoder}: expected {expected} among them; "
            f"give the file published for {encoder}"
        )
    renamed = {"norm_stats": torch.tensor([DEFAULT_MEAN, DEFAULT_STD])}
    for name, tensor in tensors.items():
        plain = name.removeprefix(prefix)
        if name.startswith(prefix) and not plain.startswith(IGNORED):
            renamed[plain] = tensor
    check_tensors(renamed, expected_shapes(geometry), encoder)
    return renamed
