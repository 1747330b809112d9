"""Members in lists by nearest centre, made and looked into by faiss.

Input: an `Index`. Output: `Lists`, which propose for every query the members nearest by their
coordinates: those of the sketch where there is one, else all of them.

Where distances are divided by a scale (a density), the nearest are not the best: the best value v
of a query is reached where ||q - x||^2 - v scale(x) is least. With a usual v this is a squared
distance too, once the members have one more coordinate, sqrt(v (largest scale - scale)), and
queries a 0 there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import LibraryError
from firstshot.scoring.index import Index

LISTS = 2
"""Lists per square root of the members."""
POINTS_PER_LIST, ROUNDS, SEED = 40, 10, 1234
"""Of the k-means that places the lists: members looked at, iterations, seed."""
AT_ONCE = 16
"""faiss compares fewer than 20 queries with each list's centre one by one, more in one product,
whose rounding would let a query's result depend on the batch it came in."""
LARGEST_LIFT = 100.0
"""Of squared coordinates that stand for scale, beside members' norms of 1; keeps float32 digits."""
SLACK = 1e-5
"""Far beyond the rounding of a proposed distance, as a share of it and of the norms."""


@dataclass(frozen=True)
class Lists:
    """Members in lists by the nearest of many centres; a query looks into the nearest `probes`.

    `lifts` (n,) are the squares of the coordinate that stands for a member's scale.
    """

    inverted: Any
    lifts: NDArray[np.float64]
    probes: int
    recall: float

    def nearest(
        self,
        index: Index,
        offsets: NDArray[np.float64],
        squares: NDArray[np.float64],
        count: int,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Propose members for queries that are centred and scaled like them.

        Parameters
        ----------
        offsets, squares : float64 (q, values), (q,)
            The queries and their squared norms.
        count : int
            Members per query.

        Returns
        -------
        bounds : float64 (q, count)
            Squared distances of the coordinates without the scale's, less some rounding.
        members : int64 (q, count)
            -1 where there are fewer.
        """
        coordinates = (
            offsets if index.sketch is None else index.sketch.coordinates(offsets, squares)
        )
        coordinates = np.pad(coordinates, ((0, 0), (0, 1))).astype(np.float32)
        parameters = find_faiss().SearchParametersIVF(nprobe=self.probes)
        found = [
            self.inverted.search(coordinates[start : start + AT_ONCE], count, params=parameters)
            for start in range(0, len(coordinates), AT_ONCE)
        ]
        members = np.concatenate([pair[1] for pair in found])
        bounds = np.concatenate([pair[0] for pair in found]).astype(np.float64)
        return bounds * (1 - SLACK) - self.lifts[members], members


def lifts_of(index: Index, scale: NDArray[np.float64] | None, value: float) -> NDArray[np.float64]:
    """Return the squares of the coordinate for the scale; `value` is a usual distance / scale."""
    if scale is None:
        return np.zeros(len(index))
    reached = value * scale
    if index.points.metric == "euclidean":
        reached = np.square(reached)
    elif index.points.metric == "cosine":
        reached *= 2
    lifts: NDArray[np.float64] = (reached.max() - reached) * index.unit**2
    return np.clip(lifts, 0.0, LARGEST_LIFT, out=lifts)


def inverted_lists(index: Index, lifts: NDArray[np.float64]) -> Any:
    """Return faiss' inverted lists of the members, the same ones for the same members."""
    faiss, count = find_faiss(), len(index)
    lists = max(1, int(LISTS * np.sqrt(count)))
    every = max(1, count // (lists * POINTS_PER_LIST))
    blocks = list(index.points.blocks())
    sample = np.concatenate([_of_members(index, block, lifts)[::every] for block in blocks])
    size = sample.shape[1]
    inverted = faiss.IndexIVFFlat(faiss.IndexFlatL2(size), size, lists)
    inverted.cp.niter, inverted.cp.seed = ROUNDS, SEED
    inverted.cp.min_points_per_centroid = 1
    inverted.cp.max_points_per_centroid = 2 * POINTS_PER_LIST
    inverted.train(sample)
    for block in blocks:
        inverted.add(_of_members(index, block, lifts))
    return inverted


def _of_members(index: Index, block: slice, lifts: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the members' coordinates: those of the sketch or all, centred, and one for scale."""
    rows = index.operand(block, np.float32) if index.sketch is None else index.sketch.rows[block]
    coordinates = np.empty((len(rows), rows.shape[1] - 1), dtype=np.float32)
    coordinates[:, :-1], coordinates[:, -1] = rows[:, :-2], np.sqrt(lifts[block])
    return coordinates


def find_faiss() -> Any:
    """Return the module faiss, or raise LibraryError where it cannot be imported."""
    try:
        import faiss
    except ImportError as error:
        raise LibraryError(
            f"the index faiss needs the library faiss ({error}); run "
            "`pip install 'firstshot[faiss]'`, or fit with the index exact"
        ) from error
    return faiss
