"""A submission's CSV files and the ground truth become the challenge's official score.

The result equals that of the official evaluators of 2021 to 2024 if they give one. Rows are matched
by clip name. The official scripts sort both sides and match by position, so they accept unknown
names, a name that comes twice, numbers without zero padding, decisions such as 1.0 and further
columns. Here each of these is a DatasetError that names file, row and fault, unless
`lenient_positions` selects the official matching. A fault that makes the official scripts crash or
skip a system (nan, inf, a header, missing rows or files) is always an error.

2021 has AUC and pAUC for each domain by itself (`auc_source`, `pauc_source`, ...), and its official
score is the harmonic mean of all four; from 2022 on there is one `pauc` over both domains.
The official "ci95" is not an interval of the official score and is left out; `resamples` gives
bootstrap intervals over clips instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.dcase.evaluation.ground_truth import SectionTruth, read_truth
from firstshot.dcase.evaluation.score_files import (
    DECISIONS,
    SCORES,
    ClipTable,
    read_decisions,
    read_scores,
)
from firstshot.domains import DOMAINS
from firstshot.errors import DatasetError, ParameterError, warn
from firstshot.scoring.bootstrap import (
    LabelledScores,
    bootstrap_intervals,
    bootstrap_official_interval,
)
from firstshot.scoring.metrics import harmonic_mean, section_metrics

# anomaly_score_fan_section_00_test.csv, ..._source_test.csv (2021), and the baseline's
# anomaly_score_DCASE2024T2fan_section_00_test_seed13711_id(0_)_Eval.csv
_FILE = re.compile(
    rf"(?P<kind>{SCORES}|{DECISIONS})_(?:DCASE\d{{4}}T2)?(?P<machine>.+?)_section_(?P<section>\d+)"
    r"(?:_(?P<domain>source|target))?_test(?:_seed\d+_.*)?\.csv"
)
_Key = tuple[str, str, str, str | None]  # kind, machine, section, domain (2021)
_MEANS = ("auc", "pauc", "precision", "recall", "f1")


@dataclass(frozen=True)
class Evaluation:
    """The official score, each section's metrics, and means over machines, sections and domains.

    All values are fractions of 1. `sections` maps `<machine>_section_<SS>` to `auc_all`,
    `auc_source`, `auc_target`, `pauc`, `precision_source`, ..., `official_score`; the four means
    hold `auc`, `pauc`, `precision`, `recall` and `f1`. `bootstrap` is None without `resamples`.
    """

    official_score: float
    arithmetic_mean: dict[str, float]
    harmonic_mean: dict[str, float]
    source_harmonic_mean: dict[str, float]
    target_harmonic_mean: dict[str, float]
    sections: dict[str, dict[str, float]]
    bootstrap: Bootstrap | None = None

    def to_json(self) -> dict[str, Any]:
        """Return everything as dictionaries and numbers that the json module writes."""
        fields = asdict(self)
        bootstrap = fields.pop("bootstrap")
        if bootstrap is not None:
            about = "percentile bootstrap intervals over clips, [low, high]"
            fields["bootstrap"] = {"about": about, **bootstrap}
        return fields


@dataclass(frozen=True)
class Bootstrap:
    """Percentile intervals (low, high) over clips, of the official score and of each section."""

    level: float
    resamples: int
    seed: int
    official_score: tuple[float, float]
    sections: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)


def evaluate_scores(
    scores_dir: str | Path,
    truth_dir: str | Path,
    lenient_positions: bool = False,
    resamples: int = 0,
    level: float = 0.95,
    seed: int = 0,
) -> Evaluation:
    """Evaluate the score and decision files of one system against the ground truth.

    `scores_dir` holds the CSV files themselves; `truth_dir` is or contains the folder with
    ``ground_truth_data``. With `resamples` above 0, bootstrap intervals are computed as well.
    Raises DatasetError naming the file, the row and the fault; with `lenient_positions` the
    official matching by position takes what the official evaluator takes.
    """
    truth = read_truth(Path(truth_dir))
    files = _find_files(Path(scores_dir), truth, lenient_positions)
    sections: dict[str, dict[str, float]] = {}
    labelled: dict[str, LabelledScores] = {}
    for section in truth:
        metrics, labelled[section.name] = _evaluate_section(section, files, lenient_positions)
        sections.setdefault(section.name, {}).update(metrics)
    for name, metrics in sections.items():
        metrics["official_score"] = harmonic_mean(_official_values(name, metrics))
    evaluation = _summary(sections)
    if not resamples:
        return evaluation
    if any(section.only_domain for section in truth):
        raise ParameterError(
            "bootstrap intervals are not offered for the layout of 2021, whose domains are apart"
        )
    return _with_bootstrap(evaluation, labelled, level, resamples, seed)


def _evaluate_section(
    section: SectionTruth, files: dict[_Key, Path], lenient: bool
) -> tuple[dict[str, float], LabelledScores]:
    """Return the metrics of one section, or (2021) of one domain of it, and their input."""
    key = (section.machine, section.section, section.only_domain)
    scores = _values(read_scores(files[SCORES, *key], lenient), section, lenient)
    decisions = _values(read_decisions(files[DECISIONS, *key], lenient), section, lenient)
    labels, domains = _in_order(section, lenient)
    try:
        metrics = section_metrics(labels, scores, domains, decisions)
    except ParameterError as error:
        raise DatasetError(f"truth of {section.name}: {error}") from error
    if section.only_domain:
        metrics[f"pauc_{section.only_domain}"] = metrics.pop("pauc")
        del metrics["auc_all"]
    return metrics, LabelledScores(labels, scores, domains)


def _find_files(folder: Path, truth: list[SectionTruth], lenient: bool) -> dict[_Key, Path]:
    """Find every section's score file and decision file; refuse a file of no section."""
    if not folder.is_dir():
        raise DatasetError(f"scores folder {folder} does not exist")
    wanted = {
        (kind, section.machine, section.section, section.only_domain)
        for section in truth
        for kind in (SCORES, DECISIONS)
    }
    files: dict[_Key, Path] = {}
    for path in sorted(folder.glob("*.csv")):
        if not path.name.startswith((SCORES, DECISIONS)):
            continue
        match = _FILE.fullmatch(path.name)
        key = (
            (match["kind"], match["machine"], match["section"], match["domain"]) if match else None
        )
        if key is None or key not in wanted:
            fault = (
                f"{path}: the name belongs to no section of the truth; expected "
                "<kind>_<machine>_section_<SS>_test.csv of one of "
                f"{', '.join(sorted({section.name for section in truth}))}"
            )
            if not lenient:
                raise DatasetError(fault)
            warn(fault + "; it is left out")
            continue
        if key in files:
            raise DatasetError(
                f"{path} and {files[key].name} are both for {key[1]} section {key[2]}; keep one"
            )
        files[key] = path
    for kind, machine, section, domain in sorted(wanted - set(files), key=str):
        name = f"{machine}_section_{section}{'_' + domain if domain else ''}"
        nested = sorted({path.parent for path in folder.glob(f"*/**/{SCORES}_*.csv")})
        hint = f"; there are some in {nested[0]}" if nested and not files else ""
        raise DatasetError(f"{folder}: {kind}_{name}_test.csv is missing{hint}")
    return files


