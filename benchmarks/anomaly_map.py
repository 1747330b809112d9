"""Where the anomaly map finds sounds that were put into normal clips.

    python benchmarks/anomaly_map.py ../shared/data/real_machines

A fifth of each machine's normal clips is held out in turn, and the map is fitted on the others.
Into every held-out clip one sound is put at a random time, in a random group of bands, at 0, 6 and
12 dB of the clip's own power in that group. Printed are, in percent of the clips: `hit`, the map's
maximum lies within 0.2 s of the sound and in its group or a neighbour; `marked`, a hit above the
highlight threshold; and per domain the clips that are highlighted with nothing put in. The same
follows for a map fitted on the training clips alone, with the normal test clips held out, which a
data set may have recorded later. Synthetic machines come after those of the folder. The exit status
is 1 where tones or bursts of noise at 12 dB have fewer hits than 95 % with a fifth held out.

A sound `missing` is the group's own, reduced by as many dB for 0.5 s; `AM` modulates the group at
6 Hz in the clip's last half, with depths 0.3, 0.6 and 0.9.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firstshot.anomaly_map import GROUP_EDGES_HZ, MapBank, cells_of
from firstshot.anomaly_map.vectors import CELL_SECONDS, GROUPS, SAMPLE_RATE
from firstshot.dcase.data.layout import read_layout
from firstshot.domains import DOMAINS
from firstshot.sound.audio import load_waveform
from firstshot.sound.synth import MACHINES, synthesize

STRENGTHS_DB = (0.0, 6.0, 12.0)
DEPTHS = dict(zip(STRENGTHS_DB, (0.3, 0.6, 0.9), strict=True))
BURST_SECONDS, CLICK_SECONDS, GAP_SECONDS, MODULATION_HZ = 0.3, 0.02, 0.5, 6.0
NEAR_SECONDS, NEAR_GROUPS = 0.2, 1
GOAL, FOLDS = 0.95, 5
SYNTHETIC_SECONDS = 10.0
SYNTHETIC_TRAIN, SYNTHETIC_TEST = {"source": 50, "target": 10}, 10

Samples = NDArray[np.float32]
Put = tuple[Samples, float, float]
"""The clip with a sound put in, and the seconds between which it sounds."""


@dataclass(frozen=True)
class Trial:
    """Normal clips with their domains: those to fit on, and those held out."""

    name: str
    train: list[tuple[Samples, str]]
    test: list[tuple[Samples, str]]

    def fifths(self) -> Iterator[Trial]:
        """Yield five trials, in each of which another fifth of all the clips is held out."""
        clips = [*self.train, *self.test]
        for first in range(FOLDS):
            kept = [clip for i, clip in enumerate(clips) if i % FOLDS != first]
            yield Trial(self.name, kept, clips[first::FOLDS])


def in_group(samples: Samples, group: int) -> Samples:
    """Return what of the samples lies between the edges of a group."""
    spectrum = np.fft.rfft(samples)
    hertz = np.arange(len(spectrum)) * SAMPLE_RATE / len(samples)
    low, high = GROUP_EDGES_HZ[group : group + 2]
    spectrum[(hertz < low) | (hertz >= high)] = 0.0
    return np.fft.irfft(spectrum, len(samples)).astype(np.float32)


def place(samples: Samples, seconds: float, rng: np.random.Generator) -> slice:
    """Return a random stretch of so many seconds."""
    length = round(seconds * SAMPLE_RATE)
    start = int(rng.integers(0, len(samples) - length + 1))
    return slice(start, start + length)


def add(samples: Samples, where: slice, sound: Samples, group: int, decibels: float) -> Put:
    """Add a sound at so many dB of the clip's own power in the group."""
    power = float(np.mean(in_group(samples, group) ** 2)) * 10.0 ** (decibels / 10.0)
    gain = np.sqrt(power / np.mean(sound**2))
    changed = samples.copy()
    changed[where] += (gain * sound).astype(np.float32)
    return changed, where.start / SAMPLE_RATE, where.stop / SAMPLE_RATE


def put_tone(samples: Samples, group: int, decibels: float, rng: np.random.Generator) -> Put:
    """Add a tone of a random frequency inside the group."""
    where = place(samples, BURST_SECONDS, rng)
    low, high = GROUP_EDGES_HZ[group : group + 2]
    hertz = rng.uniform(low, high)
    time = np.arange(where.stop - where.start) / SAMPLE_RATE
    sound = np.sin(2 * np.pi * hertz * time + rng.uniform(0, 2 * np.pi)).astype(np.float32)
    return add(samples, where, sound, group, decibels)


def put_noise(samples: Samples, group: int, decibels: float, rng: np.random.Generator) -> Put:
    """Add a burst of noise of the group's width."""
    where = place(samples, BURST_SECONDS, rng)
    sound = in_group(rng.standard_normal(where.stop - where.start).astype(np.float32), group)
    return add(samples, where, sound, group, decibels)


def put_click(samples: Samples, group: int, decibels: float, rng: np.random.Generator) -> Put:
    """Add 20 ms of decaying noise of the group's width."""
    where = place(samples, CLICK_SECONDS, rng)
    noise = in_group(rng.standard_normal(where.stop - where.start).astype(np.float32), group)
    decay = np.exp(-4.0 * np.linspace(0.0, 1.0, len(noise))).astype(np.float32)
    return add(samples, where, noise * decay, group, decibels)


