"""EAT (base, large) and SSLAM: a Kaldi log-mel spectrogram becomes tokens of post-norm blocks.

Input: spectrograms (clips, frames, 128) of `EatSpec.front_end`. Output: per layer, tokens (clips,
time, 8, dim), the CLS token dropped. Sources: EAT (Chen et al. 2024) and SSLAM (Alex et al. 2025),
whose inference code is one and the same; SSLAM is EAT base with other weights.

A layer's output is the block's, after its second norm. The training framework of the original
lists another tensor under the name of layer results, the MLP's output before the residual sum;
`EatSpec.output = "ffn"` gives that one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from firstshot.encoders.models.checkpoint_names import check_tensors, unwrap
from firstshot.encoders.models.transformer import Patches, PostNormBlock, run_blocks, shapes_of
from firstshot.encoders.specs import geometry
from firstshot.encoders.specs.geometry import PATCH, EatGeometry
from firstshot.errors import ParameterError, SoundError, WeightsError
from firstshot.sound.spectrogram import KaldiMel, count_frames, kaldi_log_mel, row_bands

Output = Literal["block", "ffn"]
Pooled = Literal["all", "real"]

EAT_MEL = KaldiMel("hanning")
MEAN, DEVIATION = -4.268, 4.569
"""Mean and deviation of AudioSet's log-mel; twice the deviation is divided by."""
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


