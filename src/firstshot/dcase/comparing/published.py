"""The published results that a run is compared with, as data; all are percent.

Sources: "Description and discussion on DCASE 2025 challenge task 2" (the task paper), Table 1: both
autoencoder baselines, mean and standard deviation of five trainings. The GenRep report for the same
challenge, Tables 2 and 3: systems 1 to 4. Table 4, what each encoder costs, is
`firstshot.complexity.PUBLISHED`. All are of the 2025 development set, section 00, 200 test clips a
machine, with McClish's pAUC.

One official score is misprinted: Table 3 has 53.00 for the fan under System 4, where its own row
gives 54.00, which is taken here. Table 1 has none; they are computed from its three metrics.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from firstshot.errors import ParameterError
from firstshot.scoring.metrics import harmonic_mean

_Spread: TypeAlias = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
_Four: TypeAlias = tuple[float, float, float, float]

DATA_SET = "the DCASE 2025 Task 2 development set"
TEST_CLIPS = 200
SECTION = "00"

# mean and deviation of AUC source, AUC target, pAUC
_TABLE_1: dict[str, dict[str, _Spread]] = {
    "baseline_mse": {
        "ToyCar": ((71.05, 0.50), (53.32, 0.56), (49.79, 0.49)),
        "ToyTrain": ((61.76, 0.74), (56.46, 0.47), (50.19, 0.25)),
        "bearing": ((66.53, 2.63), (53.15, 1.99), (61.12, 0.59)),
        "fan": ((70.96, 0.94), (38.75, 0.74), (49.46, 0.53)),
        "gearbox": ((64.80, 1.48), (50.49, 1.22), (52.49, 0.37)),
        "slider": ((70.10, 1.01), (48.77, 1.07), (52.32, 0.36)),
        "valve": ((63.53, 2.90), (67.18, 1.75), (57.35, 1.96)),
    },
    "baseline_mahala": {
        "ToyCar": ((73.17, 0.39), (50.91, 0.85), (49.05, 0.05)),
        "ToyTrain": ((50.87, 2.88), (46.15, 1.77), (48.32, 0.05)),
        "bearing": ((63.63, 1.15), (59.03, 1.79), (61.86, 0.36)),
        "fan": ((77.99, 0.23), (38.56, 0.58), (50.82, 0.06)),
        "gearbox": ((73.26, 0.78), (51.61, 0.52), (55.07, 0.47)),
        "slider": ((73.79, 1.95), (50.27, 1.15), (53.61, 0.26)),
        "valve": ((56.22, 2.22), (61.00, 2.98), (52.53, 1.32)),
    },
}

# AUC source, AUC target, pAUC, official score as printed
_TABLE_3: dict[str, dict[str, _Four]] = {
    "system1": {
        "ToyCar": (70.90, 67.72, 54.37, 63.47),
        "ToyTrain": (88.34, 68.06, 60.53, 70.53),
        "bearing": (71.12, 60.28, 60.21, 63.48),
        "fan": (72.44, 47.28, 51.63, 55.23),
        "gearbox": (70.30, 59.38, 56.21, 61.41),
        "slider": (82.00, 57.60, 56.58, 63.52),
        "valve": (81.52, 82.46, 73.58, 78.98),
    },
    "system2": {
        "ToyCar": (63.12, 71.56, 55.68, 62.79),
        "ToyTrain": (84.34, 69.88, 59.79, 69.94),
        "bearing": (70.12, 61.86, 60.32, 63.82),
        "fan": (34.26, 74.72, 56.95, 49.89),
        "gearbox": (66.92, 69.70, 58.74, 64.77),
        "slider": (82.54, 57.92, 57.05, 63.95),
        "valve": (82.24, 80.68, 72.00, 78.04),
    },
    "system3": {
        "ToyCar": (64.60, 71.10, 52.21, 61.60),
        "ToyTrain": (79.14, 69.62, 54.53, 66.17),
        "bearing": (65.12, 57.94, 60.84, 61.16),
        "fan": (58.88, 47.26, 50.95, 51.93),
        "gearbox": (63.66, 56.56, 52.84, 57.35),
        "slider": (77.78, 57.86, 55.47, 62.28),
        "valve": (71.50, 82.72, 71.47, 74.88),
    },
    "system4": {
        "ToyCar": (70.54, 63.44, 50.53, 60.32),
        "ToyTrain": (87.12, 67.52, 55.21, 67.57),
        "bearing": (64.62, 53.98, 56.74, 58.11),
        "fan": (67.88, 48.98, 49.00, 53.00),
        "gearbox": (67.04, 58.42, 57.63, 60.75),
        "slider": (78.78, 59.30, 59.89, 64.86),
        "valve": (76.96, 76.00, 67.58, 73.26),
    },
}

TABLE_2: dict[str, _Four] = {
    "baseline": (66.78, 51.39, 52.94, 56.26),
    "system1": (76.11, 61.66, 58.36, 64.53),
    "system2": (63.42, 68.73, 59.69, 63.74),
    "system3": (67.96, 61.46, 56.23, 61.51),
    "system4": (72.56, 60.01, 56.10, 62.15),
}
"""Table 2 as printed: AUC source, AUC target, pAUC and official score over all seven machines.

