"""Events are posted to an address as JSON, signed.

The body is the message's public form. `Idempotency-Key` is the same at every attempt for a message.
With a secret, `X-Firstshot-Signature` is "sha256=" and the hex HMAC-SHA256 of the body under it, so
that the receiver knows who sent it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from firstshot.disk.documents import Table
from firstshot.live.messages import EventReport, StateReport
from firstshot.live.outputs.protocol import DeliveryError, RefusedError
from firstshot.live.outputs.secrets import Secret, read_secret, secret_fields
from firstshot.web import PASSING, Unreachable, post, shown_host

_TIMEOUT = 10.0
_PASSING = (*PASSING, 425)


@dataclass
class Webhook:
    """An address that takes messages by POST; see `firstshot.live.outputs.protocol.Output`.

    Attributes
    ----------
    name : str
        The output's name.
    url : Secret
        The address; its path is often all that protects it, so messages name only its server.
    secret : Secret or None
        What signs the body.
    token : Secret or None
        Sent as `Authorization: Bearer ...`.
    """

    name: str
    url: Secret
    secret: Secret | None = None
    token: Secret | None = None

    FIELDS = ("url", *secret_fields("url"), *secret_fields("secret"), *secret_fields("token"))

    @classmethod
    def read(cls, table: Table, name: str) -> Webhook:
        """Return the output that a table of settings describes; raises ValueError."""
        url = read_secret(table, "url") or Secret(table.line("url", 2000))
        if shown_host(url.value) is None:
            raise ValueError(
                f"{table.place}.url: expected an address such as https://host/path, without user "
                "name or password (token_env names a variable with a bearer token)"
            )
        return cls(name, url, read_secret(table, "secret"), read_secret(table, "token"))

    def open(self) -> None:
        """Connect to the server and leave; nothing is sent."""
        parts = urlsplit(self.url.value)
        if getproxies().get(parts.scheme.lower()) and not proxy_bypass(str(parts.hostname)):
            return  # the proxy alone can reach it
        port = parts.port or (443 if parts.scheme.lower() == "https" else 80)
        try:
            socket.create_connection((str(parts.hostname), port), _TIMEOUT).close()
        except OSError as error:
            raise DeliveryError(
                f"{self._where()} does not answer ({error.strerror or error})"
            ) from None

    def send(self, report: EventReport | StateReport, key: str) -> None:
        """Post a message; any status from 200 to 299 means that it has arrived."""
        body = json.dumps(report.as_json()).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        if self.secret is not None:
            headers["X-Firstshot-Signature"] = sign(body, self.secret)
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token.value}"
        try:
            with post(self.url.value, body, _TIMEOUT, headers) as answer:
                status = answer.status
        except Unreachable as error:
            raise DeliveryError(f"{self._where()} does not answer ({error})") from None
        if 200 <= status < 300:
            return
        if status in _PASSING:
            raise DeliveryError(f"{self._where()} answers with status {status}")
        raise RefusedError(f"{self._where()} answers with status {status}")

    def close(self) -> None:
        """Nothing stays open."""

    def _where(self) -> str:
        return f"the webhook at {shown_host(self.url.value)}"


def sign(body: bytes, secret: Secret) -> str:
    """Return the signature of a body.

    >>> sign(b"{}", Secret("key"))[:20]
    'sha256=a777724d943eb'
    """
    return f"sha256={hmac.new(secret.value.encode(), body, hashlib.sha256).hexdigest()}"
