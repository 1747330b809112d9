"""BEATs: a Kaldi log-mel spectrogram becomes tokens of post-norm blocks with gated positions.

Input: spectrograms (clips, frames, 128) of `BeatsSpec.front_end`. Output: per layer, tokens (clips,
time, 8, dim). Source: BEATs (Chen et al. 2022), the published inference code, described.

Attention adds to q k^T / 8 a bias per head that depends on the distance of two tokens, scaled by a
gate of the query (WavLM, Chen et al. 2021). One table of biases serves all layers. Residual sums
weigh the input by alpha = (2 depth)^(1/4) (DeepNet, Wang et al. 2022).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from firstshot.encoders.models.beats_attention import (
    GatedAttention,
    PositionConvolution,
    distance_buckets,
)
from firstshot.encoders.models.checkpoint_names import check_tensors, unwrap
from firstshot.encoders.models.transformer import run_blocks, shapes_of
from firstshot.encoders.specs import geometry
from firstshot.encoders.specs.geometry import PATCH, BeatsGeometry
from firstshot.errors import ParameterError, WeightsError
from firstshot.sound.spectrogram import KaldiMel, kaldi_log_mel, row_bands

BEATS_MEL = KaldiMel("povey", scale=32768.0)
MEAN, DEVIATION = 15.41663, 6.55582
"""Mean and deviation of AudioSet's log-mel of 16-bit samples; twice the deviation is divided by."""
IGNORED = ("predictor.",)
"""Starts of the checkpoint names that no embedding needs: the tagging head."""
TABLE = "relative_attention_bias.weight"
REQUIRED = {
    "layer_norm_first": False,
    "deep_norm": True,
    "gru_rel_pos": True,
    "relative_position_embedding": True,
    "activation_fn": "gelu",
    "conv_bias": False,
    "input_patch_size": PATCH,
}
"""What the configuration of a checkpoint must say for this module to be its network."""


