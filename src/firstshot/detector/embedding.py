"""Clips become embeddings: read, cut by the length policy, encoded, kept in the store.

Input: paths, folders, arrays or clip records. Output: an `EmbeddedClip` each, in the order given.
Clips are read and encoded a few minutes at a time, so memory does not grow with their number; what
the store already holds is not encoded again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.hearing import Clip, Hearing
from firstshot.encoders.logmel import LogMel
from firstshot.errors import DatasetError, FirstshotError
from firstshot.sound.audio import AUDIO_SUFFIXES, Waveform
from firstshot.store import EmbeddingStore, entry_key, hash_samples

__all__ = [
    "Clip",
    "EmbeddedClip",
    "HasPath",
    "Hearing",
    "Progress",
    "Source",
    "embed_clips",
    "list_clips",
]

NAMED_AT_MOST = 5
CLIPS_AT_ONCE = 16
SECONDS_AT_ONCE = 600.0
"""A batch of clips ends with the one that reaches this, so that hours are held one at a time."""
SPECTRUM = "spectrum"

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (clips done, clips in all)."""


@runtime_checkable
class HasPath(Protocol):
    """A clip record: anything that knows where its file lies."""

    @property
    def path(self) -> Path: ...  # noqa: D102


Source: TypeAlias = str | Path | NDArray[Any] | HasPath


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


_LOGMEL = LogMel()


def _seconds(start: float) -> str:
    """Write a time to the microsecond, so that no two samples share a name.

    >>> _seconds(0.0), _seconds(2.5), _seconds(1234.000125)
    ('0', '2.5', '1234.000125')
    """
    return f"{start:.6f}".rstrip("0").rstrip(".")


def list_clips(
    sources: Source | Iterable[Source], sample_rate: int | None = None, role: str = "clips"
) -> list[Clip]:
    """Turn what a user names into clips: folders are searched, names made unique.

    Raises
    ------
    DatasetError
        A path does not exist, a folder holds no audio, a clip is named twice, or something is
        neither path, array nor record.
    """
    if isinstance(sources, (str, Path, np.ndarray, HasPath)):
        sources = [sources]
    clips = [clip for i, s in enumerate(sources) for clip in _clips_of(s, i, sample_rate, role)]
    names = [clip.name for clip in clips]
    if len(set(names)) < len(names):
        # Two folders may hold clips of one name; the whole path tells them apart.
        clips = [
            Clip(str(c.source), c.source, c.sample_rate) if isinstance(c.source, Path) else c
            for c in clips
        ]
        names = [clip.name for clip in clips]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DatasetError(f"{twice}: named twice among the {role}; name every clip once")
    return clips


def _clips_of(source: Source, index: int, rate: int | None, role: str) -> list[Clip]:
    if isinstance(source, np.ndarray):
        return [Clip(f"array {index}", source, rate)]
    if not isinstance(source, (str, Path, HasPath)):
        raise DatasetError(
            f"{role}: {str(source)[:40]!r} is a {type(source).__name__}; give paths, folders, "
            "numpy arrays or records with a path"
        )
    path = Path(source if isinstance(source, (str, Path)) else source.path)
    if not path.exists():
        raise DatasetError(f"{path}: does not exist; name files or folders that hold the {role}")
    if not path.is_dir():
        return [Clip(str(path) if isinstance(source, (str, Path)) else path.name, path)]
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES)
    files = [p for p in files if not p.name.startswith(".") and p.is_file()]
    if not files:
        raise DatasetError(
            f"{path}: no audio among its files; the folder of {role} needs WAV, FLAC, OGG or MP3"
        )
    return [Clip(p.relative_to(path).as_posix(), p) for p in files]


def embed_clips(
    clips: Sequence[Clip],
    hearing: Hearing,
    *,
    store: EmbeddingStore | None = None,
    progress: Progress | None = None,
    on_error: Callable[[Clip, FirstshotError], None] | None = None,
) -> Iterator[EmbeddedClip]:
    """Yield every clip's embeddings in order.

    Parameters
    ----------
    on_error : callable, optional
        Called with a clip that cannot be read or encoded, which is then left out; without it the
        error is raised.
    """
    batch: list[tuple[Clip, Waveform]] = []
    reported, seconds = 0, 0.0
    for done, clip in enumerate(clips, start=1):
        waveform = _read(clip, hearing, on_error)
        if waveform is not None:
            batch.append((clip, waveform))
            seconds += len(waveform) / hearing.encoder.sample_rate
        full = done - reported >= CLIPS_AT_ONCE or seconds >= SECONDS_AT_ONCE
        if full or done == len(clips):
            yield from _embed_batch(batch, hearing, store)
            batch, seconds, reported = [], 0.0, done
            if progress is not None:
                progress(done, len(clips))


