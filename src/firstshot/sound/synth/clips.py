"""A machine, a fault and a domain become a clip: operating point, machine, noise, microphone.

Input: names and a seed; output: a float32 waveform at 16 kHz. As in DCASE Task 2, the domains
differ in operating conditions (speed, load) and in the added factory noise. Clips of one domain
differ in them too, so normal sound varies and a fault must differ more than that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstshot.domains import DOMAINS
from firstshot.errors import ParameterError
from firstshot.messages import choose_one_of, shown_value
from firstshot.numbers import LARGEST_SEED, check_whole
from firstshot.sound.synth.machines import SOUNDS, Run
from firstshot.sound.synth.parts import SAMPLE_RATE, Dice, Signal, angle, band_noise, harmonics


@dataclass(frozen=True)
class Surroundings:
    """The conditions of a domain: set points, loads in percent, factory noises, their level."""

    speeds: tuple[int, ...]
    loads: tuple[int, ...]
    noises: tuple[str, ...]
    snr_db: tuple[float, float]


@dataclass(frozen=True)
class Machine:
    """A synthetic machine: its faults and its two domains.

    `speed` names the unit of the set points: rpm (turns) or spm (strokes) per minute.
    """

    faults: tuple[str, ...]
    speed: str
    source: Surroundings
    target: Surroundings


@dataclass(frozen=True)
class Clip:
    """A synthetic clip with the operating point it was made at, as name and value pairs."""

    waveform: NDArray[np.float32]
    attributes: tuple[tuple[str, str], ...]


_LOADS, _HEAVY = (30, 45, 60), (60, 80, 100)
_CATALOG = {
    "SynthFan": Machine(
        faults=("imbalance", "blade_damage", "rubbing", "obstruction"),
        speed="rpm",
        source=Surroundings((2400, 2500, 2600, 2700), _LOADS, ("hall", "street"), (0, 8)),
        target=Surroundings((2900, 3000, 3100), _HEAVY, ("rain", "vent"), (0, 8)),
    ),
    "SynthGearbox": Machine(
        faults=("tooth_crack", "wear", "misalignment", "dry_running"),
        speed="rpm",
        source=Surroundings((1300, 1400, 1500, 1600), _LOADS, ("hall", "vent"), (0, 8)),
        target=Surroundings((1750, 1850, 1950), _HEAVY, ("rain", "street"), (0, 8)),
    ),
    "SynthBearing": Machine(
        faults=("outer_race", "inner_race", "ball", "dry_running"),
        speed="rpm",
        source=Surroundings((1100, 1200, 1300, 1400), _LOADS, ("hall", "rain"), (0, 8)),
        target=Surroundings((1550, 1650, 1750), _HEAVY, ("vent", "street"), (0, 8)),
    ),
    "SynthValve": Machine(
        faults=("late_closing", "sticking", "leak", "bounce"),
        speed="spm",
        source=Surroundings((150, 170, 190, 210), _LOADS, ("street", "rain"), (4, 10)),
        target=Surroundings((200, 220, 240), _HEAVY, ("hall", "vent"), (4, 10)),
    ),
    "SynthPump": Machine(
        faults=("cavitation", "air_ingress", "impeller_damage", "worn_seal"),
        speed="rpm",
        source=Surroundings((1450, 1550, 1650, 1750), _LOADS, ("street", "vent"), (0, 8)),
        target=Surroundings((1900, 2000, 2100), _HEAVY, ("hall", "rain"), (0, 8)),
    ),
}
MACHINES: tuple[str, ...] = tuple(_CATALOG)
FAULTS: dict[str, tuple[str, ...]] = {name: machine.faults for name, machine in _CATALOG.items()}


def _hall(dice: Dice, samples: int) -> Signal:
    mains = angle(50.0, samples)
    hum = harmonics(dice, mains, (0.1, 0.35, 0.1, 0.25, 0.05, 0.15))
    return np.asarray(band_noise(dice, samples, 80, 1500, -2) + hum)


def _street(dice: Dice, samples: int) -> Signal:
    turn = angle(dice.uniform(0.1, 0.5), samples) + dice.uniform(0, 6)
    return np.asarray((1 + 0.6 * np.sin(turn)) * band_noise(dice, samples, 60, 800, -3))


def _rain(dice: Dice, samples: int) -> Signal:
    return band_noise(dice, samples, 1200, 6000)


def _vent(dice: Dice, samples: int) -> Signal:
    blades = angle(dice.uniform(310, 350), samples)
    return np.asarray(
        band_noise(dice, samples, 250, 2500, -1) + harmonics(dice, blades, (0.4, 0.2))
    )


NOISES: dict[str, Callable[[Dice, int], Signal]] = {
    "hall": _hall,
    "street": _street,
    "rain": _rain,
    "vent": _vent,
}


def synthesize(
    machine: str,
    fault: str | None = None,
    severity: float = 0.5,
    domain: str = "source",
    seconds: float = 3.0,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Synthesise one clip: float32, `seconds` long at 16 kHz, within +-1.

    Parameters
    ----------
    machine : str
        One of `MACHINES`.
    fault : str or None
        One of `FAULTS[machine]`, or None for a healthy machine.
    severity : float
        0 (nothing to hear) to 1; ignored without a fault.
    domain : str
        "source" or "target": speed, load and factory noise are drawn from that domain's.
    seconds : float
        Length, at least 0.1 s.
    seed : int
        The same seed gives the same samples.

    Raises
    ------
    ParameterError
        A name that does not exist, or a number outside its range.

    Examples
    --------
    >>> clip = synthesize("SynthFan", fault="imbalance", severity=0.8, seconds=0.5, seed=1)
    >>> clip.shape, clip.dtype.name
    ((8000,), 'float32')
    """
    key = (check_seed(seed), machine, domain, fault)
    return make_clip(machine, fault, severity, domain, seconds, Dice("clip", *key)).waveform


