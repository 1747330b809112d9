"""The embedded default encoder: log-mel statistics, no weights, numpy only.

Input: waveforms of any length from one frame (32 ms) on. Output: two layers on a grid of one time
step (the whole clip) by 48 mel bands.

Layer 1, what a band sounds like, three numbers per band:

- the mean of its log energy over time, after the clip's overall level is taken off, so that a
  microphone moved or a gain changed is not an anomaly (`keep_level=True` keeps the level),
- its standard deviation over time, which sees clicks, beats and load changes,
- its flux, the mean absolute step from one frame to the next, which sees roughness that the
  deviation cannot tell from slow change.

Layer 2, how a band's envelope moves: the standard deviation of the log energy after averaging over
20, 40, 80 and 160 ms, four numbers per band. What repeats faster than a window is averaged away, so
the four together are a coarse modulation spectrum that needs no longer a clip than 0.1 s.

Energies are in nepers (natural logarithm of power). The three kinds of numbers have different
scales, so a detector standardises each dimension on its training clips.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from firstshot.encoders.clips import check_length, prepare_waveforms
from firstshot.encoders.pooling import pool_layers, resolve_layer, resolve_layers
from firstshot.encoders.protocol import Waveforms
from firstshot.errors import ParameterError
from firstshot.sound.mel import MelSpec, mel_edges, mel_energies

Encoded = TypeVar("Encoded")
POWER_FLOOR = 1e-10
"""Added to every band's power; about 20 dB below the rounding noise of 16-bit samples."""


