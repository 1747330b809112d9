"""The official evaluation of 2021 to 2024, written again as plainly and slowly as possible.

Source: the description of the evaluator's computation, not its code. Nothing of firstshot is
imported. Rows of scores, of decisions and of the truth are sorted and matched by position; a file
that the official script cannot evaluate raises ValueError. AUC counts pairs of clips; the partial
AUC is scikit-learn's `roc_auc_score` with `max_fpr`, which the official script calls.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

from sklearn.metrics import roc_auc_score

EPSILON = 2.220446049250313e-16  # the official scripts take sys.float_info.epsilon
METRICS = ("auc", "pauc", "precision", "recall", "f1")


def read(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def read_sorted(path: Path, plain_names: dict[str, str]) -> list[list[str]]:
    rows = [[plain_names.get(row[0], row[0]), *row[1:]] for row in read(path)]
    return sorted(rows, key=lambda row: row[:2])


def as_score(text: str) -> float:
    score = float(text)
    if not math.isfinite(score):
        raise ValueError(text)
    return score


def as_decision(text: str) -> int:
    decision = float(text)
    if decision not in (0, 1):
        raise ValueError(text)
    return int(decision)


def count_pairs(normal: list[float], anomalous: list[float]) -> float:
    """AUC: the share of pairs in which the anomalous clip scores higher; a tie is one half."""
    if not normal or not anomalous:
        raise ValueError("one class only")
    wins = 0.0
    for low in normal:
        for high in anomalous:
            if high > low:
                wins += 1
            elif high == low:
                wins += 0.5
    return wins / (len(normal) * len(anomalous))


def harmonic(values: list[float]) -> float:
    return len(values) / sum(1 / max(value, EPSILON) for value in values)


def evaluate_domain(name: str, labels: list[int], decisions: list[int]) -> dict[str, float]:
    """Precision, recall and F1 of the clips of one domain."""
    hits = sum(1 for label, said in zip(labels, decisions, strict=True) if label and said)
    precision = hits / max(sum(decisions), EPSILON)
    recall = hits / max(sum(labels), EPSILON)
    f1 = 2 * precision * recall / max(precision + recall, EPSILON)
    return {f"precision_{name}": precision, f"recall_{name}": recall, f"f1_{name}": f1}


def evaluate_file(truth: Path, name: str, scores: Path, decisions: Path) -> dict[str, float]:
    """Every metric of one truth file: a section, or of 2021 one domain of a section."""
    attributes = truth / "ground_truth_attributes" / name
    pairs = read(attributes) if attributes.exists() else []
    plain_names = {f"{labelled}.wav": plain for plain, labelled in pairs}
    labels = [int(row[1]) for row in sorted(read(truth / "ground_truth_data" / name))]
    values = [as_score(row[1]) for row in read_sorted(scores, plain_names)]
    said = [as_decision(row[1]) for row in read_sorted(decisions, plain_names)]
    if not len(labels) == len(values) == len(said):
        raise ValueError("different numbers of rows")
    anomalous = [value for value, label in zip(values, labels, strict=True) if label]
    of_year_2021 = name.removesuffix("_test.csv").rpartition("_")[2]
    if of_year_2021 in ("source", "target"):
        domains = [of_year_2021] * len(labels)
    else:
        rows = sorted(read(truth / "ground_truth_domain" / name))
        domains = ["target" if row[1] == "1" else "source" for row in rows]
    found: dict[str, float] = {}
    if not 0 < len(anomalous) < len(labels):
        raise ValueError("one class only")
    pauc = float(roc_auc_score(labels, values, max_fpr=0.1))
    if of_year_2021 in ("source", "target"):
        found[f"pauc_{of_year_2021}"] = pauc
    else:
        found["pauc"] = pauc
        normal = [value for value, label in zip(values, labels, strict=True) if not label]
        found["auc_all"] = count_pairs(normal, anomalous)
    for domain in sorted(set(domains)):
        rows = [i for i in range(len(labels)) if domains[i] == domain]
        normal = [values[i] for i in rows if not labels[i]]
        found[f"auc_{domain}"] = count_pairs(normal, anomalous)
        found |= evaluate_domain(domain, [labels[i] for i in rows], [said[i] for i in rows])
    return found


def official_values(metrics: dict[str, float]) -> list[float]:
    """What the official score averages in one section."""
    paucs = [value for name, value in metrics.items() if name.startswith("pauc")]
    return [metrics["auc_source"], metrics["auc_target"], *paucs]


def evaluate(truth: Path, scores: Path) -> dict[str, object]:
    """Everything that the official script writes, but its interval of the official score."""
    sections: dict[str, dict[str, float]] = {}
    for path in sorted((truth / "ground_truth_data").iterdir()):
        place = path.name.removeprefix("ground_truth_").removesuffix("_test.csv")
        files = [scores / f"{kind}_{place}_test.csv" for kind in KINDS]
        if not all(file.exists() for file in files):
            raise ValueError(f"{place} is missing")
        section = place.removesuffix("_source").removesuffix("_target")
        sections.setdefault(section, {}).update(evaluate_file(truth, path.name, *files))
    for metrics in sections.values():
        try:
            metrics["official_score"] = harmonic(official_values(metrics))
        except KeyError as absent:
            raise ValueError(f"{absent} is missing") from absent
    result: dict[str, object] = {
        "official_score": harmonic(
            [value for metrics in sections.values() for value in official_values(metrics)]
        ),
        "sections": sections,
    }
    for title, domains in (
        ("arithmetic_mean", ("source", "target")),
        ("harmonic_mean", ("source", "target")),
        ("source_harmonic_mean", ("source",)),
        ("target_harmonic_mean", ("target",)),
    ):
        means = {}
        for metric in METRICS:
            names = [f"{metric}_{domain}" for domain in domains]
            names += ["pauc"] if metric == "pauc" else []
            values = [m[name] for m in sections.values() for name in names if name in m]
            means[metric] = sum(values) / len(values) if "arith" in title else harmonic(values)
        result[title] = means
    return result


KINDS = ("anomaly_score", "decision_result")
