"""Records, archive names and machines of each year's data.

Input: year, part and machine. Output: the archives to fetch. Source: the challenge baseline's
download lists, 2020 to 2026. A new year is a new row here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from firstshot.errors import ParameterError
from firstshot.messages import choose_one_of

PARTS = ("dev", "train", "eval")
"""Development set, additional training set, evaluation test set."""

_FOLDERS = {"dev": "dev_data/raw", "train": "eval_data/raw", "eval": "eval_data/raw"}


@dataclass(frozen=True)
class Archive:
    """One archive: its record, its name in the record, and the folder for its clips.

    `other_names` are names of the same archive on the challenge's pages; the first of `names` that
    the record lists is fetched. `folder` is relative to the year's root.
    """

    year: int
    part: str
    machine: str
    record: int
    name: str
    other_names: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All names, the download lists' first."""
        return (self.name, *self.other_names)

    @property
    def folder(self) -> str:
        """The machine's folder under the year's root, as `dev_data/raw/fan`."""
        return f"{_FOLDERS[self.part]}/{self.machine}"


@dataclass(frozen=True)
class _Year:
    """One year: a record per part, the machines, and the names of the archives."""

    records: Mapping[str, int]
    dev_machines: tuple[str, ...]
    eval_machines: tuple[str, ...]
    names: Mapping[str, str]
    other_dev_name: str | None = None
    revised: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def machines(self, part: str) -> tuple[str, ...]:
        return self.dev_machines if part == "dev" else self.eval_machines


_NAMES_2020 = {
    "dev": "dev_data_{}.zip",
    "train": "eval_data_train_{}.zip",
    "eval": "eval_data_test_{}.zip",
}
_NAMES_2021 = {
    "dev": "dev_data_{}.zip",
    "train": "eval_data_{}_train.zip",
    "eval": "eval_data_{}_test.zip",
}
_NAMES = {**_NAMES_2021, "dev": "dev_{}.zip"}
# The baseline's README writes dev_data_<machine>.zip, its download lists dev_<machine>.zip.
_README_NAME = "dev_data_{}.zip"

_SIX = ("fan", "pump", "slider", "ToyCar", "ToyConveyor", "valve")
_SEVEN_2021 = ("fan", "gearbox", "pump", "slider", "ToyCar", "ToyTrain", "valve")
_SEVEN = ("bearing", "fan", "gearbox", "slider", "ToyCar", "ToyTrain", "valve")


def _records(dev: int, train: int, evaluation: int) -> dict[str, int]:
    return {"dev": dev, "train": train, "eval": evaluation}


_YEARS: dict[int, _Year] = {
    2020: _Year(_records(3678171, 3727685, 3841772), _SIX, _SIX, _NAMES_2020),
    2021: _Year(_records(4562016, 4660992, 4884786), _SEVEN_2021, _SEVEN_2021, _NAMES_2021),
    2022: _Year(_records(6355122, 6462969, 6586456), _SEVEN, _SEVEN, _NAMES, _README_NAME),
    2023: _Year(
        _records(7882613, 7830345, 7860847),
        _SEVEN,
        ("bandsaw", "grinder", "shaker", "ToyDrone", "ToyNscale", "ToyTank", "Vacuum"),
        _NAMES,
        _README_NAME,
    ),
    2024: _Year(
        # The additional training set has a new record: 11259435 replaces 11183284.
        _records(10902294, 11259435, 11363076),
        _SEVEN,
        (
            "3DPrinter",
            "AirCompressor",
            "BrushlessMotor",
            "HairDryer",
            "HoveringDrone",
            "RoboticArm",
            "Scanner",
            "ToothBrush",
            "ToyCircuit",
        ),
        _NAMES,
        _README_NAME,
        {
            ("train", "3DPrinter"): "eval_data_3DPrinter_train_r2.zip",
            ("train", "RoboticArm"): "eval_data_RoboticArm_train_r2.zip",
        },
    ),
    2025: _Year(
        _records(15097779, 15392814, 15519362),
        _SEVEN,
        (
            "AutoTrash",
            "BandSealer",
            "CoffeeGrinder",
            "HomeCamera",
            "Polisher",
            "ScrewFeeder",
            "ToyPet",
            "ToyRCCar",
        ),
        _NAMES,
        _README_NAME,
    ),
    2026: _Year(
        _records(19336329, 20151556, 20437238),
        ("bearingEmu", "fan", "gearboxEmu", "sliderEmu", "ToyCar", "ToyCarEmu", "valveEmu"),
        ("BlowerDustCollector", "Sander", "SewingMachine", "ToothBrush", "ToyDrone"),
        _NAMES,
        _README_NAME,
        {("dev", "ToyCar"): "dev_ToyCar_r2.zip"},
    ),
}
YEARS = tuple(_YEARS)


