"""The yardstick: how pre-trained encoders and banks are run in the papers' published code.

Eager float32, attention written out and its maps returned, every layer kept, batches of 32; all
embeddings first, then a Python loop over the rows of the bank (`row_loop`). The networks are
firstshot's own, so that only the style differs. Nothing in the package uses this.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import scipy.fft
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from firstshot.sound.mel import CED_FLOOR, CED_MEL, CED_TOP_DB, mel_bank

BATCH = 32


@contextmanager
def written_out_attention() -> Iterator[list[Tensor]]:
    """Let every attention multiply, add, normalise and multiply, and keep its maps."""
    maps: list[Tensor] = []

    def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
        products = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        weights = (products if bias is None else products + bias).softmax(dim=-1)
        maps.append(weights)
        mixed: Tensor = (weights @ v).transpose(1, 2).flatten(2)
        return mixed

    with (
        patch("firstshot.encoders.models.transformer.attend", attend),
        patch("firstshot.encoders.models.beats_attention.attend", attend),
    ):
        yield maps


def every_layer(encoder: Any, spectrograms: NDArray[np.float32]) -> list[Tensor]:
    """Return the tokens of all layers of one batch, as the style does it."""
    depths = tuple(range(1, encoder.depth + 1))
    with torch.no_grad(), written_out_attention():
        kept: list[Tensor] = encoder.network.module.tokens_by_layer(
            torch.from_numpy(spectrograms), depths
        )
    return kept


def embed(
    encoder: Any, waveforms: Sequence[NDArray[np.float32]], layers: Sequence[int]
) -> list[NDArray[np.float32]]:
    """Return the embeddings (clips, values) of clips of one length, per layer."""
    rows: list[list[NDArray[np.float32]]] = [[] for _ in layers]
    for start in range(0, len(waveforms), BATCH):
        batch = np.stack([decibels(waveform) for waveform in waveforms[start : start + BATCH]])
        tokens = every_layer(encoder, batch)
        for row, layer in zip(rows, layers, strict=True):
            row.append(tokens[layer - 1].mean(dim=1).flatten(1).numpy())
    return [np.concatenate(row) for row in rows]


def decibels(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return CED's dB mel by one step after another over all frames."""
    half = CED_MEL.window // 2
    frames = sliding_window_view(np.pad(waveform, half, mode="reflect"), CED_MEL.window)
    window = np.hanning(CED_MEL.window + 1)[:-1].astype(np.float32)
    power = np.abs(scipy.fft.rfft(frames[:: CED_MEL.hop] * window, axis=1)) ** 2
    levels = 10 * np.log10(np.maximum(power @ mel_bank(CED_MEL).astype(np.float32), CED_FLOOR))
    return np.asarray(np.maximum(levels, levels.max() - CED_TOP_DB), dtype=np.float32)