def check_seed(seed: int) -> int:
    """Return a seed, or raise ParameterError: any whole number of 64 bits is one."""
    return check_whole("seed", seed, -LARGEST_SEED - 1, LARGEST_SEED)


def check_seconds(seconds: float) -> None:
    """Raise ParameterError for a length that a synthetic clip cannot have."""
    if not 0.1 <= seconds <= 3600.0:
        raise ParameterError(f"a clip cannot be {shown_value(seconds)} s long; give 0.1 to 3600 s")


def make_clip(
    machine: str, fault: str | None, severity: float, domain: str, seconds: float, dice: Dice
) -> Clip:
    """Synthesise as `synthesize` does, from given random numbers, with the operating point."""
    known = _CATALOG.get(machine)
    if known is None:
        raise ParameterError(
            f"machine {machine!r} is not known; {choose_one_of(machine, MACHINES)}"
        )
    if fault is not None and fault not in known.faults:
        raise ParameterError(
            f"{machine} has no fault {fault!r}; {choose_one_of(fault, known.faults)}"
        )
    if domain not in DOMAINS:
        raise ParameterError(f"domain {domain!r} is not known; {choose_one_of(domain, DOMAINS)}")
    if not 0.0 <= severity <= 1.0:
        raise ParameterError(f"severity is {shown_value(severity)}; give a number from 0 to 1")
    check_seconds(seconds)
    around = known.source if domain == "source" else known.target
    speed, load = dice.choice(around.speeds), dice.choice(around.loads)
    noise = dice.choice(around.noises)
    run = Run(
        dice=dice,
        samples=round(seconds * SAMPLE_RATE),
        hz=speed / 60 * dice.uniform(0.985, 1.015),
        load=load / 100 + dice.uniform(-0.05, 0.05),
    )
    severities = {name: severity if name == fault else 0.0 for name in known.faults}
    sound = SOUNDS[machine](run, severities)
    waveform = _record(dice, sound, noise, dice.uniform(*around.snr_db))
    attributes = ((known.speed, str(speed)), ("load", str(load)), ("noise", noise))
    return Clip(waveform, attributes)


def _record(dice: Dice, sound: Signal, noise: str, snr_db: float) -> NDArray[np.float32]:
    """Add factory noise `snr_db` below RMS 1 and apply a microphone's gain."""
    background = NOISES[noise](dice, len(sound)) * 10.0 ** (-snr_db / 20)
    gain = 0.06 * 10.0 ** (dice.uniform(-3.0, 3.0) / 20)
    recorded: Signal = np.clip(gain * (sound + background), -1.0, 1.0)
    return recorded.astype(np.float32)
