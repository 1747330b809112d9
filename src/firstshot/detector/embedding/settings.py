"""How clips become embeddings: encoder, layers, pooling, length policy and channel.

Input: the settings as a user writes them. Output: checked `EmbeddingSettings`, which read clips and
return in their recipe all that decides an embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from firstshot.encoders import load_encoder
from firstshot.encoders.pooling import check_pooling, resolve_layers
from firstshot.encoders.protocol import Encoder
from firstshot.errors import ParameterError, warn
from firstshot.sound.audio import (
    Channel,
    LengthPolicy,
    load_waveform,
    read_blocks,
    read_near_and_far,
)
from firstshot.sound.near_far import NEAR_FAR, Transfer, fit_transfer
from firstshot.sound.recording import Recording, record


@dataclass(frozen=True)
class Clip:
    """A clip to embed: its name and its file, or its samples with their rate in Hz."""

    name: str
    source: Path | NDArray[Any]
    sample_rate: int | None = None


@dataclass(frozen=True)
class EmbeddingSettings:
    """The encoder, the layers taken from it, and how clips are pooled, cut and mixed to mono.

    `pooling` is one for all layers, or a tuple of one per layer.
    """

    encoder: Encoder
    layers: tuple[int, ...]
    pooling: str | tuple[str, ...] = "temporal"
    length: LengthPolicy = field(default_factory=LengthPolicy)
    channel: Channel = "mean"

    def recipe(self) -> dict[str, object]:
        """Return all that decides an embedding besides the samples and the layer."""
        return {
            "encoder": self.encoder.name,
            "fingerprint": self.encoder.fingerprint,
            "pooling": self.pooling if isinstance(self.pooling, str) else "by layer",
            "length": str(self.length),
        }

    @property
    def poolings(self) -> tuple[str, ...]:
        """The pooling of each layer."""
        if isinstance(self.pooling, str):
            return (self.pooling,) * len(self.layers)
        return self.pooling

    @property
    def array_names(self) -> tuple[str, ...]:
        """What the embeddings of each layer are called in the store."""
        if isinstance(self.pooling, str):
            return tuple(f"layer_{layer}" for layer in self.layers)
        pairs = zip(self.layers, self.poolings, strict=True)
        return tuple(f"layer_{layer}.{pooling}" for layer, pooling in pairs)

    def read(self, clip: Clip, check: Callable[[int], object] = lambda samples: None) -> Recording:
        """Return the clip, mono at the encoder's rate, cut by the length policy.

        `check` is called with the number of samples of a clip that gets long; it may raise.
        """
        rate, source = self.encoder.sample_rate, clip.source
        if not isinstance(source, Path):
            waveform = load_waveform(
                source, rate, source_rate=clip.sample_rate, channel=self.channel, name=clip.name
            )
            return record(lambda: [waveform], rate, self.length, check)
        notes: list[str] = []
        recording = record(
            lambda: read_blocks(source, rate, self.channel, notes.append), rate, self.length, check
        )
        for note in notes:
            warn(note)
        return recording


def make_embedding_settings(
    encoder: str | Encoder,
    settings: Mapping[str, Any] | None = None,
    *,
    layers: Sequence[int] | None = None,
    pooling: str = "temporal",
    length: str | LengthPolicy = "native",
    channel: Channel = "mean",
    fetch_missing: bool = True,
) -> EmbeddingSettings:
    """Check the settings and load the encoder; `settings` are its constructor's arguments.

    Without `fetch_missing`, an encoder whose weights are not on this machine is a WeightsError.

    Raises
    ------
    ParameterError
        A setting has a value that cannot be used, or the encoder is not known.

    Examples
    --------
    >>> settings = make_embedding_settings("logmel", layers=[-1], length="windows:10:5")
    >>> settings.layers, settings.recipe()["length"]
    ((2,), 'windows:10:5')
    """
    check_pooling(pooling)
    policy = LengthPolicy.parse(length) if isinstance(length, str) else length
    if isinstance(encoder, str):
        encoder = load_encoder(encoder, fetch_missing=fetch_missing, **(settings or {}))
    wanted = encoder.default_layers if layers is None else layers
    return EmbeddingSettings(
        encoder, resolve_layers(wanted, encoder.depth, encoder.name), pooling, policy, channel
    )


def with_far_noise(
    settings: EmbeddingSettings, noise: Transfer | Sequence[Clip] | None
) -> EmbeddingSettings:
    """Return settings that subtract the far channel by a transfer function fitted on noise alone.

    Parameters
    ----------
    noise : Transfer, clips or None
        Recordings of both channels with the machine off, or what was fitted on them; None leaves
        the settings as they are.

    Raises
    ------
    ParameterError
        The channel is not near minus far.
    SoundError
        A recording cannot be read, or has one channel.
    """
    if noise is None:
        return settings
    if settings.channel != NEAR_FAR:
        raise ParameterError(
            f"far_noise with channel {settings.channel!r}: noise of the room is used by channel "
            f"{NEAR_FAR!r} only; choose that channel, or leave far_noise out"
        )
    rate = settings.encoder.sample_rate
    if not isinstance(noise, Transfer):
        recordings = (
            read_near_and_far(clip.source, clip.sample_rate, rate, clip.name) for clip in noise
        )
        noise = fit_transfer(recordings, rate)
    return replace(settings, channel=noise.at(rate))


def resolved_encoder_settings(
    encoder: Encoder, given: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """Return an encoder's settings with the runtime that `auto` chose in place of `auto`."""
    chosen = {}
    if getattr(encoder, "runtime", "torch") != "torch":
        chosen = {name: getattr(encoder, name) for name in ("runtime", "precision")}
    elif {"runtime", "precision"} & set(given or {}):
        chosen = {"runtime": "torch"}  # whatever was given led there
    # The number of cores belongs to the machine, and decides no number.
    kept = {k: v for k, v in (given or {}).items() if k not in ("runtime", "threads", "workers")}
    return {**kept, **chosen} or None
