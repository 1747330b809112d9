"""The cells of the normal clips, and how far each cell of a clip is from them.

Input: the `ClipCells` of normal clips. Output: a `MapBank`, which turns the cells of another clip
into an `AnomalyMap`. A cell is compared with the cells of the same group of the normal clips that
sound most alike as a whole, so that a condition does not stand out in all its cells. Its distance D
becomes z = (D - q50) / ((q95 - q50) / 1.645), with the quantiles of normal clips that were held
out: about 0 for a usual moment, 1.645 for one that is stranger than 95 % of normal moments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.anomaly_map.kept import KeptCells, check_array, spread
from firstshot.anomaly_map.vectors import GROUPS, VALUES, ClipCells
from firstshot.scoring.threshold import smallest_promise

FOLDS = 6
NEAR_CLIPS, NEAR_CELLS = 16, 600
LEAST_SCALE = 1e-3
NORMAL_95 = 1.645
"""The 95 % quantile of a standard normal variable."""
LEVELS = np.linspace(0.0, 1.0, 101)
STATISTICS = ("mean", "deviation", "quantiles", "held_out_maxima")


@dataclass(frozen=True, eq=False)
class AnomalyMap:
    """How strange each cell is: `z` float64 (cells, 12), and the bank cells it was compared with.

    `taken` are the numbers of the bank's cells, `clips` the rows of the normal clips they are of,
    the most alike first.
    """

    z: NDArray[np.float64]
    distances: NDArray[np.float64]
    taken: NDArray[np.int64]
    clips: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MapBank:
    """Cells of normal clips.

    Attributes
    ----------
    cells : KeptCells
        Those of the normal clips.
    mean, deviation : float64 (12, 10)
        Of the values; each value is compared in units of its deviation.
    quantiles : float64 (101, 12)
        Those of D of held-out clips, per group, from 0 to 100 %. Empty where no clip could be
        held out.
    held_out_maxima : float64 (clips,)
        The largest z of each clip when it was held out.
    """

    cells: KeptCells
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    quantiles: NDArray[np.float64]
    held_out_maxima: NDArray[np.float64]

    @classmethod
    def fit(
        cls,
        clips: Sequence[ClipCells],
        recordings: Sequence[object] | None = None,
        domains: Sequence[str] | None = None,
        kept: KeptCells | None = None,
    ) -> MapBank:
        """Hold the cells of normal clips and measure how strange held-out ones are.

        Parameters
        ----------
        clips : sequence of ClipCells
            At least one.
        recordings : sequence, optional
            The recording that each clip is of; those of one are held out together. None means that
            each clip is a recording of its own.
        domains : sequence, optional
            The domain of each clip: a part of every domain is held out at a time, for a condition
            that is held out as a whole would make all moments of it look strange.
        kept : KeptCells, optional
            What the clips come from, where they were kept before.
        """
        bank = cls._of(clips, kept)
        folds = _folds(
            list(range(len(clips))) if recordings is None else recordings,
            [""] * len(clips) if domains is None else domains,
        )
        if len(folds) < 2:
            return bank
        found: dict[int, NDArray[np.float64]] = {}
        for inside in folds:
            others = cls._of([clip for clip, out in zip(clips, inside, strict=True) if not out])
            for number, (clip, out) in enumerate(zip(clips, inside, strict=True)):
                if out:
                    found[number] = others._distances(clip)[0]
        distances = [found[i] for i in range(len(clips))]
        quantiles = np.quantile(np.concatenate(distances), LEVELS, axis=0)
        bank = replace(bank, quantiles=quantiles)
        maxima = np.array([bank._standardised(d).max() for d in distances])
        return replace(bank, held_out_maxima=maxima)

    @classmethod
    def _of(cls, clips: Sequence[ClipCells], kept: KeptCells | None = None) -> MapBank:
        """Hold the cells, without anything that needs held-out clips."""
        mean, deviation = spread(np.concatenate([clip.values for clip in clips]))
        cells = (kept or KeptCells.of(clips)).thinned()
        return cls(cells, mean, deviation, np.empty((0, GROUPS)), np.empty(0))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that is needed to make it again, by names."""
        own = {name: getattr(self, name) for name in STATISTICS}
        return {**own, **vars(self.cells)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], rows: int) -> MapBank:
        """Make it again of its arrays, of a detector with so many rows.

        Raises ValueError where an array is missing, of another shape, or has a value that it cannot
        have.
        """
        names = [field.name for field in fields(KeptCells)]
        if arrays.keys() != {*names, *STATISTICS}:
            raise ValueError(f"its anomaly map has the arrays {sorted(arrays)}")
        cells = KeptCells(**{name: arrays[name] for name in names})
        cells.check(rows)
        bank, clips = cls(cells, **{name: arrays[name] for name in STATISTICS}), len(cells.keys)
        held_out = len(bank.quantiles) > 0
        shapes = {
            "mean": (GROUPS, VALUES),
            "deviation": (GROUPS, VALUES),
            "quantiles": (len(LEVELS) if held_out else 0, GROUPS),
            "held_out_maxima": (clips if held_out else 0,),
        }
        for name, shape in shapes.items():
            check_array(name, arrays[name], shape)
        if not (bank.deviation > 0).all():
            raise ValueError("the deviations of its anomaly map are not above zero")
        return bank

    def compare(self, cells: ClipCells) -> AnomalyMap:
        """Return the map of a clip; z is 0 everywhere where the bank has no held-out clips."""
        distances, taken, clips = self._distances(cells)
        return AnomalyMap(self._standardised(distances), distances, taken, clips)

    def highlight_threshold(self, rate: float = 0.1) -> float | None:
        """Return the z that a share `rate` of normal clips exceeds somewhere.

        None where there are too few normal clips to promise it.
        """
        count = len(self.held_out_maxima)
        if count == 0 or rate < smallest_promise(count):
            return None
        position = int(np.ceil((count + 1) * (1 - rate) - 1e-9))
        return float(np.sort(self.held_out_maxima)[position - 1])

    def strangeness(self, cells: AnomalyMap) -> NDArray[np.float64]:
        """Return the share (cells, 12) of held-out normal moments that are less strange."""
        shares = [
            np.interp(cells.distances[:, g], self.quantiles[:, g], LEVELS) for g in range(GROUPS)
        ]
        return np.stack(shares, axis=1)

    @cached_property
    def scale(self) -> NDArray[np.float64]:
        """What distances are divided by, (12,)."""
        spread: NDArray[np.float64] = (self.quantiles[95] - self.quantiles[50]) / NORMAL_95
        return np.maximum(spread, LEAST_SCALE)

    @cached_property
    def _counts(self) -> NDArray[np.int64]:
        """The cells of each row that has some."""
        return self.cells.counts[self.cells.rows]

    def _standardised(self, distances: NDArray[np.float64]) -> NDArray[np.float64]:
        if not len(self.quantiles):
            return np.zeros_like(distances)
        z: NDArray[np.float64] = (distances - self.quantiles[50]) / self.scale
        return z

    def _near_clips(self, key: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the clips most alike, until they are 16 and have 600 cells, or all."""
        order = np.argsort(((self.cells.keys - key) ** 2).sum(axis=1), kind="stable")
        cells = np.cumsum(self._counts[order])
        enough = int(np.searchsorted(cells, NEAR_CELLS)) + 1
        return order[: max(NEAR_CLIPS, enough)]

    def _distances(
        self, cells: ClipCells
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
        """Return D (cells, 12), the rows of the bank that were looked at, and their clips."""
        near = self._near_clips(cells.key)
        marked = np.zeros(len(self._counts), dtype=np.bool_)
        marked[near] = True
        taken = np.flatnonzero(np.repeat(marked, self._counts))
        members, queries = (
            ((values - self.mean) / self.deviation).astype(np.float32)
            for values in (self.cells.arrays(taken)[:, :, :VALUES], cells.values)
        )
        distances = np.empty((len(cells), GROUPS))
        for group in range(GROUPS):
            ours, theirs = queries[:, group], members[:, group]
            squares = np.square(ours).sum(axis=1)[:, None] - 2.0 * ours @ theirs.T
            squares += np.square(theirs).sum(axis=1)
            # The product only finds the nearest; its own distance is taken anew, without rounding.
            nearest = theirs[squares.argmin(axis=1)]
            distances[:, group] = np.linalg.norm(ours - nearest, axis=1)
        return distances, taken, self.cells.rows[near]


def _folds(recordings: Sequence[object], domains: Sequence[str]) -> list[list[bool]]:
    """Return which clips are held out at a time: whole recordings in a row, of every domain."""
    by_domain: dict[str, dict[object, int]] = {}
    for recording, domain in zip(recordings, domains, strict=True):
        numbers = by_domain.setdefault(domain, {})
        numbers.setdefault(recording, len(numbers))
    count = min(FOLDS, max(map(len, by_domain.values())))
    fold_of = {
        recording: fold
        for numbers in by_domain.values()
        for fold, part in enumerate(np.array_split(np.array(list(numbers.values())), count))
        for recording, number in numbers.items()
        if number in part
    }
    return [[fold_of[recording] == fold for recording in recordings] for fold in range(count)]