def _values(table: ClipTable, section: SectionTruth, lenient: bool) -> NDArray[np.float64]:
    """Return the values in the order of `_in_order`."""
    clips = [section.plain_names.get(clip, clip) for clip in table.clips]
    if lenient:
        if len(clips) != len(section.clips):
            raise DatasetError(
                f"{table.path}: {len(clips)} rows, but the truth has {len(section.clips)} clips"
            )
        rows = sorted(zip(clips, table.texts, table.values, strict=True), key=lambda row: row[:2])
        return np.asarray([value for _, _, value in rows])
    known, row_of = set(section.clips), dict[str, int]()
    for number, (clip, written) in enumerate(zip(clips, table.clips, strict=True), start=1):
        if clip not in known:
            raise DatasetError(
                f"{table.path}, row {number}: clip {written!r} is not in the truth of "
                f"{section.name}, whose first clip is {section.clips[0]!r}"
            )
        if clip in row_of:
            raise DatasetError(
                f"{table.path}, row {number}: clip {written!r} is there already, in row "
                f"{row_of[clip]}, under its other name"
            )
        row_of[clip] = number
    missing = [clip for clip in section.clips if clip not in row_of]
    if missing:
        raise DatasetError(
            f"{table.path}: {len(missing)} of {len(section.clips)} clips have no row, "
            f"the first of them {missing[0]!r}"
        )
    return table.values[[row_of[clip] - 1 for clip in section.clips]]


def _in_order(section: SectionTruth, lenient: bool) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return labels and domains in the truth file's order; `lenient`: sorted by clip name."""
    places = list(range(len(section.clips)))
    if lenient:
        places.sort(key=lambda place: section.clips[place])
    return section.labels[places], tuple(section.domains[place] for place in places)


def _official_values(name: str, metrics: Mapping[str, float]) -> list[float]:
    """Return the values that the official score averages: AUC and pAUC, of 2021 per domain."""
    values = []
    for metric in ("auc_source", "auc_target"):
        if metric not in metrics:
            raise DatasetError(f"truth of {name}: no normal clip gives {metric}")
        values.append(metrics[metric])
    return values + [value for metric, value in metrics.items() if metric.startswith("pauc")]


def _summary(sections: dict[str, dict[str, float]]) -> Evaluation:
    """Compute means over all sections, of both domains and of each."""

    def values(metric: str, domains: tuple[str, ...]) -> list[float]:
        names = ["pauc"] if metric == "pauc" else []
        names += [f"{metric}_{domain}" for domain in domains]
        return [metrics[name] for metrics in sections.values() for name in names if name in metrics]

    official = [
        value for name, metrics in sections.items() for value in _official_values(name, metrics)
    ]
    return Evaluation(
        official_score=harmonic_mean(official),
        sections=sections,
        arithmetic_mean={name: float(np.mean(values(name, DOMAINS))) for name in _MEANS},
        harmonic_mean={name: harmonic_mean(values(name, DOMAINS)) for name in _MEANS},
        source_harmonic_mean={name: harmonic_mean(values(name, ("source",))) for name in _MEANS},
        target_harmonic_mean={name: harmonic_mean(values(name, ("target",))) for name in _MEANS},
    )


def _with_bootstrap(
    evaluation: Evaluation,
    labelled: dict[str, LabelledScores],
    level: float,
    resamples: int,
    seed: int,
) -> Evaluation:
    """Add bootstrap intervals."""
    bootstrap = Bootstrap(
        level=level,
        resamples=resamples,
        seed=seed,
        official_score=bootstrap_official_interval(list(labelled.values()), level, resamples, seed),
        sections={
            name: bootstrap_intervals(*section, level, resamples, seed)
            for name, section in labelled.items()
        },
    )
    return replace(evaluation, bootstrap=bootstrap)
