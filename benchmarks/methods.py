"""What the back-ends of 2025 and 2026 reach beside the recommended setting.

    python benchmarks/methods.py ../shared/data/real_machines [FOLDER ...] [--weights mn04.pt]

Each folder is a data set in the challenge's layout with labelled test clips. Printed are the
Markdown tables of docs/methods.md: the official score over the folder's machines in percent, and
its difference to the first row of the table with the paired 95 % bootstrap interval over test
clips. A difference whose interval holds 0 is marked "noise". Nothing is chosen by these numbers:
every parameter is the published one, or the one of the recommended setting. With `--weights` (those
of efficientat_mn04) the poolings and the fusions with a network are added.

Features are computed once. A back-end is then a normaliser in the place of the recommended one, in
each view; the views' self-standardised scores are averaged as in the recommended setting.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from firstshot.dcase.data.layout import MachineSection, read_layout
from firstshot.encoders import load_encoder
from firstshot.encoders.pooling import pool
from firstshot.errors import FirstshotWarning
from firstshot.scoring import make_normalizer
from firstshot.scoring.bootstrap import LabelledScores, bootstrap_official_difference
from firstshot.scoring.metrics import official_score, section_metrics
from firstshot.scoring.normalizers.grouped import Grouped
from firstshot.scoring.transform import make_transform
from firstshot.sound.audio import load_waveform

SAMPLE_RATE = 16000
POOLINGS = (
    *("temporal", "all", "mean_deviation", "gem:3", "gem:6", "gwrp:0.7"),
    *("rdp:4", "rdp:8", "rdp:19", "rdp_gem:8"),
)
STAGES = {7: ("temporal",), 9: ("temporal",), 13: POOLINGS}
"""Of efficientat_mn04: its layers, with what they are pooled by."""

Values: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class View:
    """A feature with its treatment, distance, groups of bands and back-end."""

    feature: str
    transform: str = "none"
    metric: str = "euclidean"
    groups: int = 1
    normalizer: str = "density"
    settings: tuple[tuple[str, Any], ...] = ()
    over_groups: str = "max"
    standardize: bool = True

    def by(self, normalizer: str, **settings: Any) -> View:
        """Return the view with another back-end."""
        return replace(self, normalizer=normalizer, settings=tuple(settings.items()))

    def make(self) -> Any:
        """Return an unfitted normaliser of one group."""
        return make_normalizer(self.normalizer, self.metric, **dict(self.settings))


@dataclass(frozen=True)
class Method:
    """A row of a table: views, of which equal parts are fused by their minimum, then averaged."""

    title: str
    views: tuple[View, ...]
    parts: int = 1


X = View("spectra 1", "standardize", groups=8)
B = View("spectra 2")
RECOMMENDED = (X, B, *(View(f"spectra {layer}", "half_standardize") for layer in (3, 4)))
N6 = View("mn04 7 temporal", "standardize")
N = View("mn04 9 temporal", metric="cosine", groups=8)
M = View("mn04 13 rdp:4", metric="cosine", groups=8)
NETWORK = (N6, N, M)


def with_back_end(title: str, normalizer: str, **settings: Any) -> Method:
    """Return the recommended views with another back-end in each."""
    return Method(title, tuple(view.by(normalizer, **settings) for view in RECOMMENDED))


def corrected(correction: str, width: str = "mean", **settings: Any) -> Method:
    """Return the recommended views with a published correction in each."""
    told = ", ".join([width, *(f"{name}={value}" for name, value in settings.items())])
    return with_back_end(
        f"`corrected`: {correction}, {told}",
        "corrected",
        correction=correction,
        width=width,
        **settings,
    )


def back_ends() -> list[Method]:
    """Return the recommended setting, then others in its views."""
    others = ("domain_median", "domain_zscore", "domain_local_density")
    return [
        Method("`recommended`: density, clamped, K=2", RECOMMENDED),
        with_back_end("`density` without clamp", "density", low=0.0, high=1e12),
        with_back_end("`density` per domain", "density", per_domain=True),
        with_back_end("`none`: nearest distance, K=1", "none"),
        corrected("ratio", k=1),
        corrected("ratio", "ranked", rank=0.9),
        corrected("ratio", "exits", k=16),
        corrected("difference", k=1),
        corrected("varmin", k=4),
        corrected("varmin", "exits", k=16),
        corrected("log_varmin", k=1),
        *(with_back_end(f"`{name}`", name) for name in (*others, "mahalanobis", "pca_residual")),
    ]


def fusions() -> list[Method]:
    """Return what is made of groups of bands, of views and of back-ends."""
    kinds = ("none", "mahalanobis", "density", "pca_residual")
    four = tuple(view.by(name) for name in kinds for view in RECOMMENDED)
    whole, mean = replace(X, groups=1), replace(X, over_groups="mean")
    return [
        Method("`recommended`: mean over 4 views", RECOMMENDED),
        Method("minimum over its views", RECOMMENDED, len(RECOMMENDED)),
        Method("four back-ends in its views, mean over back-ends", four),
        Method("four back-ends in its views, minimum over back-ends", four, len(kinds)),
        Method("layer 1 in 8 groups of bands, mean over groups", (mean, *RECOMMENDED[1:])),
        Method("layer 1 in one piece", (whole, *RECOMMENDED[1:])),
        Method("`recommended_small`: layers 1 and 2", (X, B)),
        Method("layer 1 alone, maximum over groups", (X,)),
        Method("layer 1 alone, mean over groups", (mean,)),
        Method("layer 1 alone, in one piece", (whole,)),
    ]


def with_network() -> list[Method]:
    """Return the fusions of the recommended setting with efficientat_mn04."""
    return [
        Method("`recommended`", RECOMMENDED),
        Method("`recommended_fusion`: with three views of mn04", (*RECOMMENDED, *NETWORK)),
        Method("the same, minimum over views", (*RECOMMENDED, *NETWORK), 7),
        Method("mn04 alone, mean over its views", NETWORK),
        Method("mn04 alone, minimum over its views", NETWORK, len(NETWORK)),
    ]


def poolings() -> list[Method]:
    """Return the poolings of one stage of the network, then the published recipes on them."""

    def rows(pooling: str, **changes: Any) -> View:
        groups = 1 if pooling == "all" else 8
        return replace(M, feature=f"mn04 13 {pooling}", groups=groups, **changes)

    def matched(pooling: str, correction: str, k: int, over_groups: str = "mean") -> View:
        plain = rows(pooling, standardize=False, over_groups=over_groups)
        return plain.by("corrected", correction=correction, k=k)

    return [
        *(Method(f"`{pooling}`", (rows(pooling),)) for pooling in POOLINGS),
        Method("rows matched, mean over rows", (matched("temporal", "none", 1),)),
        Method("the same, maximum over rows", (matched("temporal", "none", 1, "max"),)),
        Method("the same, mean, `varmin` K=4", (matched("temporal", "varmin", 4),)),
        Method("`rdp:4`, the same", (matched("rdp:4", "varmin", 4),)),
        Method("`rdp:8`, the same", (matched("rdp:8", "varmin", 4),)),
        Method("`rdp_gem:8`, rows as one, `log_varmin` K=1", (one_piece("rdp_gem:8"),)),
    ]


def one_piece(pooling: str) -> View:
    """Return all rows of the network's stage as one vector, corrected in log distances."""
    whole = View(f"mn04 13 {pooling}", metric="cosine", standardize=False)
    return whole.by("corrected", correction="log_varmin", k=1)


