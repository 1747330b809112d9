"""Parameters and multiply-accumulates (MACs) of encoders and systems, as exact integers.

Input: a name and a clip's length in samples. Output: counts in the conventions of the report's
Table 4 (thop 0.1.1: no attention products, no front-end, no bare parameters), and the MACs with the
attention products. Nothing is run and nothing is loaded: a geometry is enough.
Source: each network's published code, counted by hand and checked against thop's own integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from firstshot.encoders.specs import SPECS, Spec
from firstshot.encoders.specs.trained import RECIPES, trained_spec
from firstshot.errors import ParameterError
from firstshot.messages import choose_one_of
from firstshot.numbers import check_whole

SAMPLE_RATE = 16000
"""The rate in Hz of the clips whose samples are given; an encoder of another rate resamples."""
TEN_SECONDS = 10 * SAMPLE_RATE
MOST_SAMPLES = 24 * 360 * TEN_SECONDS
"""Of a day: the counts are sums over the pieces of a clip."""
AUTOENCODER = "autoencoder"
FIVE_ENCODERS = ("beats_ft1", "m2d_clap", "sslam", "eat_large", "ced_tiny")

ALL_SPECS: dict[str, Spec] = {
    **SPECS,
    **{f"trained_{recipe}": trained_spec(recipe) for recipe in RECIPES},
}
"""The encoders with weights: pre-trained, and `firstshot train`'s recipes at windows of 1 s."""

SYSTEM_ENCODERS: dict[str, tuple[str, ...]] = {
    "system1": FIVE_ENCODERS,
    "system2": FIVE_ENCODERS,
    "system3": FIVE_ENCODERS,
    "system4": ("ced_tiny",),
}
"""The encoders that each system of the report runs on every clip."""

PUBLISHED: dict[str, tuple[float, float]] = {
    "beats_ft1": (45.01, 90.71),
    "m2d_clap": (26.50, 85.25),
    "eat": (43.71, 85.25),
    "sslam": (43.71, 85.25),
    "eat_large": (155.16, 302.57),
    "ced_tiny": (1.33, 5.49),
    "ced_base": (21.13, 85.66),
    AUTOENCODER: (0.17, 0.27),
    "system1": (271.71, 569.28),
    "system2": (271.71, 569.28),
    "system3": (271.71, 569.28),
    "system4": (1.34, 5.49),
}
"""What the report prints for a 10 s clip: G MACs, M parameters.

Two figures are not what the count gives: system4 is ced_tiny alone, 1.334 G, printed 1.33 as the
encoder and 1.34 as the system; the autoencoder's 0.17 is twice its 0.083 G (operations, not MACs).
"""


@dataclass(frozen=True)
class Complexity:
    """What one clip costs.

    Attributes
    ----------
    name : str
        The encoder, `autoencoder`, or the system.
    samples : int
        Length of the clip at 16 kHz.
    macs : int
        Multiply-accumulates as the report counts them.
    macs_with_attention : int
        The same with the two products inside every attention, which grow with length squared.
    parameters : int
        Parameters as the report counts them.
    learned_parameters : int
        Learned values that reach the output: no tagging head, but CLS, positions and bias tables.
    """

    name: str
    samples: int
    macs: int
    macs_with_attention: int
    parameters: int
    learned_parameters: int


@dataclass(frozen=True)
class AutoencoderGeometry:
    """The challenge baseline: ten Linear layers over stacks of five log-mel frames.

    All but the last are followed by a batch norm, four MACs and two parameters a unit.

    >>> AutoencoderGeometry().vectors(160000), AutoencoderGeometry().parameters()
    (309, 267928)
    """

    units: tuple[int, ...] = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640)
    stacked: int = 5
    hop: int = 512

    def vectors(self, samples: int) -> int:
        """Input vectors of a clip: stacks of consecutive centred frames, one frame apart."""
        return max(0, 1 + samples // self.hop - (self.stacked - 1))

    def macs(self, samples: int) -> int:
        """MACs of one clip, batch norms counted as thop does."""
        return self.vectors(samples) * (self._weights() + 4 * sum(self.units[1:-1]))

    def parameters(self) -> int:
        """Weights, biases and batch norms; the covariances of the Mahalanobis score are data."""
        return self._weights() + sum(self.units[1:]) + 2 * sum(self.units[1:-1])

    def _weights(self) -> int:
        return sum(a * b for a, b in zip(self.units, self.units[1:], strict=False))


def complexity(name: str, samples: int = TEN_SECONDS) -> Complexity:
    """Return what one clip of that many samples (16 kHz) costs an encoder, baseline or system.

    Raises
    ------
    ParameterError
        The name is not known, or the clip is too short for one token of the encoder.

    Examples
    --------
    >>> complexity("ced_tiny").macs, complexity("ced_tiny").parameters
    (1333796672, 5490319)
    >>> round(complexity("system1").macs / 1e9, 2)
    271.71
    """
    if name in SYSTEM_ENCODERS:
        return total(name, SYSTEM_ENCODERS[name], samples)
    if name == AUTOENCODER:
        baseline = AutoencoderGeometry()
        shortest = baseline.hop * (baseline.stacked - 1)
        _check_length(name, samples, shortest)
        macs, parameters = baseline.macs(samples), baseline.parameters()
        return Complexity(name, samples, macs, macs, parameters, parameters)
    spec = ALL_SPECS.get(name)
    if spec is None:
        known = (*ALL_SPECS, AUTOENCODER, *SYSTEM_ENCODERS)
        raise ParameterError(f"{name!r} has no counts; {choose_one_of(name, known)}")
    geometry, rate = spec.geometry, spec.sample_rate
    _check_length(name, samples, -(-geometry.minimum_samples * SAMPLE_RATE // rate))
    own = samples * rate // SAMPLE_RATE
    return Complexity(
        name,
        samples,
        geometry.macs(own),
        geometry.macs(own, attention=True),
        geometry.counted_parameters(),
        geometry.learned_parameters(),
    )


def total(name: str, encoders: Sequence[str], samples: int = TEN_SECONDS) -> Complexity:
    """Return what one clip costs when it passes through all of these encoders.

    >>> total("two", ["ced_tiny", "ced_tiny"]).parameters
    10980638
    """
    parts = [complexity(encoder, samples) for encoder in encoders]
    return Complexity(
        name,
        samples,
        sum(part.macs for part in parts),
        sum(part.macs_with_attention for part in parts),
        sum(part.parameters for part in parts),
        sum(part.learned_parameters for part in parts),
    )


def complexity_table(samples: int = TEN_SECONDS) -> tuple[Complexity, ...]:
    """Return the counts of every encoder with weights, the baseline, and the report's systems.

    >>> [row.name for row in complexity_table()][-3:]
    ['system2', 'system3', 'system4']
    """
    return tuple(complexity(name, samples) for name in (*ALL_SPECS, AUTOENCODER, *SYSTEM_ENCODERS))


def _check_length(name: str, samples: int, shortest: int) -> None:
    check_whole("samples of a clip:", samples, 0, MOST_SAMPLES)
    if samples < shortest:
        raise ParameterError(
            f"a clip of {samples} samples is too short for {name}: give at least {shortest}"
        )