def put_gap(samples: Samples, group: int, decibels: float, rng: np.random.Generator) -> Put:
    """Make the group quieter for half a second."""
    where = place(samples, GAP_SECONDS, rng)
    changed = samples.copy()
    changed[where] -= (1.0 - 10.0 ** (-decibels / 20.0)) * in_group(samples, group)[where]
    return changed, where.start / SAMPLE_RATE, where.stop / SAMPLE_RATE


def put_modulation(samples: Samples, group: int, decibels: float, rng: np.random.Generator) -> Put:
    """Modulate the group in the last half."""
    start = len(samples) // 2
    time = np.arange(len(samples) - start) / SAMPLE_RATE
    phase = rng.uniform(0, 2 * np.pi)
    wave = DEPTHS[decibels] * np.sin(2 * np.pi * MODULATION_HZ * time + phase)
    changed = samples.copy()
    changed[start:] += (wave * in_group(samples, group)[start:]).astype(np.float32)
    return changed, start / SAMPLE_RATE, len(samples) / SAMPLE_RATE


KINDS: dict[str, Callable[[Samples, int, float, np.random.Generator], Put]] = {
    "tone": put_tone,
    "noise": put_noise,
    "click": put_click,
    "missing": put_gap,
    "AM": put_modulation,
}


def is_hit(z: NDArray[np.float64], group: int, start: float, end: float) -> bool:
    """Tell whether the map's maximum lies where the sound is."""
    cell, found = np.unravel_index(int(z.argmax()), z.shape)
    first, last = cell * CELL_SECONDS, (cell + 1) * CELL_SECONDS
    near = first <= end + NEAR_SECONDS and last >= start - NEAR_SECONDS
    return bool(near and abs(int(found) - group) <= NEAR_GROUPS)


def real_machines(root: Path) -> Iterator[Trial]:
    """Yield a folder's machines; held out are its test clips that are labelled normal."""
    for section in read_layout(root):
        train, test = (
            [(load_waveform(c.path, SAMPLE_RATE), c.domain or "source") for c in clips]
            for clips in (section.train, [clip for clip in section.test if clip.label == 0])
        )
        yield Trial(section.name, train, test)


def synthetic_machines() -> Iterator[Trial]:
    """Yield the synthetic machines."""
    for machine in MACHINES:
        train: list[tuple[Samples, str]] = []
        test: list[tuple[Samples, str]] = []
        for domain, count in SYNTHETIC_TRAIN.items():
            for seed in range(count + SYNTHETIC_TEST):
                clip = synthesize(machine, domain=domain, seconds=SYNTHETIC_SECONDS, seed=seed)
                (train if seed < count else test).append((clip, domain))
        yield Trial(machine, train, test)


def measure(trials: Iterable[Trial], rng: np.random.Generator) -> dict[str, list[bool]]:
    """Return what was seen, by its name: a flag per clip and sound."""
    seen: dict[str, list[bool]] = {}
    for trial in trials:
        cells = [cells_of(clip) for clip, _ in trial.train]
        bank = MapBank.fit(cells, domains=[domain for _, domain in trial.train])
        threshold = bank.highlight_threshold()
        if threshold is None:
            print(f"{trial.name}: too few normal clips for a highlight threshold, left out")
            continue
        for clip, domain in trial.test:
            highest = bank.compare(cells_of(clip)).z.max()
            seen.setdefault(f"false {domain}", []).append(bool(highest > threshold))
            for kind, put in KINDS.items():
                for decibels in STRENGTHS_DB:
                    group = int(rng.integers(GROUPS))
                    changed, start, end = put(clip, group, decibels, rng)
                    z = bank.compare(cells_of(changed)).z
                    hit = is_hit(z, group, start, end)
                    name = f"{kind} {decibels:.0f}"
                    seen.setdefault(f"hit {name}", []).append(hit)
                    seen.setdefault(f"marked {name}", []).append(hit and z.max() > threshold)
    return seen


def print_rows(title: str, seen: dict[str, list[bool]]) -> str:
    """Print what was seen as two rows of a Markdown table; return what was highlighted wrongly."""
    for what in ("hit", "marked"):
        cells = [
            " ".join(f"{100 * np.mean(seen[f'{what} {kind} {d:.0f}']):.0f}" for d in STRENGTHS_DB)
            for kind in KINDS
        ]
        print(f"| {title}: {what} | " + " | ".join(cells) + " |", flush=True)
    shares = [f"{domain} {100 * np.mean(seen[f'false {domain}']):.0f} %" for domain in DOMAINS]
    clips = sum(len(seen[f"false {domain}"]) for domain in DOMAINS)
    return f"{title}: {clips} clips; highlighted with nothing put in: {', '.join(shares)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("root", type=Path, help="a data set in the challenge's layout")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    missed, highlighted = [], []
    print("| " + " | ".join(["0, 6, 12 dB", *KINDS]) + " |")
    print("|" + "---|" * (len(KINDS) + 1))
    for name, machines in (
        (options.root.name, list(real_machines(options.root))),
        ("synthetic", list(synthetic_machines())),
    ):
        for held_out, trials in (
            ("a fifth held out", [fifth for machine in machines for fifth in machine.fifths()]),
            ("normal test clips", machines),
        ):
            seen = measure(trials, np.random.default_rng(options.seed))
            highlighted.append(print_rows(f"{name}, {held_out}", seen))
            missed += [
                f"{name}, {kind}"
                for kind in ("tone", "noise")
                if trials is not machines
                and np.mean(seen[f"hit {kind} {STRENGTHS_DB[-1]:.0f}"]) < GOAL
            ]
    print("", *highlighted, sep="\n")
    if missed:
        sys.exit(f"below {100 * GOAL:.0f} % hits at {STRENGTHS_DB[-1]:.0f} dB: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
