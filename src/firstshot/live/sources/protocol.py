"""What every source of sound offers, and what can become of one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import FirstshotError


class SourceEndedError(Exception):
    """There is no more sound, and that is no fault: a file has been read."""


class SourceLostError(FirstshotError):
    """The sound has stopped, and may come again: a device is gone, a camera does not answer."""


@dataclass(frozen=True, eq=False)
class Chunk:
    """Sound that follows the chunk before.

    Attributes
    ----------
    samples : float32 (samples, channels)
        About +-1, at the source's rate.
    rate : int
        In Hz.
    time : datetime or None
        When it ends, UTC; None means now.
    before : "", "cut" or "gap"
        What lies before it: nothing; a cut, such as between two files of one recorder, across which
        no window reaches; or missing sound, after which the alarm rule begins anew.
    lost : int
        Samples that were dropped before it.
    """

    samples: NDArray[np.float32]
    rate: int
    time: datetime | None = None
    before: Literal["", "cut", "gap"] = ""
    lost: int = 0


class Source(Protocol):
    """Where the sound comes from; one thread uses it.

    Attributes
    ----------
    name : str
        As the user names it, without secrets.
    patience : float or None
        Seconds without a chunk after which the machine counts as blind; None for a source that
        waits for nobody, such as a file that is read as fast as it can be.
    position : str
        How far it has come, for a source that can go on after a restart; else "".
    can_reopen : bool
        Whether closing and opening it may bring back sound that has stopped.
    """

    name: str
    patience: float | None
    position: str
    can_reopen: bool

    def open(self) -> None:
        """Begin; may be called again after `close`.

        Raises
        ------
        SourceLostError
            It is not there now, and may come.
        FirstshotError
            It will never be: a wrong name, a missing library.
        """

    def read(self, seconds: float) -> Chunk | None:
        """Return the next chunk, None where none comes within some seconds.

        Raises
        ------
        SourceEndedError, SourceLostError
            There is no more.
        """

    def close(self) -> None:
        """Let go of it; may be called twice."""
