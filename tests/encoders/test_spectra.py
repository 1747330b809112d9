"""The spectra of the recommended setting: golden features, a gain, short clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from firstshot.encoders.spectra import BANKS, LINES, Spectra
from firstshot.errors import ParameterError, SoundError
from firstshot.sound.mel import mel_bank

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "recommended" / "features.npz"
RATE = 16000


def golden_clip(number):
    t = np.arange(round((10, 1, 0.25)[number] * RATE)) / RATE
    hertz, sizes = (171, 1337 + 190 * number, 3100 - 400 * number), (0.21, 0.20, 0.10)
    tones = zip(hertz, sizes, strict=True)
    x = sum(a * np.sin(2 * np.pi * f * t + 0.5 * k) for k, (f, a) in enumerate(tones))
    x *= 1 + 0.5 * np.sin(2 * np.pi * (0.7 + 0.3 * number) * t)
    x += 0.05 * np.random.default_rng(8100 + number).standard_normal(len(t))
    return (x + 0.01 * (number + 1)).astype(np.float32)


@pytest.mark.parametrize("number", range(3))
def test_every_layer_equals_its_golden_feature(number):
    golden = np.load(GOLDEN)
    layers = Spectra().layers(golden_clip(number)[None])
    for layer, feature in zip(layers, "sBfH", strict=True):
        by_number = layer[0, 0].T.reshape(-1)
        np.testing.assert_allclose(by_number, golden[f"c{number}/{feature}"], rtol=0, atol=2e-5)


def test_layers_can_be_asked_for_alone_and_in_any_order():
    encoder, clip = Spectra(), golden_clip(1)[None]
    every = encoder.embed(clip)
    for found, layer in zip(encoder.embed(clip, layers=[4, 3, 1, 2]), (4, 3, 1, 2), strict=True):
        np.testing.assert_array_equal(found, every[layer - 1])
    with pytest.raises(ParameterError, match="layer 5 does not exist: spectra has layers 1 to 4"):
        encoder.embed(clip, layers=[5])


def test_a_gain_and_an_offset_change_nothing():
    clip = golden_clip(1)
    plain, moved = Spectra().embed(clip[None]), Spectra().embed((0.2 * clip + 0.1)[None])
    for a, b in zip(plain, moved, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)


@pytest.mark.parametrize("samples", [1, 100, 512, 1023, 8191])
def test_clips_shorter_than_a_window_are_padded(samples):
    for layer in Spectra().embed(golden_clip(2)[None, :samples]):
        assert np.isfinite(layer).all()


def test_a_single_frame_has_no_step():
    (rows,) = Spectra().layers(golden_clip(2)[None, :512], layers=[3])
    assert (rows == 0).all()


def test_no_samples_are_refused():
    with pytest.raises(SoundError, match="clip 0 has 0 samples"):
        Spectra().embed([np.empty(0, dtype=np.float32)])


def test_a_narrow_band_hears_the_bin_nearest_its_centre():
    weights = mel_bank(LINES)
    sums = weights.sum(axis=0)
    assert sums.min() >= 0.5
    plain = mel_bank(LINES.__class__(**{**LINES.__dict__, "fill": False}))
    changed = np.flatnonzero((plain != weights).any(axis=0))
    assert len(changed) == 13
    assert (weights[:, changed].max(axis=0) == 1).all()
    assert 0.499 < plain[:, 23].sum() < 0.5


def test_bands_and_grids_are_those_of_each_layer():
    encoder = Spectra()
    for layer, bank in enumerate(BANKS, start=1):
        bands = encoder.frequency_bands(layer)
        assert len(bands) == encoder.grid(RATE, layer)[1] == bank.mels
        assert bands[0][0] == pytest.approx(bank.low)
        assert bands[-1][1] == pytest.approx(bank.high)