@dataclass(frozen=True)
class EatSpec:
    """The constants and the numpy part of EAT or SSLAM.

    Attributes
    ----------
    geometry : EatGeometry
        Its `least_frames` is what short spectrograms are padded to: 1024 as published, 16 for no
        more than the last patch needs. Longer spectrograms are heard whole.
    output : "block" or "ffn"
        A layer's output: the block's, or its MLP's before residual sum and norm.
    pooled : "all" or "real"
        Whether pooling averages over padding too (as the literal reading of GenRep does), or only
        over time steps all of whose frames come from the clip.
    fixed_samples : int
        Make every waveform that long first, by zeros behind it or by keeping its start; 0 for as
        it is. GenRep's code did so with 160000.

    Examples
    --------
    >>> silence = np.zeros(96000, dtype=np.float32)
    >>> EAT_BASE.front_end(silence).shape, EAT_BASE.grid(96000)
    ((1024, 128), (64, 8))
    """

    name: str
    geometry: EatGeometry
    mel: KaldiMel = EAT_MEL
    output: Output = "block"
    pooled: Pooled = "all"
    fixed_samples: int = 0
    default_layers: tuple[int, ...] = (7, 10)

    def __post_init__(self) -> None:
        for setting, value, known in (
            ("output", self.output, get_args(Output)),
            ("pooled", self.pooled, get_args(Pooled)),
        ):
            if value not in known:
                raise ParameterError(f"{setting} {value!r} is not known; choose one of {known}")
        if self.fixed_samples and self.fixed_samples < self.minimum_samples:
            raise ParameterError(
                f"fixed_samples {self.fixed_samples}: {self.name} needs at least "
                f"{self.minimum_samples}, or 0 to hear clips as they are"
            )
        if self.geometry.least_frames % PATCH or self.geometry.least_frames < PATCH:
            raise ParameterError(
                f"least_frames {self.geometry.least_frames}: expected a multiple of {PATCH}"
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
        """Samples of the shortest clip that gives one frame; padding does the rest."""
        return self.geometry.minimum_samples

    def front_end(
        self, waveform: NDArray[np.float32], sample_rate: int = 16000
    ) -> NDArray[np.float32]:
        """Return the normalised, padded log-mel (frames, 128) of a clip (samples,) at 16 kHz.

        Padding is of raw zeros, before the normalisation, as in the original.
        """
        if sample_rate != self.mel.sample_rate:
            raise ParameterError(
                f"sample_rate {sample_rate}: {self.name} hears at {self.mel.sample_rate} Hz; "
                "resample the clip first"
            )
        if self.fixed_samples:
            waveform = waveform[: self.fixed_samples]
            waveform = np.pad(waveform, (0, self.fixed_samples - len(waveform)))
        log_mel = kaldi_log_mel(waveform, self.mel)
        padded = np.zeros((self.grid(len(waveform))[0] * PATCH, self.mel.mels), dtype=np.float32)
        padded[: len(log_mel)] = log_mel
        padded -= np.float32(MEAN)
        padded *= np.float32(0.5 / DEVIATION)
        return padded

    def grid(self, samples: int) -> tuple[int, int]:
        """Return the token grid (time, freq) of a clip of that many samples."""
        time, freq = self.geometry.grid(self.fixed_samples or samples)
        if time > self.geometry.most_steps:
            longest = self.geometry.most_steps * PATCH * self.mel.hop / self.mel.sample_rate
            raise SoundError(
                f"a clip of {samples / self.mel.sample_rate:.1f} s is too long for {self.name}, "
                f"whose positions end at {longest:.1f} s; cut it into windows"
            )
        return time, freq

    def pooled_time(self, samples: int) -> int:
        """Return how many time steps of the grid pooling averages over."""
        every = self.grid(samples)[0]
        if self.pooled == "all":
            return every
        return min(every, max(1, count_frames(samples) // PATCH))

    def macs(self, samples: int) -> int:
        """Return the MACs of one clip, as Table 4 of the report counts them."""
        return self.geometry.macs(self.fixed_samples or samples)

    def frequency_bands(self) -> tuple[tuple[float, float], ...]:
        """Return lowest and highest frequency in Hz of each row of the grid."""
        return row_bands(self.mel, self.geometry.rows)

    def build(self) -> Eat:
        """Return the network, its weights not yet loaded."""
        return Eat(self.geometry, self.output)

    def map_names(self, state: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return a published checkpoint's tensors under this module's names; see `map_names`."""
        return map_names(state, self.geometry, self.name)


EAT_BASE = EatSpec("eat", geometry.EAT_BASE)
EAT_LARGE = EatSpec("eat_large", geometry.EAT_LARGE, default_layers=(23, 24))
SSLAM = EatSpec("sslam", geometry.EAT_BASE)


class Eat(nn.Module):
    """The network without its tagging head; parameters are named as in the hub's checkpoints."""

    def __init__(self, geometry: EatGeometry, output: Output = "block") -> None:
        super().__init__()
        dim = geometry.dim
        self.output = output
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


@lru_cache(maxsize=16)
def position_table(time: int, rows: int, dim: int) -> NDArray[np.float32]:
    """Return the fixed positions (time * rows, dim) of a time-major grid.

    Row t*rows + f is [E(f), E(t)] with E(p) = [sin(p w), cos(p w)], w_k = 10000^(-4k/dim): in
    float32 as the original, whose phases of late time steps differ from the exact ones by 6e-5.

    >>> [round(float(value), 3) for value in position_table(2, 8, 8)[8]]
    [0.0, 0.0, 1.0, 1.0, 0.841, 0.01, 0.54, 1.0]
    """
    rates = 1.0 / 10000.0 ** (np.arange(dim // 4, dtype=np.float32) / np.float32(dim / 4))
    rates = rates.astype(np.float32)

    def encode(count: int) -> NDArray[np.float32]:
        phase = np.arange(count, dtype=np.float32)[:, None] * rates
        return np.concatenate([np.sin(phase), np.cos(phase)], axis=1)

    by_row, by_time = encode(rows), encode(time)
    return np.concatenate([np.tile(by_row, (time, 1)), np.repeat(by_time, rows, axis=0)], axis=1)


def expected_shapes(geometry: EatGeometry) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every tensor the network needs.

    >>> expected_shapes(geometry.EAT_BASE)["extra_tokens"]
    (1, 1, 768)
    """
    return shapes_of(lambda: Eat(geometry))


def map_names(
    state: Mapping[str, Any], geometry: EatGeometry, encoder: str = "eat"
) -> dict[str, Tensor]:
    """Return a published checkpoint's tensors under this module's names.

    Knows the names of the hub's safetensors files (all under `model.`), of the original's `.pt`
    files before and after fine-tuning (perhaps wrapped in `model`), and what it returns itself. The
    tagging head and what only training needs are left out; so is the position table, which is
    computed, once it was seen to be the known one.

    Raises
    ------
    WeightsError
        A tensor is missing, too many or misshapen, or the positions are not the fixed ones.
    """
    renamed = {}
    for name, tensor in unwrap(state).items():
        plain = name.removeprefix("model.")
        if plain.startswith(IGNORED):
            continue
        plain = plain.replace("modality_encoders.IMAGE.context_encoder.norm.", "pre_norm.")
        renamed[plain.removeprefix("modality_encoders.IMAGE.")] = tensor
    if POSITIONS in renamed:
        _check_positions(renamed.pop(POSITIONS), geometry, encoder)
    check_tensors(renamed, expected_shapes(geometry), encoder)
    return renamed


def _check_positions(stored: Tensor, geometry: EatGeometry, encoder: str) -> None:
    steps = geometry.least_frames // PATCH
    known = position_table(steps, geometry.rows, geometry.dim)
    rows = stored.reshape(-1, stored.shape[-1])[: len(known)]
    if tuple(rows.shape) != known.shape or np.abs(rows.float().numpy() - known).max() > 1e-3:
        raise WeightsError(
            f"the tensors are not those of {encoder}: {POSITIONS}, {tuple(stored.shape)}, is not "
            f"the sine-cosine table of {geometry.dim} values; give the file published for {encoder}"
        )
