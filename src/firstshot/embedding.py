"""Clips become embeddings: read, cut by the length policy, encoded, kept in the store.

Input: paths, folders, arrays or clip records. Output: an `EmbeddedClip` each, in the order given.
Clips are read and encoded a few at a time, so memory does not grow with their number; what the
store already holds is not encoded again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from firstshot.encoders.logmel import LogMel
from firstshot.encoders.protocol import Encoder
from firstshot.errors import DatasetError, FirstshotError
from firstshot.sound.audio import AUDIO_SUFFIXES, Channel, LengthPolicy, Waveform, load_waveform
from firstshot.store import EmbeddingStore, entry_key, hash_samples

CLIPS_AT_ONCE = 16
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
class Clip:
    """A clip to be heard: its name and its file, or its samples with their rate in Hz."""

    name: str
    source: Path | NDArray[Any]
    sample_rate: int | None = None


@dataclass(frozen=True)
class Hearing:
    """How clips are heard: by which encoder, at which layers, pooled and cut how."""

    encoder: Encoder
    layers: tuple[int, ...]
    pooling: str = "temporal"
    length: LengthPolicy = field(default_factory=LengthPolicy)
    channel: Channel = "mean"

    def recipe(self) -> dict[str, object]:
        """Return all that decides an embedding besides the samples and the layer."""
        return {
            "encoder": self.encoder.name,
            "fingerprint": self.encoder.fingerprint,
            "pooling": self.pooling,
            "length": str(self.length),
            "spectrum": _LOGMEL.fingerprint,
        }

    def read(self, clip: Clip) -> Waveform:
        """Return the clip's waveform, mono at the encoder's rate."""
        return load_waveform(
            clip.source,
            self.encoder.sample_rate,
            source_rate=clip.sample_rate,
            channel=self.channel,
            name=clip.name,
        )


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
        return tuple(f"{self.name}@{start:g}s" for start in self.starts)


_LOGMEL = LogMel()


def list_clips(
    sources: Source | Iterable[Source], sample_rate: int | None = None, role: str = "clips"
) -> list[Clip]:
    """Turn what a user names into clips: folders are searched, names made unique.

    Raises
    ------
    DatasetError
        A path does not exist, a folder holds no audio, or a clip is named twice.
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
    path = Path(source) if isinstance(source, (str, Path)) else source.path
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
    done = 0
    for start in range(0, len(clips), CLIPS_AT_ONCE):
        batch = _read_batch(clips[start : start + CLIPS_AT_ONCE], hearing, on_error)
        yield from _embed_batch(batch, hearing, store)
        done = min(start + CLIPS_AT_ONCE, len(clips))
        if progress is not None:
            progress(done, len(clips))


def _read_batch(
    clips: Sequence[Clip],
    hearing: Hearing,
    on_error: Callable[[Clip, FirstshotError], None] | None,
) -> list[tuple[Clip, Waveform]]:
    batch = []
    for clip in clips:
        try:
            waveform = hearing.read(clip)
            for piece in hearing.length.apply(waveform, hearing.encoder.sample_rate)[:1]:
                hearing.encoder.grid(len(piece))
        except FirstshotError as error:
            named = type(error)(_with_name(str(error), clip))
            if on_error is None:
                raise named from error
            on_error(clip, named)
        else:
            batch.append((clip, waveform))
    return batch


def _with_name(message: str, clip: Clip) -> str:
    place = str(clip.source) if isinstance(clip.source, Path) else clip.name
    return message if place in message else f"{place}: {message}"


def _embed_batch(
    batch: Sequence[tuple[Clip, Waveform]], hearing: Hearing, store: EmbeddingStore | None
) -> list[EmbeddedClip]:
    wanted = [f"layer_{layer}" for layer in hearing.layers]
    digests = [hash_samples(waveform) for _, waveform in batch]
    keys = [entry_key(digest, hearing.recipe()) for digest in digests]
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
