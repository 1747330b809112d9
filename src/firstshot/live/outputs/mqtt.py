"""Messages are published to an MQTT broker, and machines show up in Home Assistant.

The state of a machine and the settings of its entities are kept by the broker, and published anew
at every connection and whenever Home Assistant says that it has started. Windows are published
while there is a connection; events wait in the outbox until the broker confirms them.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from firstshot.disk.documents import Table
from firstshot.libraries import import_library
from firstshot.live.messages import EventReport, Report, StateReport, WindowReport
from firstshot.live.outputs.home_assistant import STATUS_TOPIC, Topics, discovery, slug_of
from firstshot.live.outputs.protocol import DeliveryError, RefusedError
from firstshot.live.outputs.secrets import Secret, read_secret, secret_fields
from firstshot.log import logger
from firstshot.messages import shown

_TIMEOUT = 10.0
_REFUSED = (4, 5, 134, 135, 138, 140)
"""Reasons of a broker that will not take this user: password, rights, ban, method."""
_LONGEST_PAUSE = 5
"""Seconds between attempts to connect again."""


@dataclass(frozen=True)
class Broker:
    """A broker and how it is used.

    `base` is the beginning of all topics, which no other process may have; `discovery` is Home
    Assistant's prefix, "" without it.
    """

    host: str
    port: int
    tls: bool
    user: str | None = None
    password: Secret | None = None
    base: str = "firstshot"
    discovery: str = "homeassistant"

    FIELDS = ("url", "user", *secret_fields("password"), "base", "discovery")

    @classmethod
    def read(cls, table: Table) -> Broker:
        """Return the broker that a table of settings describes; raises ValueError."""
        wrong = ValueError(
            f"{table.place}.url: expected mqtt://host:1883 or mqtts://host:8883, without user name "
            "or password (user and password_env have their own fields)"
        )
        try:
            parts = urlsplit(table.line("url"))
            port = parts.port
        except ValueError:
            raise wrong from None
        tls = parts.scheme == "mqtts"
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or "@" in parts.netloc:
            raise wrong
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise wrong
        base = table.line("base").strip("/") if "base" in table else default_base()
        prefix = table.values.get("discovery", "homeassistant")
        if not isinstance(prefix, str) or any(sign in base + prefix for sign in "+#"):
            raise ValueError(f"{table.place}: base and discovery are topics without + and #")
        user = table.line("user") if "user" in table else None
        password = read_secret(table, "password")
        return cls(
            parts.hostname, port or (8883 if tls else 1883), tls, user, password, base, prefix
        )


def default_base() -> str:
    """Return a base topic that differs from those of other computers."""
    return f"firstshot/{slug_of(socket.gethostname())}"


class Mqtt:
    """A connection to a broker, as an output of events and a feed of states and windows."""

    def __init__(self, name: str, broker: Broker, machines: Sequence[str]) -> None:
        """Prepare a connection; raises `MissingLibraryError`.

        `machines` have names whose topics differ.
        """
        self.name = name
        self._broker = broker
        self._mqtt = import_library("paho.mqtt.client", "the output mqtt")
        self._topics = {machine: Topics(broker.base, machine) for machine in machines}
        self._states: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._answered = threading.Event()
        self._refusal = ""
        self._client: Any = None

    def open(self) -> None:
        """Connect; the library connects again whenever the connection is lost."""
        if self._client is not None:
            return
        self._client = self._make_client()
        self._answered.clear()
        where = f"the broker {self._broker.host}:{self._broker.port}"
        self._client.connect_async(self._broker.host, self._broker.port, keepalive=30)
        self._client.loop_start()
        self._answered.wait(_TIMEOUT)
        if self._refusal:
            self.close()
            who = f"user {self._broker.user}" if self._broker.user else "a client without user"
            raise RefusedError(f"{where} refuses {who} ({self._refusal}); check the password")
        if not self._client.is_connected():
            raise DeliveryError(f"{where} does not answer")

    def send(self, report: EventReport | StateReport, key: str) -> None:
        """Publish an event and wait until the broker confirms it."""
        if self._client is None or not self._client.is_connected():
            raise DeliveryError(f"no connection to {self._broker.host}:{self._broker.port}")
        body = json.dumps({**report.as_json(), "key": key})
        told = self._client.publish(self._topics_of(report).event, body, qos=1)
        try:
            told.wait_for_publish(_TIMEOUT)
        except (RuntimeError, ValueError) as error:
            raise DeliveryError(f"the broker did not take it ({shown(error)})") from None
        if not told.is_published():
            raise DeliveryError("the broker does not confirm it")

    def show(self, report: Report) -> None:
        """Publish a state, which the broker keeps, or a window."""
        if isinstance(report, EventReport):
            return
        values = report.as_json()
        with self._lock:
            before = self._states.get(report.machine)
            is_new = before is None or before["state"] != values["state"]
            if isinstance(report, StateReport) or is_new:
                self._states[report.machine] = {
                    name: values.get(name) for name in ("machine", "state", "time", "reason")
                }
        if self._client is None or not self._client.is_connected():
            return
        topics = self._topics_of(report)
        if isinstance(report, WindowReport):
            self._client.publish(topics.window, json.dumps(values))
        if isinstance(report, StateReport) or is_new:
            self._publish_state(report.machine)

    def close(self) -> None:
        """Say that nobody listens any more, and disconnect."""
        client, self._client = self._client, None
        if client is None:
            return
        if client.is_connected():
            told = client.publish(self._availability(), "offline", qos=1, retain=True)
            with suppress(RuntimeError, ValueError):  # the connection is lost: the last will tells
                told.wait_for_publish(2.0)
        client.disconnect()
        client.loop_stop()

    def _make_client(self) -> Any:
        mqtt = self._mqtt
        client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=f"firstshot-{slug_of(self._broker.base)}"
        )
        if self._broker.user is not None:
            password = self._broker.password
            client.username_pw_set(self._broker.user, password.value if password else None)
        if self._broker.tls:
            client.tls_set()
        client.will_set(self._availability(), "offline", qos=1, retain=True)
        client.reconnect_delay_set(1, _LONGEST_PAUSE)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _on_connect(self, client: Any, _: Any, __: Any, reason: Any, ___: Any) -> None:
        """Publish all that the broker keeps: it may have forgotten it."""
        if reason.is_failure:
            self._refusal = str(reason) if reason.value in _REFUSED else ""
            logger.warning("%s: the broker refuses the connection (%s)", self.name, reason)
        else:
            self._refusal = ""
            client.publish(self._availability(), "online", qos=1, retain=True)
            if self._broker.discovery:
                client.subscribe(f"{self._broker.discovery}/{STATUS_TOPIC}")
            self._publish_kept(client)
        if not reason.is_failure or self._refusal:
            self._answered.set()

    def _on_disconnect(self, _: Any, __: Any, ___: Any, reason: Any, ____: Any) -> None:
        if reason.is_failure and not self._refusal:
            logger.warning("%s: the connection to the broker is lost (%s)", self.name, reason)

    def _on_message(self, client: Any, _: Any, message: Any) -> None:
        if message.payload == b"online":
            self._publish_kept(client)

    def _publish_kept(self, client: Any) -> None:
        if self._broker.discovery:
            for topics in self._topics.values():
                for topic, settings in discovery(topics, self._broker.discovery).items():
                    client.publish(topic, json.dumps(settings), qos=1, retain=True)
        for machine in list(self._states):
            self._publish_state(machine)

    def _publish_state(self, machine: str) -> None:
        with self._lock:
            body = json.dumps(self._states[machine])
        if (client := self._client) is not None:
            client.publish(self._topics[machine].state, body, qos=1, retain=True)

    def _topics_of(self, report: Report) -> Topics:
        return self._topics.setdefault(report.machine, Topics(self._broker.base, report.machine))

    def _availability(self) -> str:
        return f"{self._broker.base}/availability"
