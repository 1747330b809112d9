"""How good the recommended systems are on a data set, beside the plainest log-mel detector.

    python benchmarks/real_machines.py ../shared/data/real_machines

First the packaged systems without a pre-trained network, and `recommended_fusion` where the weights
of `efficientat_mn04` are found; then the plain detector and the system `embedded` with every
normaliser. The plain one: mean and deviation of 64 log-mel bands over time, nothing taken off,
nothing standardised, squared Euclidean distance. Normalisers have their default parameters; printed
is the official score (harmonic mean of AUC source, AUC target and pAUC over all machines) in
percent. `test_zscore` looks at the clips under test.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.dcase.data.layout import MachineSection, read_layout
from firstshot.dcase.running.section import join_section, score_section
from firstshot.dcase.running.system import System, load_system
from firstshot.detector.views import default_preset
from firstshot.errors import FirstshotWarning
from firstshot.scoring import make_normalizer
from firstshot.scoring.metrics import official_score, section_metrics
from firstshot.scoring.normalizers import NORMALIZERS
from firstshot.sound.audio import load_waveform
from firstshot.sound.mel import MelSpec, mel_bank

PLAIN = MelSpec(window=1024, mels=64, low=50.0, high=7800.0, scale="htk", area=False, hop=256)


def plain_embedding(path: Path) -> NDArray[np.float64]:
    """Return mean and deviation over time of the log-mel bands, (128,)."""
    waveform = load_waveform(path, PLAIN.sample_rate)
    frames = np.lib.stride_tricks.sliding_window_view(waveform, PLAIN.window)[:: PLAIN.hop]
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(PLAIN.window) / PLAIN.window)
    power = np.abs(np.fft.rfft(frames * hann, axis=1)) ** 2
    logarithms = np.log(power @ mel_bank(PLAIN) + 1e-10)
    return np.concatenate([logarithms.mean(axis=0), logarithms.std(axis=0)])


def plain_metrics(section: MachineSection) -> dict[str, dict[str, float]]:
    """Return the section's metrics per normaliser with the plain embedding."""
    normal = {"source": [], "target": []}  # type: dict[str, list[NDArray[np.float64]]]
    for clip in section.train:
        normal[clip.domain or "source"].append(plain_embedding(clip.path))
    queries = np.array([plain_embedding(clip.path) for clip in section.test])
    labels = [clip.label or 0 for clip in section.test]
    domains = [clip.domain or "source" for clip in section.test]
    banks = {domain: np.array(rows) for domain, rows in normal.items()}
    return {
        name: section_metrics(labels, make_normalizer(name).fit(banks).score(queries), domains)
        for name in NORMALIZERS
    }


def system_score(sections: Sequence[MachineSection], name: str, **settings: Any) -> float:
    """Return the official score in percent of a packaged system with other settings."""
    system = load_system(name).changed(settings)
    assert isinstance(system, System)
    metrics = {}
    for section in sections:
        scores = [score_section(section, system.detector(member)) for member in system.members]
        metrics[section.name] = join_section(section, system, scores, examples=0).metrics
    return 100 * official_score(metrics)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("root", type=Path, help="a data set in the challenge's layout")
    sections = read_layout(parser.parse_args().root)
    warnings.simplefilter("ignore", FirstshotWarning)
    plain = {section.name: plain_metrics(section) for section in sections}
    systems = dict.fromkeys(["embedded", "recommended_small", "recommended", default_preset()[0]])
    print("| system | official score |\n|---|---|")
    of_plain = {
        name: 100 * official_score({s: metrics[name] for s, metrics in plain.items()})
        for name in NORMALIZERS
    }
    print(f"| plain log-mel, domain_zscore | {of_plain['domain_zscore']:.2f} |")
    for name in systems:
        print(f"| `{name}` | {system_score(sections, name):.2f} |", flush=True)
    print("\n| normaliser | plain log-mel | embedded |\n|---|---|---|")
    for name in NORMALIZERS:
        embedded = system_score(sections, "embedded", normalizer=name)
        print(f"| {name} | {of_plain[name]:.2f} | {embedded:.2f} |", flush=True)


if __name__ == "__main__":
    main()
