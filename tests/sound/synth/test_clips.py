import numpy as np
import pytest

from firstshot.domains import DOMAINS
from firstshot.errors import ParameterError
from firstshot.sound.synth.clips import FAULTS, MACHINES, NOISES, make_clip, synthesize
from firstshot.sound.synth.machines import BEARING, BLADES, PINION_TEETH, SOUNDS, Run
from firstshot.sound.synth.parts import (
    SAMPLE_RATE,
    Dice,
    Mode,
    angle,
    band_noise,
    harmonics,
    impacts,
    passages,
    shaft_phase,
)

EVERY_FAULT = [(machine, fault) for machine in MACHINES for fault in FAULTS[machine]]


def healthy(machine: str, **severities: float) -> dict[str, float]:
    return dict.fromkeys(FAULTS[machine], 0.0) | severities


def spectrum(signal: np.ndarray) -> np.ndarray:
    return np.abs(np.fft.rfft(signal * np.hanning(len(signal)))) ** 2


def peak_over_floor(power: np.ndarray, hz: float, seconds: float, width: float = 2.0) -> float:
    """Largest bin within `width` Hz of a frequency over the median within 25 Hz of it."""
    centre, near, far = round(hz * seconds), round(width * seconds), round(25 * seconds)
    around = power[centre - near : centre + near + 1].max()
    return float(around / np.median(power[max(1, centre - far) : centre + far]))


def test_the_bearing_has_the_defect_frequencies_that_its_maker_publishes():
    # 6205-2RS, Case Western Reserve University bearing data centre: multiples of the shaft's rate
    assert BEARING.outer == pytest.approx(3.5848, abs=2e-4)
    assert BEARING.inner == pytest.approx(5.4152, abs=2e-4)
    assert BEARING.cage == pytest.approx(0.39828, abs=2e-4)
    assert 2 * BEARING.spin == pytest.approx(4.7135, abs=2e-3)


@pytest.mark.parametrize(("fault", "rate"), [("outer_race", "outer"), ("inner_race", "inner")])
def test_a_race_defect_puts_its_frequency_into_the_envelope(fault, rate):
    from scipy.signal import butter, hilbert, sosfiltfilt

    seconds, hz = 4.0, 20.0
    band = butter(4, [1500, 6000], "bandpass", fs=SAMPLE_RATE, output="sos")
    found = {}
    for severity in (0.0, 1.0):
        run = Run(Dice("envelope"), int(seconds * SAMPLE_RATE), hz, load=0.5)
        sound = SOUNDS["SynthBearing"](run, healthy("SynthBearing", **{fault: severity}))
        envelope = np.abs(hilbert(sosfiltfilt(band, sound)))
        power = spectrum(envelope - envelope.mean())
        found[severity] = peak_over_floor(power, hz * getattr(BEARING, rate), seconds)
    assert found[1.0] > 30 * found[0.0]


def test_the_fan_has_a_tone_at_its_blade_pass_and_sidebands_when_a_blade_is_damaged():
    seconds, hz = 4.0, 45.0
    power = {}
    for severity in (0.0, 1.0):
        run = Run(Dice("blades"), int(seconds * SAMPLE_RATE), hz, load=0.5)
        sound = SOUNDS["SynthFan"](run, healthy("SynthFan", blade_damage=severity))
        power[severity] = spectrum(sound)
        assert peak_over_floor(power[severity], BLADES * hz, seconds, width=4) > 100
    side = peak_over_floor(power[1.0], (BLADES + 1) * hz, seconds, width=4)
    assert side > 5 * peak_over_floor(power[0.0], (BLADES + 1) * hz, seconds, width=4)


def test_the_gear_mesh_has_sidebands_one_shaft_turn_apart():
    seconds, hz = 4.0, 25.0
    run = Run(Dice("mesh"), int(seconds * SAMPLE_RATE), hz, load=1.0)
    power = spectrum(SOUNDS["SynthGearbox"](run, healthy("SynthGearbox")))
    for line in (PINION_TEETH - 1, PINION_TEETH, PINION_TEETH + 1):
        assert peak_over_floor(power, line * hz, seconds, width=4) > 20


def test_a_cracked_tooth_knocks_once_a_turn():
    samples, hz = 2 * SAMPLE_RATE, 25.0
    clips = []
    for severity in (0.0, 1.0):
        run = Run(Dice("crack"), samples, hz, load=0.5)
        clips.append(SOUNDS["SynthGearbox"](run, healthy("SynthGearbox", tooth_crack=severity)))
    power = spectrum(np.abs(clips[1]) - np.abs(clips[0]))
    strongest = [peak_over_floor(power, turns * hz, 2) for turns in (1, 2, 3)]
    assert min(strongest) > 20
    assert peak_over_floor(power, 1.5 * hz, 2) < min(strongest) / 4