@dataclass
class Section:
    """A section's features, and the scores of its test clips by views that were asked for."""

    name: str
    banks: Mapping[str, dict[str, Values]]
    queries: Mapping[str, Values]
    labels: list[int]
    domains: list[str]
    known: dict[View, NDArray[np.float64]] = field(default_factory=dict)

    def scores(self, method: Method) -> NDArray[np.float64]:
        """Return the test clips' scores (clips,)."""
        scores = np.stack([self._of(view) for view in method.views])
        parts = scores.reshape(method.parts, -1, scores.shape[1])
        fused: NDArray[np.float64] = parts.min(axis=0).mean(axis=0)
        return fused

    def labelled(self, method: Method) -> LabelledScores:
        """Return the same with labels and domains."""
        return LabelledScores(self.labels, self.scores(method), self.domains)

    def _of(self, view: View) -> NDArray[np.float64]:
        if view not in self.known:
            bank = self.banks[view.feature]
            transform = make_transform(view.transform).fit(np.concatenate(list(bank.values())))
            moved = {domain: transform(rows) for domain, rows in bank.items()}
            fitted = Grouped(view.make, view.groups, view.standardize, view.over_groups).fit(moved)
            self.known[view] = fitted.score(transform(self.queries[view.feature]))
        return self.known[view]


