"""Random score files and ground truth in the challenge's layout, from a seed.

The scores have ties, constant values, one clip of a class, extremes and unequal classes more often
than real ones; the rows are in any order, under plain or labelled names. A careless copy of a set
has one of the faults that the official script accepts without a message, a broken one a fault that
it cannot evaluate.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

Row = list[str]
KINDS = ("anomaly_score", "decision_result")


@dataclass
class ScoreSet:
    """The folders of one generated set."""

    truth: Path
    scores: Path

    def files(self, kind: str) -> list[Path]:
        return sorted(self.scores.glob(f"{kind}_*.csv"))


def write(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{','.join(row)}\n" for row in rows))


def draw_labels(dice: random.Random) -> list[tuple[int, int]]:
    """(label, domain) per clip: both classes and normal clips of both domains, 1 to 12 of each."""
    counts = {(label, domain): dice.choice((1, 2, 5, 12)) for label in (0, 1) for domain in (0, 1)}
    if dice.random() < 0.2:  # all anomalies in one domain
        counts[1, dice.randrange(2)] = 0
    clips = [group for group, count in counts.items() for _ in range(count)]
    dice.shuffle(clips)
    return clips


def draw_score(dice: random.Random, style: str, label: int) -> float:
    if style == "constant":
        return 0.5
    if style == "levels":  # ties
        return float(dice.randrange(4) + label)
    if style == "perfect":
        return label + dice.random() / 2
    if style == "inverted":
        return -label - dice.random() / 2
    if style == "extreme":
        return dice.choice((-1.0, 1.0)) * 10.0 ** dice.randrange(-300, 300)
    return dice.gauss(0.7 * label, 1.0)


STYLES = ("normal", "normal", "levels", "constant", "perfect", "inverted", "extreme")


def write_file(dice: random.Random, root: Path, place: str, clips: list[tuple[int, int]]) -> None:
    """Write truth, scores and decisions of one file of the truth, `place` as fan_section_00."""
    only_domain = place.endswith(("_source", "_target"))
    names = [f"section_00_{i:04d}.wav" for i in range(len(clips))]
    labelled = [
        f"section_00_{('source', 'target')[domain]}_test_{('normal', 'anomaly')[label]}_{i:04d}_n"
        for i, (label, domain) in enumerate(clips)
    ]
    truth, name = root / "truth", f"ground_truth_{place}_test.csv"
    rows = list(zip(names, labelled, clips, strict=True))
    write(truth / "ground_truth_data" / name, [[n, str(label)] for n, _, (label, _) in rows])
    if not only_domain:
        write(truth / "ground_truth_domain" / name, [[n, str(d)] for n, _, (_, d) in rows])
        write(truth / "ground_truth_attributes" / name, [[n, long] for n, long, _ in rows])
    style = dice.choice(STYLES)
    said = [names, labelled][0 if only_domain else dice.randrange(2)]
    said = [text.removesuffix(".wav") + ".wav" for text in said]
    scores = [[n, repr(draw_score(dice, style, c[0]))] for n, c in zip(said, clips, strict=True)]
    choice = dice.choice(((0,), (1,), (0, 1), (0, 0, 0, 1)))
    decisions = [[n, str(dice.choice(choice))] for n in said]
    for kind, table in zip(KINDS, (scores, decisions), strict=True):
        dice.shuffle(table)
        write(root / "scores" / f"{kind}_{place}_test.csv", table)


def make_set(dice: random.Random, root: Path) -> ScoreSet:
    """Write a set of one to six sections, a quarter of the sets in the layout of 2021."""
    by_domain = dice.random() < 0.25
    for machine in dice.sample(("fan", "ToyCar", "3DPrinter"), dice.randrange(1, 4)):
        for section in range(dice.randrange(1, 3)):
            clips = draw_labels(dice)
            place = f"{machine}_section_{section:02d}"
            if not by_domain:
                write_file(dice, root, place, clips)
                continue
            for number, domain in enumerate(("source", "target")):
                own = [clip for clip in clips if clip[1] == number] + [(1, number)]
                write_file(dice, root, f"{place}_{domain}", own)
    return ScoreSet(root / "truth", root / "scores")


def edit(path: Path, dice: random.Random, change: str) -> None:
    """Put one fault into a score or decision file."""
    rows = [line.split(",") for line in path.read_text().splitlines()]
    row = dice.choice(rows)
    if change == "unknown names":  # in the order of the true ones
        for number, one in enumerate(sorted(rows)):
            one[0] = f"clip_{number:04d}.wav"
    elif change == "a third column":
        row.append("1")
    elif change == "numbers with a point":
        rows = [[name, f"{text}.0"] for name, text in rows]
    elif change == "a header":
        rows.insert(0, ["file", "value"])
    elif change == "a row twice":
        rows.append(row)
    elif change == "a row missing":
        rows.remove(row)
    else:
        row[1] = change
    write(path, rows)


ACCEPTED = (
    ("anomaly_score", "unknown names"),
    ("decision_result", "unknown names"),
    ("anomaly_score", "a third column"),
    ("decision_result", "numbers with a point"),
)
"""Faults that the official script accepts without a message, by the kind of file."""
BROKEN = (
    *((kind, fault) for kind in KINDS for fault in ("a header", "a row twice", "a row missing")),
    *((kind, value) for kind in KINDS for value in ("nan", "inf", "-inf", "")),
    *(("decision_result", value) for value in ("2", "True", "0.5")),
)
"""Faults that the official script cannot evaluate."""
