"""A few clips are heard: read, cut by the length policy, encoded, kept in the store.

Input: clips that are worked on as one. Output: an `EmbeddedClip` each, or the fault that stopped
it. Several threads may call this at once: how many, and what they share, is the caller's to say.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.hearing import Clip, Hearing
from firstshot.encoders.logmel import LogMel
from firstshot.encoders.pipeline import Room
from firstshot.errors import FirstshotError, keep_warnings
from firstshot.sound.audio import Waveform
from firstshot.store import EmbeddingStore, entry_key, hash_samples

WINDOWS_AT_ONCE = 64
"""A recording's windows are encoded so many at a time; who leaves early waits for no more."""
SECONDS_AT_ONCE = 600.0
"""Clips are held until their seconds reach this: recordings of hours one at a time."""
SPECTRUM = "spectrum"
LOGMEL = LogMel()


@dataclass(frozen=True)
class EmbeddedClip:
    """A clip's embeddings: `layers` holds (windows, values) each, `spectrum` (windows, bands * 3).

    `spectrum` is the first layer of the embedded encoder, which explanations are worded from
    whatever encoder is used. `starts` are the windows' beginnings in seconds.
    """

    name: str
    digest: str
    starts: tuple[float, ...]
    layers: tuple[NDArray[np.float32], ...]
    spectrum: NDArray[np.float32]

    @property
    def window_names(self) -> tuple[str, ...]:
        """One name per window: the clip's own where it is the only one, else with its start."""
        if len(self.starts) == 1:
            return (self.name,)
        return tuple(f"{self.name}@{_seconds(start)}s" for start in self.starts)