def read_section(section: MachineSection, encoders: Mapping[str, Any]) -> Section:
    """Return a section's features; normal clips with the same samples count once."""
    train: dict[bytes, tuple[str, NDArray[np.float32]]] = {}
    for clip in section.train:
        waveform = load_waveform(clip.path, SAMPLE_RATE)
        train.setdefault(waveform.tobytes(), (clip.domain or "source", waveform))
    test = [load_waveform(clip.path, SAMPLE_RATE) for clip in section.test]
    features = embed([*(waveform for _, waveform in train.values()), *test], encoders)
    domains = np.array([domain for domain, _ in train.values()])
    count = len(domains)
    return Section(
        section.name,
        {
            name: {d: rows[:count][domains == d] for d in np.unique(domains).tolist()}
            for name, rows in features.items()
        },
        {name: rows[count:] for name, rows in features.items()},
        [clip.label or 0 for clip in section.test],
        [clip.domain or "source" for clip in section.test],
    )


def embed(clips: Sequence[NDArray[np.float32]], encoders: Mapping[str, Any]) -> dict[str, Values]:
    """Return every feature (clips, values), by encoder, layer and pooling."""
    layers = encoders["spectra"].embed(clips, SAMPLE_RATE)
    features = {f"spectra {number}": rows for number, rows in enumerate(layers, 1)}
    if "mn04" in encoders:
        parts: dict[str, list[Values]] = {}
        for clip in clips:
            tokens = encoders["mn04"].layers([clip], SAMPLE_RATE, tuple(STAGES))
            for (layer, wanted), one in zip(STAGES.items(), tokens, strict=True):
                for pooling in wanted:
                    parts.setdefault(f"mn04 {layer} {pooling}", []).append(pool(one, pooling))
        features |= {name: np.concatenate(rows) for name, rows in parts.items()}
    return features


def table(heading: str, methods: Sequence[Method], folders: Mapping[str, list[Section]]) -> None:
    """Print a table of methods by folders; differences are to the first method."""
    names = [f"{name} | difference" for name in folders]
    print(f"\n| {heading} | {' | '.join(names)} |\n|---|{'---|---|' * len(folders)}", flush=True)
    for method in methods:
        cells = [
            cell for sections in folders.values() for cell in row(method, methods[0], sections)
        ]
        print(f"| {method.title} | {' | '.join(cells)} |", flush=True)


def row(method: Method, first: Method, sections: Sequence[Section]) -> tuple[str, str]:
    """Return a method's official score in percent, and its difference to the first in words."""
    ours, theirs = ([section.labelled(each) for section in sections] for each in (method, first))
    score, reference = (
        100 * official_score({str(i): section_metrics(*s) for i, s in enumerate(scores)})
        for scores in (ours, theirs)
    )
    if method == first:
        return f"{score:.1f}", ""
    low, high = (100 * end for end in bootstrap_official_difference(ours, theirs))
    verdict = " noise" if low <= 0 <= high else ""
    return f"{score:.1f}", f"{score - reference:+.1f} [{low:+.1f}, {high:+.1f}]{verdict}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folders", type=Path, nargs="+", help="data sets in the challenge's layout")
    parser.add_argument("--weights", type=Path, help="weights of efficientat_mn04")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", FirstshotWarning)
    encoders = {"spectra": load_encoder("spectra")}
    if arguments.weights:
        encoders["mn04"] = load_encoder("efficientat_mn04", arguments.weights, level="rms")
    folders = {
        folder.name: [read_section(section, encoders) for section in read_layout(folder)]
        for folder in arguments.folders
    }
    table("back-end in each view", back_ends(), folders)
    table("groups, views and back-ends together", fusions(), folders)
    if arguments.weights:
        table("with efficientat_mn04", with_network(), folders)
        table("mn04's stage 12 alone, by rows", poolings(), folders)


if __name__ == "__main__":
    main()
