"""Several encoders as one: their layers are numbered on, one encoder after the other.

Input: waveforms at the lowest of the encoders' sample rates, so that all of them get the same clip.
Output: the layers of every encoder, each on its own grid.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.encoders.pooling import resolve_layers
from firstshot.encoders.protocol import Encoder, Shareable, Waveforms
from firstshot.errors import ParameterError


class JointEncoder:
    """Encoders behind the `Encoder` protocol of one.

    Layer n of the second encoder has the number `members[0].depth + n` here, and so on.

    Examples
    --------
    >>> from firstshot.encoders import load_encoder
    >>> joint = JointEncoder([load_encoder("logmel"), load_encoder("spectra")])
    >>> joint.name, joint.depth, joint.grid(16000, 3)
    ('logmel + spectra', 6, (1, 48))
    """

    def __init__(self, members: Sequence[Encoder]) -> None:
        if not members:
            raise ParameterError("no encoder was given; give one or more")
        self.members = tuple(members)
        self.name = " + ".join(member.name for member in members)
        self.sample_rate = min(member.sample_rate for member in members)
        self.depth = sum(member.depth for member in members)
        self.parameters = sum(member.parameters for member in members)

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of the members' fingerprints, in their order."""
        decides = json.dumps([[m.name, m.fingerprint] for m in self.members])
        return hashlib.sha256(decides.encode()).hexdigest()

    @property
    def default_layers(self) -> tuple[int, ...]:
        """The default layers of every member."""
        return tuple(
            self.offset(number) + layer
            for number, member in enumerate(self.members)
            for layer in member.default_layers
        )

    @property
    def minimum_samples(self) -> int:
        """The shortest clip that is long enough for all members."""
        return max(
            ceil(member.minimum_samples * self.sample_rate / member.sample_rate)
            for member in self.members
        )

    @property
    def reason(self) -> str:
        """Why the members' runtimes were picked, where `auto` chose them."""
        reasons = [getattr(member, "reason", "") for member in self.members]
        return "; ".join(reason for reason in reasons if reason)

    def offset(self, member: int) -> int:
        """Return what is added to a member's layer numbers."""
        return sum(one.depth for one in self.members[:member])

    def member_of(self, layer: int) -> tuple[Encoder, int]:
        """Return the encoder of a layer, and the layer's number there.

        >>> from firstshot.encoders import load_encoder
        >>> joint = JointEncoder([load_encoder("logmel"), load_encoder("spectra")])
        >>> encoder, layer = joint.member_of(5)
        >>> encoder.name, layer
        ('spectra', 3)
        """
        (number,) = resolve_layers([layer], self.depth, self.name)
        for member in self.members:
            if number <= member.depth:
                break
            number -= member.depth
        return member, number

    def grid(self, samples: int, layer: int) -> tuple[int, int]:
        """Return (time, freq) of a layer for a clip of that many samples at `sample_rate`."""
        member, number = self.member_of(layer)
        return member.grid(self._samples(samples, member), number)

    def dim(self, layer: int) -> int:
        """Return the numbers per token of a layer."""
        member, number = self.member_of(layer)
        return member.dim(number)

    def frequency_bands(self, layer: int) -> tuple[tuple[float, float], ...]:
        """Return the lowest and highest frequency in Hz of each row of a layer."""
        member, number = self.member_of(layer)
        return member.frequency_bands(number)

    def macs(self, samples: int) -> int:
        """Return the multiply-accumulates of all members for one clip."""
        return sum(member.macs(self._samples(samples, member)) for member in self.members)

    def layers(
        self, waveforms: Waveforms, sample_rate: int = 16000, layers: Sequence[int] | None = None
    ) -> list[NDArray[np.float32]]:
        """Return one float32 array (clips, time, freq, dim) per requested layer; None means all."""
        wanted = range(1, self.depth + 1) if layers is None else layers
        return self._each(wanted, lambda member, own, _: member.layers(waveforms, sample_rate, own))

    def embed(
        self,
        waveforms: Waveforms,
        sample_rate: int = 16000,
        layers: Sequence[int] | None = None,
        pooling: str | Sequence[str] = "temporal",
    ) -> list[NDArray[np.float32]]:
        """Return one float32 array (clips, values) per requested layer; None means the defaults."""
        wanted = self.default_layers if layers is None else layers
        poolings = [pooling] * len(wanted) if isinstance(pooling, str) else list(pooling)

        def of_member(
            member: Encoder, own: Sequence[int], places: Sequence[int]
        ) -> list[NDArray[np.float32]]:
            return member.embed(
                waveforms, sample_rate, own, one_if_same([poolings[p] for p in places])
            )

        return self._each(wanted, of_member)

    def compile(self, layers: Sequence[int]) -> None:
        """Get the members ready for these layers now, where they can."""

        def prepare(member: Any, own: Sequence[int], places: Sequence[int]) -> list[Any]:
            if hasattr(member, "compile"):
                member.compile(tuple(own))
            return [None] * len(places)

        self._each(layers, prepare)

    @property
    def micro_batch(self) -> int:
        """Number of clips that one call gives it."""
        return min(getattr(member, "micro_batch", 1) for member in self.members)

    @contextmanager
    def share(self, workers: int, clips: int) -> Iterator[Callable[[], object]]:
        """Let several threads call at once; see `firstshot.encoders.protocol.Shareable`."""
        with ExitStack() as stack:
            begun = [
                stack.enter_context(member.share(workers, clips))
                for member in self.members
                if isinstance(member, Shareable)
            ]
            yield lambda: [begin() for begin in begun]

    def _samples(self, samples: int, member: Encoder) -> int:
        return ceil(samples * member.sample_rate / self.sample_rate)

    def _each(
        self, layers: Sequence[int], of_member: Callable[[Any, Sequence[int], Sequence[int]], Any]
    ) -> list[Any]:
        """Call `of_member` with each encoder, its own layers, and their places among `layers`."""
        numbers = resolve_layers(layers, self.depth, self.name)
        found: list[Any] = [None] * len(numbers)
        for index, member in enumerate(self.members):
            first = self.offset(index)
            places = [p for p, n in enumerate(numbers) if first < n <= first + member.depth]
            if not places:
                continue
            own = [numbers[place] - first for place in places]
            for place, values in zip(places, of_member(member, own, places), strict=True):
                found[place] = values
        return found


