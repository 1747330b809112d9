"""The Kaldi log-mel against the original's numbers and a plain float64 version of the formula."""

from __future__ import annotations

import importlib.util
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from firstshot.errors import SoundError
from firstshot.sound import spectrogram
from firstshot.sound.spectrogram import KaldiMel, kaldi_log_mel

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
CONSTANTS = {"beats": KaldiMel("povey", scale=32768.0), "eat": KaldiMel("hanning")}


def golden_clip(name: str) -> np.ndarray:
    """Make the clip of a golden file; its recipe needs no torch, so it is repeated here."""
    index = int(name[1])
    samples = 96000 if index == 2 else 160000
    time = np.arange(samples) / 16000
    wave = 0.30 * np.sin(2 * np.pi * 220 * time)
    wave += 0.20 * np.sin(2 * np.pi * (1000 + 250 * index) * time + 0.5)
    wave += 0.10 * np.sin(2 * np.pi * (3100 - 400 * index) * time + 1.0)
    wave *= 1 + 0.5 * np.sin(2 * np.pi * (0.7 + 0.3 * index) * time)
    wave += 0.05 * np.random.default_rng(1000 + index).standard_normal(samples)
    wave += 0.01 * (index + 1)
    return np.pad(wave, (0, 64000 if name.endswith("pad") else 0)).astype(np.float32)


def by_the_formula(waveform: np.ndarray, constants: KaldiMel) -> np.ndarray:
    """Kaldi's steps one after another, frame by frame, in float64."""
    n = np.arange(400)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / 399)
    if constants.window == "povey":
        window = window**0.85
    edges = np.linspace(1127 * np.log(1 + 20 / 700), 1127 * np.log(1 + 8000 / 700), 130)
    bins = 1127 * np.log(1 + np.arange(257) * 31.25 / 700)
    rows = []
    for start in range(0, len(waveform) - 399, 160):
        frame = waveform[start : start + 400].astype(np.float64) * constants.scale
        frame = frame - frame.mean()
        frame = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
        power = np.abs(np.fft.rfft(frame * window, 512)) ** 2
        energies = []
        for low, centre, high in zip(edges, edges[1:], edges[2:], strict=False):
            weights = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))
            energies.append(power[:256] @ np.maximum(weights[:256], 0.0))
        rows.append(np.log(np.maximum(energies, np.finfo(np.float32).eps)))
    return np.array(rows)


@pytest.mark.parametrize("encoder", ["beats", "eat"])
@pytest.mark.parametrize("name", ["c0", "c1", "c2", "c2pad"])
def test_log_mel_equals_the_original(name: str, encoder: str) -> None:
    facts = json.loads((GOLDEN / "frontend.json").read_text())
    arrays = np.load(GOLDEN / "frontend.npz")
    waveform = golden_clip(name)
    np.testing.assert_array_equal(waveform[:16], arrays[f"{name}_wave_first16"])

    log_mel = kaldi_log_mel(waveform, CONSTANTS[encoder])

    checks = facts["checks"][name][encoder]
    assert log_mel.shape == (checks["frames"], 128)
    assert log_mel.dtype == np.float32
    rows = log_mel[facts["rows"][f"{name}_{encoder}"]]
    error = np.abs(rows - arrays[f"{name}_{encoder}_logmel_rows"])
    assert error.max() < 2.5e-3
    assert error.mean() < 2e-5
    assert log_mel.mean(dtype=np.float64) == pytest.approx(checks["mean"], abs=2e-5)
    assert log_mel.std(dtype=np.float64) == pytest.approx(checks["std"], abs=2e-5)


@pytest.mark.parametrize("encoder", ["beats", "eat"])
@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_log_mel_equals_the_formula_in_float64(encoder: str, offset: float) -> None:
    waveform = golden_clip("c2")[:20037] + np.float32(offset)
    error = np.abs(
        kaldi_log_mel(waveform, CONSTANTS[encoder]) - by_the_formula(waveform, CONSTANTS[encoder])
    )
    assert error.max() < 2.5e-3
    assert error.mean() < 2e-5


def test_mel_bank_equals_the_original() -> None:
    stored = np.load(GOLDEN / "frontend.npz")["mel_bank_row_sums"]
    bank = spectrogram.mel_bank(CONSTANTS["beats"])
    np.testing.assert_allclose(bank.sum(axis=0), stored, atol=1e-4)
    assert not bank[-1].any()


def test_the_fourth_band_is_constant_because_its_triangle_is_empty() -> None:
    log_mel = kaldi_log_mel(golden_clip("c2"), CONSTANTS["beats"])
    np.testing.assert_array_equal(log_mel[:, 3], np.log(np.finfo(np.float32).eps))
    assert log_mel[:, [2, 4]].min() > 0.0


def test_a_constant_added_to_the_clip_changes_nothing() -> None:
    waveform = golden_clip("c2")
    shifted = kaldi_log_mel(waveform + np.float32(0.25), CONSTANTS["eat"])
    error = np.abs(shifted - kaldi_log_mel(waveform, CONSTANTS["eat"]))
    assert error.max() < 2.5e-3
    assert error.mean() < 2e-5


@pytest.mark.parametrize(("samples", "frames"), [(400, 1), (559, 1), (560, 2), (41360, 257)])
def test_every_frame_lies_wholly_inside_the_clip(samples: int, frames: int) -> None:
    waveform = np.random.default_rng(samples).standard_normal(samples).astype(np.float32)
    log_mel = kaldi_log_mel(waveform, CONSTANTS["beats"])
    assert len(log_mel) == frames == spectrogram.count_frames(samples)
    last = waveform[160 * (frames - 1) :][:400]
    alone = kaldi_log_mel(last, CONSTANTS["beats"])[0]
    np.testing.assert_allclose(log_mel[-1], alone, atol=1e-3)


def test_a_waveform_that_is_not_writable_or_contiguous_gives_the_same() -> None:
    stereo = np.stack([golden_clip("c2"), golden_clip("c2")], axis=1)
    stereo.setflags(write=False)
    np.testing.assert_array_equal(
        kaldi_log_mel(stereo[:, 1], CONSTANTS["eat"]),
        kaldi_log_mel(golden_clip("c2"), CONSTANTS["eat"]),
    )


@pytest.mark.parametrize("shape", [(399,), (0,), (2, 16000)])
def test_what_has_no_frame_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(SoundError, match="at least 400 samples"):
        kaldi_log_mel(np.zeros(shape, dtype=np.float32), CONSTANTS["eat"])


def test_the_rows_of_a_grid_cover_the_spectrum_without_gaps() -> None:
    bands = spectrogram.row_bands(CONSTANTS["beats"], 8)
    assert bands[0][0] == pytest.approx(20.0)
    assert bands[-1][1] == pytest.approx(8000.0)
    for below, above in pairwise(bands):
        assert below[0] < above[0] < below[1] < above[1]


def test_the_golden_recipe_of_the_encoders_gives_the_same_clips() -> None:
    pytest.importorskip("torch")
    path = GOLDEN.parent / "encoders" / "beats_eat_recipe.py"
    found = importlib.util.spec_from_file_location("beats_eat_recipe", path)
    assert found is not None
    assert found.loader is not None
    recipe = importlib.util.module_from_spec(found)
    found.loader.exec_module(recipe)
    for index in range(3):
        np.testing.assert_array_equal(recipe.clip(index), golden_clip(f"c{index}"))
