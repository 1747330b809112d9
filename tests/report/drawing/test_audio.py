"""Excerpts: where they are cut, what a player gets."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from firstshot.report.drawing.audio import Excerpt, audio_addresses, choose_excerpts
from firstshot.report.drawing.spectra import mel_edges, mel_levels

RATE = 16000


def decode(address: str) -> tuple[NDArray[np.float64], int]:
    kind, data = address.split(",", 1)
    assert kind == "data:audio/flac;base64"
    return soundfile.read(io.BytesIO(base64.b64decode(data)))


def excerpt(waveform: NDArray[np.float32], rate: int = RATE) -> Excerpt:
    return Excerpt(waveform, rate, 0.0, waveform.size / rate)


def test_the_excerpt_holds_the_fault_and_both_are_cut_at_the_same_time() -> None:
    rng = np.random.default_rng(0)
    normal = rng.normal(0, 0.01, RATE * 12).astype(np.float32)
    faulty = rng.normal(0, 0.01, RATE * 12).astype(np.float32)
    faulty[RATE * 8 : RATE * 9] += np.sin(np.arange(RATE) * 1.3).astype(np.float32) * 0.2
    clip, nearest = choose_excerpts(faulty, normal, RATE)
    assert clip.start < 8 and clip.start + clip.seconds > 9
    assert nearest.start == clip.start
    assert clip.clip_seconds == 12.0
    np.testing.assert_array_equal(clip.waveform, faulty[round(clip.start * RATE) :][: 4 * RATE])


@pytest.mark.parametrize(("around", "start"), [(7.0, 5.0), (16.5, 12.0), (4.5, 4.0)])
def test_an_excerpt_lies_around_a_moment_of_the_recording(around: float, start: float) -> None:
    clip = np.arange(RATE * 12, dtype=np.float32)  # from the fourth second on
    found, _ = choose_excerpts(clip, clip, RATE, offset=4.0, around=around)
    assert found.start == start
    assert found.waveform[0] == (start - 4.0) * RATE


def test_clips_shorter_than_an_excerpt_are_kept_whole() -> None:
    clip, nearest = choose_excerpts(np.ones(1600, np.float32), np.ones(90000, np.float32), RATE)
    assert (clip.start, clip.seconds) == (0.0, 0.1)
    assert (nearest.start, nearest.seconds) == (0.0, 4.0)


def test_a_pair_is_played_with_one_gain() -> None:
    tone = np.sin(np.arange(RATE) * 0.3).astype(np.float32)
    loud, quiet = (decode(a)[0] for a in audio_addresses((excerpt(tone / 2), excerpt(tone / 8))))
    assert np.abs(loud).max() == pytest.approx(0.9, abs=0.002)
    middle = slice(2000, 14000)
    assert np.std(loud[middle]) / np.std(quiet[middle]) == pytest.approx(4.0, rel=0.01)


def test_what_is_played_is_the_recording_70_db_deep() -> None:
    rng = np.random.default_rng(1)
    waveform = rng.uniform(-0.9, 0.9, RATE).astype(np.float32)
    played, rate = decode(audio_addresses((excerpt(waveform), excerpt(waveform)))[0])
    assert rate == RATE
    gain = 0.9 / np.abs(waveform).max()
    error = (played - waveform * gain)[200:-200]
    assert 20 * np.log10(np.std(error)) < -70


@pytest.mark.parametrize(("recorded", "played"), [(48000, 16000), (44100, 16000), (4000, 8000)])
def test_rates_are_brought_to_what_every_browser_plays(recorded: int, played: int) -> None:
    waveform = np.sin(np.arange(recorded) * 0.1).astype(np.float32)
    samples, rate = decode(audio_addresses((excerpt(waveform, recorded),) * 2)[0])
    assert rate == played
    assert samples.size == pytest.approx(played, abs=2)


def test_silence_and_nothing_can_be_encoded() -> None:
    silence, nothing = audio_addresses(
        (excerpt(np.zeros(RATE, np.float32)), excerpt(np.zeros(0, np.float32)))
    )
    assert not decode(silence)[0].any()
    assert nothing == ""


def test_edges_fade_so_that_a_cut_does_not_knock() -> None:
    samples, _ = decode(audio_addresses((excerpt(np.ones(RATE, np.float32)),) * 2)[0])
    assert samples[0] == 0 and samples[-1] == 0
    assert np.abs(np.diff(samples)).max() < 0.02


def test_band_levels_keep_the_power_of_the_spectrum() -> None:
    waveform = np.random.default_rng(2).normal(size=4096).astype(np.float32)
    levels = mel_levels(waveform, RATE, frame=1024, hop=512, bands=40)
    # Bands tile the axis, so that density times width adds up to the power of the whole spectrum.
    widths = np.diff(mel_edges(RATE, 40)) * 1024 / RATE
    total = (10 ** (levels / 10) * widths[:, np.newaxis]).sum(axis=0)
    window = np.hanning(1024).astype(np.float32)
    for frame, power in enumerate(total):
        segment = waveform[frame * 512 : frame * 512 + 1024] * window
        spectrum = np.abs(np.fft.rfft(segment)) ** 2 / window.sum() ** 2
        # Half of the first and of the last bin lie outside 0 Hz to half the rate.
        expected = spectrum.sum() - spectrum[0] / 2 - spectrum[-1] / 2
        assert power == pytest.approx(expected, rel=1e-5)
