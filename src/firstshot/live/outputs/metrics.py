"""The latest window and state of each machine, on a port that Prometheus and others read."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from firstshot.disk.documents import Table
from firstshot.errors import ParameterError
from firstshot.libraries import import_library
from firstshot.live.clock import Clock
from firstshot.live.messages import EventReport, Report, State, WindowReport

LOOPBACK = "127.0.0.1"


@dataclass
class _Seen:
    """What is known of one machine."""

    window: WindowReport | None = None
    state: State | None = None
    latency: float = 0.0
    windows: int = 0
    events: Counter[str] = field(default_factory=Counter)
    blind_seconds: float = 0.0
    blind_since: float | None = None
    dropped: int = 0


class Metrics:
    """A page of metrics on a port; see `firstshot.live.outputs.protocol.Feed`.

    `deliveries` returns, for each output by name, its counts of messages by result.
    """

    FIELDS = ("port", "address")

    def __init__(
        self,
        port: int,
        address: str,
        clock: Clock,
        deliveries: Callable[[], Mapping[str, Mapping[str, int]]] = dict,
    ) -> None:
        """Prepare the page; raises `MissingLibraryError`."""
        self._library = import_library("prometheus_client", "the output metrics")
        self.port, self.address = port, address
        self.deliveries = deliveries
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._lock = threading.Lock()
        self._server: Any = None

    @staticmethod
    def read(table: Table) -> tuple[int, str]:
        """Return the port and the address of a table of settings; raises ValueError."""
        address = table.line("address") if "address" in table else LOOPBACK
        return table.whole("port", 1, 65535), address

    def open(self) -> None:
        """Serve the page; raises `ParameterError` where the port cannot be had."""
        registry = self._library.CollectorRegistry()
        registry.register(self)
        try:
            self._server, _ = self._library.start_http_server(
                self.port, self.address, registry=registry
            )
        except OSError as error:
            raise ParameterError(
                f"metrics: port {self.port} of {self.address} cannot be used "
                f"({error.strerror or error}); choose another port"
            ) from None

    def show(self, report: Report) -> None:
        """Take a message."""
        now = self._clock.monotonic()
        with self._lock:
            seen = self._seen.setdefault(report.machine, _Seen())
            if isinstance(report, EventReport):
                seen.events[report.kind] += report.ended is None
                return
            if isinstance(report, WindowReport):
                seen.window = report
                seen.windows += 1
                seen.latency = (self._clock.now() - report.time).total_seconds()
            _change(seen, report.state, now)

    def count_dropped(self, machine: str, samples: int) -> None:
        """Tell how many samples a source has lost since the start."""
        with self._lock:
            self._seen.setdefault(machine, _Seen()).dropped = samples

    def close(self) -> None:
        """Serve the page no longer."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def collect(self) -> Iterator[Any]:
        """Yield the metrics; the library calls it for every reader of the page."""
        with self._lock:
            yield from self._of_machines(self._clock.monotonic())
        yield self._of_deliveries()

    def _of_machines(self, now: float) -> Iterator[Any]:
        core = self._library.metrics_core
        windows = {name: seen for name, seen in self._seen.items() if seen.window is not None}
        for name, text, value in _GAUGES:
            gauge = core.GaugeMetricFamily(f"firstshot_{name}", text, labels=["machine"])
            for machine, seen in windows.items():
                number = None if seen.window is None else value(seen.window)
                if number is not None:
                    gauge.add_metric([machine], number)
            yield gauge
        latency = core.GaugeMetricFamily(
            "firstshot_latency_seconds",
            "From the end of the last window to its result",
            labels=["machine"],
        )
        for machine, seen in windows.items():
            latency.add_metric([machine], seen.latency)
        yield latency
        states = core.GaugeMetricFamily(
            "firstshot_state", "1 for the state that a machine is in", labels=["machine", "state"]
        )
        events = core.CounterMetricFamily(
            "firstshot_events", "Events that have begun", labels=["machine", "kind"]
        )
        for machine, seen in self._seen.items():
            for state in State:
                states.add_metric([machine, state.value], float(seen.state == state))
            for kind, number in seen.events.items():
                events.add_metric([machine, kind], number)
        yield states
        yield events
        for name, text, count in _COUNTERS:
            counter = core.CounterMetricFamily(f"firstshot_{name}", text, labels=["machine"])
            for machine, seen in self._seen.items():
                counter.add_metric([machine], count(seen, now))
            yield counter

    def _of_deliveries(self) -> Any:
        family = self._library.metrics_core.CounterMetricFamily(
            "firstshot_deliveries", "Messages of an output", labels=["output", "result"]
        )
        for output, counts in self.deliveries().items():
            for result, number in counts.items():
                family.add_metric([output, result], number)
        return family


_GAUGES: tuple[tuple[str, str, Callable[[WindowReport], float | None]], ...] = (
    ("score", "Score of the last window", lambda window: window.score),
    ("ranked_score", "What the alarm rule compares", lambda window: window.ranked),
    ("threshold", "The threshold of the alarm rule", lambda window: window.threshold),
    ("level_dbfs", "Level of the last window", lambda window: window.level_dbfs),
)
_COUNTERS: tuple[tuple[str, str, Callable[[_Seen, float], float]], ...] = (
    ("windows", "Windows judged", lambda seen, _: seen.windows),
    (
        "dropped_samples",
        "Samples that were lost before they were judged",
        lambda seen, _: seen.dropped,
    ),
    (
        "blind_seconds",
        "Time in which the machine could not be judged",
        lambda seen, now: (
            seen.blind_seconds + (0.0 if seen.blind_since is None else now - seen.blind_since)
        ),
    ),
)


def _change(seen: _Seen, state: State, now: float) -> None:
    """Note a state, and the end of a time without usable sound."""
    if state != State.blind and seen.blind_since is not None:
        seen.blind_seconds += now - seen.blind_since
        seen.blind_since = None
    if state == State.blind and seen.blind_since is None:
        seen.blind_since = now
    seen.state = state
