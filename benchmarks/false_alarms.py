"""Whether thresholds keep the false-alarm rate that was asked for.

    python benchmarks/false_alarms.py FOLDER [FOLDER ...] [--preset recommended] [--splits 10]

Each folder is a data set in the challenge's layout; only its normal clips are used, those of
training and of test. Printed is the share of normal clips above a conformal threshold of 10 %, per
machine and domain, twice:

- exchangeable: the normal clips are dealt anew, ten times, to as many training clips as before
  and the rest, so that both are alike. Here the promise of the threshold can be kept.
- later takes: the training and test clips as they were recorded. Here nothing can be promised.

The threshold is set on held-out scores of the training clips, in four ways:

- block: refits without the clip's neighbours by name, which may be of its recording (the default);
- alone: refits without the clip alone, right where every clip is a recording of its own, as after
  dealing (`groups=` with a label of its own for each clip);
- each: as alone, and the higher of the two domains' thresholds (`threshold_for="each_domain"`);
- plain: leave-one-out of the fitted detector, whose statistics and scales have seen the clip.

Without `each` the rate is that of all normal clips together, of which few are of the target domain.
Embeddings are computed once.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot import Detector
from firstshot.dcase.data.layout import MachineSection, read_layout
from firstshot.detector.embedding import EmbeddedClip
from firstshot.domains import DOMAINS
from firstshot.errors import FirstshotWarning

RATE = 0.1
BLOCK, SINGLE, POOLED, EACH = "block", "single", "pooled", "each_domain"
WAYS: dict[str, tuple[Any, Any, bool]] = {
    "block": (BLOCK, POOLED, False),
    "alone": (BLOCK, POOLED, True),
    "each": (BLOCK, EACH, True),
    "plain": (SINGLE, POOLED, False),
}
"""Each way's `held_out`, `threshold_for`, and whether each clip is told to be its own recording."""


@dataclass(frozen=True)
class Normal:
    """The normal clips of a section, embedded: the domain of each, and whether it is trained on."""

    name: str
    clips: list[EmbeddedClip]
    domains: NDArray[np.str_]
    trained: NDArray[np.bool_]

    @classmethod
    def of(cls, section: MachineSection, detector: Detector) -> Normal:
        """Embed the normal clips of a section."""
        train = list(section.train)
        test = [clip for clip in section.test if clip.label == 0]
        records = [*train, *test]
        domains = ["target" if clip.domain == "target" else "source" for clip in records]
        embedded = detector.embed([clip.path for clip in records], spectra=False)
        return cls(section.name, embedded, np.array(domains), np.arange(len(records)) < len(train))

    def deal(self, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Return which clips are trained on: as many of each domain as before, drawn at random."""
        trained = np.zeros(len(self.clips), dtype=bool)
        for domain in DOMAINS:
            own = np.flatnonzero(self.domains == domain)
            trained[rng.permutation(own)[: int(self.trained[own].sum())]] = True
        return trained

    def alarms(self, trained: NDArray[np.bool_], preset: str, way: str) -> dict[str, list[bool]]:
        """Return whether each clip that is not trained on is called anomalous, per domain."""
        held_out, threshold_for, own = WAYS[way]
        detector = Detector(
            views=preset, held_out=held_out, threshold_for=threshold_for, false_alarm_rate=RATE
        )
        source, target = (
            [self.clips[i] for i in np.flatnonzero(trained & (self.domains == domain))]
            for domain in DOMAINS
        )
        labels = range(len(source) + len(target)) if own else None
        detector.fit_embedded(source, target, groups=labels)
        rest = np.flatnonzero(~trained)
        results = detector.predict_embedded([self.clips[i] for i in rest], neighbors=0)
        return {
            domain: [
                result.is_anomaly
                for i, result in zip(rest, results, strict=True)
                if self.domains[i] == domain
            ]
            for domain in DOMAINS
        }


Shares = dict[tuple[str, str], list[bool]]


def measure(normal: Normal, preset: str, deals: Sequence[NDArray[np.bool_]]) -> Shares:
    """Return the alarms of all deals together, by way and domain."""
    found: Shares = {}
    for trained in deals:
        for way in WAYS:
            for domain, alarms in normal.alarms(trained, preset, way).items():
                found.setdefault((way, domain), []).extend(alarms)
    return found


def row(name: str, shares: Shares) -> str:
    """Return a row of the table; a share of no clips is a dash."""
    cells = [name]
    for way in WAYS:
        for domain in DOMAINS:
            alarms = shares.get((way, domain), [])
            cells.append(f"{100 * np.mean(alarms):.1f} ({len(alarms)})" if alarms else "-")
    return "| " + " | ".join(cells) + " |"


def pooled(tables: Sequence[Shares]) -> Shares:
    """Return all machines' alarms together."""
    return {key: [one for table in tables for one in table[key]] for key in tables[0]}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--preset", default="recommended")
    parser.add_argument("--splits", type=int, default=10)
    given = parser.parse_args()
    warnings.simplefilter("ignore", FirstshotWarning)
    rng = np.random.default_rng(0)
    detector = Detector(views=given.preset)
    sections = [one for folder in given.folders for one in read_layout(folder)]
    machines = [Normal.of(section, detector) for section in sections]
    columns = [f"{way}, {domain}" for way in WAYS for domain in DOMAINS]
    for title, deals in (
        (f"exchangeable, {given.splits} splits", given.splits),
        ("later takes, as recorded", 0),
    ):
        print(f"\n{given.preset}, {title}: % of later normal clips (how many) above {RATE:.0%}\n")
        print("| machine | " + " | ".join(columns) + " |\n|---" + "|---" * len(columns) + "|")
        tables = []
        for normal in machines:
            drawn = [normal.deal(rng) for _ in range(deals)] or [normal.trained]
            tables.append(measure(normal, given.preset, drawn))
            print(row(normal.name, tables[-1]), flush=True)
        print(row("all", pooled(tables)))


if __name__ == "__main__":
    main()
