"""Roughly how much memory an encoder takes for one piece of sound.

Input: an encoder and a number of samples. Output: bytes, rather too many than too few, so that a
recording that cannot be encoded in one piece is refused before the system runs out of memory.
"""

from __future__ import annotations

from firstshot.encoders.protocol import Encoder
from firstshot.encoders.specs.base import Spec

BYTES_PER_SAMPLE = 16
"""The waveform twice, and its spectrogram with what is computed on the way."""
VALUES_PER_TOKEN = 16
"""Numbers of `dim` that are held of a token: the MLP's four, and those before and after it."""
ATTENTION_COPIES = 3


def working_bytes(encoder: Encoder, samples: int) -> int:
    """Return about how many bytes it takes to encode a piece of that many samples.

    Attention compares all tokens that are encoded together, so its memory grows with their square;
    CED and M2D-CLAP cut a spectrogram into short pieces first.

    >>> from firstshot.encoders.logmel import LogMel
    >>> working_bytes(LogMel(), 16000)
    256000
    """
    time, freq = encoder.grid(samples)
    spec = getattr(encoder, "spec", None)
    if not isinstance(spec, Spec):
        return samples * BYTES_PER_SAMPLE
    longest = max(spec.geometry.steps(spec.fixed_samples or samples))
    tokens = 4 * VALUES_PER_TOKEN * time * freq * encoder.dim
    attention = 4 * ATTENTION_COPIES * spec.geometry.heads * (longest * freq) ** 2
    return int(samples * BYTES_PER_SAMPLE + tokens + attention)