def members_of(encoder: Encoder) -> tuple[Encoder, ...]:
    """Return the encoders that an encoder is made of: the members of a joint one, else itself."""
    return encoder.members if isinstance(encoder, JointEncoder) else (encoder,)


def layers_by_member(
    encoder: Encoder, layers: Sequence[int]
) -> list[tuple[Encoder, tuple[int, ...]]]:
    """Return every member of an encoder with those of the layers that are its own.

    Layers of a member are numbered as the member numbers them.

    >>> from firstshot.encoders import load_encoder
    >>> joint = JointEncoder([load_encoder("logmel"), load_encoder("spectra")])
    >>> [(encoder.name, own) for encoder, own in layers_by_member(joint, [1, 3, 6])]
    [('logmel', (1,)), ('spectra', (1, 4))]
    """
    if not isinstance(encoder, JointEncoder):
        return [(encoder, tuple(layers))]
    pairs = [encoder.member_of(layer) for layer in layers]
    return [
        (member, tuple(own for one, own in pairs if one is member)) for member in encoder.members
    ]


def join_encoders(members: Sequence[Encoder]) -> Encoder:
    """Return the encoder itself where there is one, several of them as one."""
    return members[0] if len(members) == 1 else JointEncoder(members)


def one_if_same(poolings: Sequence[str]) -> str | tuple[str, ...]:
    """Return the pooling that all layers share as one text, which every plug-in takes.

    >>> one_if_same(["temporal", "temporal"]), one_if_same(["temporal", "rdp:4"])
    ('temporal', ('temporal', 'rdp:4'))
    """
    return poolings[0] if len(set(poolings)) == 1 else tuple(poolings)