def machines_of(year: int, part: str) -> tuple[str, ...]:
    """Machines of one part of a year.

    Raises
    ------
    ParameterError
        No such year or part.

    Examples
    --------
    >>> machines_of(2026, "train")
    ('BlowerDustCollector', 'Sander', 'SewingMachine', 'ToothBrush', 'ToyDrone')
    """
    if year not in _YEARS:
        raise ParameterError(f"year {year}: no data known; choose one of {_join(YEARS)}")
    if part not in PARTS:
        raise ParameterError(f"part {part!r}: no such part; {choose_one_of(part, PARTS)}")
    return _YEARS[year].machines(part)


def select_archives(
    year: int, parts: Sequence[str] | None = None, machines: Sequence[str] | None = None
) -> tuple[Archive, ...]:
    """Choose a year's archives, in the order of `PARTS` and of the machines' names.

    Parameters
    ----------
    year : int
        2020 to 2026.
    parts, machines : sequence of str or None
        Only these; None for all. A machine can be absent from some of the chosen parts.

    Raises
    ------
    ParameterError
        No such year or part, or a machine that is in none of the chosen parts.

    Examples
    --------
    >>> [archive.name for archive in select_archives(2024, machines=["RoboticArm"])]
    ['eval_data_RoboticArm_train_r2.zip', 'eval_data_RoboticArm_test.zip']
    """
    wanted = [part for part in PARTS if parts is None or part in parts]
    available = {part: machines_of(year, part) for part in (*wanted, *(parts or ()))}
    for machine in machines or ():
        if not any(machine in names for names in available.values()):
            raise ParameterError(_unknown_machine(year, machine, available))
    return tuple(
        _archive(year, part, machine)
        for part in wanted
        for machine in available[part]
        if machines is None or machine in machines
    )


def _archive(year: int, part: str, machine: str) -> Archive:
    facts = _YEARS[year]
    revised = facts.revised.get((part, machine))
    other: tuple[str, ...] = ()
    # A revised archive has no other name: the plain name can be the faulty first version.
    if part == "dev" and facts.other_dev_name and revised is None:
        other = (facts.other_dev_name.format(machine),)
    name = revised or facts.names[part].format(machine)
    return Archive(year, part, machine, facts.records[part], name, other)


def _unknown_machine(year: int, machine: str, available: Mapping[str, Collection[str]]) -> str:
    """Return the message, with the machines of the chosen parts."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for part, names in available.items():
        groups.setdefault(tuple(names), []).append(part)
    there = "; ".join(f"{' and '.join(parts)}: {_join(names)}" for names, parts in groups.items())
    elsewhere = [part for part in PARTS if machine in _YEARS[year].machines(part)]
    hint = f" (it is in part {' and '.join(elsewhere)})" if elsewhere else ""
    return f"machine {machine!r}: not in the chosen parts of {year}{hint}; there are {there}"


def _join(values: Collection[object]) -> str:
    return ", ".join(map(str, values))
