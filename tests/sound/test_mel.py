import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstshot.errors import ParameterError, SoundError
from firstshot.sound.mel import (
    CED_MEL,
    M2D_MEL,
    MelSpec,
    ced_decibels,
    hertz_to_mel,
    m2d_logmel,
    mel_bank,
    mel_edges,
    mel_energies,
    mel_to_hertz,
    row_bands,
)

FRONT_ENDS = {CED_MEL: ced_decibels, M2D_MEL: m2d_logmel}


def noise(samples, seed=0, loudness=0.1):
    values = np.random.default_rng(seed).standard_normal(samples) * loudness
    return values.astype(np.float32)


def power_by_hand(waveform, window, frame, centred=True):
    """|X|^2 of one frame in float64 from the sum that defines it, edges mirrored one by one."""
    last = len(waveform) - 1
    samples = []
    for offset in range(window):
        index = frame * 160 - (window // 2 if centred else 0) + offset
        if index < 0:
            index = -index
        if index > last:
            index = 2 * last - index
        hann = 0.5 - 0.5 * math.cos(2 * math.pi * offset / window)
        samples.append(float(waveform[index]) * hann)
    bins = np.arange(window // 2 + 1)[:, None]
    turns = np.exp(-2j * np.pi * bins * np.arange(window) / window)
    return np.abs(turns @ np.array(samples)) ** 2


def triangle_by_hand(spec, number, hertz):
    """The weight of one frequency in one triangle, from the text of the specification."""

    def to_mel(f):
        if spec.scale == "htk":
            return 2595 * math.log10(1 + f / 700)
        return 3 * f / 200 if f < 1000 else 15 + 27 * math.log(f / 1000) / math.log(6.4)

    def to_hertz(m):
        if spec.scale == "htk":
            return 700 * (10 ** (m / 2595) - 1)
        return 200 * m / 3 if m < 15 else 1000 * math.exp((m - 15) * math.log(6.4) / 27)

    low, high = to_mel(spec.low), to_mel(spec.high)
    left, peak, right = (
        to_hertz(low + (high - low) * (number + step) / (spec.mels + 1)) for step in range(3)
    )
    weight = max(0.0, min((hertz - left) / (peak - left), (right - hertz) / (right - peak)))
    return weight * 2 / (right - left) if spec.area else weight


@pytest.mark.parametrize("spec", FRONT_ENDS, ids=["ced", "m2d"])
def test_the_bank_is_the_triangles_of_the_text(spec):
    bank = mel_bank(spec)
    by_hand = [
        [triangle_by_hand(spec, m, k * 16000 / spec.window) for m in range(spec.mels)]
        for k in range(spec.window // 2 + 1)
    ]
    np.testing.assert_allclose(bank, by_hand, rtol=1e-6, atol=1e-9)
    assert (bank.sum(axis=0) > 0).all()


def test_the_banks_meet_the_stored_check_sums():
    assert mel_bank(CED_MEL).max() == pytest.approx(0.99956, abs=1e-5)
    assert mel_bank(CED_MEL).sum() == pytest.approx(250.195, abs=1e-3)
    assert mel_bank(M2D_MEL).max() == pytest.approx(0.027206, abs=1e-6)
    assert mel_bank(M2D_MEL).sum() == pytest.approx(2.000698, abs=2e-6)


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("spec", FRONT_ENDS, ids=["ced", "m2d"])
@pytest.mark.parametrize("frame", [0, 1, 7, 17])
def test_energies_are_the_defining_sums_at_the_edges_and_inside(spec, frame, centred):
    waveform = noise(3333)
    energies = mel_energies(waveform, spec, centred)
    frames = 21 if centred else 1 + (3333 - spec.window) // 160
    assert energies.shape == (frames, spec.mels)
    power = power_by_hand(waveform, spec.window, frame, centred)
    expected = power @ mel_bank(spec)
    np.testing.assert_allclose(energies[frame], expected, rtol=0, atol=1e-6 * expected.max())


@pytest.mark.parametrize("spec", FRONT_ENDS, ids=["ced", "m2d"])
def test_logarithms_are_those_of_the_text(spec):
    waveform = noise(3333, seed=1)
    power = power_by_hand(waveform, spec.window, 9)
    bins = np.arange(spec.window // 2 + 1) * 16000 / spec.window
    energies = [
        sum(p * triangle_by_hand(spec, m, hertz) for p, hertz in zip(power, bins, strict=True))
        for m in range(spec.mels)
    ]
    if spec is CED_MEL:
        expected = 10 * np.log10(np.maximum(energies, 1e-10))
    else:
        expected = np.log(np.array(energies) + 1.1920929e-7)
    np.testing.assert_allclose(FRONT_ENDS[spec](waveform)[9], expected, rtol=0, atol=1e-4)


def test_ced_cuts_off_at_120_db_below_the_loudest_of_the_clip_itself():
    loud = np.concatenate([noise(16000, loudness=0.5), np.zeros(16000, dtype=np.float32)])
    decibels = ced_decibels(loud)
    assert decibels.max() > 20
    assert decibels[150:].max() == decibels.min() == decibels.max() - np.float32(120)


def test_ced_floors_a_quiet_clip_at_100_db_below_one():
    quiet = np.concatenate([noise(16000, loudness=1e-3), np.zeros(16000, dtype=np.float32)])
    decibels = ced_decibels(quiet)
    assert decibels.max() < 20
    assert decibels.min() == pytest.approx(-100, abs=1e-4)


@pytest.mark.parametrize(("front_end", "floor"), [(ced_decibels, -100.0), (m2d_logmel, -15.942385)])
def test_digital_silence_is_finite_and_at_the_floor(front_end, floor):
    spectrogram = front_end(np.zeros(8000, dtype=np.float32))
    np.testing.assert_allclose(spectrogram, floor, rtol=1e-6)
    assert spectrogram.dtype == np.float32


@given(samples=st.integers(min_value=257, max_value=4000))
@settings(max_examples=30, deadline=None)
def test_there_is_a_frame_for_every_hop_and_one_more(samples):
    waveform = noise(samples)
    assert ced_decibels(waveform).shape == (1 + samples // 160, 64)
    assert m2d_logmel(waveform).shape == (1 + samples // 160, 80)


@given(factor=st.floats(min_value=1e-2, max_value=30))
@settings(max_examples=20, deadline=None)
def test_energy_grows_with_the_square_of_the_amplitude(factor):
    waveform = noise(2000)
    louder = mel_energies(waveform * np.float32(factor), CED_MEL)
    np.testing.assert_allclose(louder, mel_energies(waveform, CED_MEL) * factor**2, rtol=1e-4)


@pytest.mark.parametrize(("spec", "shortest"), [(CED_MEL, 257), (M2D_MEL, 201)])
def test_a_clip_too_short_to_mirror_is_refused(spec, shortest):
    assert len(FRONT_ENDS[spec](noise(shortest))) == 2
    with pytest.raises(SoundError, match=f"one channel of at least {shortest} samples"):
        FRONT_ENDS[spec](noise(shortest - 1))


def test_two_channels_are_refused():
    with pytest.raises(SoundError, match=r"shape \(2, 1600\)"):
        ced_decibels(noise(3200).reshape(2, 1600))


@pytest.mark.parametrize("scale", ["htk", "slaney"])
@given(hertz=st.floats(min_value=0, max_value=8000))
def test_the_mel_scales_are_undone_by_their_inverses(scale, hertz):
    there = hertz_to_mel(np.array([hertz]), scale)
    np.testing.assert_allclose(mel_to_hertz(there, scale), hertz, rtol=1e-9, atol=1e-9)


def test_an_unknown_mel_scale_is_refused():
    bark = MelSpec(window=512, mels=8, low=0.0, high=8000.0, scale="bark", area=False)
    with pytest.raises(ParameterError, match="mel scale 'bark' is not known"):
        mel_edges(bark)


def test_a_row_s_band_holds_exactly_what_its_triangles_hear():
    bins = np.arange(257) * 31.25
    for row, (low, high) in enumerate(row_bands(CED_MEL, 4)):
        weighted = bins[mel_bank(CED_MEL)[:, row * 16 : (row + 1) * 16].any(axis=1)]
        assert low < weighted.min() < low + 62.5
        assert high - 62.5 <= weighted.max() < high


def test_shared_tables_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        mel_bank(CED_MEL)[0, 0] = 1
