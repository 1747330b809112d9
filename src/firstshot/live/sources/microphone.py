"""A microphone by its name: numbers of devices change when one is plugged in.

PortAudio calls back for every few milliseconds of sound. They wait in a queue of bounded length;
what does not fit is dropped and counted, and leaves a gap. A device that is unplugged tells
nothing, so whoever reads has to mind the time.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import ParameterError
from firstshot.libraries import import_library
from firstshot.live.sources.pcm import LIVE_PATIENCE
from firstshot.live.sources.protocol import Chunk, SourceLostError
from firstshot.messages import first_line, shown

MOST_SECONDS = 60.0
"""What waits in the queue at most."""


def list_devices() -> list[str]:
    """Return a line for each device that records: name, channels and usual rate.

    Raises
    ------
    MissingLibraryError
        sounddevice or PortAudio is not installed.
    """
    return [
        f"{one['name']} ({one['max_input_channels']} channels, {one['default_samplerate']:.0f} Hz)"
        for one in _inputs(_library())
    ]


class Microphone:
    """A device that records.

    Parameters
    ----------
    device : str
        Its name or a part of it that only one has; "" is the system's own choice.
    channels : int
        How many are recorded.
    rate : int, optional
        In Hz; None means the device's usual one.
    """

    patience: float | None = LIVE_PATIENCE
    position = ""
    can_reopen = True

    def __init__(self, device: str = "", channels: int = 1, rate: int | None = None) -> None:
        self.name = f"mic:{device}" if device else "mic"
        self.dropped = 0
        self._device = device
        self._channels = channels
        self._wanted_rate = rate
        self._rate = 0
        self._stream: Any = None
        self._queue: deque[Chunk] = deque()
        self._held = self._lost = 0
        self._gap = False
        self._came = threading.Condition()

    def open(self) -> None:
        """Begin to record.

        Raises
        ------
        MissingLibraryError
            sounddevice or PortAudio is not installed.
        ParameterError
            Several devices have the name, or it has too few channels.
        SourceLostError
            No device has the name now, or it cannot be opened.
        """
        library = _library()
        if self._stream is None:
            # PortAudio lists devices once; without this, one that came later is not found.
            library._terminate()
            library._initialize()
        found = self._find(library)
        if found["max_input_channels"] < self._channels:
            raise ParameterError(
                f"{self.name}: {shown(found['name'])} has {found['max_input_channels']} channels, "
                f"and the detector needs {self._channels}; choose another device"
            )
        self._rate = self._wanted_rate or round(found["default_samplerate"])
        try:
            self._stream = library.InputStream(
                samplerate=self._rate,
                device=found["index"],
                channels=self._channels,
                dtype="float32",
                callback=self._take,
            )
            self._stream.start()
        except library.PortAudioError as error:
            self.close()
            raise SourceLostError(
                f"{self.name}: cannot be opened ({shown(first_line(error))}); check that nothing "
                "else uses it"
            ) from error

    def read(self, seconds: float) -> Chunk | None:
        """Return all that has come, None where nothing comes within some seconds."""
        with self._came:
            if not self._queue:
                self._came.wait(seconds)
            if not self._queue:
                return None
            chunks, gap, lost = list(self._queue), self._gap, self._lost
            self._queue.clear()
            self._held = self._lost = 0
            self._gap = False
        samples = np.concatenate([chunk.samples for chunk in chunks])
        return Chunk(samples, self._rate, before="gap" if gap else "", lost=lost)

    def close(self) -> None:
        """Let go of the device."""
        if self._stream is not None:
            self._stream.abort()
            self._stream.close()
            self._stream = None

    def _take(self, samples: NDArray[np.float32], frames: int, time: Any, status: Any) -> None:
        """Take what PortAudio recorded; it must not wait here."""
        with self._came:
            if status.input_overflow:
                self._drop(0)
            if self._held + frames > MOST_SECONDS * self._rate:
                self._drop(self._held)
                self._queue.clear()
                self._held = 0
            self._queue.append(Chunk(samples.copy(), self._rate))
            self._held += frames
            self._came.notify()

    def _drop(self, samples: int) -> None:
        self._gap = True
        self._lost += samples
        self.dropped += samples

    def _find(self, library: Any) -> Any:
        """Return the only device with the name; a device may have it whole, others as a part."""
        devices = _inputs(library)
        if not devices:
            raise SourceLostError(f"{self.name}: no device records here; plug in a microphone")
        if not self._device:
            return library.query_devices(kind="input")
        wanted = self._device.casefold()
        whole = [one for one in devices if one["name"].casefold() == wanted]
        found = whole or [one for one in devices if wanted in one["name"].casefold()]
        names = ", ".join(shown(one["name"]) for one in (found or devices))
        if not found:
            raise SourceLostError(
                f"{self.name}: no device that records has this name; there are: {names}"
            )
        if len(found) > 1:
            raise ParameterError(f"{self.name}: several devices have this name ({names}); say more")
        return found[0]


def _library() -> Any:
    return import_library("sounddevice", "a microphone")


def _inputs(library: Any) -> list[Any]:
    return [one for one in library.query_devices() if one["max_input_channels"] > 0]
