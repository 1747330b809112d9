"""A batch of clips becomes embeddings: read, cut by the length policy, encoded, kept in the store.

Input: the clips of one batch. Output: an `EmbeddedClip` per clip, or the error that stopped it.
Several threads may embed batches at once; the caller decides how many, and what they share.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.anomaly_map.vectors import SAMPLE_RATE, cells_of
from firstshot.detector.embedding.settings import Clip, EmbeddingSettings
from firstshot.encoders.clips import prepare_waveforms
from firstshot.encoders.logmel import LogMel
from firstshot.encoders.working_memory import working_bytes
from firstshot.errors import FirstshotError, SoundError, keep_warnings
from firstshot.memory import free_memory
from firstshot.ordered_threads import WeightedSemaphore
from firstshot.sound.audio import LengthPolicy
from firstshot.sound.audio_file import open_audio_file
from firstshot.sound.recording import HELD_SECONDS, Recording
from firstshot.store import EmbeddingStore, entry_key

WINDOWS_AT_ONCE = 64
"""Windows of a recording in one call of the encoder; a cancelled run waits for this many."""
WINDOW_SECONDS_AT_ONCE = 640.0
"""The most seconds in one call where the recording is read in pieces."""
SECONDS_AT_ONCE = HELD_SECONDS
"""Seconds of sound in memory at once; a longer recording is embedded alone."""
CAREFUL_SECONDS = 60.0
"""A shorter piece fits into any memory that the network fits into."""
SHORTER = "cut it, or fit with --length windows:10, which takes little memory for any length"
SPECTRUM, LEVEL, MAP = "spectrum", "level", "the anomaly map"
LOGMEL = LogMel()


@dataclass(frozen=True)
class EmbeddedClip:
    """A clip's embeddings: `layers` holds (windows, values) each, `spectrum` (windows, bands * 3).

    `spectrum` is the first layer of `logmel`; explanations use it whatever the encoder is. It is
    relative to the overall levels in dB, `levels` (windows,). `cells` (windows, cells, 12, 11) are
    those of the anomaly map. All three are empty where no spectra were requested. `starts` are the
    beginnings of the windows in seconds, `seconds` is the length of the clip, None where it is not
    known.
    """

    name: str
    digest: str
    starts: tuple[float, ...]
    layers: tuple[NDArray[np.float32], ...]
    spectrum: NDArray[np.float32]
    levels: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    seconds: float | None = None
    cells: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0, 12, 11), np.float32))

    @property
    def window_names(self) -> tuple[str, ...]:
        """One name per window: the clip's own where it is the only one, else with its start."""
        if len(self.starts) == 1:
            return (self.name,)
        return tuple(f"{self.name}@{_seconds(start)}s" for start in self.starts)

    def embedded_seconds(self, length: LengthPolicy) -> float | None:
        """Length of the stretch that is embedded as one piece, None where it is not known."""
        if self.seconds is None or length.seconds is None:
            return self.seconds
        return min(self.seconds, length.seconds)


