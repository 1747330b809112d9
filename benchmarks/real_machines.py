"""How good the embedded system is on a data set, beside the plainest log-mel detector.

    python benchmarks/real_machines.py ../shared/data/real_machines

The plain one: mean and deviation of 64 log-mel bands over time, nothing taken off, nothing
standardised, squared Euclidean distance. Both are scored with all five normalisers at their default
parameters; printed is the official score (harmonic mean of AUC source, AUC target and pAUC over all
machines) in percent. `test_zscore` looks at the clips under test.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firstshot.dcase.data.layout import MachineSection, read_layout
from firstshot.dcase.running.section import join_section, score_section
from firstshot.dcase.running.system import System, load_system
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


def embedded_metrics(section: MachineSection, normalizer: str) -> dict[str, float]:
    """Return the section's metrics with the embedded system and one normaliser."""
    system = load_system("embedded").changed({"normalizer": normalizer})
    assert isinstance(system, System)
    scores = score_section(section, system.detector(system.encoders[0]))
    return join_section(section, system, [scores], examples=0).metrics


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("root", type=Path, help="a data set in the challenge's layout")
    sections = read_layout(parser.parse_args().root)
    warnings.simplefilter("ignore", FirstshotWarning)
    plain = {section.name: plain_metrics(section) for section in sections}
    print(f"{'normaliser':22} {'plain':>7} {'embedded':>9}")
    for name in NORMALIZERS:
        of_plain = official_score({s: metrics[name] for s, metrics in plain.items()})
        embedded = official_score({s.name: embedded_metrics(s, name) for s in sections})
        print(f"{name:22} {100 * of_plain:7.2f} {100 * embedded:9.2f}")


if __name__ == "__main__":
    main()
