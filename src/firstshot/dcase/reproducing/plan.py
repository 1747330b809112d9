"""What the report's tables need, and what of it is on this machine: data, weights, libraries, runs.

Input: a year and folders. Output: a `Plan`. No request is sent, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from firstshot.dcase.data.archives import Archive, select_archives
from firstshot.dcase.data.download import missing_archives, root_of
from firstshot.dcase.data.layout import MachineSection, read_layout
from firstshot.dcase.running.run import run_identity
from firstshot.dcase.running.stored_run import StoredRun, finished_run
from firstshot.dcase.running.system import (
    AnySystem,
    BaselineSystem,
    EncoderChoice,
    load_system,
)
from firstshot.encoders.weights.cache import read_pointer
from firstshot.encoders.weights.catalog import ENCODERS, EncoderRecord, HandFile, HubFile
from firstshot.encoders.weights.hub import find_in_hub_cache
from firstshot.errors import MissingLibraryError
from firstshot.libraries import import_library

SYSTEMS = (
    "recommended",
    "recommended_fusion",
    "system4",
    "baseline_mse",
    "baseline_mahala",
    "system1",
    "system2",
    "system3",
)
"""The systems in the order in which they run, the cheap ones first, so that there is soon something
to look at."""

PART = "dev"
"""The part of a year that the tables are of; only this one has labels."""
Place: TypeAlias = Literal["here", "fetch", "by hand"]


@dataclass(frozen=True)
class Weights:
    """The weights of an encoder that some system runs.

    Attributes
    ----------
    record : EncoderRecord
        The encoder.
    variant : str or None
        The published variant; None is the default one.
    """

    record: EncoderRecord
    variant: str | None

    @property
    def place(self) -> Place:
        """Whether they are on this machine now, can be fetched, or must be got by a person."""
        file = self.record.file(self.variant)
        if read_pointer(self.record, self.variant) is not None:
            return "here"
        if isinstance(file, HandFile):
            return "by hand"
        return "here" if isinstance(file, HubFile) and find_in_hub_cache(file) else "fetch"

    @property
    def name(self) -> str:
        """The encoder's name, with its variant."""
        return self.record.name + (f" ({self.variant})" if self.variant else "")

    @property
    def key(self) -> tuple[str, str | None]:
        """What tells one published file from another; see `key_of`."""
        return self.record.name, self.variant

    @property
    def source(self) -> str:
        """Where the published file is."""
        return str(self.record.file(self.variant))

    @property
    def size(self) -> int:
        """Bytes of the published file; where nobody states them, four for each parameter."""
        file = self.record.file(self.variant)
        stated = None if isinstance(file, HandFile) else file.size
        return stated or 4 * self.record.spec.geometry.learned_parameters()

    def by_hand(self) -> str:
        """Say where the weights are, under which licence, and what to do with the file."""
        variant = f" --variant {self.variant}" if self.variant else ""
        return (
            f"{self.name} ({self.record.licence}): get {self.record.file(self.variant).get}; then "
            f"`firstshot encoders fetch {self.record.name}{variant} --from FILE`"
        )


@dataclass(frozen=True)
class Plan:
    """What is there and what is missing.

    Attributes
    ----------
    year : int
        The year of the data.
    data : Path
        The folder with the machines of the development set.
    out : Path
        The folder for the runs and the page.
    archives, missing : tuple of Archive
        All archives of the development set, and those whose files are not all there.
    sections : tuple of MachineSection
        The sections of the machines that are there.
    systems : tuple of System or BaselineSystem
        In the order in which they run.
    weights : tuple of Weights
        What the systems' pre-trained encoders need, each once.
    torch_error : str or None
        What is wrong with PyTorch on this machine, and how to install it.
    """

    year: int
    data: Path
    out: Path
    archives: tuple[Archive, ...]
    missing: tuple[Archive, ...]
    sections: tuple[MachineSection, ...]
    systems: tuple[AnySystem, ...]
    weights: tuple[Weights, ...]
    torch_error: str | None

    def folder(self, system: AnySystem) -> Path:
        """Return the folder of a system's run."""
        return self.out / system.name

    def finished(self, system: AnySystem) -> StoredRun | None:
        """Return a system's finished run on this data, or None."""
        identity = run_identity(self.data, self.sections, system)
        return None if self.missing else finished_run(self.folder(system), identity)

    def lacks_torch(self, system: AnySystem) -> bool:
        """Return whether a system needs PyTorch, which is not on this machine."""
        return bool(self.torch_error) and (
            isinstance(system, BaselineSystem) or bool(encoders_of(system))
        )

    def obstacle(self, system: AnySystem) -> str | None:
        """Return why a system cannot run on this machine, or None if it can."""
        if self.lacks_torch(system):
            return self.torch_error
        absent = ", ".join(weights.name for weights in self.absent(system))
        return f"the weights of {absent} are not on this machine" if absent else None

    def needed(self) -> list[Weights]:
        """Return the weights that are not on this machine and that unfinished systems run."""
        waiting = [system for system in self.systems if not self.finished(system)]
        return list({w.key: w for system in waiting for w in self.absent(system)}.values())

    def absent(self, system: AnySystem) -> list[Weights]:
        """Return the weights that a system runs and that are not on this machine."""
        wanted = {key_of(choice) for choice in encoders_of(system)}
        return [w for w in self.weights if w.key in wanted and w.place != "here"]


def make_plan(year: int, data: Path, out: Path, machines: Sequence[str] | None = None) -> Plan:
    """Look what is there.

    Parameters
    ----------
    year : int
        2020 to 2026.
    data : Path
        The folder of all data, as `firstshot dcase download --out` takes it.
    out : Path
        The folder for the runs and the page.
    machines : sequence of str, optional
        Only these; None for all of the development set.

    Raises
    ------
    ParameterError
        No such year or machine.
    DatasetError
        The files that are there do not have the challenge's layout.
    """
    archives = select_archives(year, [PART], machines)
    root = root_of(year, data)
    missing = missing_archives(root, archives)
    raw = (root / archives[0].folder).parent
    there = sorted({archive.machine for archive in archives if archive not in missing})
    systems = tuple(load_system(name) for name in SYSTEMS)
    return Plan(
        year=year,
        data=raw,
        out=out,
        archives=archives,
        missing=missing,
        sections=read_layout(raw, there) if there else (),
        systems=systems,
        weights=tuple(_needed_weights(systems)),
        torch_error=_missing_torch(),
    )


def encoders_of(system: AnySystem) -> tuple[EncoderChoice, ...]:
    """Return a system's pre-trained encoders; a baseline has none."""
    if isinstance(system, BaselineSystem):
        return ()
    return tuple(choice for choice in system.choices if choice.name in ENCODERS)


def key_of(choice: EncoderChoice) -> tuple[str, str | None]:
    """Return what tells one published file from another: the encoder's name and its variant."""
    return choice.name, choice.settings.get("variant")


def _needed_weights(systems: Sequence[AnySystem]) -> Iterator[Weights]:
    choices = [choice for system in systems for choice in encoders_of(system)]
    for name, variant in dict.fromkeys(map(key_of, choices)):
        yield Weights(ENCODERS[name], variant)


def _missing_torch() -> str | None:
    try:
        import_library("torch", "the system")
    except MissingLibraryError as error:
        return str(error)
    return None
