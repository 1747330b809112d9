"""Near minus far: what the far channel explains goes, the machine stays."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import fftconvolve, istft, stft

from firstshot.errors import SoundError
from firstshot.sound.near_far import LEAST_SAMPLES, fit_transfer, subtract_far

RATE = 16000


def noise(seed, seconds=4.0):
    return np.random.default_rng(seed).standard_normal(round(seconds * RATE)).astype(np.float32)


def through_the_room(samples, seed):
    """The sound after a short room: echoes that fade within 10 ms."""
    rng = np.random.default_rng(seed)
    room = rng.standard_normal(160) * np.exp(-np.arange(160) / 30)
    return fftconvolve(samples, room)[: len(samples)].astype(np.float32)


def machine(seconds=4.0):
    t = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * 440 * t) * (1 + np.sin(2 * np.pi * 3 * t))).astype(np.float32)


def power(samples):
    return float(np.mean(np.square(samples.astype(np.float64))))


def test_the_result_is_that_of_a_plain_computation():
    near, far = machine() + through_the_room(noise(1), 5), through_the_room(noise(1), 6)
    scale = 0.9 / max(np.abs(near).max(), np.abs(far).max())
    arguments = {"nperseg": 1024, "noverlap": 512, "padded": False, "boundary": "even"}
    spectra = [stft(x * scale, window="hann", **arguments)[2] for x in (near, far)]
    N, F = spectra
    H = (N * F.conj()).sum(axis=1) / (np.square(np.abs(F)).sum(axis=1) + 1e-12 / (512**2))
    expected = istft(N - H[:, None] * F, window="hann", nperseg=1024, noverlap=512)[1] / scale
    found = subtract_far(near, far)
    inside = slice(1024, min(len(found), len(expected)) - 1024)
    np.testing.assert_allclose(found[inside], expected[inside], atol=5e-3)


def test_noise_goes_and_a_machine_that_does_not_leak_stays():
    room = noise(1)
    near, far = machine() + through_the_room(room, 5), through_the_room(room, 6)
    cleaned = subtract_far(near, far)
    assert power(cleaned - machine()) < 0.1 * power(near - machine())


def test_a_transfer_from_noise_alone_keeps_a_machine_that_leaks():
    def clip(seed, running):
        room, sound = 0.02 * noise(seed), machine() * running
        near = sound + through_the_room(room, 5)
        return near.astype(np.float32), (0.3 * sound + through_the_room(room, 6)).astype(np.float32)

    transfer = fit_transfer(clip(seed, running=0.0) for seed in range(5))
    near, far = clip(9, running=1.0)
    t = np.arange(len(near)) / RATE

    def level_of_machine(samples):
        return abs(np.mean(samples * np.exp(-2j * np.pi * 440 * t)))

    fitted, per_clip = subtract_far(near, far, transfer), subtract_far(near, far)
    assert level_of_machine(fitted) > 0.5 * level_of_machine(machine())
    assert level_of_machine(per_clip) < 0.3 * level_of_machine(machine())


def test_a_silent_far_channel_changes_nothing():
    near = noise(1)
    np.testing.assert_allclose(subtract_far(near, np.zeros_like(near)), near, atol=1e-5)


@pytest.mark.parametrize("samples", [LEAST_SAMPLES, 1000, 1024, 1025, 5000, 16001])
def test_the_length_stays(samples):
    near, far = noise(1)[:samples], noise(2)[:samples]
    cleaned = subtract_far(near, far)
    assert cleaned.shape == near.shape
    assert cleaned.dtype == np.float32
    assert np.isfinite(cleaned).all()


def test_a_gain_of_both_channels_is_a_gain_of_the_result():
    near, far = noise(1), noise(2) + 0.5 * noise(1)
    np.testing.assert_allclose(
        subtract_far(0.01 * near, 0.01 * far), 0.01 * subtract_far(near, far), atol=1e-6
    )


def test_what_cannot_be_subtracted_is_refused():
    with pytest.raises(SoundError, match="expected two channels"):
        subtract_far(noise(1), noise(1)[:-1])
    with pytest.raises(SoundError, match="512 samples is too short"):
        subtract_far(noise(1)[:512], noise(2)[:512])
    with pytest.raises(SoundError, match="no recordings of noise alone"):
        fit_transfer([])
