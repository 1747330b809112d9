"""One input of a fuzz run: where it lies, what made it, and which errors it may end in.

A target is a function that takes a `Case`, changes a valid input at random, writes it into the
case's empty folder and lets firstshot read it. It may end normally, or with an error of ours.
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from firstshot.errors import FirstshotError

PACKAGE = "firstshot"


class StatusError(Exception):
    """The program ended with a status that its documentation does not give."""


@dataclass
class Case:
    """A numbered input; the same seed and number give the same input.

    Attributes
    ----------
    folder : Path
        Empty at first, and the current folder while the case runs.
    samples : Path
        The valid inputs that `samples.make_samples` wrote.
    tell : callable, optional
        Called with the note when it grows.
    note : dict
        What else is needed to see the fault again: arguments, environment.
    """

    seed: int
    number: int
    folder: Path
    samples: Path
    tell: Callable[[dict[str, Any]], None] | None = None
    note: dict[str, Any] = field(default_factory=dict)
    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(f"{self.seed} {self.number}")

    def remember(self, **facts: Any) -> None:
        """Add to the note, and tell it at once: an input may end the process that runs it."""
        self.note |= facts
        if self.tell is not None:
            self.tell(self.note)


@dataclass(frozen=True)
class Target:
    """What is fuzzed: its name, its share of the inputs, and the function that runs one."""

    name: str
    weight: int
    run: Callable[[Case], None]


TARGETS: dict[str, Target] = {}


def target(
    name: str, weight: int = 10
) -> Callable[[Callable[[Case], None]], Callable[[Case], None]]:
    """Register a function as a target."""

    def register(run: Callable[[Case], None]) -> Callable[[Case], None]:
        TARGETS[name] = Target(name, weight, run)
        return run

    return register


def choose_target(case: Case, names: list[str] | None = None) -> Target:
    """Return the target of a case: the weights decide how many inputs each gets."""
    known = [TARGETS[name] for name in sorted(names or TARGETS)]
    return case.dice.choices(known, [each.weight for each in known])[0]


def fault_of(error: BaseException) -> str | None:
    """Return the kind and place of an error that may not leave firstshot, None for one of ours."""
    if isinstance(error, FirstshotError):
        return None
    if isinstance(error, SystemExit) and error.code in (None, 0, 2):
        return None
    kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    return f"{kind} in {_place(error)}"


def _place(error: BaseException) -> str:
    """Name the innermost function of the package that the error passed through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if f"/{PACKAGE}/" in frame.filename]
    if not ours:
        return "no function of the package"
    file = ours[-1].filename.rpartition(f"/{PACKAGE}/")[2]
    return f"{file}:{ours[-1].name}"
