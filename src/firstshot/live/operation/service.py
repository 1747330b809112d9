"""A service manager such as systemd is told that the process is ready, alive, and about to end.

The protocol is that of sd_notify(3): a datagram of lines NAME=VALUE to the socket that the variable
NOTIFY_SOCKET names. Without the variable nothing is told. A process that stops telling that it is
alive is started again by the manager.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence

from firstshot.live.clock import Clock
from firstshot.numbers import read_whole

HANGS_SECONDS = 120.0
"""A thread that does nothing for so long hangs; waiting for a lost source takes less."""


class ServiceManager:
    """Tells the service manager about this process.

    Parameters
    ----------
    clock : Clock
        Tells the time.
    environ : mapping
        Where NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are.
    """

    def __init__(self, clock: Clock, environ: Mapping[str, str] = os.environ) -> None:
        self._clock = clock
        self._address = environ.get("NOTIFY_SOCKET", "")
        microseconds = read_whole(environ.get("WATCHDOG_USEC", "")) or 0
        of_another = environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid())
        self.seconds: float | None = None if of_another or not microseconds else microseconds / 1e6
        """How long the manager waits for a sign of life; None where it waits for none."""
        self._next = 0.0
        self._is_ready = False

    def alive(self, beats: Sequence[float]) -> None:
        """Give a sign of life, the first one of which means that the process is ready.

        Call it often: a sign is sent in time and no more often than needed. `beats` are the times,
        by the monotonic clock, at which each thread was last known to work; none is given for a
        process one of whose threads hangs.
        """
        now = self._clock.monotonic()
        if not self._is_ready:
            self._is_ready = True
            self._tell("READY=1")
        works = all(now - beat < HANGS_SECONDS for beat in beats)
        if self.seconds is not None and now >= self._next and works:
            self._next = now + self.seconds / 4
            self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """Tell that the process is about to end."""
        self._tell("STOPPING=1")

    def _tell(self, *lines: str) -> None:
        if not self._address.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
                told.sendto("\n".join(lines).encode(), address)
        except OSError:
            pass  # a manager that does not listen is no reason to stop listening to a machine
