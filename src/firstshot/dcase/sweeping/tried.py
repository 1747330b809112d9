"""An encoder or a preset that a sweep tries: its outcomes on a section, kept between sweeps.

Input: a section. Output: the outcome of each combination. Those that a file of the folder has are
read, the others computed and written as soon as they are known.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from firstshot.dcase.data.layout import MachineSection
from firstshot.dcase.sweeping.grid import OF_VIEWS, Combination, Grid, weights_of
from firstshot.dcase.sweeping.section import (
    Outcome,
    embed_section,
    score_combinations,
    score_preset,
    section_key,
)
from firstshot.detector import Detector
from firstshot.detector.embedding import EmbeddingSettings, make_embedding_settings
from firstshot.detector.views import read_views
from firstshot.disk.caches import pack_json, unpack_json, warn_of_damage
from firstshot.disk.documents import Table
from firstshot.disk.files import write_result
from firstshot.errors import OutputError
from firstshot.progress import Bars, Progress
from firstshot.scoring.metrics import OFFICIAL_METRICS
from firstshot.store import EmbeddingStore


@dataclass(frozen=True)
class Tried(ABC):
    """What is tried, loaded once for all sections.

    Attributes
    ----------
    label : str
        The name of the encoder or of the preset.
    settings : EmbeddingSettings
        How clips become embeddings.
    decides : str
        What else decides an outcome besides the combination.
    wanted : sequence of Combination
    store, progress, workers
        As in `run_sweep`.
    """

    label: str
    settings: EmbeddingSettings
    decides: str
    wanted: Sequence[Combination]
    store: EmbeddingStore | None
    progress: Bars | None
    workers: int | None

    def outcomes(
        self, section: MachineSection, folder: Path, notes: list[str]
    ) -> dict[Combination, Outcome]:
        """Return the outcomes on a section; they are kept in `folder`."""
        key = section_key(section, self.settings, self.decides)
        path = folder / f"{section.name}-{self.label}-{key[:12]}.json"
        known = _read_outcomes(path, key)
        missing = [c for c in self.wanted if str(c) not in known]
        for found in self.compute(section, missing, notes) if missing else ():
            known |= {str(c): outcome for c, outcome in found.items()}
            write_result(path, pack_json(key, known))
        return {c: known[str(c)] for c in self.wanted}

    @abstractmethod
    def compute(
        self, section: MachineSection, missing: Sequence[Combination], notes: list[str]
    ) -> Iterator[dict[Combination, Outcome]]:
        """Yield the outcomes of the missing combinations as they get known."""

    def step(self, section: MachineSection, what: str) -> Progress | None:
        """Return what is called with the progress of a step."""
        return self.progress(f"{section.name} {self.label} {what}") if self.progress else None


@dataclass(frozen=True)
class OfLayers(Tried):
    """An encoder, whose layers are tried with normalisers and metrics."""

    @classmethod
    def of(
        cls,
        encoder: str,
        grid: Grid,
        store: EmbeddingStore | None,
        progress: Bars | None,
        workers: int | None,
    ) -> OfLayers:
        """Load an encoder, and refuse layers that it does not have."""
        name, encoder_settings = weights_of(encoder)
        settings = make_embedding_settings(
            name, encoder_settings, pooling=grid.pooling, length=grid.length, channel=grid.channel
        )
        wanted = grid.combinations(name, settings.encoder.depth)
        transform = str(grid.transform or getattr(settings.encoder, "default_transform", "none"))
        return cls(settings.encoder.name, settings, transform, wanted, store, progress, workers)

    def compute(
        self, section: MachineSection, missing: Sequence[Combination], notes: list[str]
    ) -> Iterator[dict[Combination, Outcome]]:
        """Yield what each layer completes."""
        layers = tuple(sorted({layer for c in missing for layer in c.layers}))
        settings = replace(self.settings, layers=layers)
        step = self.step(section, "clips")
        embedded = embed_section(section, settings, self.store, step, self.workers)
        step = self.step(section, "layers")
        by_layer = score_combinations(section, embedded, missing, self.decides, notes.append)
        for done, outcomes in enumerate(by_layer, start=1):
            yield outcomes
            if step is not None:
                step(done, len(layers))


@dataclass(frozen=True)
class OfPreset(Tried):
    """A set of views that has a name, tried as it is."""

    detector: Detector

    @classmethod
    def of(
        cls,
        preset: str,
        grid: Grid,
        store: EmbeddingStore | None,
        progress: Bars | None,
        workers: int | None,
    ) -> OfPreset:
        """Load the encoders of a preset."""
        name, encoder_settings = weights_of(preset)
        detector = Detector(
            views=name,
            length=grid.length,
            channel=grid.channel,
            encoder_settings=encoder_settings or None,
        )
        settings = detector.embedding_settings()
        decides = repr(read_views(name))  # the views, which another version may change
        return cls(name, settings, decides, [OF_VIEWS], store, progress, workers, detector)

    def compute(
        self, section: MachineSection, missing: Sequence[Combination], notes: list[str]
    ) -> Iterator[dict[Combination, Outcome]]:
        """Yield the only outcome."""
        step, detector = self.step(section, "clips"), self.detector.unfitted()
        yield {
            OF_VIEWS: score_preset(section, detector, notes.append, self.store, step, self.workers)
        }


def _read_outcomes(path: Path, key: str) -> dict[str, Outcome]:
    """Return the finished outcomes by combination; a damaged file is set aside."""
    try:
        table = Table.of(unpack_json(key, path.read_bytes()), "content")
        return {name: _as_outcome(table, name) for name in table.values}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise OutputError(f"{path}: cannot be read ({error.strerror}); check its rights") from error
    except ValueError as error:
        warn_of_damage(path, error, "its combinations are scored again")
        return {}


def _as_outcome(table: Table, name: str) -> Outcome:
    if isinstance(table.values[name], str):
        return table.text(name)
    metrics = table.table(name).only(OFFICIAL_METRICS)
    return {metric: metrics.number(metric, 0.0, 1.0) for metric in OFFICIAL_METRICS}
