"""How a detector hears: its encoder, the layers it listens to, pooling, length policy and channel.

Input: the settings as a user writes them. Output: a checked `Hearing`, which reads clips and says
in its recipe all that decides an embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from firstshot.encoders import load_encoder
from firstshot.encoders.pooling import check_pooling, resolve_layers
from firstshot.encoders.protocol import Encoder
from firstshot.errors import warn
from firstshot.sound.audio import Channel, LengthPolicy, load_waveform, read_blocks
from firstshot.sound.recording import Recording, record


@dataclass(frozen=True)
class Clip:
    """A clip to be heard: its name and its file, or its samples with their rate in Hz."""

    name: str
    source: Path | NDArray[Any]
    sample_rate: int | None = None


@dataclass(frozen=True)
class Hearing:
    """How clips are heard: by which encoder, at which layers, pooled and cut how."""

    encoder: Encoder
    layers: tuple[int, ...]
    pooling: str = "temporal"
    length: LengthPolicy = field(default_factory=LengthPolicy)
    channel: Channel = "mean"

    def recipe(self) -> dict[str, object]:
        """Return all that decides an embedding besides the samples and the layer."""
        return {
            "encoder": self.encoder.name,
            "fingerprint": self.encoder.fingerprint,
            "pooling": self.pooling,
            "length": str(self.length),
        }

    def read(self, clip: Clip, check: Callable[[int], object] = lambda samples: None) -> Recording:
        """Return the clip, mono at the encoder's rate, as the length policy hears it.

        `check` is called with the samples of a clip that gets too long to be held without care.
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


def make_hearing(
    encoder: str | Encoder,
    settings: Mapping[str, Any] | None = None,
    *,
    layers: Sequence[int] | None = None,
    pooling: str = "temporal",
    length: str | LengthPolicy = "native",
    channel: Channel = "mean",
    fetch_missing: bool = True,
) -> Hearing:
    """Check the settings and load the encoder; `settings` are its constructor's.

    Without `fetch_missing`, an encoder whose weights are not on this machine is a WeightsError.

    Raises
    ------
    ParameterError
        A setting has a value that cannot be used, or the encoder is not known.

    Examples
    --------
    >>> hearing = make_hearing("logmel", layers=[-1], length="windows:10:5")
    >>> hearing.layers, hearing.recipe()["length"]
    ((2,), 'windows:10:5')
    """
    check_pooling(pooling)
    policy = LengthPolicy.parse(length) if isinstance(length, str) else length
    if isinstance(encoder, str):
        encoder = load_encoder(encoder, fetch_missing=fetch_missing, **(settings or {}))
    asked = encoder.default_layers if layers is None else layers
    return Hearing(
        encoder, resolve_layers(asked, encoder.depth, encoder.name), pooling, policy, channel
    )
