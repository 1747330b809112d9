"""What a user names becomes clips: paths, folders, arrays or records, each clip with its own name.

Input: sources as they are given to `fit`, `score` or `predict`. Output: `Clip`s in the order given,
a folder's in the order of their paths.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.hearing import Clip
from firstshot.errors import DatasetError
from firstshot.sound.audio import AUDIO_SUFFIXES


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
    folder = isinstance(sources, (str, Path)) and Path(sources).is_dir()
    return isinstance(sources, (str, Path, np.ndarray, HasPath)) and not folder


def list_clips(sources: Sources, sample_rate: int | None = None, role: str = "clips") -> list[Clip]:
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
    # A link to nothing is named, so that reading it says so.
    files = [p for p in files if p.name[0] != "." and (p.is_file() or not p.exists())]
    if not files:
        raise DatasetError(
            f"{path}: no audio among its files; the folder of {role} needs WAV, FLAC, OGG or MP3"
        )
    return [Clip(p.relative_to(path).as_posix(), p) for p in files]
