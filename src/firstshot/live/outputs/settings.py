"""Tables of settings become outputs.

Input: the `[[outputs]]` tables of a configuration, or the same tables made of command-line options.
Output: `OutputSettings`, checked without a network, and from them `Outputs`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from firstshot.disk.documents import Table
from firstshot.errors import ParameterError
from firstshot.live.clock import Clock
from firstshot.live.outputs.command import Command
from firstshot.live.outputs.delivery.thread import DeliveryRules
from firstshot.live.outputs.home_assistant import slug_of
from firstshot.live.outputs.mail import Mail
from firstshot.live.outputs.metrics import Metrics
from firstshot.live.outputs.mqtt import Broker, Mqtt
from firstshot.live.outputs.protocol import Feed, Output
from firstshot.live.outputs.publisher import Outputs
from firstshot.live.outputs.webhook import Webhook

Make = Callable[[Sequence[str], Clock], Output | Feed]
_COMMON = ("kind", "name")
_RULES = ("tell", "ends", "per_minute", "quiet_seconds")


@dataclass(frozen=True)
class OutputSettings:
    """One output: its name, its rules, and what makes it for some machines."""

    name: str
    kind: str
    rules: DeliveryRules
    make: Make


def read_outputs(tables: Sequence[Any], place: str = "outputs") -> list[OutputSettings]:
    """Return the outputs that tables describe.

    Parameters
    ----------
    tables : sequence
        Each should be a table with a `kind`: webhook, mqtt, mail, command or metrics.
    place : str
        What the list is called, for messages.

    Raises
    ------
    ValueError
        A field is missing, not known or wrong, or a secret is not there; it names the field.
    """
    found: dict[str, OutputSettings] = {}
    for number, values in enumerate(tables):
        table = Table.of(values, f"{place}[{number}]")
        settings = _read_output(table)
        if settings.name in found:
            raise ValueError(
                f"{table.place}: an output named {settings.name} is there already; give it a `name`"
            )
        found[settings.name] = settings
    return list(found.values())


def make_outputs(
    settings: Sequence[OutputSettings],
    feeds: Sequence[Feed],
    machines: Sequence[str],
    folder: Path,
    clock: Clock,
) -> Outputs:
    """Return the outputs of a process.

    Parameters
    ----------
    settings : sequence of OutputSettings
        From `read_outputs`.
    feeds : sequence of Feed
        Others that see every message, such as standard output.
    machines : sequence of str
        The names of all machines.
    folder : Path
        Where messages wait until they have arrived.
    clock : Clock
        Tells the time.

    Raises
    ------
    FirstshotError
        A library is missing, or the folder cannot be used.
    """
    made = [(item, item.make(machines, clock)) for item in settings]
    outputs = Outputs(
        [(output, item.rules) for item, output in made if isinstance(output, Output)],
        [*feeds, *(feed for _, feed in made if isinstance(feed, Feed))],
        folder,
        clock,
    )
    for _, output in made:
        if isinstance(output, Metrics):
            output.deliveries = outputs.counts
    return outputs


def _read_output(table: Table) -> OutputSettings:
    kind = table.choice("kind", tuple(_KINDS))
    fields, read, rules = _KINDS[kind]
    table.only((*_COMMON, *fields, *(_RULES if rules is not None else ())))
    name = table.line("name", 40) if "name" in table else kind
    if slug_of(name) != name:
        raise ValueError(f"{table.place}.name is {name!r}, expected a-z, 0-9 and _")
    return OutputSettings(
        name, kind, _read_rules(table, rules or DeliveryRules()), read(table, name)
    )


def _read_rules(table: Table, rules: DeliveryRules) -> DeliveryRules:
    changed: dict[str, Any] = {}
    if "tell" in table:
        types = table.items("tell")
        if not types or any(item not in ("event", "state") for item in types):
            raise ValueError(f'{table.place}.tell: expected ["event"], ["state"] or both')
        changed["types"] = frozenset(types)
    if "ends" in table:
        changed["ends"] = table.flag("ends")
    if "per_minute" in table:
        changed["per_minute"] = table.whole("per_minute", 1, 600)
    if "quiet_seconds" in table:
        changed["quiet_seconds"] = table.number("quiet_seconds", 0, 86400)
    return replace(rules, **changed)


def _webhook(table: Table, name: str) -> Make:
    webhook = Webhook.read(table, name)
    return lambda machines, clock: webhook


def _mail(table: Table, name: str) -> Make:
    mail = Mail.read(table, name)
    return lambda machines, clock: mail


def _command(table: Table, name: str) -> Make:
    command = Command.read(table, name)
    return lambda machines, clock: command


def _mqtt(table: Table, name: str) -> Make:
    broker = Broker.read(table)
    return lambda machines, clock: Mqtt(name, broker, _with_topics(machines))


def _with_topics(machines: Sequence[str]) -> Sequence[str]:
    """Return the machines; raises `ParameterError` where two would have the same topics."""
    topics: dict[str, str] = {}
    for machine in machines:
        other = topics.setdefault(slug_of(machine), machine)
        if other != machine:
            raise ParameterError(
                f"machines {other!r} and {machine!r} would have the same MQTT topics "
                f"({slug_of(machine)}); rename one of them"
            )
    return machines


def _metrics(table: Table, name: str) -> Make:
    port, address = Metrics.read(table)
    return lambda machines, clock: Metrics(port, address, clock)


_KINDS: Mapping[str, tuple[tuple[str, ...], Callable[[Table, str], Make], DeliveryRules | None]] = {
    "webhook": (Webhook.FIELDS, _webhook, DeliveryRules()),
    "mqtt": (Broker.FIELDS, _mqtt, DeliveryRules()),
    "mail": (Mail.FIELDS, _mail, DeliveryRules(ends=False, per_minute=10)),
    "command": (Command.FIELDS, _command, DeliveryRules(most_tries=3)),
    "metrics": (Metrics.FIELDS, _metrics, None),
}
"""Kind -> its own fields, what reads them, and its rules; None where no messages are delivered."""
