"""Roughly how much memory an encoder takes for one piece of sound.

Input: an encoder and a number of samples. Output: bytes, rather too many than too few, so that a
recording that cannot be encoded in one piece is refused before the system runs out of memory.
"""

from __future__ import annotations

from math import ceil

from firstshot.encoders.protocol import Encoder
from firstshot.encoders.specs.base import Spec

BYTES_PER_SAMPLE = 16
"""The waveform twice, and its spectrogram with what is computed on the way."""
BYTES_PER_VALUE = 4


def working_bytes(encoder: Encoder, samples: int) -> int:
    """Return about how many bytes it takes to encode a piece of that many samples.

    Attention compares all tokens that are encoded together, so its memory grows with their square;
    CED and M2D-CLAP cut a spectrogram into short pieces first.

    >>> from firstshot.encoders.logmel import LogMel
    >>> working_bytes(LogMel(), 16000)
    256000
    """
    members = getattr(encoder, "members", ())
    if members:  # encoders that run one after the other
        rates = [member.sample_rate / encoder.sample_rate for member in members]
        pairs = zip(members, rates, strict=True)
        return max(working_bytes(member, ceil(samples * rate)) for member, rate in pairs)
    encoder.grid(samples, encoder.depth)  # says which clip is too short or too long
    spec = getattr(encoder, "spec", None)
    values = 0
    if isinstance(spec, Spec):
        values = spec.geometry.working_values(spec.fixed_samples or samples)
    return samples * BYTES_PER_SAMPLE + values * BYTES_PER_VALUE
