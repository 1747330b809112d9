"""Events start a program, which gets the message as JSON on standard input."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass

from firstshot.disk.documents import Table
from firstshot.errors import ParameterError
from firstshot.live.messages import EventReport, StateReport
from firstshot.live.outputs.protocol import DeliveryError
from firstshot.messages import shown

KEY_VARIABLE = "FIRSTSHOT_KEY"
SECONDS = 30.0


@dataclass
class Command:
    """A program; see `firstshot.live.outputs.protocol.Output`.

    It is started without a shell. The variable FIRSTSHOT_KEY holds the message's key. A status
    other than 0, and a run longer than `seconds`, count as failed.
    """

    name: str
    words: tuple[str, ...]
    seconds: float = SECONDS

    FIELDS = ("command", "seconds")

    @classmethod
    def read(cls, table: Table, name: str) -> Command:
        """Return the output that a table of settings describes; raises ValueError."""
        try:
            words = tuple(shlex.split(table.line("command", 4000)))
        except ValueError as error:
            raise ValueError(f"{table.place}.command: {error}") from None
        if not words:
            raise ValueError(f"{table.place}.command names no program")
        seconds = table.number("seconds", 0.1, 600) if "seconds" in table else SECONDS
        return cls(name, words, seconds)

    def open(self) -> None:
        """Check that the program exists."""
        if shutil.which(self.words[0]) is None:
            raise ParameterError(
                f"{self.words[0]}: no program of this name can be run; check its path and rights"
            )

    def send(self, report: EventReport | StateReport, key: str) -> None:
        """Run the program once."""
        message = json.dumps(report.as_json()).encode() + b"\n"
        try:
            # A session of its own, so that what it has started ends with it at the time limit.
            process = subprocess.Popen(
                self.words,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={**os.environ, KEY_VARIABLE: key},
                start_new_session=True,
            )
        except OSError as error:
            raise DeliveryError(f"{self.words[0]}: {error.strerror or error}") from None
        with process:
            try:
                _, said = process.communicate(message, timeout=self.seconds)
            except subprocess.TimeoutExpired:
                with suppress(OSError):
                    if sys.platform == "win32":
                        process.kill()
                    else:
                        os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                raise DeliveryError(
                    f"{self.words[0]} took longer than {self.seconds:g} s and was ended"
                ) from None
        if process.returncode != 0:
            last = said.decode("utf-8", "replace").strip().rpartition("\n")[2]
            told = f": {shown(last)}" if last else ""
            raise DeliveryError(f"{self.words[0]} ended with status {process.returncode}{told}")

    def close(self) -> None:
        """Nothing stays open."""
