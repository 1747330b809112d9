"""The embedded encoder: its documented statistics against a naive float64 evaluation."""

from __future__ import annotations

import threading
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from firstshot.encoders.logmel import LogMel
from firstshot.encoders.protocol import Encoder
from firstshot.errors import ParameterError, SoundError

RATE = 16000


def noise(seed, samples=RATE, level=0.1):
    return (level * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def log_energies(samples, keep_level=False):
    """Frames of 512 every 160, Hann, |DFT|^2, HTK mel triangles, log; term by term in float64."""
    n = np.arange(512)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / 512)
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (50.0, 7800.0))
    corners = 700 * (10 ** (np.linspace(low, high, 50) / 2595) - 1)
    hz = np.arange(257) * RATE / 512
    bank = np.array(
        [np.interp(hz, corners[b : b + 3], [0.0, 1.0, 0.0], left=0, right=0) for b in range(48)]
    )
    rows = []
    for start in range(0, len(samples) - 511, 160):
        spectrum = np.fft.rfft(samples[start : start + 512].astype(np.float64) * hann)
        rows.append(bank @ np.abs(spectrum) ** 2 + 1e-10)
    energies = np.array(rows)
    return np.log(energies if keep_level else energies / energies.mean())


def naive(samples, keep_level=False):
    e = log_energies(samples, keep_level)
    steps = np.abs(e[1:] - e[:-1]).mean(axis=0) if len(e) > 1 else np.zeros(48)
    level = np.stack([e.mean(axis=0), e.std(axis=0), steps], axis=1)
    motion = []
    for block in (2, 4, 8, 16):
        count = max(len(e) // block, 1)
        means = [e[i * block : (i + 1) * block].mean(axis=0) for i in range(count)]
        motion.append(np.std(means, axis=0))
    return level, np.stack(motion, axis=1)


@pytest.mark.parametrize("keep_level", [False, True])
@pytest.mark.parametrize("samples", [512, 671, 672, 1600, 5000, RATE, 47999])
def test_both_layers_are_the_documented_statistics(samples, keep_level):
    clip = noise(samples, samples) * np.linspace(0.2, 1.0, samples, dtype=np.float32)
    encoder = LogMel(keep_level=keep_level)
    level, motion = encoder.layers([clip])
    expected_level, expected_motion = naive(clip, keep_level)
    np.testing.assert_allclose(level[0, 0], expected_level, atol=2e-5, rtol=2e-5)
    np.testing.assert_allclose(motion[0, 0], expected_motion, atol=2e-5, rtol=2e-5)
    assert level.dtype == motion.dtype == np.float32
    assert encoder.grid(samples, 1) == level.shape[1:3] == (1, 48)


def test_an_embedding_is_the_layer_flattened_band_by_band():
    clips = np.stack([noise(0), noise(1)])
    (level,) = LogMel().layers(clips, layers=[1])
    (embedding,) = LogMel().embed(clips)
    assert embedding.shape == (2, 144)
    assert np.array_equal(embedding, level.reshape(2, 144))
    assert embedding[1, 7 * 3 + 2] == level[1, 0, 7, 2]


@pytest.mark.parametrize("gain", [0.01, 0.5, 8.0])
def test_a_changed_gain_changes_nothing_unless_the_level_is_kept(gain):
    clip = noise(3)
    (plain,), (changed,) = LogMel().embed([clip]), LogMel().embed([np.float32(gain) * clip])
    np.testing.assert_allclose(changed, plain, atol=2e-4)
    loud = LogMel(keep_level=True)
    difference = (loud.embed([np.float32(gain) * clip])[0] - loud.embed([clip])[0]).reshape(48, 3)
    np.testing.assert_allclose(difference[:, 0], 2 * np.log(gain), atol=1e-4)
    np.testing.assert_allclose(difference[:, 1:], 0, atol=1e-4)


@pytest.mark.parametrize("company", [1, 2, 7])
def test_a_clip_has_the_same_bits_in_any_company(company):
    clip = noise(4, 12345)
    alone = LogMel().layers([clip])
    together = LogMel().layers([noise(i, 900 + 777 * i) for i in range(company)] + [clip])
    for a, b in zip(alone, together, strict=True):
        assert np.array_equal(a[0], b[-1])


def test_an_array_of_clips_and_a_list_of_them_are_the_same():
    clips = np.stack([noise(5), noise(6)])
    for a, b in zip(LogMel().layers(clips), LogMel().layers(list(clips)), strict=True):
        assert np.array_equal(a, b)


def test_another_rate_is_resampled_first():
    import soxr

    clip = noise(7, 48000)
    (heard,) = LogMel().embed([clip], 48000)
    (expected,) = LogMel().embed([soxr.resample(clip, 48000, RATE, quality="HQ")])
    assert np.array_equal(heard, expected)


def test_one_window_is_enough_and_one_sample_less_is_refused():
    encoder = LogMel()
    (shortest,) = encoder.embed([noise(8, encoder.minimum_samples)])
    assert np.isfinite(shortest).all()
    assert not shortest.reshape(48, 3)[:, 1:].any()  # one frame neither deviates nor moves
    for refused in (
        lambda: encoder.embed([noise(8, 511)]),
        lambda: encoder.grid(511, 1),
        lambda: encoder.macs(511),
    ):
        with pytest.raises(SoundError, match=r"logmel needs at least 512"):
            refused()


def test_silence_is_a_flat_spectrum_that_never_moves_and_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        level, motion = LogMel().layers([np.zeros(RATE, dtype=np.float32)])
    assert np.abs(level).max() < 1e-5
    assert np.abs(motion).max() < 1e-5


def test_layers_are_counted_from_1_and_from_the_end_in_the_order_asked():
    first, second = LogMel().layers([noise(9)])
    swapped = LogMel().layers([noise(9)], layers=[-1, 1])
    assert np.array_equal(swapped[0], second)
    assert np.array_equal(swapped[1], first)
    assert np.array_equal(LogMel().layers([noise(9)], layers=[-2])[0], first)


@pytest.mark.parametrize("layers", [[0], [3], [-3], [], [1, 1], [2, -1], [1.5], "12", 1])
def test_layers_that_do_not_exist_are_refused(layers):
    with pytest.raises(ParameterError, match="layer"):
        LogMel().layers([noise(9)], layers=layers)


def test_the_fingerprint_is_stable_and_changes_with_the_settings():
    assert LogMel().fingerprint == LogMel().fingerprint
    assert LogMel().fingerprint != LogMel(keep_level=True).fingerprint
    assert len(LogMel().fingerprint) == 64


@pytest.mark.parametrize(
    "clips", [[], np.zeros((0, RATE)), [np.full(RATE, np.nan)], [np.zeros((2, RATE))]]
)
def test_clips_that_cannot_be_heard_are_refused(clips):
    with pytest.raises(SoundError):
        LogMel().embed(clips)


def test_bands_rise_from_50_to_7800_hz_and_overlap_by_half():
    bands = LogMel().frequency_bands(1)
    assert len(bands) == 48
    assert bands[0][0] == pytest.approx(50)
    assert bands[-1][1] == pytest.approx(7800)
    for (_, high), (_, _), (low, _) in zip(bands, bands[1:], bands[2:], strict=False):
        assert high == pytest.approx(low)


def test_a_tone_raises_the_mean_of_its_own_band_most():
    encoder = LogMel(keep_level=True)
    quiet = noise(10, level=0.01)
    tone = quiet + 0.3 * np.sin(2 * np.pi * 2000 * np.arange(RATE) / RATE).astype(np.float32)
    change = (encoder.embed([tone])[0] - encoder.embed([quiet])[0]).reshape(48, 3)[:, 0]
    low, high = encoder.frequency_bands(1)[change.argmax()]
    assert low < 2000 < high


def test_ten_minutes_take_little_more_memory_than_their_log_energies():
    clip = noise(11, 600 * RATE)
    energies = 600 * 100 * 48 * 4
    tracemalloc.start()
    LogMel().embed([clip])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * energies + 20e6


def test_a_long_clip_loses_no_digits_to_float32_sums():
    clip = noise(12, 120 * RATE)
    level, motion = LogMel().layers([clip])
    expected = naive(clip)
    np.testing.assert_allclose(level[0, 0], expected[0], atol=2e-5, rtol=2e-5)
    np.testing.assert_allclose(motion[0, 0], expected[1], atol=2e-5, rtol=2e-5)


def test_many_threads_may_use_one_encoder_at_once():
    encoder = LogMel()
    clips = [noise(i, 4000 + 160 * i) for i in range(24)]
    expected = [LogMel().embed([clip])[0] for clip in clips]
    start = threading.Barrier(6)

    def encode(thread):
        start.wait(timeout=30)
        return [encoder.embed([clip])[0] for clip in clips]

    with ThreadPoolExecutor(6) as threads:
        for found in threads.map(encode, range(6)):
            assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_it_offers_all_that_an_encoder_offers():
    encoder = LogMel()
    assert isinstance(encoder, Encoder)
    assert (encoder.name, encoder.depth, encoder.parameters) == ("logmel", 2, 0)
    assert encoder.macs(RATE) == 97 * 257 * 48


@pytest.mark.parametrize("value", ["false", 1, None])
def test_keeping_the_level_takes_true_or_false_alone(value):
    with pytest.raises(ParameterError, match="expected true or false, without quotes"):
        LogMel(keep_level=value)


def test_measure_gives_the_first_layer_and_the_level_that_is_taken_off():
    clips = [
        0.1 * np.random.default_rng(i).standard_normal(8000).astype(np.float32) for i in (0, 1)
    ]
    for few in (clips[:1], clips):
        rows, levels = LogMel().measure(few)
        assert np.array_equal(rows, LogMel().embed(few)[0])
        kept = LogMel(keep_level=True).embed(few)[0].reshape(len(few), 48, 3)
        taken = kept[:, :, 0] - rows.reshape(len(few), 48, 3)[:, :, 0]
        assert levels == pytest.approx(10 / np.log(10) * taken.mean(axis=1), abs=1e-4)
    louder = LogMel().measure([10 * clips[0]])[1]
    assert louder - LogMel().measure(clips[:1])[1] == pytest.approx(20.0, abs=1e-3)
