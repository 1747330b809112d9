"""A running shaft or a switching schedule becomes the sound of a machine, healthy or faulty.

Input: a `Run` (phase of the shaft, load, random numbers) and how severe each fault is (0 to 1);
output: a float64 waveform at 16 kHz, RMS about 1 when healthy. Sources: gear mesh with sidebands
and crack, McFadden 1986 (J. Vib. Acoust. 108); bearing defect frequencies and slip, Randall &
Antoni 2011 (MSSP 25); blade and vane pass, cavitation, Brennen, "Hydrodynamics of Pumps", 1994.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from firstshot.sound.synth.parts import (
    SAMPLE_RATE,
    Dice,
    Mode,
    Signal,
    angle,
    band_noise,
    harmonics,
    impacts,
    passages,
    shaft_phase,
)

Faults = Mapping[str, float]


@dataclass(frozen=True)
class Run:
    """How a machine runs during one clip: `hz` turns or strokes per second, `load` 0 to 1."""

    dice: Dice
    samples: int
    hz: float
    load: float

    def phase(self) -> Signal:
        """Angle of the shaft, sample by sample, in radians."""
        return shaft_phase(self.dice, self.samples, self.hz)

    def noise(self, low_hz: float, high_hz: float, tilt_db: float = 0.0) -> Signal:
        """Noise of RMS 1 that lasts the clip."""
        return band_noise(self.dice, self.samples, low_hz, high_hz, tilt_db)


@dataclass(frozen=True)
class BearingGeometry:
    """A rolling-element bearing: number of balls, ball and pitch diameter (mm), contact angle.

    The frequencies are multiples of the shaft's, outer ring fixed.

    >>> rig = BearingGeometry(balls=8, ball=10.0, pitch=40.0, angle=0.0)
    >>> rig.outer, rig.inner, rig.cage, rig.spin
    (3.0, 5.0, 0.375, 1.875)
    """

    balls: int
    ball: float
    pitch: float
    angle: float

    @property
    def ratio(self) -> float:
        """Ball over pitch diameter, as seen along the contact."""
        return self.ball / self.pitch * float(np.cos(self.angle))

    @property
    def outer(self) -> float:
        """BPFO: balls passing a point of the outer race per turn."""
        return self.balls / 2 * (1 - self.ratio)

    @property
    def inner(self) -> float:
        """BPFI: balls passing a point of the inner race per turn."""
        return self.balls / 2 * (1 + self.ratio)

    @property
    def cage(self) -> float:
        """FTF: turns of the cage per turn."""
        return (1 - self.ratio) / 2

    @property
    def spin(self) -> float:
        """BSF: turns of a ball about itself per turn."""
        return self.pitch / (2 * self.ball) * (1 - self.ratio**2)


BEARING = BearingGeometry(balls=9, ball=7.94, pitch=39.04, angle=0.0)
BLADES, VANES, PINION_TEETH, WHEEL_TEETH = 7, 6, 23, 57


def fan(run: Run, faults: Faults) -> Signal:
    """Blade-pass tones and modulated air noise over motor hum.

    imbalance: shaft tones; blade_damage: one blade differs, so sidebands at the shaft's rate;
    rubbing: a tip scrapes once a turn; obstruction: turbulence at low frequencies, weaker tones.
    """
    dice, phase = run.dice, run.phase()
    uneven = 1 + (0.1 + 0.7 * faults["blade_damage"]) * np.cos(phase + dice.uniform(0, 6))
    choked = faults["obstruction"]
    tones = harmonics(dice, BLADES * phase, (0.5, 0.3, 0.2, 0.1, 0.07))
    air = run.noise(200, 3000, -3) * (1 + 0.3 * np.cos(BLADES * phase))
    flow = uneven * ((1 - 0.6 * choked) * tones + 0.6 * air) * (0.5 + run.load)
    loose = faults["imbalance"]
    shaft = harmonics(dice, phase, (0.2 + loose, 0.1 + 0.6 * loose, 0.04 + 0.35 * loose, 0.03))
    scrape = np.exp(12 * (np.cos(phase) - 1)) * run.noise(2000, 6000)
    stall = run.noise(80, 500, -3) * (1 + 0.5 * np.cos(0.37 * phase))
    return np.asarray(flow + shaft + 0.8 * faults["rubbing"] * scrape + 1.3 * choked * stall)


def gearbox(run: Run, faults: Faults) -> Signal:
    """Mesh harmonics with sidebands of both shafts, louder under load.

    tooth_crack: the tooth yields (phase lag) and knocks once a turn; wear: higher mesh harmonics;
    misalignment: twice the shaft's and the mesh's rate; dry_running: friction noise at the mesh.
    """
    dice, phase = run.dice, run.phase()
    wheel = phase * (PINION_TEETH / WHEEL_TEETH)
    crack, wear, skew = faults["tooth_crack"], faults["wear"], faults["misalignment"]
    cracked = np.exp(10 * (np.cos(phase) - 1))
    mesh = PINION_TEETH * phase + 0.1 * np.sin(wheel) - 0.8 * crack * cracked
    depth = 1 + 0.2 * np.cos(phase) + 0.15 * np.cos(wheel + dice.uniform(0, 6))
    depth = depth + 0.5 * skew * np.cos(2 * phase)
    levels = (0.8, 0.4 + 0.8 * skew + 0.2 * wear, 0.25 + 0.4 * wear, 0.12 + 0.4 * wear)
    teeth = harmonics(dice, mesh, (*levels, 0.06 + 0.3 * wear))
    shaft = harmonics(dice, phase, (0.15, 0.1 + 0.6 * skew, 0.05, 0.05 + 0.2 * skew))
    modes = (Mode(1750, 0.004), Mode(3300, 0.002, 0.7))
    knock = impacts(run.samples, passages(phase, 1.0), 2.5 * crack * (0.4 + run.load), modes)
    rub = run.noise(1500, 5000) * (1 + 0.5 * np.cos(PINION_TEETH * phase))
    rolling = 0.25 * run.noise(300, 4000, -2)
    force = 0.45 + 0.8 * run.load
    return np.asarray(
        force * depth * teeth + shaft + rolling + knock + 0.8 * faults["dry_running"] * rub
    )


def bearing(run: Run, faults: Faults) -> Signal:
    """Shaft tones and rolling noise; a spall strikes the housing's resonances at each passage.

    outer_race: BPFO, even; inner_race: BPFI, through the load zone once a turn; ball: twice BSF,
    with the cage; dry_running: friction noise and random crackle. Slip jitters every strike.
    """
    dice, phase = run.dice, run.phase()
    modes = (Mode(2300, 0.002), Mode(3900, 0.0012, 0.8), Mode(950, 0.004, 0.4))
    sound = harmonics(dice, phase, (0.4, 0.25, 0.15, 0.1, 0.05)) * (0.7 + 0.4 * run.load)
    sound = sound + 0.55 * run.noise(400, 3500, -1) * (1 + 0.1 * np.cos(phase))
    zone = {"outer_race": 0.0, "inner_race": 0.9, "ball": 0.6}
    rates = {"outer_race": BEARING.outer, "inner_race": BEARING.inner, "ball": 2 * BEARING.spin}
    for fault, rate in rates.items():
        turning = phase * (BEARING.cage if fault == "ball" else 1.0)
        at = passages(phase, rate)
        slip = 0.015 * SAMPLE_RATE / (run.hz * rate) * dice.normals(len(at))
        where = np.interp(at, np.arange(run.samples, dtype=np.float64), turning)
        strength = (1 + zone[fault] * np.cos(where)) * (1 + 0.15 * dice.normals(len(at)))
        gain = 2.2 * faults[fault] * (0.5 + run.load)
        sound = sound + impacts(run.samples, at + slip, gain * strength, modes)
    dry = faults["dry_running"]
    crackle = np.sort(dice.uniforms(int(40 * run.samples / SAMPLE_RATE))) * run.samples
    sound = sound + impacts(run.samples, crackle, 0.25 + 1.5 * dry, modes)
    return np.asarray(sound + 0.5 * dry * run.noise(2500, 7000))


def valve(run: Run, faults: Faults) -> Signal:
    """Open and close clicks on a schedule, air flowing while open, a solenoid's hum.

    late_closing: the stroke lasts longer; sticking: strokes are weak or missed;
    leak: hiss while closed; bounce: the disc lands a second and third time.
    """
    dice, samples = run.dice, run.samples
    period = SAMPLE_RATE / run.hz
    count = int(samples / period) + 2
    opens = (np.arange(count) - dice.uniform(0, 1)) * period
    opens = opens + 0.01 * period * dice.normals(count)
    stroke = period * (0.3 + 0.02 * dice.normals(count) + 0.65 * faults["late_closing"])
    closes = opens + np.minimum(stroke, 0.95 * period)
    stuck = dice.uniforms(count) < 0.8 * faults["sticking"]
    hang = faults["sticking"]
    lift = np.where(stuck, 0.25 - 0.2 * hang, 1 - 0.3 * hang)
    force = lift * (1 + 0.1 * dice.normals(count)) * (0.8 + 0.4 * run.load)
    seat = (Mode(1400, 0.008), Mode(2900, 0.004, 0.8), Mode(5200, 0.002, 0.6))
    coil = (Mode(700, 0.010), Mode(2100, 0.005, 0.5))
    clicks = impacts(samples, opens, 2.2 * force, coil) + impacts(samples, closes, 4 * force, seat)
    for number in (1, 2):
        again = closes + number * SAMPLE_RATE * dice.uniform(0.018, 0.03)
        strength = 8 * faults["bounce"] * 0.7**number
        clicks = clicks + impacts(samples, again, strength * force, seat)
    edges = np.stack([opens, closes], axis=1).ravel()
    opening = np.stack([lift, np.zeros(count)], axis=1).ravel()
    step = np.searchsorted(edges, np.arange(samples)) - 1
    is_open = np.where(step >= 0, opening[np.maximum(step, 0)], 0.0)
    air = run.noise(900, 5000) * (0.5 + 0.6 * run.load)
    passing = 0.45 * is_open + 0.6 * faults["leak"] * (1 - is_open)
    mains = harmonics(dice, angle(100.0, samples), (0.15, 0.1, 0.05))
    return np.asarray(clicks + passing * air + mains)


def pump(run: Run, faults: Faults) -> Signal:
    """Vane-pass tones, flow noise and the motor's shaft.

    cavitation: bubbles collapse at random, mostly as a vane passes; air_ingress: gulps of muffled,
    modulated flow; impeller_damage: sidebands at the shaft's rate; worn_seal: a hiss.
    """
    dice, phase = run.dice, run.phase()
    uneven = 1 + (0.08 + 0.8 * faults["impeller_damage"]) * np.cos(phase + dice.uniform(0, 6))
    tones = harmonics(dice, VANES * phase, (0.7, 0.4, 0.25, 0.12, 0.08)) * uneven
    shaft = harmonics(dice, phase, (0.25, 0.12 + 0.25 * faults["impeller_damage"], 0.08))
    gulp = 1 + 0.9 * faults["air_ingress"] * np.cos(0.11 * phase + dice.uniform(0, 6))
    flow = run.noise(150, 2200, -2) * (1 + 0.2 * np.cos(VANES * phase)) * gulp
    bubbles = 0.7 * faults["air_ingress"] * run.noise(250, 700) * (1 - 0.9 * np.cos(0.11 * phase))
    collapse = np.sort(dice.uniforms(int(400 * run.samples / SAMPLE_RATE))) * run.samples
    where = np.interp(collapse, np.arange(run.samples, dtype=np.float64), VANES * phase)
    modes = (Mode(4200, 0.0008), Mode(6300, 0.0006, 0.8), Mode(2600, 0.001, 0.5))
    strength = faults["cavitation"] * (1 + 0.7 * np.cos(where)) * dice.uniforms(len(where)) ** 2
    crackle = impacts(run.samples, collapse, 2.0 * strength, modes)
    hiss = 0.5 * faults["worn_seal"] * run.noise(3000, 7500)
    force = 0.6 + 0.6 * run.load
    return np.asarray(force * (tones + 0.55 * flow) + shaft + bubbles + crackle + hiss)


SOUNDS: dict[str, Callable[[Run, Faults], Signal]] = {
    "SynthFan": fan,
    "SynthGearbox": gearbox,
    "SynthBearing": bearing,
    "SynthValve": valve,
    "SynthPump": pump,
}