@dataclass(frozen=True)
class BatchOutcome:
    """What became of each clip of a batch, in order, and the warnings that came up."""

    outcomes: tuple[EmbeddedClip | FirstshotError, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class BatchEmbedder:
    """Embeds batches of clips; several threads may share one.

    Attributes
    ----------
    spectra : bool
        Whether the embedded clips get a spectrum, which explanations and detectors need.
    encoder_lock : context manager
        Held while the encoder runs; a lock where only one thread may call it at a time.
    cancelled : threading.Event
        Once it is set, the results are not needed, and embedding ends early.
    seconds_in_memory : semaphore
        Bounds the seconds of sound that all threads hold together.
    """

    settings: EmbeddingSettings
    store: EmbeddingStore | None = None
    spectra: bool = True
    encoder_lock: AbstractContextManager[object] = field(default_factory=nullcontext)
    cancelled: threading.Event = field(default_factory=threading.Event)
    seconds_in_memory: WeightedSemaphore = field(
        default_factory=lambda: WeightedSemaphore(SECONDS_AT_ONCE)
    )

    def embed(self, clips: Sequence[Clip]) -> BatchOutcome:
        """Embed a batch; a clip that cannot be read or encoded has its error as the outcome."""
        seconds = sum(seconds_of(clip, self.settings) for clip in clips)
        with self.seconds_in_memory.acquire(seconds), keep_warnings() as notes:
            recordings = [self._read(clip) for clip in clips]
            good = [
                (clip, recording)
                for clip, recording in zip(clips, recordings, strict=True)
                if isinstance(recording, Recording)
            ]
            embedded = iter(self._embed_what_fits(good))
        outcomes = [r if isinstance(r, FirstshotError) else next(embedded) for r in recordings]
        return BatchOutcome(tuple(outcomes), tuple(notes))

    def _read(self, clip: Clip) -> Recording | FirstshotError:
        """Read a clip that the encoder can take, or return why not, naming it."""
        try:
            recording = self.settings.read(clip, self._check_memory)
            self.settings.encoder.grid(recording.piece_samples, self.settings.layers[0])
            self._check_memory(recording.piece_samples)
        except (FirstshotError, MemoryError) as error:
            return _named(error, clip)
        return recording

    def _check_memory(self, samples: int) -> None:
        """Raise `SoundError` where encoding that many samples in one piece needs too much memory.

        The operating system would end the process, and with it the work on all other clips.
        """
        encoder = self.settings.encoder
        free = free_memory() if samples > CAREFUL_SECONDS * encoder.sample_rate else None
        needed = working_bytes(encoder, samples) if free is not None else 0
        if free is not None and needed > free:
            raise SoundError(
                f"{samples / encoder.sample_rate / 60:.0f} min or more in one piece need about "
                f"{needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free; {SHORTER}"
            )

    def _embed_what_fits(
        self, batch: Sequence[tuple[Clip, Recording]]
    ) -> list[EmbeddedClip | FirstshotError]:
        """Embed clips; where one needs too much memory, or cannot be read again, only it fails."""
        try:
            return list(self._embed(batch))
        except (SoundError, MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not _lacks_memory(error):
                raise
            if len(batch) == 1:
                return [_named(error, batch[0][0])]
        return [self._embed_what_fits([one])[0] for one in batch]

    @cached_property
    def _wanted(self) -> list[str]:
        return [*self.settings.array_names, *[SPECTRUM, LEVEL] * self.spectra]

    @cached_property
    def _recipe(self) -> dict[str, object]:
        return {**self.settings.recipe(), "spectrum": LOGMEL.fingerprint}

    def _embed(self, batch: Sequence[tuple[Clip, Recording]]) -> list[EmbeddedClip]:
        keys = [entry_key(recording.digest, self._recipe) for _, recording in batch]
        found: list[dict[str, NDArray[np.float32]] | None]
        found = [self.store.load(key) if self.store else None for key in keys]
        missing = [i for i, e in enumerate(found) if e is None or not set(self._wanted) <= e.keys()]
        if missing:
            fresh = self._encode([batch[i][1] for i in missing])
            for i, arrays in zip(missing, fresh, strict=True):
                merged = {**(found[i] or {}), **arrays}
                found[i] = self.store.save(keys[i], merged) if self.store else merged
        rate = self.settings.encoder.sample_rate
        embedded = []
        for (clip, recording), entry in zip(batch, found, strict=True):
            assert entry is not None
            starts = tuple(start / rate for start in recording.starts)
            layers = tuple(entry[name] for name in self.settings.array_names)
            nothing = np.empty((len(starts), 0), np.float32)
            bare = EmbeddedClip(
                clip.name,
                recording.digest,
                starts,
                layers,
                nothing,
                seconds=recording.samples / rate,
            )
            embedded.append(self._with_spectra(bare, entry, recording) if self.spectra else bare)
        return embedded

    def _with_spectra(
        self, clip: EmbeddedClip, entry: dict[str, NDArray[np.float32]], recording: Recording
    ) -> EmbeddedClip:
        """Add what explanations need; cells are computed sooner than a store could be read."""
        cells = []
        for piece in recording.pieces():
            self._check_needed()
            samples = prepare_waveforms([piece], recording.sample_rate, SAMPLE_RATE, 1, MAP)[0]
            cells.append(cells_of(samples).array)
        return replace(clip, spectrum=entry[SPECTRUM], levels=entry[LEVEL], cells=np.stack(cells))

    def _check_needed(self) -> None:
        if self.cancelled.is_set():
            raise FirstshotError("cancelled: the caller needs this clip no more")

    def _encode(self, recordings: Sequence[Recording]) -> list[dict[str, NDArray[Any]]]:
        """Encode all windows of a few clips, and give each clip its own."""
        parts = list(self._encode_windows(recordings))
        ends = np.cumsum([len(recording.starts) for recording in recordings])[:-1]
        columns = {
            name: np.split(np.concatenate(column) if len(column) > 1 else column[0], ends)
            for name, *column in zip(self._wanted, *parts, strict=True)
        }
        return [{name: of[i] for name, of in columns.items()} for i in range(len(recordings))]

    def _encode_windows(
        self, recordings: Sequence[Recording]
    ) -> Iterator[list[NDArray[np.float32]]]:
        """Yield the wanted arrays (windows, values) of a few windows at a time."""
        settings, rate = self.settings, self.settings.encoder.sample_rate
        same = settings.encoder == LOGMEL and settings.pooling == "temporal"
        measured = self.spectra and same and settings.layers == (1,)
        windows = chain.from_iterable(recording.pieces() for recording in recordings)
        at_once = min(_windows_at_once(recording) for recording in recordings)
        while few := list(islice(windows, at_once)):
            self._check_needed()
            if measured:  # the spectrum is the embedding itself
                spectrum, levels = LOGMEL.measure(few, rate)
                yield [spectrum, spectrum, levels]
                continue
            with self.encoder_lock:
                layers = settings.encoder.embed(few, rate, settings.layers, settings.pooling)
            yield [*layers, *LOGMEL.measure(few, rate)] if self.spectra else layers


def seconds_of(clip: Clip, settings: EmbeddingSettings) -> float:
    """Return the length of a clip, 0 where its file does not state it; reading it then says why."""
    if not isinstance(clip.source, Path):
        rate = clip.sample_rate or settings.encoder.sample_rate
        return max(0.0, sum(clip.source.shape[:1]) / rate)
    try:
        with open_audio_file(clip.source) as file:
            return file.frames / file.rate
    except SoundError:
        return 0.0


def _seconds(start: float) -> str:
    """Write a time to the microsecond, so that no two samples share a name.

    >>> _seconds(0.0), _seconds(2.5), _seconds(1234.000125)
    ('0', '2.5', '1234.000125')
    """
    return f"{start:.6f}".rstrip("0").rstrip(".")


def _windows_at_once(recording: Recording) -> int:
    """Return the windows per call of the encoder: fewer of a recording that is read in pieces."""
    if recording.held is not None:
        return WINDOWS_AT_ONCE
    seconds = recording.piece_samples / recording.sample_rate
    return max(1, min(WINDOWS_AT_ONCE, int(WINDOW_SECONDS_AT_ONCE / seconds)))


def _lacks_memory(error: RuntimeError) -> bool:
    """Tell whether a library ran out of memory; torch and the runtimes say so in the message.

    >>> _lacks_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 GB"))
    True
    """
    text = str(error).lower()
    return any(words in text for words in ("allocate", "out of memory", "bad_alloc"))


def _named(error: Exception, clip: Clip) -> FirstshotError:
    """Return a clip's error with its name, without the stack frames, which keep its samples."""
    place = str(clip.source) if isinstance(clip.source, Path) else clip.name
    message = str(error)
    kind: type[FirstshotError] = SoundError
    if isinstance(error, FirstshotError):
        kind = type(error)
    else:
        message = f"there is not enough memory for it; {SHORTER}"
    named = kind(message if place in message else f"{place}: {message}")
    named.__cause__ = error.with_traceback(None)
    return named
