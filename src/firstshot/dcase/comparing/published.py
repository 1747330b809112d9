"""The published results that a run is compared with; all values are percent.

`published.csv` contains them, one row per system and machine. Sources: "Description and discussion
on DCASE 2025 challenge task 2" (the task paper), Table 1: both autoencoder baselines, mean and
standard deviation of five trainings. The GenRep report for the same challenge, Table 3: systems 1
to 4. Table 4, the cost of each encoder, is `firstshot.complexity.PUBLISHED`. All are of the 2025
development set, section 00, 200 test clips per machine, with McClish's pAUC.

One official score is misprinted: Table 3 has 53.00 for the fan under System 4, but the row itself
gives 54.00, which is used here. Table 1 has no official scores; they are computed from its metrics.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from firstshot.errors import ParameterError
from firstshot.messages import choose_one_of
from firstshot.scoring.metrics import OFFICIAL_METRICS, harmonic_mean

YEAR = 2025
DATA_SET = f"the DCASE {YEAR} Task 2 development set"
TEST_CLIPS = 200
SECTION = "00"
BASELINES = ("baseline_mse", "baseline_mahala")
MISPRINTS: dict[tuple[str, str], tuple[float, float]] = {("system4", "fan"): (53.00, 54.00)}
"""Official scores of Table 3 that their own row contradicts: (printed, computed)."""


@dataclass(frozen=True)
class PublishedResult:
    """Published values of a system on one machine, or over several; percent.

    `printed` is the official score as Table 3 prints it. `deviations` are those of AUC source, AUC
    target and pAUC over five trainings, for the baselines only.
    """

    auc_source: float
    auc_target: float
    pauc: float
    official_score: float
    printed: float | None = None
    deviations: tuple[float, ...] | None = None

    def deviation(self, metric: str) -> float | None:
        """Return the published standard deviation of a metric, or None."""
        if self.deviations is None or metric not in OFFICIAL_METRICS:
            return None
        return self.deviations[OFFICIAL_METRICS.index(metric)]


@cache
def _table() -> dict[str, dict[str, PublishedResult]]:
    """Return all published results by system and machine."""
    text = resources.files(__package__).joinpath("published.csv").read_text(encoding="utf-8")
    table: dict[str, dict[str, PublishedResult]] = {}
    for row in csv.DictReader(text.splitlines()):
        system, machine = row["system"], row["machine"]
        source, target, pauc = values = [float(row[metric]) for metric in OFFICIAL_METRICS]
        deviations = printed = None
        if system in BASELINES:
            official = _mean(values)
            deviations = tuple(float(row[f"deviation_{metric}"]) for metric in OFFICIAL_METRICS)
        else:
            printed = float(row["printed_official"])
            _, official = MISPRINTS.get((system, machine), (printed, printed))
        result = PublishedResult(source, target, pauc, official, printed, deviations)
        table.setdefault(system, {})[machine] = result
    return table


def published_machines() -> tuple[str, ...]:
    """Return the machines of the published tables.

    >>> published_machines()
    ('ToyCar', 'ToyTrain', 'bearing', 'fan', 'gearbox', 'slider', 'valve')
    """
    return tuple(_table()[BASELINES[0]])


def published_systems() -> tuple[str, ...]:
    """Return the systems with published results per machine.

    >>> published_systems()
    ('baseline_mse', 'baseline_mahala', 'system1', 'system2', 'system3', 'system4')
    """
    return tuple(_table())


def published_source(system: str) -> str:
    """Return the source of a system's published results.

    >>> published_source("system4")
    'GenRep report, Table 3'
    """
    _check(system, "system", published_systems())
    return "task paper, Table 1" if system in BASELINES else "GenRep report, Table 3"


def published_result(system: str, machine: str) -> PublishedResult:
    """Return the published result of a system on one machine.

    Raises
    ------
    ParameterError
        Nothing is published of that system or machine.
    """
    _check(system, "system", published_systems())
    _check(machine, "machine", published_machines())
    return _table()[system][machine]


def published_overall(system: str, machines: Sequence[str] | None = None) -> PublishedResult:
    """Return a published system's harmonic means over some of the machines; None means all.

    >>> published_overall("system1").official_score
    64.53
    """
    rows = [published_result(system, name) for name in machines or published_machines()]
    columns = [[getattr(row, metric) for row in rows] for metric in OFFICIAL_METRICS]
    source, target, pauc = map(_mean, columns)
    return PublishedResult(source, target, pauc, _mean(np.concatenate(columns)))


def _mean(values: Iterable[float]) -> float:
    """Return the harmonic mean, rounded to the two decimals of the published tables."""
    return round(harmonic_mean(values), 2)


def _check(name: str, kind: str, known: Sequence[str]) -> None:
    if name not in known:
        raise ParameterError(
            f"nothing is published of {kind} {name!r}; {choose_one_of(name, known)}"
        )
