"""The options of `firstshot watch` that say where messages go become the tables of a configuration.

Passwords are never options, which every user of a computer can see: they come from the environment.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstshot.errors import ParameterError

if TYPE_CHECKING:
    from firstshot.live.clips.settings import ClipSettings
    from firstshot.live.outputs.settings import OutputSettings

Webhook = Annotated[
    str | None,
    typer.Option(
        help="Post events to this address as JSON, signed with FIRSTSHOT_WEBHOOK_SECRET where the "
        "environment has it."
    ),
]
Mqtt = Annotated[
    str | None,
    typer.Option(
        help="Publish to mqtt://HOST or mqtts://HOST, also for Home Assistant; user and password "
        "are FIRSTSHOT_MQTT_USER and FIRSTSHOT_MQTT_PASSWORD in the environment."
    ),
]
Mail = Annotated[
    str | None,
    typer.Option(help="Send alarms to this mailbox, by the server of --mail-server."),
]
MailServer = Annotated[
    str | None,
    typer.Option(
        help="A mail server with STARTTLS; user and password are FIRSTSHOT_MAIL_USER and "
        "FIRSTSHOT_MAIL_PASSWORD in the environment."
    ),
]
Exec = Annotated[
    str | None,
    typer.Option("--exec", help="Run this command for each event, with the JSON as its input."),
]
MetricsPort = Annotated[
    int | None, typer.Option("--metrics", help="Show metrics for Prometheus on this local port.")
]
Clips = Annotated[
    Path | None,
    typer.Option(help="Record what is around each alarm into this folder, as FLAC."),
]
ClipsLimit = Annotated[
    str | None, typer.Option(help="Bytes of all clips, which are never passed. Default: 10 GB.")
]


def read_output_options(
    webhook: str | None,
    mqtt: str | None,
    mail: str | None,
    mail_server: str | None,
    command: str | None,
    metrics: int | None,
) -> tuple[OutputSettings, ...]:
    """Return the outputs that options describe; raises `ParameterError`."""
    from firstshot.live.outputs.settings import read_outputs

    tables: list[dict[str, Any]] = []
    if webhook is not None:
        tables.append({"kind": "webhook", "url": webhook, **_secret("secret", "WEBHOOK_SECRET")})
    if mqtt is not None:
        tables.append({"kind": "mqtt", "url": mqtt, **_user("MQTT")})
    if (mail is None) != (mail_server is None):
        raise ParameterError("--mail and --mail-server go together; give both")
    if mail is not None:
        sender = {"host": mail_server, "from": mail, "to": [mail]}
        tables.append({"kind": "mail", **sender, **_user("MAIL")})
    if command is not None:
        tables.append({"kind": "command", "command": command})
    if metrics is not None:
        tables.append({"kind": "metrics", "port": metrics})
    try:
        return tuple(read_outputs(tables, "the options"))
    except ValueError as error:
        raise ParameterError(str(error)) from error


def read_clip_options(folder: Path | None, limit: str | None) -> ClipSettings | None:
    """Return how clips are recorded, None for not at all; raises `ParameterError`."""
    from firstshot.disk.documents import Table
    from firstshot.live.clips.settings import read_clips

    if folder is None:
        if limit is not None:
            raise ParameterError("--clips-limit is of use with --clips only; add --clips DIR")
        return None
    values = {"folder": str(folder), **({"limit": limit} if limit is not None else {})}
    try:
        return read_clips(Table(values, "--clips"))
    except ValueError as error:
        raise ParameterError(str(error)) from error


def _secret(field: str, variable: str) -> dict[str, str]:
    """Return the field that names a variable, where the environment has it."""
    name = f"FIRSTSHOT_{variable}"
    return {f"{field}_env": name} if os.environ.get(name) else {}


def _user(service: str) -> dict[str, str]:
    user = os.environ.get(f"FIRSTSHOT_{service}_USER", "")
    return {**({"user": user} if user else {}), **_secret("password", f"{service}_PASSWORD")}