"baseline" is Table 1's MSE baseline, up to 0.03; all rows are harmonic means over machines.
"""

MISPRINTS: dict[tuple[str, str], tuple[float, float]] = {("system4", "fan"): (53.00, 54.00)}
"""Official scores of Table 3 that its own row contradicts: (printed, computed)."""


@dataclass(frozen=True)
class PublishedResult:
    """What was published of a system on one machine, or over several; percent.

    `deviations` are those of AUC source, AUC target and pAUC over five trainings, baselines only.
    """

    auc_source: float
    auc_target: float
    pauc: float
    official_score: float
    deviations: tuple[float, float, float] | None = None

    def deviation(self, metric: str) -> float | None:
        """Return the published standard deviation of a metric, or None."""
        names = ("auc_source", "auc_target", "pauc")
        if self.deviations is None or metric not in names:
            return None
        return self.deviations[names.index(metric)]


def published_machines() -> tuple[str, ...]:
    """Return the machines of the published tables.

    >>> published_machines()
    ('ToyCar', 'ToyTrain', 'bearing', 'fan', 'gearbox', 'slider', 'valve')
    """
    return tuple(_TABLE_1["baseline_mse"])


def published_systems() -> tuple[str, ...]:
    """Return the systems whose results per machine are published.

    >>> published_systems()
    ('baseline_mse', 'baseline_mahala', 'system1', 'system2', 'system3', 'system4')
    """
    return (*_TABLE_1, *_TABLE_3)


def published_source(system: str) -> str:
    """Say where a system's published results are from.

    >>> published_source("system4")
    'GenRep report, Table 3'
    """
    _check_system(system)
    return "task paper, Table 1" if system in _TABLE_1 else "GenRep report, Table 3"


def printed_official(system: str, machine: str) -> float | None:
    """Return the official score as Table 3 prints it, misprints included; None for Table 1.

    >>> printed_official("system4", "fan"), published_result("system4", "fan").official_score
    (53.0, 54.0)
    """
    _check_machine(machine)
    _check_system(system)
    return _TABLE_3[system][machine][3] if system in _TABLE_3 else None


def published_result(system: str, machine: str) -> PublishedResult:
    """Return the published result of a system on one machine.

    Raises
    ------
    ParameterError
        Nothing is published of that system or machine.
    """
    _check_system(system)
    _check_machine(machine)
    if system in _TABLE_3:
        source, target, pauc, printed = _TABLE_3[system][machine]
        _, official = MISPRINTS.get((system, machine), (printed, printed))
        return PublishedResult(source, target, pauc, official)
    (source, a), (target, b), (pauc, c) = _TABLE_1[system][machine]
    return PublishedResult(source, target, pauc, _mean([source, target, pauc]), (a, b, c))


def published_overall(system: str, machines: Sequence[str] | None = None) -> PublishedResult:
    """Return a published system's harmonic means over some of the machines; None means all.

    >>> published_overall("system1").official_score
    64.53
    """
    rows = [published_result(system, name) for name in machines or published_machines()]
    columns = [[r.auc_source for r in rows], [r.auc_target for r in rows], [r.pauc for r in rows]]
    means = [_mean(column) for column in columns]
    return PublishedResult(means[0], means[1], means[2], _mean(np.concatenate(columns)))


def _mean(values: Iterable[float]) -> float:
    """Harmonic mean, rounded to the two decimals that were published."""
    return round(harmonic_mean(values), 2)


def _check_system(system: str) -> None:
    if system not in published_systems():
        raise ParameterError(
            f"nothing is published of system {system!r}; choose one of "
            f"{', '.join(published_systems())}"
        )


def _check_machine(machine: str) -> None:
    if machine not in published_machines():
        raise ParameterError(
            f"nothing is published of machine {machine!r}; choose one of "
            f"{', '.join(published_machines())}"
        )
