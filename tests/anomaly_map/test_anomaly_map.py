"""The anomaly map: golden numbers, where injected sounds are found, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from firstshot.anomaly_map import (
    GROUP_EDGES_HZ,
    ClipCells,
    KeptCells,
    MapBank,
    cells_of,
    describe,
    find_place,
    vectors,
)
from firstshot.anomaly_map.place import TOO_FEW
from firstshot.anomaly_map.words import NOTHING

GOLDEN = Path(__file__).resolve().parents[2] / ".." / "shared/golden/map_and_windows/golden_map.npz"
RATE = 16000


def golden_clip(number, seconds=3.0):
    t = np.arange(round(seconds * RATE)) / RATE
    tone = 0.1 * np.sin(2 * np.pi * (1337 + 7 * number) * t)
    sound = 0.2 * np.sin(2 * np.pi * 171 * t) + tone * (1 + 0.5 * np.sin(2 * np.pi * 1.5 * t))
    return sound + 0.05 * np.random.default_rng(8200 + number).standard_normal(len(t))


def cells(samples):
    return cells_of(np.asarray(samples, dtype=np.float32))


@pytest.fixture(scope="module")
def bank():
    return MapBank.fit([cells(golden_clip(number)) for number in range(24)])


def with_tone():
    sound = golden_clip(24)
    sound[19200:24000] += 0.1 * np.sin(2 * np.pi * 3000 * np.arange(4800) / RATE)
    return sound


def test_the_map_equals_the_golden_numbers(bank):
    if not GOLDEN.exists():
        pytest.skip("the golden numbers of the map lie outside the project")
    golden, clip = np.load(GOLDEN), cells(with_tone())
    found = bank.compare(clip)
    np.testing.assert_allclose(clip.values, golden["v"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(clip.levels, golden["m"], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found.clips, golden["near"])
    np.testing.assert_allclose(bank.quantiles[50], golden["q50"], rtol=1e-3)
    np.testing.assert_allclose(bank.scale, golden["scale"], rtol=1e-3)
    np.testing.assert_allclose(found.z, golden["z"], rtol=0.01, atol=0.01)
    np.testing.assert_allclose(bank.held_out_maxima, golden["held_out_max"], rtol=0.01)
    assert bank.highlight_threshold(0.1) == pytest.approx(float(golden["threshold"]), rel=0.01)


def test_the_groups_have_the_edges_of_the_specification():
    expected = [69, 237, 443, 693, 999, 1371, 1825, 2378, 3053, 3876, 4879, 6101, 7592]
    assert [round(edge) for edge in GROUP_EDGES_HZ] == expected


def test_a_tone_is_found_where_it_sounds_and_called_louder(bank):
    clip = cells(with_tone())
    region = describe(clip, bank.compare(clip), bank, bank.highlight_threshold())
    assert region.kind == "louder"
    assert region.low_hz <= 3000 <= region.high_hz
    assert region.start_seconds == pytest.approx(1.2, abs=0.25)
    assert region.end_seconds == pytest.approx(1.5, abs=0.25)
    assert region.words == "At 1.0 to 1.7 s, 2.4 to 3.9 kHz: louder by 13 dB than normal moments."


def test_a_knock_is_called_a_knock(bank):
    sound = golden_clip(24)
    click = np.exp(-np.arange(400) / 60) * np.random.default_rng(0).standard_normal(400)
    sound[24000:24400] += 0.2 * click
    clip = cells(sound)
    region = describe(clip, bank.compare(clip), bank, bank.highlight_threshold())
    assert region.kind == "knock"
    assert region.start_seconds <= 1.5 <= region.end_seconds
    assert region.words == "At 1.4 s: a knock, 3 dB above the normal peak."


def test_a_group_without_its_usual_sound_is_called_missing(bank):
    clip = cells(golden_clip(24))
    values, levels = clip.values.copy(), clip.levels.copy()
    values[10:15, 5, :9] -= 1.0
    levels[10:15, 5] -= 1.0
    clip = ClipCells(values, levels)
    region = describe(clip, bank.compare(clip), bank, bank.highlight_threshold())
    assert region.kind == "quieter"
    assert (region.start_seconds, region.end_seconds) == pytest.approx((1.0, 1.4))
    assert region.decibels == pytest.approx(-3.7, abs=0.5)
    assert region.words == (
        "At 1.0 to 1.4 s, 1.4 to 1.8 kHz: a usual sound is missing (4 dB quieter)."
    )


def test_an_unusual_clip_without_a_strange_moment_has_no_region(bank):
    clip = cells(golden_clip(12))
    assert describe(clip, bank.compare(clip), bank, threshold=1e9) is None
    assert "differs as a whole" in NOTHING


def test_a_gain_changes_nothing(bank):
    plain = bank.compare(cells(golden_clip(30))).z
    quiet = bank.compare(cells(0.3 * golden_clip(30))).z
    np.testing.assert_allclose(quiet, plain, atol=0.005)


@pytest.mark.parametrize("samples", [1, 511, 512, 700, 1600, 160000])
def test_a_clip_of_any_length_has_finite_cells(bank, samples):
    clip = cells(golden_clip(1, 10.0)[:samples])
    frames = 1 + max(0, samples - 512) // 160
    assert len(clip) == (10 * (frames - 1) + 16) // 100 + 1
    assert np.isfinite(bank.compare(clip).z).all()


def test_cells_are_those_of_a_plain_computation():
    sound = golden_clip(3, 1.0)
    clip = cells(sound)
    x = (sound - sound.mean()).astype(np.float32).astype(np.float64)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    frames = [x[s : s + 512] * hann for s in range(0, len(x) - 511, 160)]
    mel = 2595 * np.log10(1 + np.array([50.0, 7800.0]) / 700)
    corners = 700 * (10 ** (np.linspace(*mel, 50) / 2595) - 1)
    hertz = np.arange(257) * RATE / 512
    bank = np.stack(
        [np.interp(hertz, corners[b : b + 3], [0.0, 1.0, 0.0], left=0, right=0) for b in range(48)],
        axis=1,
    )
    power = np.abs(np.fft.rfft(frames)) ** 2 @ bank + 1e-10
    level = np.log(power).mean()
    # Cell 5 looks at the frames 53 - 10 to 53 + 9, group 2 at the bands 8 to 11.
    np.testing.assert_allclose(
        clip.values[5, 2, :4], np.log(power[43:63, 8:12]).mean(axis=0) - level, atol=1e-3
    )
    own = [t for t in range(len(power)) if (10 * t + 16) // 100 == 5]
    np.testing.assert_allclose(
        clip.values[5, 2, 4:8], np.log(power[own, 8:12]).max(axis=0) - level, atol=1e-3
    )
    group = np.log(power[:, 8:12].mean(axis=1)) - level
    np.testing.assert_allclose(clip.values[5, 2, 9], group[28:78].std(), atol=1e-3)
    smooth = np.convolve(group, np.ones(3) / 3, "valid")
    np.testing.assert_allclose(clip.values[5, 2, 8], smooth[28:78].max(), atol=1e-3)
    np.testing.assert_allclose(clip.levels[5, 2], np.log(np.exp(group[43:63]).mean()), atol=1e-3)


def test_clips_of_one_recording_are_held_out_together():
    rng = np.random.default_rng(1)
    takes = [golden_clip(number) for number in range(6)]
    clips = [cells(take + 1e-3 * rng.standard_normal(len(take))) for take in takes for _ in "ab"]
    together = MapBank.fit(clips, [f"take {number // 2}" for number in range(12)])
    alone = MapBank.fit(clips[::2])
    apart = MapBank.fit([*clips[::2], *clips[1::2]])  # every fold holds copies of the other folds
    assert np.median(together.held_out_maxima) > 0.5 * np.median(alone.held_out_maxima)
    assert apart.quantiles[50].mean() < 0.5 * together.quantiles[50].mean()


def test_every_held_out_part_has_clips_of_every_domain():
    rng = np.random.default_rng(1)
    usual = [cells(golden_clip(number)) for number in range(10)]
    new = [cells(0.1 * rng.standard_normal(48000)) for _ in range(2)]
    domains = ["source"] * 10 + ["target"] * 2
    banks = MapBank.fit([*usual, *new], domains=domains), MapBank.fit([*usual, *new])
    apart, together = (float(np.median(bank.quantiles[100])) for bank in banks)
    assert apart < 0.5 * together


def test_kept_cells_follow_their_rows():
    clips = [cells(golden_clip(number, 1.0 + number)) for number in range(4)]
    kept = KeptCells.of(clips)
    some = kept.without(np.array([False, True, False, False])).keep(np.array([3, 1, 0]))
    assert some.counts.tolist() == [len(clips[3]), 0, len(clips[0])]
    for found, clip in zip(some.clips(), (clips[3], clips[0]), strict=True):
        np.testing.assert_allclose(found.array, clip.array, atol=2e-3)
        np.testing.assert_array_equal(found.key, clip.key)
    both = some.join(KeptCells.of(clips[2:3]))
    np.testing.assert_allclose(both.clips()[2].array, clips[2].array, atol=2e-3)
    some.check(3)
    with pytest.raises(ValueError, match="the array counts"):
        some.check(4)


def test_a_thinned_clip_keeps_the_key_of_all_its_cells():
    clips = [cells(golden_clip(0, 10.0))] * 500
    kept = KeptCells.of(clips).thinned()
    assert (kept.counts == 50).all()
    np.testing.assert_array_equal(kept.clips()[7].key, clips[7].key)
    np.testing.assert_allclose(kept.clips()[7].array, clips[7].array[::2], atol=2e-3)


def test_a_map_made_again_of_its_arrays_is_the_same(bank):
    arrays, clip = bank.arrays(), cells(with_tone())
    again = MapBank.from_arrays(arrays, 24)
    np.testing.assert_array_equal(again.compare(clip).z, bank.compare(clip).z)
    assert again.highlight_threshold() == bank.highlight_threshold()
    for name, array in arrays.items():
        with pytest.raises(ValueError, match="anomaly map"):
            MapBank.from_arrays({**arrays, name: array[:-1]}, 24)
        not_finite = np.full(array.shape, np.nan)
        with pytest.raises(ValueError, match="anomaly map"):
            MapBank.from_arrays({**arrays, name: not_finite}, 24)
    for name in ("counts", "deviation"):
        with pytest.raises(ValueError, match="anomaly map"):
            MapBank.from_arrays({**arrays, name: -arrays[name]}, 24)
    with pytest.raises(ValueError, match="anomaly map"):
        MapBank.from_arrays({"mean": arrays["mean"]}, 24)


def test_nothing_is_highlighted_in_a_clip_that_was_judged_normal(bank):
    clip = cells(with_tone())
    assert find_place(bank, clip, is_anomaly=False).regions == ()
    assert find_place(bank, clip, is_anomaly=False).words == ""
    place = find_place(bank, clip, is_anomaly=True)
    assert place.words == place.regions[0].words
    assert place.regions[0].stranger_than == 1.0
    assert place.z.max() == place.regions[0].z
    usual = find_place(bank, cells(golden_clip(12)), is_anomaly=True)
    assert (usual.regions, usual.words) == ((), NOTHING)
    few = find_place(MapBank.fit([cells(golden_clip(i)) for i in range(5)]), clip, is_anomaly=True)
    assert (few.regions, few.threshold, few.words) == ((), None, TOO_FEW)


def test_a_stretch_of_a_clip_is_told_in_the_clips_own_time(bank):
    clip = cells(with_tone())
    place = find_place(bank, clip, True, start_seconds=20.0)
    assert place.words.startswith("At 21.0 to 21.7 s")
    assert place.regions[0].end_seconds == pytest.approx(21.7)
    late = golden_clip(24)
    late[28800:] += 0.1 * np.sin(2 * np.pi * 3000 * np.arange(19200) / RATE)
    told = [find_place(bank, cells(late), True, 5.0, ends).words for ends in (True, False)]
    assert "s to the end, " in told[0]
    assert told[1].startswith("At 6.")


@pytest.mark.parametrize("seconds", [0.03, 5.0, 130.0])
def test_cells_in_portions_are_those_of_the_whole(monkeypatch, seconds):
    clip = golden_clip(3, seconds)
    portions = cells(clip).array
    monkeypatch.setattr(vectors, "CELLS_AT_ONCE", 10**9)
    np.testing.assert_array_equal(portions, cells(clip).array)


def test_a_large_bank_is_thinned_and_small_ones_promise_nothing():
    clip = cells(golden_clip(0, 3.0))
    bank = MapBank.fit([clip] * 2000)
    assert len(bank.cells.packed) <= 40_000
    assert bank.cells.packed.nbytes < 11e6
    assert MapBank.fit([clip] * 5).highlight_threshold(0.1) is None
    lone = MapBank.fit([clip])
    assert lone.highlight_threshold(0.1) is None
    assert (lone.compare(clip).z == 0).all()
