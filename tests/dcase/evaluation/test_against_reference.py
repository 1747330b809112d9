"""The evaluation of thousands of generated sections equals an independent, plain reference.

The official evaluator's own cases may not be copied into this repository; where they lie beside it,
`test_evaluate.py` compares with them too.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from sklearn.metrics import roc_auc_score
from tests.dcase.evaluation.official_reference import count_pairs, evaluate
from tests.dcase.evaluation.score_sets import ACCEPTED, BROKEN, edit, make_set

from firstshot.dcase.evaluation.evaluate import evaluate_scores
from firstshot.errors import DatasetError

BLOCKS, SETS = 8, 80


def assert_equal(ours: Any, reference: Any, where: str) -> int:
    """Compare every number to 1e-9 and return how many there are."""
    if not isinstance(reference, dict):
        assert ours == pytest.approx(reference, abs=1e-9, rel=0), where
        return 1
    assert ours.keys() == reference.keys(), where
    return sum(assert_equal(ours[k], value, f"{where} {k}") for k, value in reference.items())


@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_generated_set_equals_the_reference(tmp_path: Path, block: int) -> None:
    sections = numbers = 0
    for number in range(SETS):
        seed = f"{block}-{number}"
        found = make_set(random.Random(seed), tmp_path / seed)
        reference = evaluate(found.truth, found.scores)
        sections += len(reference["sections"])
        for lenient in (False, True):
            ours = evaluate_scores(found.scores, found.truth, lenient_positions=lenient)
            numbers += assert_equal(ours.to_json(), reference, f"set {seed}")
    assert sections * BLOCKS > 1500
    assert numbers * BLOCKS > 50_000


@pytest.mark.parametrize(("kind", "fault"), ACCEPTED)
def test_a_fault_that_is_accepted_officially_is_refused_unless_lenient(
    tmp_path: Path, kind: str, fault: str
) -> None:
    for number in range(10):
        dice = random.Random(f"{kind} {fault} {number}")
        found = make_set(dice, tmp_path / str(number))
        path = dice.choice(found.files(kind))
        edit(path, dice, fault)
        with pytest.raises(DatasetError, match=f"{path.name}, row "):
            evaluate_scores(found.scores, found.truth)
        ours = evaluate_scores(found.scores, found.truth, lenient_positions=True)
        assert_equal(ours.to_json(), evaluate(found.truth, found.scores), f"set {number}")


@pytest.mark.parametrize(("kind", "fault"), BROKEN)
def test_a_fault_that_cannot_be_evaluated_is_refused_with_its_file(
    tmp_path: Path, kind: str, fault: str
) -> None:
    dice = random.Random(f"{kind} {fault}")
    found = make_set(dice, tmp_path)
    path = dice.choice(found.files(kind))
    edit(path, dice, fault)
    with pytest.raises(ValueError):
        evaluate(found.truth, found.scores)
    for lenient in (False, True):
        with pytest.raises(DatasetError, match=path.name):
            evaluate_scores(found.scores, found.truth, lenient_positions=lenient)


@pytest.mark.parametrize("lenient", [False, True])
def test_a_section_without_its_files_is_named(tmp_path: Path, lenient: bool) -> None:
    for number, kind in enumerate(("anomaly_score", "decision_result")):
        dice = random.Random(number)
        found = make_set(dice, tmp_path / kind)
        path = dice.choice(found.files(kind))
        path.unlink()
        with pytest.raises(ValueError, match="is missing"):
            evaluate(found.truth, found.scores)
        with pytest.raises(DatasetError, match=rf"{path.name} is missing"):
            evaluate_scores(found.scores, found.truth, lenient_positions=lenient)


@pytest.mark.filterwarnings("ignore:.*the labelled names contradict")
@pytest.mark.parametrize("absent", [(0, 0), (0, 1), (1, None)])
def test_a_section_that_lacks_a_class_has_no_official_score(
    tmp_path: Path, absent: tuple[int, int | None]
) -> None:
    """No normal clip of a domain, or no anomalous clip at all: an AUC is not defined."""
    label, domain = absent
    for number in range(20):
        found = make_set(random.Random(f"{absent} {number}"), tmp_path / str(number))
        data = sorted((found.truth / "ground_truth_data").iterdir())[0]
        domains = found.truth / "ground_truth_domain" / data.name
        of_2021 = not domains.exists()
        rows = [line.split(",") for line in data.read_text().splitlines()]
        if of_2021:
            in_domain = {name: int("_target_test" in data.name) for name, _ in rows}
        else:
            pairs = [line.split(",") for line in domains.read_text().splitlines()]
            in_domain = {name: int(value) for name, value in pairs}
        if domain is not None and of_2021 and set(in_domain.values()) != {domain}:
            continue  # the other domain's file
        for row in rows:
            if int(row[1]) == label and domain in (None, in_domain[row[0]]):
                row[1] = str(1 - label)
        data.write_text("".join(f"{name},{value}\n" for name, value in rows))
        with pytest.raises(ValueError, match=r"one class only|is missing"):
            evaluate(found.truth, found.scores)
        section = data.name.removeprefix("ground_truth_")[: -len("_test.csv")]
        section = section.removesuffix("_source").removesuffix("_target")
        with pytest.raises(DatasetError, match=f"truth of {section}: no "):
            evaluate_scores(found.scores, found.truth)


def test_the_reference_counts_pairs_as_scikit_learn_does() -> None:
    for number in range(200):
        dice = random.Random(number)
        labels = [0, 1, *(dice.randrange(2) for _ in range(dice.randrange(30)))]
        scores = [float(dice.randrange(8)) for _ in labels]
        normal = [score for score, label in zip(scores, labels, strict=True) if not label]
        anomalous = [score for score, label in zip(scores, labels, strict=True) if label]
        expected = float(roc_auc_score(labels, scores))
        assert count_pairs(normal, anomalous) == pytest.approx(expected, abs=1e-12)
