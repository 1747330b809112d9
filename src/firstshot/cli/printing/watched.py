"""Changes of watched machines as sentences on standard error, beside the JSON lines."""

from __future__ import annotations

from firstshot.cli.printing.tables import say
from firstshot.live.clock import time_text
from firstshot.live.messages import Report, StateReport


class Sentences:
    """Says each change of state; see `firstshot.live.outputs.protocol.Feed`."""

    def open(self) -> None:
        """Nothing has to be prepared."""

    def show(self, report: Report) -> None:
        """Take a message."""
        if isinstance(report, StateReport):
            say(
                f"{time_text(report.time)} {report.machine}: {report.state.value}. {report.reason}",
                err=True,
            )

    def close(self) -> None:
        """Nothing has to be closed."""
