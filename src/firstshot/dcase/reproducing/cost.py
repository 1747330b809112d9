"""What is still to download, in bytes, and what is still to compute, in hours of this machine.

Input: a `Plan`. Output: a `Cost`. The sizes of the archives are asked of the archive service. Hours
come from a measurement here: each encoder whose weights are on this machine embeds a few clips of
noise, and the autoencoder trains a few epochs on a few vectors. An encoder without its weights is
scaled from a measured one by its multiply-accumulates (MACs). Nothing is written.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from firstshot.complexity import AutoencoderGeometry
from firstshot.dcase.data.download import look_up
from firstshot.dcase.data.zenodo import Connection
from firstshot.dcase.reproducing.plan import Plan
from firstshot.dcase.running.system import BaselineSystem, EncoderChoice, System
from firstshot.detector.embedding import Clip, EmbeddingSettings, embed_clips
from firstshot.detector.embedding.settings import make_embedding_settings
from firstshot.encoders.loading import random_encoder
from firstshot.encoders.pooling import resolve_layers
from firstshot.encoders.weights.catalog import ENCODERS
from firstshot.errors import FirstshotError, keep_warnings
from firstshot.ordered_threads import count_workers
from firstshot.progress import Bars, silent

SECONDS = 10
"""The length of a clip that is measured; most of the challenge's clips have it."""
BYTES_PER_CLIP = SECONDS * 16000 * 2
UNPACKED = 1.27
"""What 60 recordings of four machines grew by on average when they were unpacked."""
TRAINING_SHARE = 5 / 6
"""Of a machine's clips: 1,000 of 1,200 since 2022."""
STEREO_SINCE = 2026
REFERENCE = "ced_tiny"
"""What is measured, with random weights, where no encoder's weights are on this machine."""
LEAST_SECONDS, MOST_CLIPS = 0.5, 64
VECTORS, EPOCHS = 10_000, 4


@dataclass(frozen=True)
class Cost:
    """What is still to be done.

    Attributes
    ----------
    archives, weights : dict of str to int
        Bytes to download, by archive and by encoder; the second are those that can be fetched.
    clips : int
        Clips of the development set, training and test, of about ten seconds.
    counted : bool
        Whether they were counted on disk; otherwise they are estimated from the archives' sizes.
    hours : dict of str to float or None
        Hours of this machine by system; 0 for a run that is finished, None for what needs PyTorch
        where that is not installed. What two systems share is counted for the first that runs.
    scaled : tuple of str
        Encoders without weights here, whose hours are scaled by MACs.
    reference : str
        What they are scaled from.
    """

    archives: dict[str, int]
    weights: dict[str, int]
    clips: int
    counted: bool
    hours: dict[str, float | None]
    scaled: tuple[str, ...]
    reference: str


@dataclass(frozen=True)
class _Embedding:
    """One encoder on every clip, as one system runs it; the store keeps what it gives."""

    system: System
    choice: EncoderChoice

    @property
    def key(self) -> str:
        choice, system = self.choice, self.system
        recipe = [
            choice.model_dump(mode="json"),
            system.pooling,
            system.length,
            system.channel,
            system.far_noise,
        ]
        return json.dumps(recipe, sort_keys=True)

    def settings(self) -> EmbeddingSettings:
        return make_embedding_settings(
            self.choice.name,
            self.choice.settings,
            layers=self.choice.layers,
            pooling=self.system.pooling,
            length=self.system.length,
            fetch_missing=False,
        )

    def macs(self) -> float:
        return _macs(self.choice.name, self.choice.layers)


def estimate_cost(
    plan: Plan,
    connection: Connection | None = None,
    workers: int | None = None,
    progress: Bars = silent,
) -> Cost:
    """Count the bytes and measure the hours that a plan still needs.

    Parameters
    ----------
    plan : Plan
        What is there.
    connection : Connection, optional
        The archive service; None for zenodo.org. It is asked only if archives are missing.
    workers : int, optional
        As for the runs; None means one per core.
    progress : callable, optional
        Given a title, returns what is called with (measurements done, in all).

    Raises
    ------
    DownloadError
        Archives are missing and the archive service cannot be reached.
    """
    found = look_up(plan.missing, connection or Connection()) if plan.missing else {}
    archives = {file.name: file.size for file in found.values()}
    weights = {w.name: w.size for w in plan.needed() if w.place == "fetch"}
    per_clip = BYTES_PER_CLIP * (2 if plan.year >= STEREO_SINCE else 1)
    coming = round(sum(archives.values()) * UNPACKED / per_clip)
    training = sum(len(s.train) for s in plan.sections) + round(TRAINING_SHARE * coming)
    clips = sum(len(s.train) + len(s.test) for s in plan.sections) + coming
    meter = _Meter(plan, workers)
    hours = meter.hours(clips, training, progress("measuring this machine"))
    return Cost(
        archives=archives,
        weights=weights,
        clips=clips,
        counted=not plan.missing,
        hours=hours,
        scaled=tuple(dict.fromkeys(meter.scaled)),
        reference=meter.reference,
    )


