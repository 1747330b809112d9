"""Near minus far: what the far channel explains goes, the machine stays."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from scipy.signal import fftconvolve, istft, stft

from firstshot.errors import FirstshotWarning, ParameterError, SoundError
from firstshot.sound.audio import load_waveform, read_blocks, read_near_and_far
from firstshot.sound.near_far import Transfer, count_bins, fit_transfer
from firstshot.sound.near_far import subtract_far as subtract_far_in_blocks

RATE = 16000


def subtract_far(near, far, transfer=None):
    clip = np.stack([near, far], axis=1)
    if transfer is None:
        transfer = fit_transfer([[clip]], RATE)
    return np.concatenate(list(subtract_far_in_blocks([clip], transfer)))


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

    noises = (np.stack(clip(seed, running=0.0), axis=1) for seed in range(5))
    transfer = fit_transfer(([clip] for clip in noises), RATE)
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


@pytest.mark.parametrize("samples", [1025, 1026, 1535, 1536, 5000, 16001])
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


@pytest.mark.parametrize("samples", [1025, 1536, 1537, 2047, 3000])
def test_the_last_samples_are_as_exact_as_all_others(samples):
    near = noise(1)[:samples]
    unchanged = subtract_far(near, noise(2)[:samples], Transfer((0j,) * count_bins(RATE), RATE))
    np.testing.assert_allclose(unchanged, near, atol=5e-6)


@pytest.mark.parametrize("samples", [1025, 33 * 1024 - 1, 33 * 1024, 33 * 1024 + 1, 100_000])
def test_blocks_of_any_size_give_the_same_bits(samples):
    rng = np.random.default_rng(samples)
    clip = rng.standard_normal((samples, 2)).astype(np.float32)
    blocks = np.split(clip, np.sort(rng.integers(0, samples, 9)))
    transfer = fit_transfer([[clip]], RATE)
    assert fit_transfer([blocks], RATE) == transfer
    whole = np.concatenate(list(subtract_far_in_blocks([clip], transfer)))
    assert np.array_equal(np.concatenate(list(subtract_far_in_blocks(blocks, transfer))), whole)


def test_a_far_channel_that_is_silent_is_reported():
    with pytest.warns(FirstshotWarning, match=r"far channel \(1\) is silent, so nothing is subtr"):
        load_waveform(np.stack([noise(1), 0 * noise(1)], axis=1), RATE, channel="near-far")


def test_both_channels_that_hold_one_sound_are_reported():
    notes = []
    clip = np.stack([noise(1), 0.5 * noise(1)], axis=1)
    list(subtract_far_in_blocks([clip], fit_transfer([[clip]], RATE), notes.append))
    assert notes[0].startswith("near minus far leaves nothing of it: both channels hold the same")
    unlike = np.stack([noise(1), noise(2)], axis=1)
    list(subtract_far_in_blocks([unlike], fit_transfer([[unlike]], RATE), notes.append))
    assert len(notes) == 1


def test_what_cannot_be_subtracted_is_refused():
    with pytest.raises(SoundError, match="1024 samples is too short"):
        subtract_far(noise(1)[:1024], noise(2)[:1024])
    with pytest.raises(SoundError, match="no recordings of noise alone"):
        fit_transfer([], RATE)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_a_file_becomes_near_minus_far_at_the_rate_that_is_asked_for(tmp_path, rate):
    clip = 0.1 * np.random.default_rng(rate).standard_normal((3 * rate, 2))
    clip[:, 0] += clip[:, 1]
    path = tmp_path / "clip.wav"
    soundfile.write(path, clip, rate, subtype="FLOAT")
    near, far = (load_waveform(path, RATE, channel=channel) for channel in (0, 1))
    cleaned = load_waveform(path, RATE, channel="near-far")
    np.testing.assert_allclose(cleaned, subtract_far(near, far), atol=1e-6)
    assert power(cleaned) < 0.7 * power(near)
    small = np.concatenate(list(read_blocks(path, RATE, "near-far", print, values_per_block=999)))
    assert np.array_equal(small, cleaned)
    as_array = load_waveform(clip, RATE, source_rate=rate, channel="near-far")
    np.testing.assert_allclose(as_array, cleaned, atol=1e-5)


def test_a_transfer_is_used_as_the_channel(tmp_path):
    rng = np.random.default_rng(0)
    far = 0.1 * rng.standard_normal(3 * RATE)
    clip = np.stack([0.05 * rng.standard_normal(3 * RATE) + 0.5 * far, far], axis=1)
    path = tmp_path / "clip.wav"
    soundfile.write(path, clip, RATE, subtype="FLOAT")
    transfer = fit_transfer([read_near_and_far(path, None, RATE, "noise")], RATE)
    assert np.array_equal(
        load_waveform(path, RATE, channel=transfer), load_waveform(path, RATE, channel="near-far")
    )
    assert transfer == fit_transfer([read_near_and_far(clip, RATE, RATE, "noise")], RATE)
    with pytest.raises(ParameterError, match="fitted at 16000 Hz, needed at 32000 Hz"):
        load_waveform(path, 32000, channel=transfer)


def test_a_transfer_for_a_higher_rate_has_the_lower_frequencies_of_that_rate():
    rng = np.random.default_rng(0)
    clip = 0.1 * rng.standard_normal((4 * 32000, 2)) @ np.array([[1.0, 0.0], [0.6, 1.0]])
    high, low = (
        fit_transfer([read_near_and_far(clip, 32000, rate, "noise")], rate)
        for rate in (32000, RATE)
    )
    assert len(high.at(RATE).values) == len(low.values) == count_bins(RATE)
    # The resampler's edge lies at 7.3 kHz.
    inside = slice(2, 450)
    np.testing.assert_allclose(high.at(RATE).values[inside], low.values[inside], atol=0.15)


def test_a_recording_of_one_channel_is_refused_in_one_line(tmp_path):
    path = tmp_path / "mono.wav"
    soundfile.write(path, 0.1 * noise(1), RATE)
    with pytest.raises(SoundError, match=r"mono\.wav: has one channel.*use --channel 0") as raised:
        load_waveform(path, RATE, channel="near-far")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("channel", [0, 1])
def test_a_sample_of_either_channel_that_is_not_finite_is_named(channel):
    clip = np.stack([noise(1), noise(2)], axis=1)
    clip[1234, channel] = np.nan
    with pytest.raises(SoundError, match="sample 1234 is nan"):
        load_waveform(clip, RATE, channel="near-far")


def test_a_silent_recording_is_reported_once():
    with pytest.warns(FirstshotWarning) as warned:
        load_waveform(np.zeros((RATE, 2)), RATE, channel="near-far")
    assert ["digital silence" in str(one.message) for one in warned] == [True]
