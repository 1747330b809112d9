"""The normal clips of a detector as arrays, joined and selected.

Input: embedded clips. Output: `NormalClips`, one row per window, source first. They never change:
every operation returns new ones.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.anomaly_map import ClipCells, KeptCells, MapBank
from firstshot.detector.embedding import EmbeddedClip
from firstshot.detector.embedding.clips import stack_layers
from firstshot.detector.file import MemberRow
from firstshot.detector.fitted.parts import Recipe
from firstshot.domains import DOMAINS
from firstshot.errors import DatasetError, ParameterError, warn
from firstshot.sound.audio import LengthPolicy

FEWEST_STANDARDIZED = 4
Seconds = tuple[float, float]
"""The shortest and the longest stretch that is embedded of a clip."""
MOST_MAPPED = 750
"""Rows of a domain with cells; more would take time and memory, and add little to a map."""


@dataclass(frozen=True, eq=False)
class NormalClips:
    """Normal clips as arrays, one row per window.

    Attributes
    ----------
    rows : tuple of MemberRow
        Name, domain, digest and origin of each window's clip, source first.
    banks : tuple of arrays (windows, values)
        Embeddings of each part, as the bank keeps them.
    spectra : float32 (windows, bands * 3)
        Log-mel statistics, which explanations compare.
    levels : float32 (windows,)
        Overall levels in dB, NaN where they are not known.
    fitted_seconds : (float, float) or None
        Shortest and longest clip of the fit, where known; an `Origin` has those of later clips.
    cells : KeptCells or None
        What the anomaly map is fitted on, row by row; None where it is not known.
    """

    rows: tuple[MemberRow, ...]
    banks: tuple[NDArray[Any], ...]
    spectra: NDArray[np.float32]
    levels: NDArray[np.float32]
    fitted_seconds: Seconds | None = None
    cells: KeptCells | None = None

    @cached_property
    def seconds(self) -> Seconds | None:
        """Shortest and longest clip of all, None where one of them is not known."""
        found = {row.origin for row in self.rows}
        known = [self.fitted_seconds if one is None else one.seconds for one in found]
        if not known or None in known:
            return None
        ends = [seconds for pair in known if pair is not None for seconds in pair]
        return min(ends), max(ends)

    @property
    def first_rows(self) -> list[MemberRow]:
        """The first row of each clip."""
        return [next(windows) for _, windows in groupby(self.rows, clip_of)]

    def keep(self, rows: NDArray[np.intp]) -> NormalClips:
        """Return the windows of the given rows, which ascend."""
        return replace(
            self,
            rows=tuple(self.rows[row] for row in rows),
            banks=tuple(_fixed(bank[rows]) for bank in self.banks),
            spectra=self.spectra[rows],
            levels=self.levels[rows],
            cells=self.cells.keep(rows) if self.cells else None,
        )

    def join(self, other: NormalClips) -> NormalClips:
        """Return both, source first; within a domain, the other's windows come last."""
        rows = self.rows + other.rows
        order = np.argsort([DOMAINS.index(row.domain) for row in rows], kind="stable")
        return replace(
            self,
            rows=tuple(rows[row] for row in order),
            banks=tuple(
                _fixed(np.concatenate(pair)[order])
                for pair in zip(self.banks, other.banks, strict=True)
            ),
            spectra=np.concatenate([self.spectra, other.spectra])[order],
            levels=np.concatenate([self.levels, other.levels])[order],
            cells=self.cells.join(other.cells).keep(order) if self.cells and other.cells else None,
        )

    def fit_map(self) -> MapBank | None:
        """Fit the anomaly map; the windows of a clip are held out together."""
        if self.cells is None or not len(self.cells.keys):
            return None
        kept = self.cells.without(_left_out(self.rows))
        rows = [self.rows[row] for row in kept.rows]
        recordings, domains = [clip_of(row) for row in rows], [row.domain for row in rows]
        return MapBank.fit(kept.clips(), recordings, domains, kept)


def make_normal_clips(
    source: Sequence[EmbeddedClip],
    target: Sequence[EmbeddedClip],
    length: LengthPolicy,
    recipe: Recipe,
    recordings: Sequence[str] | None = None,
) -> NormalClips:
    """Return embedded clips as arrays; raises DatasetError where there is none.

    `recordings` names the recording of each clip, source first, where that is known.
    """
    clips = [*source, *target]
    labels = iter(recordings or [""] * len(clips))
    if not clips:
        check_rows(())
    rows = tuple(
        MemberRow(name, domain, clip.digest, recording=label)
        for domain, of_domain in zip(DOMAINS, (source, target), strict=True)
        for clip, label in zip(of_domain, labels, strict=False)
        for name in clip.window_names
    )
    levels = np.concatenate([clip.levels for clip in clips])
    if len(levels) != len(rows):  # clips embedded elsewhere may lack them
        levels = np.full(len(rows), np.nan, dtype=np.float32)
    lengths = [clip.embedded_seconds(length) for clip in clips]
    known = [seconds for seconds in lengths if seconds is not None]
    return NormalClips(
        rows,
        tuple(_fixed(recipe.keep(bank)) for bank in recipe.join(stack_layers(clips))),
        np.concatenate([clip.spectrum for clip in clips]),
        levels,
        (min(known), max(known)) if known else None,
        _cells_of(clips),
    )


