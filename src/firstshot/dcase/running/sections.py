"""A system on every section: one result, or the fault that stopped it, for each.

Input: sections and a system. Output: (section's name, outcome), in the sections' order. Every
encoder is loaded once and let go before the next, so a system's encoders are never in memory
together; what it says of all sections is kept until the last one has spoken. A baseline is trained
section by section.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias, TypeVar

from firstshot.dcase.data.layout import MachineSection
from firstshot.dcase.running.baseline_section import run_baseline_section
from firstshot.dcase.running.section import SectionScores, join_section, score_section
from firstshot.dcase.running.system import AnySystem, BaselineSystem, EncoderChoice, System
from firstshot.detector.embedding import Progress
from firstshot.errors import FirstshotError, OutputError, WeightsError
from firstshot.results import SectionResult
from firstshot.store import EmbeddingStore

T = TypeVar("T")
Scored: TypeAlias = dict[str, list[SectionScores] | FirstshotError]
"""What the encoders said so far of each section, or the fault that stopped it."""


@dataclass(frozen=True)
class Outcome:
    """A section's result, and each trial's by its seed where the system is trained."""

    result: SectionResult
    trials: dict[int, SectionResult] = field(default_factory=dict)


def outcomes(
    sections: Sequence[MachineSection],
    system: AnySystem,
    store: EmbeddingStore | None,
    progress: Callable[[str], Progress] | None,
    workers: int | None = None,
) -> Iterator[tuple[str, Outcome | FirstshotError]]:
    """Yield every section's name with its outcome, or with the fault that stopped it.

    Raises
    ------
    OutputError, WeightsError
        What stops every section alike: a full disk, missing weights, a missing library.
    """
    if isinstance(system, BaselineSystem):
        for section in sections:
            yield section.name, _caught(partial(_train, section, system, store, progress, workers))
        return
    if len(system.encoders) > 1:
        # Missing weights are told of before the first encoder's hours, not after.
        for choice in system.encoders:
            system.detector(choice).embedding_settings()
    scored: Scored = {section.name: [] for section in sections}
    for choice in system.encoders:
        _hear_all(sections, system, choice, scored, store, progress, workers)
    for section in sections:
        yield section.name, _join(section, system, scored[section.name])


def _hear_all(
    sections: Sequence[MachineSection],
    system: System,
    choice: EncoderChoice,
    scored: Scored,
    store: EmbeddingStore | None,
    progress: Callable[[str], Progress] | None,
    workers: int | None,
) -> None:
    """Add what one encoder says of every section; the encoder is let go on return."""
    encoder = system.detector(choice).embedding_settings().encoder
    for section in sections:
        before = scored[section.name]
        if isinstance(before, FirstshotError):
            continue
        detector = system.detector(choice)
        detector.encoder = encoder
        step = progress(f"{section.name}: clips heard by {choice.name}") if progress else None
        found = _caught(partial(score_section, section, detector, store, step, workers))
        scored[section.name] = found if isinstance(found, FirstshotError) else [*before, found]


def _join(
    section: MachineSection, system: System, scored: list[SectionScores] | FirstshotError
) -> Outcome | FirstshotError:
    if isinstance(scored, FirstshotError):
        return scored
    return _caught(partial(_joined, section, system, scored))


def _joined(section: MachineSection, system: System, scored: list[SectionScores]) -> Outcome:
    return Outcome(join_section(section, system, scored))


def _train(
    section: MachineSection,
    system: BaselineSystem,
    store: EmbeddingStore | None,
    progress: Callable[[str], Progress] | None,
    workers: int | None,
) -> Outcome:
    return Outcome(*run_baseline_section(section, system, store, progress, workers=workers))


def _caught(work: Callable[[], T]) -> T | FirstshotError:
    """Return what the work gives, or the fault that is this section's own."""
    try:
        return work()
    except (OutputError, WeightsError):
        raise
    except FirstshotError as error:
        return error
