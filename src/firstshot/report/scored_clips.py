"""A detector and the clips that it scored become what a page of them shows.

Input: embedded clips with their spectra, and their results. Output: `ScoredClips`: when each clip
was recorded, the most anomalous clips beside their nearest normal clips, and the map of all. A
normal clip is shown where its file is found and holds the samples that were learned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firstshot.detector import Detector
from firstshot.detector.embedding import Clip, EmbeddedClip
from firstshot.detector.embedding.clips import stack_layers
from firstshot.detector.explanation import explain_clip
from firstshot.detector.file import MemberRow
from firstshot.detector.fitted import FittedDetector
from firstshot.detector.fitted.normal_clips import clip_of
from firstshot.disk.names import read_name
from firstshot.errors import FirstshotError, keep_warnings
from firstshot.report.examples import EXAMPLE_RATE
from firstshot.results import Example, Result
from firstshot.scoring.plane import (
    ClipMap,
    MappedClip,
    choose_clips,
    clip_products,
    principal_points,
)
from firstshot.sound.audio import Channel, read_blocks

EXAMPLES = 12
"""The most anomalous clips that are shown, about 0.2 MB each."""
COPIED = 0.01
"""Files that were written in a smaller part of their length were copied, by any recorder."""
MOST_SECONDS = 60.0
"""The longest stretch of a clip in which the page looks for the seconds that differ most."""


@dataclass(frozen=True, eq=False)
class ScoredClips:
    """Clips that one detector scored.

    Attributes
    ----------
    results : tuple of Result
    times : tuple of float or None
        When each file was last written, in seconds since 1970; None where the clips cannot be put
        in order by it, as after a copy that gave all the same time.
    examples : tuple of Example
        The most anomalous clips, the highest score above its threshold first.
    clip_map : ClipMap
    """

    results: tuple[Result, ...]
    times: tuple[float, ...] | None
    examples: tuple[Example, ...]
    clip_map: ClipMap


def gather_clips(
    detector: Detector,
    clips: Sequence[EmbeddedClip],
    results: Sequence[Result],
    paths: Mapping[str, Path],
    normal_folders: Sequence[Path] = (),
) -> ScoredClips:
    """Gather what the page of scored clips shows.

    Parameters
    ----------
    detector : Detector
        A fitted one.
    clips : sequence of EmbeddedClip
        With their spectra; one or more.
    results : sequence of Result
        What the detector says of them, in the same order, under the names to be shown.
    paths : mapping
        The files of the embedded clips by their names.
    normal_folders : sequence of Path
        Where to look for the normal clips too; names of clips are relative to these folders.
    """
    order = sorted(range(len(results)), key=lambda i: results[i].threshold - results[i].score)
    chosen = order[:EXAMPLES]
    examples = [
        _example(detector, clips[i], results[i], paths[clips[i].name], normal_folders)
        for i in chosen
    ]
    return ScoredClips(
        tuple(results),
        file_times([paths[clip.name] for clip in clips], [clip.seconds or 0.0 for clip in clips]),
        tuple(examples),
        map_clips(detector.fitted_, clips, results),
    )


def file_times(paths: Sequence[Path], seconds: Sequence[float]) -> tuple[float, ...] | None:
    """Return when files were last written, in seconds since 1970.

    None where most have the same time, where one is gone, or where clips of so many seconds were
    written too fast to have been recorded then: they were copied or unpacked.
    """
    try:
        times = tuple(path.stat().st_mtime for path in paths)
    except OSError:
        return None
    recorded = max(times) - min(times) > COPIED * sum(seconds)
    return times if recorded and len(set(times)) > len(times) / 2 else None


def _example(
    detector: Detector,
    clip: EmbeddedClip,
    result: Result,
    path: Path,
    normal_folders: Sequence[Path],
) -> Example:
    fitted = detector.fitted_
    explanation = explain_clip(fitted, [clip], [result])
    channel = fitted.embedding_settings.channel
    nearest = result.nearest[0]
    rows = {(row.clip, row.domain): row for row in fitted.normal_clips.rows}
    return Example(
        clip=result.clip,
        domain="",
        label=None,
        score=result.score,
        p_value=result.p_value,
        waveform=_read(path, channel, result.start_seconds),
        sample_rate=EXAMPLE_RATE,
        nearest=nearest.clip,
        nearest_domain=nearest.domain,
        nearest_waveform=read_normal(
            fitted, rows[nearest.clip, nearest.domain], channel, normal_folders
        ),
        bands=explanation.bands,
        words=explanation.words,
        start_seconds=result.start_seconds,
        place=explanation.place,
        views=tuple(map(str, explanation.views)),
    )


def _read(path: Path, channel: Channel, start: float) -> NDArray[np.float32]:
    """Return at most `MOST_SECONDS` of a file from `start` on; nothing where it is gone."""
    skipped, wanted = round(start * EXAMPLE_RATE), round(MOST_SECONDS * EXAMPLE_RATE)
    blocks, done = [], 0
    try:
        for block in read_blocks(path, EXAMPLE_RATE, channel, lambda note: None):
            blocks.append(block[max(0, skipped - done) : max(0, skipped + wanted - done)])
            done += len(block)
            if done >= skipped + wanted:
                break
    except FirstshotError:
        return np.zeros(0, np.float32)
    return np.concatenate([*blocks, np.zeros(0, np.float32)])


def read_normal(
    fitted: FittedDetector, row: MemberRow, channel: Channel, folders: Sequence[Path]
) -> NDArray[np.float32]:
    """Return the samples of a normal clip whose file is found; nothing where it is not."""
    _, name, digest = clip_of(row)
    start = row.clip.removeprefix(name).removeprefix("@").removesuffix("s")
    for path in _places(name, row, folders):
        with suppress(FirstshotError, OSError, ValueError), keep_warnings():
            # A file of the same name may hold another clip.
            if fitted.embedding_settings.read(Clip(name, path)).digest == digest:
                return _read(path, channel, float(start or 0.0))
    return np.zeros(0, np.float32)


def _places(name: str, row: MemberRow, folders: Sequence[Path]) -> Iterator[Path]:
    """Yield the files that may hold a normal clip."""
    origin = [Path(read_name(row.origin.source))] if row.origin is not None else []
    # The origin of one clip that was added alone is its file.
    for path in (*origin, *(folder / name for folder in (*folders, *origin, Path()))):
        if path.is_file():
            yield path


def map_clips(
    fitted: FittedDetector,
    clips: Sequence[EmbeddedClip] = (),
    results: Sequence[Result] = (),
) -> ClipMap:
    """Return the map of the bank's clips and of clips that were scored, at most `MOST_POINTS`.

    A clip of several windows is shown by their mean.
    """
    bank = [(key, len(list(rows))) for key, rows in groupby(fitted.normal_clips.rows, clip_of)]
    mapped = [MappedClip(name, True, domain) for (domain, name, _), _ in bank]
    mapped += [
        MappedClip(one.clip, False, one.domain, None, one.score, one.is_anomaly) for one in results
    ]
    chosen = choose_clips(len(bank), len(clips))
    sizes = [*(count for _, count in bank), *(len(clip.starts) for clip in clips)]
    layers = _mean_rows(_all_layers(fitted, clips), sizes, chosen)
    products = clip_products(layers, np.flatnonzero(chosen < len(bank)))
    points, shares = principal_points(products)
    return ClipMap(tuple(mapped[i] for i in chosen), points, shares)


def _all_layers(
    fitted: FittedDetector, clips: Sequence[EmbeddedClip]
) -> Iterator[tuple[NDArray[np.floating], NDArray[np.floating]]]:
    """Yield the embeddings (windows, values) of the bank and of the clips, layer by layer."""
    banks = fitted.normal_clips.banks
    queries = fitted.recipe.join(stack_layers(clips)) if clips else [bank[:0] for bank in banks]
    yield from zip(banks, queries, strict=True)


def _mean_rows(
    layers: Iterable[tuple[NDArray[np.floating], NDArray[np.floating]]],
    sizes: Sequence[int],
    chosen: NDArray[np.intp],
) -> Iterator[NDArray[np.float64]]:
    """Yield the mean over the windows of each chosen clip; `sizes` counts every clip's windows."""
    ends = np.cumsum(sizes)
    for members, queries in layers:
        rows = []
        for i in chosen:
            first, last = int(ends[i] - sizes[i]), int(ends[i])
            here = (
                members[first:last]
                if last <= len(members)
                else queries[first - len(members) : last - len(members)]
            )
            rows.append(np.mean(here, axis=0, dtype=np.float64))
        yield np.stack(rows)
