"""Small clips of machines that hum at frequencies of their own, as files and as arrays."""

import numpy as np
import pytest
import soundfile

from firstshot.training.clips import LoadedClips, TrainingClip

RATE = 16000


def hum(hertz, seed, seconds=0.6):
    """A hum with its overtone, and noise."""
    draw = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    tones = sum(np.sin(2 * np.pi * hertz * n * time + draw.uniform(0, 6)) / n for n in (1, 2))
    return (0.05 * (tones + 0.3 * draw.standard_normal(len(time)))).astype(np.float32)


MACHINES = {"fan": 300.0, "pump": 700.0}


def few_clips(count=8, seconds=0.6):
    """As many clips of each machine, the last two of the target domain, in memory."""
    clips, waveforms = [], []
    for machine, hertz in MACHINES.items():
        for number in range(count):
            domain = "target" if number >= count - 2 else "source"
            clips.append(TrainingClip(f"{machine}_{number}.wav", machine, domain=domain))
            shift = 1.2 if domain == "target" else 1.0
            waveforms.append(hum(hertz * shift, 100 * int(hertz) + number, seconds))
    digests = [f"{index}" for index in range(len(clips))]
    return LoadedClips(tuple(clips), tuple(waveforms), tuple(digests))


@pytest.fixture(scope="session")
def loaded():
    return few_clips()


@pytest.fixture(scope="session")
def data_root(tmp_path_factory):
    """Two machines in the challenge's layout, eight training clips each, and test clips."""
    root = tmp_path_factory.mktemp("data")
    for machine, hertz in MACHINES.items():
        for split, count in (("train", 8), ("test", 2)):
            folder = root / machine / split
            folder.mkdir(parents=True)
            for number in range(count):
                domain = "target" if number >= 6 else "source"
                name = f"section_00_{domain}_{split}_normal_{number:04d}_speed_{number % 2}.wav"
                soundfile.write(folder / name, hum(hertz, number), RATE)
    return root
