"""Wrong scales and opposite phase give a warning, and good recordings do not."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from firstshot.errors import FirstshotWarning, SoundError
from firstshot.sound.audio import load_waveform

RATE = 16000
TONE = 0.4 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
NOISE = 0.2 * np.random.default_rng(0).standard_normal(RATE)


def write(folder, samples, subtype):
    path = folder / "clip.wav"
    soundfile.write(path, samples, RATE, subtype=subtype)
    return path


@pytest.mark.parametrize(("width", "factor", "decibels"), [(16, 65536, 96), (24, 256, 48)])
def test_narrow_values_in_32_bit_samples_are_reported_with_the_factor(
    tmp_path, width, factor, decibels
):
    values = (TONE * 2 ** (width - 1)).astype(np.int32)
    said = rf"{width}-bit values in 32-bit samples .*{decibels} dB; multiply by {factor} \(ffmpeg"
    for source in (write(tmp_path, values, "PCM_32"), values):
        with pytest.warns(FirstshotWarning, match=said):
            load_waveform(source, RATE)


def test_16_bit_values_in_an_array_of_pythons_integers_are_reported():
    with pytest.warns(FirstshotWarning, match="16-bit values in 64-bit samples"):
        load_waveform((TONE * 2**15).astype(np.int64), RATE)


@pytest.mark.parametrize("level", [1.0, 0.1, 0.003])
def test_an_honest_recording_of_24_bits_left_aligned_in_32_is_not(tmp_path, level, recwarn):
    values = (level * TONE * 2**23).astype(np.int32) << 8
    load_waveform(write(tmp_path, values, "PCM_32"), RATE)
    assert not recwarn.list


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_an_honest_quiet_recording_is_not(tmp_path, subtype, recwarn):
    load_waveform(write(tmp_path, 0.002 * TONE, subtype), RATE)
    assert not recwarn.list


@pytest.mark.parametrize("width", [16, 24])
def test_floats_at_the_scale_of_integers_are_reported_with_the_factor(tmp_path, width):
    values = np.rint(TONE * 2 ** (width - 1) * (0.1 if width == 24 else 1)).astype(np.float32)
    said = rf"{width}-bit integers; divide by {2 ** (width - 1)} \(ffmpeg"
    for source in (write(tmp_path, values, "FLOAT"), values, values.astype(np.float64)):
        with pytest.warns(FirstshotWarning, match=said):
            load_waveform(source, RATE)


def test_resampled_floats_at_the_scale_of_integers_are_reported_too():
    with pytest.warns(FirstshotWarning, match="floats at the scale of 16-bit integers"):
        load_waveform(TONE * 20000.3, RATE)


def test_floats_beyond_the_limit_are_refused_with_the_likely_reason():
    with pytest.raises(SoundError, match=r"at most 1e\+06: floats at the scale of 32-bit integers"):
        load_waveform(TONE * 2**31, RATE)


def test_floats_a_little_beyond_full_scale_are_not(recwarn):
    load_waveform(TONE * 10, RATE)
    load_waveform(np.sign(TONE), RATE)
    assert not recwarn.list


@pytest.mark.parametrize("gain", [1.0, 0.8, 1.2])
def test_channels_of_opposite_phase_are_reported_with_the_option_that_helps(tmp_path, gain):
    both = np.stack([TONE, -gain * TONE], axis=1)
    for source in (write(tmp_path, both, "PCM_16"), both):
        with pytest.warns(FirstshotWarning) as caught:
            load_waveform(source, RATE)
        (said,) = [str(w.message) for w in caught]
        assert "channels cancel each other" in said
        assert "opposite phase" in said
        assert "fit with --channel 0" in said
        assert "silence" not in said


def test_one_channel_of_two_opposite_ones_is_used_without_a_warning(recwarn):
    waveform = load_waveform(np.stack([TONE, -TONE], axis=1), RATE, channel=1)
    assert np.array_equal(waveform, -TONE.astype(np.float32))
    assert not recwarn.list


@pytest.mark.parametrize("channels", [2, 4, 8, 32])
def test_unrelated_channels_and_a_dead_one_do_not_cancel(channels, recwarn):
    rng = np.random.default_rng(channels)
    load_waveform(0.1 * rng.standard_normal((RATE, channels)), RATE)
    load_waveform(np.stack([NOISE, *[np.zeros(RATE)] * (channels - 1)], axis=1), RATE)
    assert not recwarn.list


def test_the_mean_of_two_channels_has_the_bits_that_numpys_mean_has():
    both = np.random.default_rng(0).standard_normal((RATE, 2)).astype(np.float32)
    both[:100] = -0.0
    assert load_waveform(both, RATE).tobytes() == both.mean(axis=1, dtype=np.float32).tobytes()
