import numpy as np
import pytest

from firstshot.encoders.specs.trained import trained_spec
from firstshot.training.augmentation import TRANSFORMS, draw_window
from firstshot.training.batches import Batches, mix
from firstshot.training.classes import classify_clips
from firstshot.training.settings import make_settings

WINDOW = 8000


def batches_of(loaded, recipe="tiny", seed=0, workers=1, **changes):
    settings = make_settings(recipe, **changes)
    classes = classify_clips(loaded, None)
    return Batches(loaded.waveforms, classes, trained_spec(recipe, WINDOW), settings, seed, workers)


def test_a_batch_depends_on_seed_and_epoch_alone_and_not_on_the_threads_that_make_it(loaded):
    one = list(batches_of(loaded, batch=5).of_epoch(1))
    again = list(batches_of(loaded, batch=5, workers=3).of_epoch(1))
    other = list(batches_of(loaded, batch=5).of_epoch(2))
    assert len(one) == 3
    for first, second in zip(one, again, strict=True):
        np.testing.assert_array_equal(first.features, second.features)
        np.testing.assert_array_equal(first.labels, second.labels)
    assert not np.array_equal(one[0].features, other[0].features)


def test_a_last_batch_of_fewer_than_five_clips_is_left_out(loaded):
    assert batches_of(loaded, batch=6).steps == 2  # of 16 clips, four are left
    assert batches_of(loaded, batch=11).steps == 2


def test_labels_are_of_every_class_and_sum_to_one(loaded):
    (batch,) = batches_of(loaded, batch=16).of_epoch(1)
    assert batch.labels.shape == (16, 4)
    np.testing.assert_allclose(batch.labels.sum(axis=1), 1.0, rtol=1e-6)
    assert batch.features.shape == (16, trained_spec("tiny", WINDOW).geometry.mels)


def test_changes_of_the_sound_are_classes_of_their_own(loaded):
    batches = batches_of(loaded, "fmlp", batch=16, mixup=0.0)
    assert batches.labels == 4 * len(TRANSFORMS)
    seen = {
        int(row.argmax()) % 5
        for epoch in range(1, 6)
        for b in batches.of_epoch(epoch)
        for row in b.labels
    }
    assert seen == {0, 1, 2, 3, 4}


def test_mixed_clips_have_the_labels_of_both_by_their_shares():
    windows = np.array([[1.0], [10.0], [100.0]], np.float32)
    labels = np.eye(3, dtype=np.float32)
    mixed, shares = mix(windows, labels, 1.0, np.random.default_rng(0))
    np.testing.assert_allclose(mixed, shares @ windows, rtol=1e-6)
    assert (shares.max(axis=1) < 1).any()


def test_a_share_of_none_mixes_nothing():
    windows = np.arange(6, dtype=np.float32).reshape(3, 2)
    mixed, labels = mix(windows, np.eye(3, dtype=np.float32), 0.0, np.random.default_rng(0))
    np.testing.assert_array_equal(mixed, windows)
    np.testing.assert_array_equal(labels, np.eye(3))


def tone(hertz, seconds=2.0):
    return np.sin(2 * np.pi * hertz * np.arange(round(16000 * seconds)) / 16000).astype(np.float32)


def peak(window):
    """The strongest frequency in Hz."""
    return np.abs(np.fft.rfft(window * np.hanning(len(window)))).argmax() * 16000 / len(window)


@pytest.mark.parametrize(
    ("transform", "low", "high"), [("faster", 1.03, 1.13), ("slower", 0.88, 0.97)]
)
def test_a_faster_sound_is_higher_and_a_slower_one_lower(transform, low, high):
    window = draw_window(tone(1000), 16000, np.random.default_rng(3), transform)
    assert 1000 * low <= peak(window) <= 1000 * high


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.5])
def test_a_window_of_any_clip_has_no_level(transform, seconds):
    window = draw_window(3 * tone(440, seconds) + 1, 16000, np.random.default_rng(1), transform)
    assert window.shape == (16000,)
    assert window.dtype == np.float32
    assert window.mean() == pytest.approx(0, abs=1e-4)
    assert np.sqrt(np.mean(window.astype(float) ** 2)) == pytest.approx(1, abs=1e-3)


def test_a_raised_band_is_louder_by_six_to_twelve_decibels_and_far_bands_stay():
    draw = np.random.default_rng(5)
    noise = draw.standard_normal(32000).astype(np.float32)
    plain = draw_window(noise, 16000, np.random.default_rng(5))
    changed = draw_window(noise, 16000, np.random.default_rng(5), "band")
    gains = 20 * np.log10(np.abs(np.fft.rfft(changed)) / np.abs(np.fft.rfft(plain)))[50:]
    # The level of the window is taken out again, which moves all bands alike.
    strongest = np.abs(gains - np.median(gains)).max()
    assert 6 <= strongest <= 12.5


def test_a_modulated_sound_has_no_steady_level():
    def swing(transform):
        window = draw_window(tone(2000), 16000, np.random.default_rng(2), transform)
        levels = np.square(window.reshape(-1, 160)).mean(axis=1)
        return levels.max() / levels.min()

    assert swing("none") < 1.2
    assert swing("modulated") > 5