@dataclass(frozen=True)
class BeatsSpec:
    """The constants and the numpy part of BEATs.

    Attributes
    ----------
    max_distance : int
        From this many tokens on, all distances share one bias. The published files say 800.
    fixed_samples : int
        Make every waveform that long first, by zeros behind it or by keeping its start; 0 for as
        it is. GenRep's code did so with 160000.

    Examples
    --------
    >>> silence = np.zeros(96000, dtype=np.float32)
    >>> BEATS_FT1.front_end(silence).shape, BEATS_FT1.grid(96000)
    ((598, 128), (37, 8))
    """

    name: str
    geometry: BeatsGeometry
    mel: KaldiMel = BEATS_MEL
    max_distance: int = 800
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
        """Samples of the shortest clip that fills one patch, or one frame where it is padded."""
        return self.mel.frame if self.fixed_samples else self.geometry.minimum_samples

    def front_end(
        self, waveform: NDArray[np.float32], sample_rate: int = 16000
    ) -> NDArray[np.float32]:
        """Return the normalised log-mel (frames, 128) of a clip (samples,) at 16 kHz."""
        if sample_rate != self.mel.sample_rate:
            raise ParameterError(
                f"sample_rate {sample_rate}: {self.name} hears at {self.mel.sample_rate} Hz; "
                "resample the clip first"
            )
        if self.fixed_samples:
            waveform = waveform[: self.fixed_samples]
            waveform = np.pad(waveform, (0, self.fixed_samples - len(waveform)))
        log_mel = kaldi_log_mel(waveform, self.mel)
        log_mel -= np.float32(MEAN)
        log_mel *= np.float32(0.5 / DEVIATION)
        return log_mel

    def grid(self, samples: int) -> tuple[int, int]:
        """Return the token grid (time, freq) of a clip of that many samples."""
        return self.geometry.grid(self.fixed_samples or samples)

    def macs(self, samples: int) -> int:
        """Return the MACs of one clip, as Table 4 of the report counts them."""
        return self.geometry.macs(self.fixed_samples or samples)

    def frequency_bands(self) -> tuple[tuple[float, float], ...]:
        """Return lowest and highest frequency in Hz of each row of the grid."""
        return row_bands(self.mel, self.geometry.rows)

    def build(self) -> Beats:
        """Return the network, its weights not yet loaded."""
        return Beats(self.geometry, self.max_distance)

    def map_names(self, state: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return a published checkpoint's tensors under this module's names; see `map_names`."""
        return map_names(state, self.geometry, self.name)


BEATS_FT1 = BeatsSpec("beats_ft1", geometry.BEATS)


def spec_from_cfg(cfg: Mapping[str, Any], name: str = "beats_ft1") -> BeatsSpec:
    """Return the spec of a checkpoint from its own configuration, the entry `cfg` of the file.

    Raises
    ------
    WeightsError
        The file is of a variant with another network, or a value is missing.

    Examples
    --------
    >>> spec_from_cfg({"layer_norm_first": True})
    Traceback (most recent call last):
    ...
    firstshot.errors.WeightsError: beats_ft1: the checkpoint has layer_norm_first True, expected \
False; other BEATs variants are not supported, give BEATs_iter3_plus_AS2M_finetuned_on_AS2M_cpt1.pt
    """
    for key, expected in REQUIRED.items():
        if cfg.get(key, "missing") != expected:
            raise WeightsError(
                f"{name}: the checkpoint has {key} {cfg.get(key, 'missing')}, expected {expected}; "
                "other BEATs variants are not supported, give "
                "BEATs_iter3_plus_AS2M_finetuned_on_AS2M_cpt1.pt"
            )
    try:
        read = BeatsGeometry(
            dim=int(cfg["encoder_embed_dim"]),
            heads=int(cfg["encoder_attention_heads"]),
            depth=int(cfg["encoder_layers"]),
            hidden=int(cfg["encoder_ffn_embed_dim"]),
            patch_dim=int(cfg["embed_dim"]),
            kernel=int(cfg["conv_pos"]),
            groups=int(cfg["conv_pos_groups"]),
            buckets=int(cfg["num_buckets"]),
            classes=int(cfg.get("predictor_class", geometry.CLASSES)),
        )
        if min(vars(read).values()) < 1 or read.dim % read.groups or read.dim % read.heads:
            raise ValueError(f"{read} is no geometry")
        return BeatsSpec(name, read, max_distance=int(cfg["max_distance"]))
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{name}: the checkpoint's cfg cannot be used ({error!r}); give the published file"
        ) from error


class BeatsBlock(nn.Module):
    """Attention and MLP, each followed by LayerNorm(alpha * input + output)."""

    def __init__(self, geometry: BeatsGeometry) -> None:
        super().__init__()
        dim = geometry.dim
        self.alpha = (2.0 * geometry.depth) ** 0.25
        self.self_attn = GatedAttention(dim, geometry.heads)
        self.self_attn_layer_norm = nn.LayerNorm(dim)
        self.fc1, self.fc2 = nn.Linear(dim, geometry.hidden), nn.Linear(geometry.hidden, dim)
        self.final_layer_norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, distance_bias: Tensor) -> Tensor:
        """Map tokens (clips, tokens, dim) to the same shape."""
        x = self.self_attn_layer_norm(self.alpha * x + self.self_attn(x, distance_bias))
        branch = self.fc2(functional.gelu(self.fc1(x)))
        out: Tensor = self.final_layer_norm(self.alpha * x + branch)
        return out


class BeatsStack(nn.Module):
    """Positions and blocks; `encoder` in the checkpoints' names."""

    def __init__(self, geometry: BeatsGeometry, max_distance: int) -> None:
        super().__init__()
        self.max_distance = max_distance
        convolution = PositionConvolution(geometry.dim, geometry.kernel, geometry.groups)
        self.pos_conv = nn.ModuleList([convolution])
        self.layer_norm = nn.LayerNorm(geometry.dim)
        self.relative_attention_bias = nn.Embedding(geometry.buckets, geometry.heads)
        self.layers = nn.ModuleList(BeatsBlock(geometry) for _ in range(geometry.depth))

    def with_positions(self, x: Tensor) -> Tensor:
        """Add the positions to tokens (clips, tokens, dim) and normalise."""
        out: Tensor = self.layer_norm(x + self.pos_conv[0](x))
        return out

    def distance_bias(self, tokens: int) -> Tensor:
        """Return the bias (heads, tokens, tokens) that the gates of every layer scale."""
        table = self.relative_attention_bias.weight
        buckets = distance_buckets(tokens, table.shape[0], self.max_distance)
        by_distance = table[torch.from_numpy(buckets).to(table.device)].t()
        # Row i of the bias begins at distance -i: windows over the distances, the last one first.
        return by_distance.unfold(1, tokens, 1).flip(1)


class Beats(nn.Module):
    """The network without its tagging head; parameters are named as in the checkpoints."""

    def __init__(self, geometry: BeatsGeometry, max_distance: int = 800) -> None:
        super().__init__()
        self.patch_embedding = nn.Conv2d(1, geometry.patch_dim, PATCH, stride=PATCH, bias=False)
        self.layer_norm = nn.LayerNorm(geometry.patch_dim)
        self.post_extract_proj = nn.Linear(geometry.patch_dim, geometry.dim)
        self.encoder = BeatsStack(geometry, max_distance)

    def tokens_by_layer(self, spectrogram: Tensor, layers: tuple[int, ...]) -> list[Tensor]:
        """Map (clips, frames, 128) to tokens (clips, time, 8, dim) of each of ascending layers."""
        x = self.encoder.with_positions(self.embed_patches(spectrogram))
        bias = self.encoder.distance_bias(x.shape[1])
        blocks = [partial(layer, distance_bias=bias) for layer in self.encoder.layers]
        rows = spectrogram.shape[2] // PATCH
        outputs = run_blocks(blocks, x, layers)
        return [out.view(len(out), -1, rows, out.shape[2]) for out in outputs]

    def embed_patches(self, spectrogram: Tensor) -> Tensor:
        """Map (clips, frames, mels) to patches (clips, tokens, dim), time-major, no positions."""
        patches = self.patch_embedding(spectrogram.unsqueeze(1)).flatten(2).transpose(1, 2)
        projected: Tensor = self.post_extract_proj(self.layer_norm(patches))
        return projected


def expected_shapes(geometry: BeatsGeometry) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every tensor the network needs.

    >>> expected_shapes(geometry.BEATS)["encoder.relative_attention_bias.weight"]
    (320, 12)
    """
    return shapes_of(lambda: Beats(geometry))


def map_names(
    state: Mapping[str, Any], geometry: BeatsGeometry, encoder: str = "beats_ft1"
) -> dict[str, Tensor]:
    """Return a published checkpoint's tensors under this module's names.

    Knows the names of the `.pt` files (perhaps wrapped in `model`) and what it returns itself. The
    tagging head is left out; the table of biases, stored once a layer, is kept once.

    Raises
    ------
    WeightsError
        A tensor is missing, too many or misshapen, or the layers' tables of biases differ.
    """
    renamed, tables = {}, {}
    for name, tensor in unwrap(state).items():
        if name.startswith("encoder.layers.") and name.endswith(TABLE):
            tables[name] = tensor
        elif not name.startswith(IGNORED):
            renamed[name] = tensor
    for name, table in tables.items():
        first = renamed.setdefault(f"encoder.{TABLE}", table)
        if first.shape != table.shape or not torch.equal(first, table):
            raise WeightsError(
                f"the tensors are not those of {encoder}: {name} differs from the first layer's, "
                f"expected one table for all layers; give the file published for {encoder}"
            )
    if tables and len(tables) != geometry.depth:
        raise WeightsError(
            f"the tensors are not those of {encoder}: {len(tables)} tables {TABLE}, expected "
            f"{geometry.depth}, one a layer; give the file published for {encoder}"
        )
    check_tensors(renamed, expected_shapes(geometry), encoder)
    return renamed