@dataclass(frozen=True)
class Group:
    """What a few clips gave, in order, and what a careful user would want to know of them."""

    found: tuple[EmbeddedClip | FirstshotError, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Listener:
    """What hears clips, and what the threads that hear some share.

    Attributes
    ----------
    spectra : bool
        Whether the embedded clips get a spectrum, which explanations and detectors need.
    turns : context manager
        Held while the encoder is asked; a lock where it may be asked by one thread at a time.
    left : threading.Event
        Once it is set, nobody waits for what is heard, and hearing ends early.
    """

    hearing: Hearing
    store: EmbeddingStore | None = None
    spectra: bool = True
    turns: AbstractContextManager[object] = field(default_factory=nullcontext)
    left: threading.Event = field(default_factory=threading.Event)
    room: Room = field(default_factory=lambda: Room(SECONDS_AT_ONCE))

    def hear(self, clips: Sequence[Clip]) -> Group:
        """Embed a few clips; a clip that cannot be read or encoded is told of in its place."""
        seconds = sum(seconds_of(clip, self.hearing) for clip in clips)
        with self.room.take(seconds), keep_warnings() as notes:
            waveforms = [self._read(clip) for clip in clips]
            good = [
                (clip, waveform)
                for clip, waveform in zip(clips, waveforms, strict=True)
                if not isinstance(waveform, FirstshotError)
            ]
            embedded = iter(self._embed(good))
        found = [w if isinstance(w, FirstshotError) else next(embedded) for w in waveforms]
        return Group(tuple(found), tuple(notes))

    def _read(self, clip: Clip) -> Waveform | FirstshotError:
        """Read a clip that the encoder can take, or return why not, naming it."""
        hearing = self.hearing
        try:
            waveform = hearing.read(clip)
            first = hearing.length.apply(waveform, hearing.encoder.sample_rate)[0]
            hearing.encoder.grid(len(first))
        except FirstshotError as error:
            named = type(error)(_with_name(str(error), clip))
            # Without the frames of the call, which would keep the samples.
            named.__cause__ = error.with_traceback(None)
            return named
        return waveform

    @cached_property
    def _wanted(self) -> list[str]:
        return [f"layer_{n}" for n in self.hearing.layers] + [SPECTRUM] * self.spectra

    @cached_property
    def _recipe(self) -> dict[str, object]:
        return {**self.hearing.recipe(), "spectrum": LOGMEL.fingerprint}

    def _embed(self, batch: Sequence[tuple[Clip, Waveform]]) -> list[EmbeddedClip]:
        digests = [hash_samples(waveform) for _, waveform in batch]
        keys = [entry_key(digest, self._recipe) for digest in digests]
        found: list[dict[str, NDArray[np.float32]] | None]
        found = [self.store.load(key) if self.store else None for key in keys]
        missing = [i for i, e in enumerate(found) if e is None or not set(self._wanted) <= e.keys()]
        if missing:
            fresh = self._encode([batch[i][1] for i in missing])
            for i, arrays in zip(missing, fresh, strict=True):
                merged = {**(found[i] or {}), **arrays}
                found[i] = self.store.save(keys[i], merged) if self.store else merged
        rate = self.hearing.encoder.sample_rate
        embedded = []
        for (clip, waveform), digest, entry in zip(batch, digests, found, strict=True):
            assert entry is not None
            starts = tuple(s / rate for s in self.hearing.length.starts(len(waveform), rate))
            layers = tuple(entry[f"layer_{n}"] for n in self.hearing.layers)
            none = np.empty((len(starts), 0), np.float32)
            spectrum = entry[SPECTRUM] if self.spectra else none
            embedded.append(EmbeddedClip(clip.name, digest, starts, layers, spectrum))
        return embedded

    def _encode(self, waveforms: Sequence[Waveform]) -> list[dict[str, NDArray[Any]]]:
        """Encode all windows of a few clips and deal them out to their clips again."""
        rate = self.hearing.encoder.sample_rate
        windows = [self.hearing.length.apply(waveform, rate) for waveform in waveforms]
        flat = [window for of_clip in windows for window in of_clip]
        parts = list(self._encode_windows(flat))
        ends = np.cumsum([len(of_clip) for of_clip in windows])[:-1]
        columns = {
            name: np.split(np.concatenate(column) if len(column) > 1 else column[0], ends)
            for name, *column in zip(self._wanted, *parts, strict=True)
        }
        return [{name: of[i] for name, of in columns.items()} for i in range(len(waveforms))]

    def _encode_windows(self, windows: Sequence[Waveform]) -> Iterator[list[NDArray[np.float32]]]:
        """Yield what is wanted of a few windows at a time: (windows, values) each."""
        hearing, rate = self.hearing, self.hearing.encoder.sample_rate
        same = hearing.encoder.fingerprint == LOGMEL.fingerprint and hearing.pooling == "temporal"
        for start in range(0, len(windows), WINDOWS_AT_ONCE):
            if self.left.is_set():
                raise FirstshotError("nobody waits for this clip any more")
            few = windows[start : start + WINDOWS_AT_ONCE]
            with self.turns:
                layers = hearing.encoder.embed(few, rate, hearing.layers, hearing.pooling)
            if self.spectra and same and 1 in hearing.layers:
                layers = [*layers, layers[hearing.layers.index(1)]]
            elif self.spectra:
                layers = [*layers, LOGMEL.embed(few, rate)[0]]
            yield layers


def seconds_of(clip: Clip, hearing: Hearing) -> float:
    """Return how long a clip is, 0 where its file does not tell: reading it then says why."""
    if not isinstance(clip.source, Path):
        rate = clip.sample_rate or hearing.encoder.sample_rate
        return max(0.0, sum(clip.source.shape[:1]) / rate)
    import soundfile

    try:
        if not clip.source.is_file():
            return 0.0
        with soundfile.SoundFile(os.fsencode(clip.source)) as file:
            return float(file.frames / file.samplerate)
    except (OSError, RuntimeError):
        return 0.0


def _seconds(start: float) -> str:
    """Write a time to the microsecond, so that no two samples share a name.

    >>> _seconds(0.0), _seconds(2.5), _seconds(1234.000125)
    ('0', '2.5', '1234.000125')
    """
    return f"{start:.6f}".rstrip("0").rstrip(".")


def _with_name(message: str, clip: Clip) -> str:
    place = str(clip.source) if isinstance(clip.source, Path) else clip.name
    return message if place in message else f"{place}: {message}"
