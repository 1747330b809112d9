"""The last seconds of a stream, in memory that does not grow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Ring:
    """Holds the last `capacity` samples, float32 (samples, channels), of all that was pushed.

    Examples
    --------
    >>> ring = Ring(3, 1)
    >>> ring.push(np.array([[1], [2], [3], [4]], dtype=np.float32))
    >>> ring.last(2).ravel().tolist(), len(ring)
    ([3.0, 4.0], 3)
    """

    def __init__(self, capacity: int, channels: int) -> None:
        self._held = np.zeros((capacity, channels), dtype=np.float32)
        self._end = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def capacity(self) -> int:
        """The most samples that are held."""
        return len(self._held)

    def push(self, samples: NDArray[np.float32]) -> None:
        """Take samples (samples, channels); the oldest make room for them."""
        new = samples[-self.capacity :]
        first = min(len(new), self.capacity - self._end)
        self._held[self._end : self._end + first] = new[:first]
        self._held[: len(new) - first] = new[first:]
        self._end = (self._end + len(new)) % self.capacity
        self._count = min(self.capacity, self._count + len(new))

    def last(self, samples: int) -> NDArray[np.float32]:
        """Return a copy of the last samples (samples, channels), fewer where fewer are held."""
        count = min(samples, self._count)
        rows = np.arange(self._end - count, self._end) % self.capacity
        return self._held[rows]

    def clear(self) -> None:
        """Forget all samples."""
        self._end = self._count = 0