def _cells_of(clips: Sequence[EmbeddedClip]) -> KeptCells | None:
    """Return the cells of all windows, None where clips embedded elsewhere lack them."""
    if any(len(clip.cells) != len(clip.starts) for clip in clips):
        return None
    return KeptCells.of([ClipCells.of(window) for clip in clips for window in clip.cells])


def _left_out(rows: Sequence[MemberRow]) -> NDArray[np.bool_]:
    """Tell which rows the anomaly map does without: of a domain with many, all but each n-th."""
    number: dict[str, int] = Counter()
    counts, marked = Counter(row.domain for row in rows), []
    for row in rows:
        marked.append(number[row.domain] % -(-counts[row.domain] // MOST_MAPPED) != 0)
        number[row.domain] += 1
    return np.array(marked)


def recordings_of(groups: str | Sequence[Any] | None, names: Sequence[str]) -> list[str] | None:
    r"""Return the recording of each clip from labels, or from a pattern in the clips' names.

    Raises ParameterError for another number of labels than clips, a pattern that is none, or a name
    in which it is not found.

    >>> recordings_of(r"run_\d+", ["run_1_a.wav", "run_1_b.wav", "run_2_a.wav"])
    ['run_1', 'run_1', 'run_2']
    """
    if groups is None:
        return None
    if not isinstance(groups, str):
        labels = [str(label) for label in groups]
        if len(labels) != len(names):
            raise ParameterError(f"groups holds {len(labels)} labels for {len(names)} clips")
        return labels
    try:
        pattern = re.compile(groups)
    except re.error as error:
        raise ParameterError(f"groups {groups!r}: not a pattern ({error})") from error
    found = []
    for name in names:
        match = pattern.search(name)
        if match is None:
            raise ParameterError(f"groups {groups!r}: not found in the clip's name {name!r}")
        found.append(match.group(1 if pattern.groups else 0) or "")
    if len(set(found)) == 1 < len(found):
        raise ParameterError(
            f"groups {groups!r}: all {len(found)} clips are one recording by it ({found[0]!r}); "
            "give a pattern that tells recordings apart"
        )
    return found


def check_rows(rows: Sequence[MemberRow], copies_count: bool = True) -> None:
    """Refuse fewer than two source windows, and warn of clips that count twice."""
    sources = sum(row.domain == "source" for row in rows)
    if sources < 2:
        raise DatasetError(
            f"{sources} source clip{'' if sources == 1 else 's'}: at least 2 normal clips are "
            "needed to learn from; record more, or cut a long one with the length policy "
            "windows:SECONDS"
        )
    first: dict[str, str] = {}
    copies = []
    for (_, name, digest), _windows in groupby(rows, clip_of):
        if digest in first:
            copies.append(f"{name} of {first[digest]}")
        first.setdefault(digest, name)
    if copies and copies_count:
        more = f" and {len(copies) - 1} more" if len(copies) > 1 else ""
        warn(
            f"copies among the normal clips: {copies[0]}{more}; a copy makes the clip look more "
            "normal than it is, leave it out"
        )


def check_enough(rows: Sequence[MemberRow]) -> None:
    """Refuse fewer windows than standardised scores are defined from."""
    if len(rows) < FEWEST_STANDARDIZED:
        raise DatasetError(
            f"{len(rows)} normal clips are too few, or too alike, to score each without itself, "
            f"which the threshold needs; give at least {FEWEST_STANDARDIZED} different ones"
        )


def clip_of(row: MemberRow) -> tuple[str, str, str]:
    """Return domain, name and digest of a window's clip.

    >>> clip_of(MemberRow("a.wav@2.5s", "source", "4f2c"))
    ('source', 'a.wav', '4f2c')
    """
    stem, at, start = row.clip.rpartition("@")
    window = at and start[-1:] == "s" and start[:1].isdigit()
    return row.domain, stem if window else row.clip, row.digest


def clip_windows(rows: Sequence[MemberRow]) -> list[int]:
    """Return the number of windows of each clip, in the order of the rows."""
    return [len(list(windows)) for _, windows in groupby(rows, clip_of)]


def _fixed(array: NDArray[Any]) -> NDArray[Any]:
    """Make an array read-only, so that a bank holds it without a copy."""
    array.setflags(write=False)
    return array
