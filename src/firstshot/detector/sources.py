"""What a user names becomes clips: paths, folders, arrays, open files or records, each with a name.

Input: sources as they are given to `fit`, `score` or `predict`. Output: `Clip`s in the order given,
a folder's in the order of their paths.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.embedding import Clip
from firstshot.disk.listing import MISSING, Listing, is_folder, list_files, why_no_file
from firstshot.errors import DatasetError, ParameterError, SoundError, warn
from firstshot.messages import shown, shown_value
from firstshot.numbers import check_number
from firstshot.sound.audio_file import open_audio_file
from firstshot.sound.audio_kinds import AUDIO_SUFFIXES, skipped_kinds
from firstshot.sound.checks import HIGHEST_RATE, SHORTEST_SECONDS
from firstshot.sound.near_far import Transfer


@runtime_checkable
class HasPath(Protocol):
    """A clip record: anything that knows where its file lies."""

    @property
    def path(self) -> Path: ...  # noqa: D102


OneSource: TypeAlias = str | os.PathLike[str] | tuple[NDArray[Any], int] | BinaryIO | Clip | HasPath
"""A file (or a folder), an array with its rate in Hz, an open binary file, or a record."""
Source: TypeAlias = OneSource | NDArray[Any]
Sources: TypeAlias = Source | Iterable[Source]
EXPECTED = (
    "give paths, folders, arrays with sample_rate=RATE, (array, RATE) pairs, files opened as "
    "bytes, or records with a path"
)


@dataclass(frozen=True)
class Found:
    """The clips of one source, and what of it cannot be listed."""

    clips: tuple[Clip, ...]
    faults: tuple[DatasetError, ...] = ()


def is_one_clip(sources: Sources, sample_rate: int | None = None) -> bool:
    """Tell whether one clip is named, neither a folder nor several.

    >>> clip = np.zeros(3200)
    >>> is_one_clip(clip), is_one_clip((clip, 16000)), is_one_clip([(clip, 16000)])
    (True, True, False)
    >>> is_one_clip(np.zeros((5, 3200)), sample_rate=16000)
    False
    """
    path = _path_of(sources)
    return _several(sources, sample_rate) is None and not (path and is_folder(path))


def list_clips(sources: Sources, sample_rate: int | None = None, role: str = "clips") -> list[Clip]:
    """Turn what a user names into clips: folders are searched, names made unique.

    Parameters
    ----------
    sources : paths, folders, arrays, (array, rate) pairs, open binary files, records
        One of them, or any iterable of them. An array (samples,) or (samples, channels) is one
        clip. An array (clips, values) whose rows last 0.1 s or more is several clips, a row each.
        An open file is read to its end and held in memory.
    sample_rate : int, optional
        Rate in Hz of the arrays that come without one.

    Raises
    ------
    DatasetError
        A path does not exist, a folder holds no audio or a sub-folder that cannot be listed, a clip
        is named twice, or something is no source.
    ParameterError, SoundError
        An array comes without its rate; an open file cannot be read as sound.
    """
    if sample_rate is not None:
        check_number("sample_rate", sample_rate, 1.0, HIGHEST_RATE)
    several = _several(sources, sample_rate)
    clips: list[Clip] = []
    count = 0
    for count, source in enumerate([sources] if several is None else several, start=1):
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


def list_far_noise(
    noise: Sources | Transfer | None, sample_rate: int | None = None
) -> list[Clip] | Transfer | None:
    """Turn what a user gives as `far_noise` into clips; what is fitted already stays."""
    if noise is None or isinstance(noise, Transfer):
        return noise
    return list_clips(noise, sample_rate, "recordings of noise alone")


def find_clips(
    source: Any, index: int = 0, sample_rate: int | None = None, role: str = "clips"
) -> Found:
    """Turn one source into its clips; sub-folders that cannot be listed are faults beside them.

    `index` names an array among several. A source without any clip raises as in `list_clips`.
    """
    clip = _clip_of(source, index, sample_rate, role)
    if clip is not None:
        return Found((clip,))
    path = _path_of(source)
    if path is None:
        kind = type(source).__name__
        raise DatasetError(f"{role}: {shown_value(source)} is a {kind}; {EXPECTED}")
    if is_folder(path):
        return _search(path, list_files(path), role)
    why = why_no_file(path)
    if why == MISSING:
        raise DatasetError(f"{path}: {why}; name files or folders that hold the {role}")
    record = not isinstance(source, (str, os.PathLike))
    return Found((Clip(path.name if record else str(path), path),))


def _clip_of(source: Any, index: int, sample_rate: int | None, role: str) -> Clip | None:
    """Return the clip of a source that holds its samples; None where its path is to be read."""
    if isinstance(source, Clip) and isinstance(source.source, Path):
        return source
    if _path_of(source) is not None:
        return None
    if hasattr(source, "read"):
        return _read_open_file(source, index)
    array, rate = _with_rate(source, sample_rate)
    name = source.name if isinstance(source, Clip) else f"array {index}"
    if array is None:
        return None
    if rate is None:
        raise ParameterError(
            f"{role}: {name} comes without its sample rate; give sample_rate=RATE in Hz, or "
            "(array, RATE)"
        )
    if _rows_are_clips(array, rate):
        raise DatasetError(
            f"{role}: {name} has the shape {array.shape}, expected one clip, (samples,) or "
            "(samples, channels); give several clips as a list, or as one array (clips, samples)"
        )
    return Clip(name, array, rate)


def _with_rate(source: Any, sample_rate: int | None) -> tuple[NDArray[Any] | None, int | None]:
    if isinstance(source, Clip):
        return _as_array(source.source), source.sample_rate or sample_rate
    if _is_pair(source):
        return _as_array(source[0]), source[1]
    return _as_array(source), sample_rate


def _several(sources: Any, sample_rate: int | None) -> Iterable[Any] | None:
    """Return the sources that are given as one object, None where it is a single one."""
    single = isinstance(sources, (Clip, bytes, Mapping)) or hasattr(sources, "read")
    if single or _is_pair(sources) or _path_of(sources) is not None:
        return None
    array = _as_array(sources)
    if array is None:
        return sources if isinstance(sources, Iterable) else None
    if array.ndim == 1 and array.dtype.kind in "OUS":  # paths or pairs, as a data frame has them
        return list(array)
    return list(array) if sample_rate is not None and _rows_are_clips(array, sample_rate) else None


def _rows_are_clips(array: NDArray[Any], sample_rate: int) -> bool:
    """Tell (clips, samples) from (samples, channels): a row of a clip lasts 0.1 s or more."""
    return array.ndim == 2 and 0 < SHORTEST_SECONDS * sample_rate <= array.shape[1]


def _path_of(source: Any) -> Path | None:
    """Return the path that a source names, None where it names none."""
    named = source.path if isinstance(source, HasPath) else source
    try:
        return Path(named) if isinstance(named, (str, os.PathLike)) else None
    except TypeError:  # a path of bytes
        return None


def _as_array(source: Any) -> NDArray[Any] | None:
    """Return an array, a tensor or a column of a data frame as a numpy array, None for others."""
    if isinstance(source, np.generic) or not hasattr(source, "__array__"):
        return None
    try:
        return np.asarray(source)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = type(source).__name__
        raise DatasetError(f"{kind} cannot be taken as an array ({shown(error)})") from error


def _is_pair(source: Any) -> bool:
    """Tell whether a source is an array with its rate."""
    if not isinstance(source, tuple) or len(source) != 2:
        return False
    return hasattr(source[0], "__array__") and isinstance(source[1], Real)


def _read_open_file(file: Any, index: int) -> Clip:
    """Read what is left of an open binary file, with the checks of any audio file."""
    named = getattr(file, "name", None)
    name = named if isinstance(named, str) else f"file {index}"
    suffix = Path(name).suffix.lower()
    with TemporaryDirectory(prefix="firstshot-") as folder:
        # The checks of a header need a file with a path.
        copy = Path(folder) / f"clip{suffix if suffix in AUDIO_SUFFIXES else ''}"
        try:
            with copy.open("wb") as kept:
                shutil.copyfileobj(file, kept)
        except (TypeError, ValueError, OSError) as error:
            raise DatasetError(
                f"{name}: cannot be read as bytes ({error}); open it with the mode 'rb'"
            ) from error
        try:
            with open_audio_file(copy) as sound:
                blocks = [*sound.blocks(), np.empty((0, sound.channels), np.float32)]
        except SoundError as error:
            raise SoundError(str(error).replace(str(copy), name)) from error
    for note in sound.notes:
        warn(f"{name}: {note}")
    return Clip(name, np.concatenate(blocks), sound.rate)


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
