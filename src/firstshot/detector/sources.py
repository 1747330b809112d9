"""What a user names becomes clips: paths, folders, arrays or records, each clip with its own name.

Input: sources as they are given to `fit`, `score` or `predict`. Output: `Clip`s in the order given,
a folder's in the order of their paths.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.embedding import Clip
from firstshot.disk.listing import MISSING, Listing, is_folder, list_files, why_no_file
from firstshot.errors import DatasetError, warn
from firstshot.sound.audio_kinds import AUDIO_SUFFIXES, skipped_kinds


@runtime_checkable
class HasPath(Protocol):
    """A clip record: anything that knows where its file lies."""

    @property
    def path(self) -> Path: ...  # noqa: D102


Source: TypeAlias = str | Path | NDArray[Any] | HasPath
Sources: TypeAlias = Source | Iterable[Source]


def is_one_clip(sources: Sources) -> bool:
    """Tell whether one clip is named, neither a folder nor several.

    >>> is_one_clip(np.zeros(3)), is_one_clip([np.zeros(3)])
    (True, False)
    """
    folder = isinstance(sources, (str, Path)) and is_folder(Path(sources))
    return isinstance(sources, (str, Path, np.ndarray, HasPath)) and not folder


@dataclass(frozen=True)
class Found:
    """The clips of one source, and what of it cannot be listed."""

    clips: tuple[Clip, ...]
    faults: tuple[DatasetError, ...] = ()


def list_clips(sources: Sources, sample_rate: int | None = None, role: str = "clips") -> list[Clip]:
    """Turn what a user names into clips: folders are searched, names made unique.

    Raises
    ------
    DatasetError
        A path does not exist, a folder holds no audio or a sub-folder that cannot be listed, a clip
        is named twice, or something is neither path, array nor record.
    """
    if isinstance(sources, (str, Path, np.ndarray, HasPath)):
        sources = [sources]
    clips: list[Clip] = []
    count = 0
    for count, source in enumerate(sources, start=1):
        found = find_clips(source, count - 1, sample_rate, role)
        if found.faults:
            # A bank that lacks clips in silence would be worse than none.
            raise found.faults[0]
        clips += found.clips
    names = [clip.name for clip in clips]
    if len(set(names)) < len(names):
        # Two folders may hold clips of one name; the whole path tells them apart.
        clips = [
            Clip(str(c.source), c.source, c.sample_rate) if isinstance(c.source, Path) else c
            for c in clips
        ]
    _check_names(clips, role)
    if count > 1:  # within one folder every file is listed once
        _check_places(clips, role)
    return clips


def find_clips(
    source: Source, index: int = 0, rate: int | None = None, role: str = "clips"
) -> Found:
    """Turn one source into its clips; sub-folders that cannot be listed are faults beside them.

    `index` names an array among several. Raises DatasetError where the source has no clip at all.
    """
    if isinstance(source, np.ndarray):
        return Found((Clip(f"array {index}", source, rate),))
    if not isinstance(source, (str, Path, HasPath)):
        raise DatasetError(
            f"{role}: {str(source)[:40]!r} is a {type(source).__name__}; give paths, folders, "
            "numpy arrays or records with a path"
        )
    path = Path(source if isinstance(source, (str, Path)) else source.path)
    if is_folder(path):
        return _search(path, list_files(path), role)
    why = why_no_file(path)
    if why == MISSING:
        raise DatasetError(f"{path}: {why}; name files or folders that hold the {role}")
    return Found((Clip(str(path) if isinstance(source, (str, Path)) else path.name, path),))


def _search(folder: Path, listing: Listing, role: str) -> Found:
    """Choose the audio files of a folder, and tell of sound that is not read."""
    shown = [path for path in listing.files if path.name[0] != "."]
    files = [path for path in shown if path.suffix.lower() in AUDIO_SUFFIXES]
    faults = tuple(
        DatasetError(f"{place.path}: {place.why}; make it readable, or move it elsewhere")
        for place in listing.unlisted
    )
    skipped = skipped_kinds(shown)
    if not files and faults:
        return Found((), faults)
    if not files:
        raise DatasetError(
            f"{folder}: no audio among its files; the folder of {role} needs WAV, FLAC, OGG or MP3"
            + (f", and holds {skipped}" if skipped else "")
        )
    if skipped:
        warn(f"{folder}: left out what is not read, {skipped}")
    return Found(tuple(Clip(p.relative_to(folder).as_posix(), p) for p in files), faults)


def check_apart(source: Sequence[Clip], target: Sequence[Clip]) -> None:
    """Raise DatasetError where a file is among the source and among the target clips."""
    first = _real_places(source)
    for place, path in _real_places(target).items():
        if place in first:
            raise DatasetError(
                f"{path}: among the source and among the target clips; name it in one of them"
            )


def _check_names(clips: Sequence[Clip], role: str) -> None:
    names: set[str] = set()
    for clip in clips:
        if clip.name in names:
            raise DatasetError(f"{clip.name}: named twice among the {role}; name every clip once")
        names.add(clip.name)


def _check_places(clips: Sequence[Clip], role: str) -> None:
    """Raise DatasetError where several sources hold one file, under whatever names."""
    if len(_real_places(clips)) == sum(isinstance(clip.source, Path) for clip in clips):
        return
    first: dict[str, Clip] = {}
    for clip in clips:
        place = os.path.realpath(clip.source) if isinstance(clip.source, Path) else clip.name
        same = first.setdefault(place, clip)
        if same is not clip:
            alias = "" if same.source == clip.source else f" (as {same.source} too)"
            raise DatasetError(
                f"{clip.source}: twice among the {role}{alias}; name every file or folder once"
            )


def _real_places(clips: Sequence[Clip]) -> dict[str, Path]:
    """Return where files really lie, links followed, with the first path that leads there."""
    places: dict[str, Path] = {}
    for clip in clips:
        if isinstance(clip.source, Path):
            places.setdefault(os.path.realpath(clip.source), clip.source)
    return places
