"""A system runs on every section: each section has one result, or the error that stopped it.

Input: sections and a system. Output: (section's name, outcome), in the sections' order. Each
encoder is loaded once and released before the next one is loaded, so a system's encoders are never
in memory together; the scores of each encoder are kept until the last encoder is done. A baseline
is trained section by section.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import ParamSpec, TypeAlias, TypeVar

from firstshot.dcase.data.layout import MachineSection
from firstshot.dcase.running.baseline_section import run_baseline_section
from firstshot.dcase.running.section import Outcome, SectionScores, join_section, score_section
from firstshot.dcase.running.system import AnySystem, BaselineSystem, EncoderChoice, System
from firstshot.errors import (
    DownloadError,
    FirstshotError,
    MissingLibraryError,
    OutputError,
    WeightsError,
)
from firstshot.progress import Progress
from firstshot.store import EmbeddingStore

T = TypeVar("T")
P = ParamSpec("P")
Scored: TypeAlias = dict[str, list[SectionScores] | FirstshotError]
"""The scores of the encoders so far by section, or the error that stopped the section."""


def run_sections(
    sections: Sequence[MachineSection],
    system: AnySystem,
    store: EmbeddingStore | None,
    progress: Callable[[str], Progress] | None,
    workers: int | None = None,
) -> Iterator[tuple[str, Outcome | FirstshotError]]:
    """Yield every section's name with its outcome, or with the error that stopped it.

    Raises
    ------
    OutputError, WeightsError
        An error that stops all sections: a full disk, missing weights, a missing library.
    """
    if isinstance(system, BaselineSystem):
        for section in sections:
            yield (
                section.name,
                _try(run_baseline_section, section, system, store, progress, workers=workers),
            )
        return
    if len(system.members) > 1:
        # An error about missing weights comes before the first encoder's hours, not after.
        for choice in system.members:
            system.detector(choice).embedding_settings()
    scored: Scored = {section.name: [] for section in sections}
    for choice in system.members:
        _score_all(sections, system, choice, scored, store, progress, workers)
    for section in sections:
        found = scored[section.name]
        joined = (
            found
            if isinstance(found, FirstshotError)
            else _try(join_section, section, system, found)
        )
        yield section.name, joined if isinstance(joined, FirstshotError) else Outcome(joined)


def _score_all(
    sections: Sequence[MachineSection],
    system: System,
    choice: EncoderChoice | None,
    scored: Scored,
    store: EmbeddingStore | None,
    progress: Callable[[str], Progress] | None,
    workers: int | None,
) -> None:
    """Add one encoder's scores of every section; the encoder is released on return."""
    first = system.detector(choice)
    title = first.embedding_settings().encoder.name
    for section in sections:
        before = scored[section.name]
        if isinstance(before, FirstshotError):
            continue
        step = progress(f"{section.name}: clips embedded by {title}") if progress else None
        found = _try(
            score_section, section, first.unfitted(), store, step, workers, system.far_noise
        )
        scored[section.name] = found if isinstance(found, FirstshotError) else [*before, found]


def _try(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | FirstshotError:
    """Return the result of the work, or the error that stops this section only."""
    try:
        return work(*args, **kwargs)
    except (OutputError, WeightsError, DownloadError, MissingLibraryError):
        raise
    except FirstshotError as error:
        return error