def embed_all(
    clips: Sequence[Clip],
    hearing: Hearing,
    *,
    store: EmbeddingStore | None = None,
    progress: Progress | None = None,
) -> list[EmbeddedClip]:
    """Embed clips that must all be good; raise for the first bad one, naming the others with it."""
    faults: list[tuple[Clip, FirstshotError]] = []
    embedded = embed_clips(
        clips,
        hearing,
        store=store,
        progress=progress,
        on_error=lambda clip, error: faults.append((clip, error)),
    )
    found = list(embedded)
    if not faults:
        return found
    (_, first), *others = faults
    names = ", ".join(clip.name for clip, _ in others[:NAMED_AT_MOST])
    more = f" and {len(others) - NAMED_AT_MOST} more" if len(others) > NAMED_AT_MOST else ""
    raise type(first)(f"{first}" + (f" (nor can be used: {names}{more})" if others else ""))


def _read(
    clip: Clip, hearing: Hearing, on_error: Callable[[Clip, FirstshotError], None] | None
) -> Waveform | None:
    """Read a clip that the encoder can take; None where `on_error` was told of it instead."""
    try:
        waveform = hearing.read(clip)
        first = hearing.length.apply(waveform, hearing.encoder.sample_rate)[0]
        hearing.encoder.grid(len(first))
    except FirstshotError as error:
        named = type(error)(_with_name(str(error), clip))
        if on_error is None:
            raise named from error
        on_error(clip, named)
        return None
    return waveform


def _with_name(message: str, clip: Clip) -> str:
    place = str(clip.source) if isinstance(clip.source, Path) else clip.name
    return message if place in message else f"{place}: {message}"


def _embed_batch(
    batch: Sequence[tuple[Clip, Waveform]], hearing: Hearing, store: EmbeddingStore | None
) -> list[EmbeddedClip]:
    wanted = [f"layer_{layer}" for layer in hearing.layers]
    digests = [hash_samples(waveform) for _, waveform in batch]
    recipe = {**hearing.recipe(), "spectrum": _LOGMEL.fingerprint}
    keys = [entry_key(digest, recipe) for digest in digests]
    found: list[dict[str, NDArray[np.float32]] | None]
    found = [store.load(key) if store else None for key in keys]
    missing = [i for i, e in enumerate(found) if e is None or not {*wanted, SPECTRUM} <= e.keys()]
    if missing:
        fresh = _encode([batch[i][1] for i in missing], hearing)
        for i, arrays in zip(missing, fresh, strict=True):
            merged = {**(found[i] or {}), **arrays}
            found[i] = store.save(keys[i], merged) if store else merged
    rate = hearing.encoder.sample_rate
    embedded = []
    for (clip, waveform), digest, entry in zip(batch, digests, found, strict=True):
        assert entry is not None
        starts = tuple(start / rate for start in hearing.length.starts(len(waveform), rate))
        layers = tuple(entry[name] for name in wanted)
        embedded.append(EmbeddedClip(clip.name, digest, starts, layers, entry[SPECTRUM]))
    return embedded


def _encode(waveforms: Sequence[Waveform], hearing: Hearing) -> list[dict[str, NDArray[Any]]]:
    """Encode all windows of a few clips in one call and deal them out to their clips again."""
    rate = hearing.encoder.sample_rate
    windows = [hearing.length.apply(waveform, rate) for waveform in waveforms]
    flat = [window for of_clip in windows for window in of_clip]
    layers = hearing.encoder.embed(flat, rate, hearing.layers, hearing.pooling)
    same = hearing.encoder.fingerprint == _LOGMEL.fingerprint and hearing.pooling == "temporal"
    spectrum = layers[hearing.layers.index(1)] if same and 1 in hearing.layers else None
    if spectrum is None:
        spectrum = _LOGMEL.embed(flat, rate)[0]
    ends = np.cumsum([len(of_clip) for of_clip in windows])[:-1]
    columns = {f"layer_{n}": np.split(x, ends) for n, x in zip(hearing.layers, layers, strict=True)}
    columns[SPECTRUM] = np.split(spectrum, ends)
    return [{name: parts[i] for name, parts in columns.items()} for i in range(len(waveforms))]