@dataclass(frozen=True)
class LogMel:
    """Log-mel statistics of a clip behind the `Encoder` protocol.

    Parameters
    ----------
    keep_level : bool
        Keep the clip's overall level in the band means: the detector then also hears a machine
        that is only louder or quieter, and a microphone that has moved.

    Examples
    --------
    >>> clips = np.random.default_rng(0).standard_normal((2, 16000)).astype(np.float32)
    >>> [layer.shape for layer in LogMel().layers(clips)]
    [(2, 1, 48, 3), (2, 1, 48, 4)]
    >>> [layer.shape for layer in LogMel().embed(clips)]
    [(2, 144)]
    """

    keep_level: bool = False
    name: str = field(default="logmel", init=False)
    sample_rate: int = field(default=16000, init=False)
    window: int = field(default=512, init=False)
    hop: int = field(default=160, init=False)
    bands: int = field(default=48, init=False)
    low_hz: float = field(default=50.0, init=False)
    high_hz: float = field(default=7800.0, init=False)
    blocks: tuple[int, ...] = field(default=(2, 4, 8, 16), init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.keep_level, bool):
            raise ParameterError(
                f"keep_level is {self.keep_level!r}: expected true or false, without quotes"
            )

    depth = 2
    parameters = 0
    default_layers = (1,)
    default_transform = "standardize"
    micro_batch = 1

    @property
    def minimum_samples(self) -> int:
        """Samples of the shortest clip: one window."""
        return self.window

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of the constants, which are all that decides this encoder's output."""
        constants = json.dumps([1, POWER_FLOOR, asdict(self)], sort_keys=True)
        return hashlib.sha256(constants.encode()).hexdigest()

    def frequency_bands(self, layer: int) -> tuple[tuple[float, float], ...]:
        """Return the lowest and highest frequency in Hz of each band's triangle."""
        resolve_layer(layer, self.depth, self.name)
        edges = mel_edges(self._mel)
        return tuple(zip(edges[:-2].tolist(), edges[2:].tolist(), strict=True))

    def dim(self, layer: int) -> int:
        """Return the numbers per band: 3 of layer 1, 4 of layer 2."""
        return 3 if resolve_layer(layer, self.depth, self.name) == 1 else len(self.blocks)

    def grid(self, samples: int, layer: int) -> tuple[int, int]:
        """Return (1, 48): the statistics are of the whole clip."""
        resolve_layer(layer, self.depth, self.name)
        check_length(samples, self.sample_rate, self.minimum_samples, self.name)
        return 1, self.bands

    def macs(self, samples: int) -> int:
        """Return the multiply-accumulates of the mel bank; Fourier transforms are not counted."""
        return self._frames(samples) * (self.window // 2 + 1) * self.bands

    def layers(
        self,
        waveforms: Waveforms,
        sample_rate: int = 16000,
        layers: Sequence[int] | None = None,
    ) -> list[NDArray[np.float32]]:
        """Return one float32 array (clips, 1, 48, 3 or 4) per requested layer; None means both.

        Raises
        ------
        SoundError
            A clip is shorter than one window, or has samples that are not finite.
        ParameterError
            A layer does not exist.
        """
        chosen = range(1, self.depth + 1) if layers is None else layers
        wanted = resolve_layers(chosen, self.depth, self.name)
        clips = prepare_waveforms(
            waveforms, sample_rate, self.sample_rate, self.minimum_samples, self.name
        )

        def encode(samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
            energies = self._log_energies(samples)
            return [self._level(energies) if n == 1 else self._motion(energies) for n in wanted]

        encoded = _each(encode, clips)
        return [np.stack([clip[i] for clip in encoded])[:, np.newaxis] for i in range(len(wanted))]

    def embed(
        self,
        waveforms: Waveforms,
        sample_rate: int = 16000,
        layers: Sequence[int] | None = None,
        pooling: str | Sequence[str] = "temporal",
    ) -> list[NDArray[np.float32]]:
        """Return one float32 array (clips, 48 * 3 or 4) per requested layer; None means layer 1."""
        wanted = self.default_layers if layers is None else layers
        outputs = self.layers(waveforms, sample_rate, wanted)
        return pool_layers(outputs, pooling)

    def measure(
        self, waveforms: Waveforms, sample_rate: int = 16000
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return layer 1 as `embed` does, and the overall level that is taken off, (clips,) in dB.

        The level is that of the mean power over frames and bands; 0 dB is the filter bank's own.
        """
        clips = prepare_waveforms(
            waveforms, sample_rate, self.sample_rate, self.minimum_samples, self.name
        )

        def encode(samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
            energies = self._energies(samples)
            level = 10.0 * np.log10(energies.mean(dtype=np.float64))
            return self._level(self._logarithms(energies)).reshape(-1), float(level)

        rows, levels = zip(*_each(encode, clips), strict=True)
        return np.stack(rows), np.array(levels, dtype=np.float32)

    def share(self, workers: int, clips: int) -> AbstractContextManager[Callable[[], object]]:
        """Let several threads call at once: they share no state."""
        return nullcontext(lambda: None)

    def _frames(self, samples: int) -> int:
        check_length(samples, self.sample_rate, self.minimum_samples, self.name)
        return 1 + (samples - self.window) // self.hop

    def _log_energies(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._logarithms(self._energies(samples))

    def _energies(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the power (frames, bands), never zero."""
        energies = mel_energies(samples, self._mel, centred=False)
        energies += np.float32(POWER_FLOOR)
        return energies

    def _logarithms(self, energies: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the log power (frames, bands), the clip's level removed unless it is kept."""
        level = np.float32(1.0) if self.keep_level else energies.mean(dtype=np.float64)
        logarithms: NDArray[np.float32] = np.log(energies / np.float32(level))
        return logarithms

    @property
    def _mel(self) -> MelSpec:
        return MelSpec(
            self.window,
            self.bands,
            self.low_hz,
            self.high_hz,
            scale="htk",
            area=False,
            hop=self.hop,
            sample_rate=self.sample_rate,
        )

    @staticmethod
    def _level(energies: NDArray[np.float32]) -> NDArray[np.float32]:
        steps = np.abs(np.diff(energies, axis=0)).mean(axis=0) if len(energies) > 1 else 0.0
        mean, deviation = energies.mean(axis=0), energies.std(axis=0)
        return np.stack([mean, deviation, np.broadcast_to(np.float32(steps), mean.shape)], axis=1)

    def _motion(self, energies: NDArray[np.float32]) -> NDArray[np.float32]:
        columns = []
        for block in self.blocks:
            count = max(len(energies) // block, 1)
            pieces = energies[: count * block].reshape(count, -1, self.bands)
            columns.append(pieces.mean(axis=1).std(axis=0))
        return np.stack(columns, axis=1)


def _each(
    encode: Callable[[NDArray[np.float32]], Encoded], clips: Sequence[NDArray[np.float32]]
) -> list[Encoded]:
    """Encode each clip on its own, so that its numbers cannot depend on the batch it came in."""
    if len(clips) == 1:
        return [encode(clips[0])]
    # numpy lets go of the interpreter in the transforms, which is where the time goes.
    with ThreadPoolExecutor(max_workers=2) as pool_of_threads:
        return list(pool_of_threads.map(encode, clips))