def test_a_late_valve_lets_air_flow_for_longer():
    loudness = []
    for severity in (0.0, 1.0):
        run = Run(Dice("late"), 4 * SAMPLE_RATE, hz=3.0, load=0.5)
        sound = SOUNDS["SynthValve"](run, healthy("SynthValve", late_closing=severity))
        blocks = sound[: len(sound) // 160 * 160].reshape(-1, 160).std(axis=1)
        loudness.append(np.mean(blocks > 0.35))
    assert loudness[1] > 1.7 * loudness[0]


@pytest.mark.parametrize(("machine", "fault"), EVERY_FAULT)
def test_a_fault_of_severity_zero_is_silent_and_grows_from_there(machine, fault):
    def clip(fault, severity):
        return make_clip(machine, fault, severity, "source", 0.5, Dice("grow")).waveform

    normal = clip(None, 0.0)
    assert np.array_equal(clip(fault, 0.0), normal)
    changes = [np.mean((clip(fault, severity) - normal) ** 2) for severity in (0.2, 0.6, 1.0)]
    assert 0 < changes[0] < changes[1] < changes[2]


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("machine", MACHINES)
def test_every_machine_stays_within_full_scale_and_is_well_above_silence(machine, domain):
    for fault in (None, *FAULTS[machine]):
        clip = synthesize(machine, fault, severity=1.0, domain=domain, seconds=1.0, seed=3)
        assert clip.dtype == np.float32
        assert clip.shape == (SAMPLE_RATE,)
        assert np.isfinite(clip).all()
        assert np.abs(clip).max() <= 1.0
        assert np.mean(np.abs(clip) >= 1.0) < 1e-3
        assert 0.01 < clip.std() < 0.3


def test_the_domains_differ_in_speed_load_and_noise():
    reported = {
        domain: [
            dict(make_clip("SynthFan", None, 0, domain, 0.1, Dice(number)).attributes)
            for number in range(40)
        ]
        for domain in DOMAINS
    }
    speeds = {domain: {int(clip["rpm"]) for clip in reported[domain]} for domain in DOMAINS}
    noises = {domain: {clip["noise"] for clip in reported[domain]} for domain in DOMAINS}
    assert max(speeds["source"]) < min(speeds["target"])
    assert len(speeds["source"]) > 2
    assert noises["source"] | noises["target"] == set(NOISES)
    assert not noises["source"] & noises["target"]


def test_one_seed_gives_one_clip_and_another_seed_another():
    first, again = (synthesize("SynthPump", seconds=0.3, seed=5) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, synthesize("SynthPump", seconds=0.3, seed=6))


@pytest.mark.parametrize("seconds", [0.1, 0.1234, 1 / 3])
def test_odd_lengths_come_out_exactly(seconds):
    assert len(synthesize("SynthValve", seconds=seconds)) == round(seconds * SAMPLE_RATE)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"machine": "Toaster"}, "SynthFan"),
        ({"machine": "SynthFan", "fault": "wear"}, "imbalance"),
        ({"machine": "SynthFan", "domain": "moon"}, "target"),
        ({"machine": "SynthFan", "severity": 1.5}, "1.5"),
        ({"machine": "SynthFan", "severity": float("nan")}, "nan"),
        ({"machine": "SynthFan", "seconds": 0.01}, "0.01"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(settings, named):
    with pytest.raises(ParameterError, match=named) as caught:
        synthesize(**settings)
    assert "\n" not in str(caught.value)


def test_dice_depend_on_their_key_alone_and_keep_their_numbers():
    assert Dice("a", 1).uniform(0, 1) == 0.17904957144952172
    assert Dice("a", 1).uniform(0, 1) != Dice("a", 2).uniform(0, 1)
    assert Dice("a", "1|2").uniform(0, 1) != Dice("a", 12).uniform(0, 1)


def test_normals_are_centred_of_unit_deviation_and_nearly_gaussian():
    numbers = Dice("normals").normals(400_000)
    assert abs(numbers.mean()) < 0.01
    assert numbers.std() == pytest.approx(1, abs=0.01)
    assert np.mean(np.abs(numbers) < 1) == pytest.approx(0.68, abs=0.03)


def test_harmonics_are_the_sum_of_cosines_at_drawn_angles():
    phase = shaft_phase(Dice("shaft"), 1000, hz=30.0)
    amplitudes = (0.5, 0.2, 0.1)
    angles = 2 * np.pi * Dice("tones").uniforms(3)
    direct = sum(a * np.cos(k * phase + angles[k - 1]) for k, a in enumerate(amplitudes, 1))
    np.testing.assert_allclose(harmonics(Dice("tones"), phase, amplitudes), direct, atol=1e-12)


def test_impacts_are_a_ring_down_from_every_strike():
    mode = Mode(1000.0, 0.003, 0.7)
    positions, strengths = np.array([10.0, 100.25, 399.9]), np.array([1.0, 2.0, 5.0])
    time = np.arange(400) / SAMPLE_RATE
    ring = 0.7 * np.exp(-time / 0.003) * np.sin(2 * np.pi * 1000.0 * time)
    direct = np.zeros(400)
    for start, strength in ((10, 1.0), (100, 1.5), (101, 0.5)):
        direct[start:] += strength * ring[: 400 - start]
    struck = impacts(400, positions, strengths, (mode,))  # the last strike is past the end
    tail = int(SAMPLE_RATE * 6 * 0.003)  # ring-downs are cut where they have fallen by 52 dB
    np.testing.assert_allclose(struck, direct, atol=2.5 * np.exp(-tail / SAMPLE_RATE / 0.003))


def test_passages_are_where_the_shaft_turns_past_a_defect():
    phase = angle(20.0, SAMPLE_RATE) + 0.5
    found = passages(phase, per_turn=3.5848)
    assert len(found) == pytest.approx(20 * 3.5848, abs=1)
    np.testing.assert_allclose(np.diff(found), SAMPLE_RATE / 20 / 3.5848, rtol=1e-9)


def test_band_noise_lies_in_its_band_and_has_unit_rms():
    noise = band_noise(Dice("band"), 20_000, 1000, 2000)
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(1, abs=1e-12)
    power = np.abs(np.fft.rfft(noise)) ** 2
    hz = np.fft.rfftfreq(20_000, 1 / SAMPLE_RATE)
    inside = power[(hz > 1000) & (hz < 2000)].mean()
    assert inside > 100 * power[hz < 200].mean()
    assert inside > 30 * power[hz > 7000].mean()
