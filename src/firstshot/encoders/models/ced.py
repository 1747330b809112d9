"""CED (tiny, mini, small, base): a dB mel spectrogram becomes tokens of 12 pre-norm blocks.

Input: spectrograms (clips, frames, 64) of `CedSpec.front_end`, in dB. Output: per layer, tokens
(clips, time, 4, dim). Source: CED (Dinkel et al. 2023), the published inference code, described.

A spectrogram of more than 1012 frames is cut, after the batch norm, into pieces of 1012, the last
one padded with zeros; pieces are encoded each by itself and their time steps concatenated. Unlike
the original, a batch never mixes pieces of different clips, and no full last piece is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from firstshot.encoders.models.checkpoint_names import check_tensors, unwrap
from firstshot.encoders.models.transformer import Patches, PreNormBlock, run_blocks, shapes_of
from firstshot.encoders.specs import geometry
from firstshot.encoders.specs.geometry import PATCH, CedGeometry, centred_frames
from firstshot.errors import ParameterError
from firstshot.sound.mel import CED_MEL, MelSpec, ced_decibels, fixed_length, row_bands

Pooled = Literal["all", "real"]

NORM_EPS = 1e-6
INPUT_NORM_EPS = 1e-5
IGNORED = ("front_end.", "outputlayer.", "init_bn.num_batches_tracked")
"""Starts of the checkpoint names that no embedding needs: the front-end's tables, the head."""


@dataclass(frozen=True)
class CedSpec:
    """The constants and the numpy part of a CED encoder.

    Attributes
    ----------
    pooled : "all" or "real"
        Whether pooling averages over the padding of a last piece too, or only over time steps all
        of whose frames come from the clip; the same for clips of up to 1012 frames (10.1 s).
    fixed_samples : int
        Make every waveform that long first, by zeros behind it or by keeping its start; 0 for as
        it is. GenRep's code did so with 160000.

    Examples
    --------
    >>> CED_TINY.front_end(np.zeros(16000, dtype=np.float32)).shape, CED_TINY.grid(16000)
    ((101, 64), (6, 4))
    """

    name: str
    geometry: CedGeometry
    mel: MelSpec = CED_MEL
    pooled: Pooled = "all"
    fixed_samples: int = 0
    default_layers: tuple[int, ...] = (7, 10)

    def __post_init__(self) -> None:
        if self.pooled not in get_args(Pooled):
            raise ParameterError(
                f"pooled {self.pooled!r} is not known; choose one of {get_args(Pooled)}"
            )
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
        """Samples of the shortest clip that fills one patch, one sample where it is padded."""
        return 1 if self.fixed_samples else self.geometry.minimum_samples

    def front_end(
        self, waveform: NDArray[np.float32], sample_rate: int = 16000
    ) -> NDArray[np.float32]:
        """Return the dB mel (frames, 64) of a clip (samples,) at 16 kHz."""
        if sample_rate != self.mel.sample_rate:
            raise ParameterError(
                f"sample_rate {sample_rate}: {self.name} hears at {self.mel.sample_rate} Hz; "
                "resample the clip first"
            )
        if self.fixed_samples:
            waveform = fixed_length(waveform, self.fixed_samples)
        return ced_decibels(waveform)

    def grid(self, samples: int) -> tuple[int, int]:
        """Return the token grid (time, freq) of a clip of that many samples."""
        return self.geometry.grid(self.fixed_samples or samples)

    def pooled_time(self, samples: int) -> int:
        """Return how many time steps of the grid pooling averages over."""
        every = self.grid(samples)[0]
        frames, longest = centred_frames(self.fixed_samples or samples), self.geometry.piece_frames
        if self.pooled == "all" or frames % longest == 0:
            return every
        return frames // longest * (longest // PATCH) + frames % longest // PATCH

    def macs(self, samples: int) -> int:
        """Return the MACs of one clip, as Table 4 of the report counts them."""
        return self.geometry.macs(self.fixed_samples or samples)

    def frequency_bands(self) -> tuple[tuple[float, float], ...]:
        """Return lowest and highest frequency in Hz of each row of the grid."""
        return row_bands(self.mel, self.geometry.rows)

    def build(self) -> Ced:
        """Return the network, its weights not yet loaded."""
        return Ced(self.geometry)

    def map_names(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a published checkpoint's tensors under this module's names; see `map_names`."""
        return map_names(state, self.geometry, self.name)


CED_TINY = CedSpec("ced_tiny", geometry.CED_TINY)
CED_MINI = CedSpec("ced_mini", geometry.CED_MINI)
CED_SMALL = CedSpec("ced_small", geometry.CED_SMALL)
CED_BASE = CedSpec("ced_base", geometry.CED_BASE)


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

    def __init__(self, geometry: CedGeometry) -> None:
        super().__init__()
        dim = geometry.dim
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


def expected_shapes(geometry: CedGeometry) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every tensor the network needs.

    >>> expected_shapes(geometry.CED_TINY)["time_pos_embed"]
    (1, 192, 1, 63)
    """
    return shapes_of(lambda: Ced(geometry))


def map_names(
    state: Mapping[str, Tensor], geometry: CedGeometry, encoder: str = "CED"
) -> dict[str, Tensor]:
    """Return a published checkpoint's tensors under this module's names.

    Knows the names of the hub's safetensors files (all under `encoder.` but the tagging head) and
    of the Zenodo files (plain, the batch norm as `init_bn.1`, perhaps wrapped in `model`), and what
    it returns itself. Front-end tables, the head and the batch counter are left out.

    Raises
    ------
    WeightsError
        A tensor is missing, too many or misshapen; the message lists them.
    """
    tensors = unwrap(state)
    prefix = "encoder." if any(name.startswith("encoder.") for name in tensors) else ""
    renamed = {}
    for name, tensor in tensors.items():
        plain = name.removeprefix(prefix).replace("init_bn.1.", "init_bn.")
        if plain.startswith(IGNORED):
            continue
        renamed[plain if name.startswith(prefix) else f"{name} (without {prefix})"] = tensor
    check_tensors(renamed, expected_shapes(geometry), encoder)
    return renamed