class _Meter:
    """Measures each kind of work once, and remembers what was already counted."""

    def __init__(self, plan: Plan, workers: int | None) -> None:
        self.plan, self.workers = plan, workers
        self.counted: set[str] = set()
        self.scaled: list[str] = []
        self.reference = ""
        self.rates: list[tuple[float, float, str]] = []
        """MACs of a clip, seconds of a clip, and the encoder, of what was measured."""

    def hours(
        self, clips: int, training: int, step: Callable[[int, int], None]
    ) -> dict[str, float | None]:
        """Return the hours of every system."""
        systems = [s for s in self.plan.systems if not self.plan.finished(s)]
        seconds = dict.fromkeys((system.name for system in self.plan.systems), 0.0)
        late: list[_Embedding] = []
        for number, system in enumerate(systems):
            step(number, len(systems))
            if self.plan.lacks_torch(system):
                seconds[system.name] = math.nan
            elif isinstance(system, BaselineSystem):
                seconds[system.name] += self._train(system, training)
            else:
                for work in self._new(system):
                    taken = self._measure(work)
                    if taken is None:
                        late.append(work)
                    else:
                        seconds[system.name] += clips * taken
        for work in late:
            seconds[work.system.name] += clips * self._scale(work)
        step(len(systems), len(systems))
        return {name: None if math.isnan(s) else s / 3600 for name, s in seconds.items()}

    def _new(self, system: System) -> Iterator[_Embedding]:
        for choice in system.choices:
            work = _Embedding(system, choice)
            if work.key not in self.counted:
                self.counted.add(work.key)
                yield work

    def _measure(self, work: _Embedding) -> float | None:
        """Return the seconds of a clip, or None if the weights are not here."""
        try:
            with keep_warnings():
                seconds = seconds_per_clip(work.settings(), self.workers)
        except FirstshotError:
            return None
        if work.choice.name in ENCODERS:
            self.rates.append((work.macs(), seconds, work.choice.name))
        return seconds

    def _scale(self, work: _Embedding) -> float:
        """Return the seconds of a clip by the MACs; the largest measured encoder is nearest."""
        self.scaled.append(work.choice.name)
        if not self.rates:
            settings = make_embedding_settings(random_encoder(REFERENCE))
            seconds = seconds_per_clip(settings, self.workers)
            name = f"{REFERENCE} with random weights"
            self.rates.append((_macs(REFERENCE, settings.layers), seconds, name))
        macs, seconds, self.reference = max(self.rates)
        return seconds * work.macs() / macs

    def _train(self, system: BaselineSystem, clips: int) -> float:
        """Return the seconds of all trainings; the two baselines share theirs."""
        key = json.dumps([system.model_dump(mode="json")[k] for k in ("training", "seeds")])
        if key in self.counted:
            return 0.0
        self.counted.add(key)
        vectors = clips * AutoencoderGeometry().vectors(SECONDS * 16000)
        at_once = min(len(system.seeds), count_workers(self.workers))
        turns = math.ceil(len(system.seeds) / at_once)
        return turns * system.training.epochs * vectors * seconds_per_vector(system, at_once)


def _macs(name: str, layers: Sequence[int] | None) -> float:
    """Return the MACs of a clip up to the deepest layer, taken as equal for all layers."""
    spec = ENCODERS[name].spec
    deepest = max(resolve_layers(layers or spec.default_layers, spec.depth, name))
    return spec.macs(SECONDS * spec.sample_rate) * deepest / spec.depth


def seconds_per_clip(settings: EmbeddingSettings, workers: int | None = None) -> float:
    """Return how long a clip of ten seconds takes to embed, several clips at a time as in a run."""
    rate = settings.encoder.sample_rate
    draws = np.random.default_rng(0).standard_normal(SECONDS * rate, dtype=np.float32)
    noise: NDArray[np.float32] = np.float32(0.1) * draws
    clip = Clip("noise", noise, rate)
    run = partial(_seconds_of, settings, workers)
    run([clip])  # the first call also starts threads and allocates memory
    number = count_workers(workers)
    while True:
        taken = run([clip] * number)
        if taken >= LEAST_SECONDS or number >= MOST_CLIPS:
            return taken / number
        number *= 4


def _seconds_of(settings: EmbeddingSettings, workers: int | None, clips: list[Clip]) -> float:
    began = time.perf_counter()
    for _ in embed_clips(clips, settings, workers=workers, spectra=False):
        pass
    return time.perf_counter() - began


def seconds_per_vector(system: BaselineSystem, at_once: int = 1) -> float:
    """Return how long one vector of an epoch takes while that many trainings run at once."""
    from firstshot.autoencoder.features import join_frames
    from firstshot.autoencoder.trials import train_trials

    frames = np.random.default_rng(0).standard_normal((VECTORS, 128), dtype=np.float32)
    data = join_frames([frames], [False])
    times: list[float] = []

    def note(done: int, in_all: int) -> None:
        times.append(time.perf_counter())

    settings = replace(system.training, epochs=EPOCHS)
    train_trials(data, system.seeds[:at_once], settings, progress=note, workers=at_once)
    # The first epochs are left out: they also wait for what is made once.
    taken = times[-1] - times[at_once - 1]
    return taken / (EPOCHS - 1) / len(data.starts)
