"""Names that whoever writes an encoder's graph and whoever runs it agree on."""

from __future__ import annotations

INPUT = "spectrogram"
"""The graph's input, float32 (clips, frames, mels)."""


def output_name(layer: int) -> str:
    """Return the name of a layer's output, float32 (clips, time, freq, dim).

    >>> output_name(7)
    'layer_7'
    """
    return f"layer_{layer}"
