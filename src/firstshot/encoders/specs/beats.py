"""BEATs without its weights: sizes, counts, front-end, and the configuration of its checkpoints.

Input: a waveform (samples,) at 16 kHz. Output: the normalised Kaldi log-mel (frames, 128). Source:
BEATs (Chen et al. 2022), the published inference code, described.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from firstshot.encoders.specs.base import CLASSES, HOP, PATCH, Spec
from firstshot.encoders.specs.transformer import TransformerGeometry
from firstshot.errors import WeightsError
from firstshot.sound.spectrogram import KaldiMel, count_frames, kaldi_log_mel, row_bands

BEATS_MEL = KaldiMel("povey", scale=32768.0)
MEAN, DEVIATION = 15.41663, 6.55582
"""Mean and deviation of AudioSet's log-mel of 16-bit samples; twice the deviation is divided by."""
REQUIRED = {
    "layer_norm_first": False,
    "deep_norm": True,
    "gru_rel_pos": True,
    "relative_position_embedding": True,
    "activation_fn": "gelu",
    "conv_bias": False,
    "input_patch_size": PATCH,
}
"""What the configuration of a checkpoint must say for `models.beats` to be its network."""


@dataclass(frozen=True)
class BeatsGeometry(TransformerGeometry):
    """BEATs: 128 Kaldi log-mel rows, no CLS, tokens time-major.

    >>> BeatsGeometry().grid(160000, 1), BeatsGeometry().macs(160000)
    ((62, 8), 45009203200)
    """

    minimum_samples: int = 400 + 15 * HOP
    hidden: int = 3072
    patch_dim: int = 512
    kernel: int = 128
    groups: int = 16
    buckets: int = 320
    classes: int = CLASSES

    def steps(self, samples: int) -> tuple[int, ...]:
        """Return the time steps of a clip, which is one piece."""
        return (count_frames(samples) // PATCH,)

    def macs(self, samples: int, attention: bool = False) -> int:
        """Return the MACs of one clip and its tagging head: the report's code runs it per token."""
        steps, rows = self.grid(samples, 1)
        tokens = steps * rows
        patches = self.patch_dim * PATCH**2 + 4 * self.patch_dim + self.patch_dim * self.dim
        gates = 8 * self.dim * self.depth
        # The position convolution gives one position more than it gets; the last one is dropped.
        convolution = (tokens + 1) * self.dim * (self.dim // self.groups) * self.kernel
        stack = self.stack_macs(tokens, attention)
        return tokens * (patches + gates + self.dim * self.classes) + convolution + stack

    def counted_parameters(self) -> int:
        """Return the parameters as thop counts them: with the head, without the table of biases."""
        patches = self.patch_dim * (PATCH**2 + 2) + self.dim * (self.patch_dim + 1)
        gates = self.depth * 8 * (self.dim // self.heads + 1)
        convolution = self.dim * (self.dim // self.groups) * self.kernel + self.kernel + self.dim
        head = self.classes * (self.dim + 1)
        return patches + gates + convolution + self.stack_parameters() + head

    def learned_parameters(self) -> int:
        """Return how many learned values reach an embedding: biases and gate scales, no head."""
        head = self.classes * (self.dim + 1)
        return self.counted_parameters() - head + self.heads * (self.depth + self.buckets)


@dataclass(frozen=True)
class BeatsSpec(Spec):
    """The constants and the front-end of BEATs.

    Attributes
    ----------
    max_distance : int
        From this many tokens on, all distances share one bias. The published files say 800.

    Examples
    --------
    >>> silence = np.zeros(96000, dtype=np.float32)
    >>> BEATS_FT1.front_end(silence).shape, BEATS_FT1.grid(96000, 1)
    ((598, 128), (37, 8))
    """

    family: ClassVar[str] = "beats"
    least_padded: ClassVar[int] = 400

    geometry: BeatsGeometry = BeatsGeometry()
    mel: KaldiMel = BEATS_MEL
    max_distance: int = 800

    def spectrogram(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the normalised log-mel (frames, 128) of a waveform (samples,)."""
        log_mel = kaldi_log_mel(waveform, self.mel)
        log_mel -= np.float32(MEAN)
        log_mel *= np.float32(0.5 / DEVIATION)
        return log_mel

    def front_end_constants(self) -> dict[str, Any]:
        """Return every constant that decides a spectrogram, as JSON values."""
        return {**asdict(self.mel), "mean": MEAN, "factor": 0.5 / DEVIATION}

    def frequency_bands(self, layer: int) -> tuple[tuple[float, float], ...]:
        """Return the lowest and highest frequency in Hz of each row of a layer's grid."""
        return row_bands(self.mel, self.geometry.rows)


BEATS_FT1 = BeatsSpec("beats_ft1")


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
            classes=int(cfg.get("predictor_class", CLASSES)),
        )
        if min(vars(read).values()) < 1 or read.dim % read.groups or read.dim % read.heads:
            raise ValueError(f"{read} is no geometry")
        return BeatsSpec(name, read, max_distance=int(cfg["max_distance"]))
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{name}: the checkpoint's cfg cannot be used ({error!r}); give the published file"
        ) from error


@lru_cache(maxsize=16)
def distance_buckets(tokens: int, buckets: int, max_distance: int) -> NDArray[np.int64]:
    """Return the bucket of every distance key - query, from 1 - tokens to tokens - 1.

    Half of the buckets are for keys behind the query; of each half, one half counts distances
    exactly, the rest in logarithmic steps up to `max_distance`, in float32 as in the original.

    >>> distance_buckets(4, buckets=8, max_distance=16).tolist()
    [2, 2, 1, 0, 5, 6, 6]
    """
    half, exact = buckets // 2, buckets // 4
    distance = np.abs(np.arange(1 - tokens, tokens))
    far = np.maximum(distance, 1).astype(np.float32) / np.float32(exact)
    steps = np.log(far) / np.float32(np.log(max_distance / exact)) * np.float32(half - exact)
    coarse = np.minimum(half - 1, exact + np.trunc(steps).astype(np.int64))
    bucket: NDArray[np.int64] = np.where(distance < exact, distance, coarse)
    bucket[tokens:] += half
    return bucket
