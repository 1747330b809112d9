"""The spectra of the recommended setting: no weights, numpy only.

Input: waveforms of any length at 16 kHz; one shorter than a window is padded with zeros behind.
Output: four layers on a grid of one time step (the whole clip) by bands. The clip's mean is
subtracted first, and every layer is free of the clip's overall level. With E the natural logarithm
of a band's power plus 1e-10:

1. *shape and change*, 48 mel bands from 50 to 7,800 Hz, windows of 32 ms every 10 ms: the mean of E
   over time relative to the clip's level, its deviation, and the mean absolute step from one frame
   to the next;
2. *fine shape*, 128 mel bands from 20 to 7,900 Hz, windows of 64 ms every 16 ms: the mean of E over
   time relative to the mean power of the bands, and its deviation;
3. *change*: the third of the numbers of layer 1 alone;
4. *lines*, 192 bands equally spaced in log frequency from 20 to 7,900 Hz, windows of 0.5 s every
   0.13 s: E of the mean spectrum, relative to its mean over bands.

The numbers of a band follow each other: value f * numbers + d is number d of band f.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from firstshot.encoders.clips import check_length, prepare_waveforms
from firstshot.encoders.pooling import pool_layers, resolve_layer, resolve_layers
from firstshot.encoders.protocol import Waveforms
from firstshot.encoders.specs.log_spectra import (
    FINE,
    LINES,
    POWER_FLOOR,
    SHAPE,
    fine_of,
    lines_of,
    shape_of,
)
from firstshot.sound.mel import MelSpec, mel_edges

BANKS = (SHAPE, FINE, SHAPE, LINES)
NUMBERS = (3, 2, 1, 1)
"""The filter bank of each layer, and its numbers per band."""


class Spectra:
    """Log spectra of a clip behind the `Encoder` protocol.

    Examples
    --------
    >>> clips = np.random.default_rng(0).standard_normal((2, 16000)).astype(np.float32)
    >>> [layer.shape for layer in Spectra().embed(clips, layers=[1, 2, 3, 4])]
    [(2, 144), (2, 256), (2, 48), (2, 192)]
    """

    name = "spectra"
    sample_rate = 16000
    depth = len(BANKS)
    default_layers = (1, 2, 3, 4)
    default_transform = "none"
    parameters = 0
    minimum_samples = 1
    micro_batch = 1

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of the constants, which are all that decides this encoder's output."""
        constants = json.dumps([1, float(POWER_FLOOR), [asdict(b) for b in BANKS]], sort_keys=True)
        return hashlib.sha256(constants.encode()).hexdigest()

    def frequency_bands(self, layer: int) -> tuple[tuple[float, float], ...]:
        """Return lowest and highest frequency in Hz of each band of a layer (1 to 4)."""
        edges = mel_edges(self._bank(layer))
        return tuple(zip(edges[:-2].tolist(), edges[2:].tolist(), strict=True))

    def dim(self, layer: int) -> int:
        """Return the numbers per band of a layer."""
        return NUMBERS[resolve_layer(layer, self.depth, self.name) - 1]

    def grid(self, samples: int, layer: int) -> tuple[int, int]:
        """Return (1, bands): the numbers are of the whole clip."""
        check_length(samples, self.sample_rate, self.minimum_samples, self.name)
        return 1, self._bank(layer).mels

    def macs(self, samples: int) -> int:
        """Return the multiply-accumulates of the banks; Fourier transforms are not counted."""
        banks = (SHAPE, FINE, LINES)
        return sum(
            (1 + max(0, samples - bank.window) // bank.hop) * (bank.window // 2 + 1) * bank.mels
            for bank in banks
        )

    def layers(
        self,
        waveforms: Waveforms,
        sample_rate: int = 16000,
        layers: Sequence[int] | None = None,
    ) -> list[NDArray[np.float32]]:
        """Return one float32 array (clips, 1, bands, numbers) per layer asked for; None means all.

        Raises
        ------
        SoundError
            A clip has no samples, or samples that are not finite.
        ParameterError
            A layer does not exist.
        """
        asked = self.default_layers if layers is None else layers
        wanted = resolve_layers(asked, self.depth, self.name)
        clips = prepare_waveforms(
            waveforms, sample_rate, self.sample_rate, self.minimum_samples, self.name
        )
        encoded = [_encode(clip, wanted) for clip in clips]
        return [np.stack(rows)[:, np.newaxis] for rows in zip(*encoded, strict=True)]

    def embed(
        self,
        waveforms: Waveforms,
        sample_rate: int = 16000,
        layers: Sequence[int] | None = None,
        pooling: str | Sequence[str] = "temporal",
    ) -> list[NDArray[np.float32]]:
        """Return one float32 array (clips, values) per layer asked for; None means all."""
        return pool_layers(self.layers(waveforms, sample_rate, layers), pooling)

    def share(self, workers: int, clips: int) -> AbstractContextManager[Callable[[], object]]:
        """Let several threads ask at once: each computes by itself, and nothing is shared."""
        return nullcontext(lambda: None)

    def _bank(self, layer: int) -> MelSpec:
        return BANKS[resolve_layer(layer, self.depth, self.name) - 1]


def _encode(clip: NDArray[np.float32], layers: Sequence[int]) -> list[NDArray[np.float32]]:
    """Return (bands, numbers) of each layer for a clip (samples,)."""
    centred = clip - clip.mean(dtype=np.float64).astype(np.float32)
    found: dict[int, NDArray[np.float32]] = {}
    if {1, 3} & set(layers):
        found[1] = shape_of(centred)
        found[3] = found[1][:, 2:]
    if 2 in layers:
        found[2] = fine_of(centred)
    if 4 in layers:
        found[4] = lines_of(centred)
    return [found[layer] for layer in layers]
