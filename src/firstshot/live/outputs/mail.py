"""Events are sent as e-mails over SMTP; the messages of one event are one conversation."""

from __future__ import annotations

import hashlib
import json
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime

from firstshot.disk.documents import Table
from firstshot.live.clock import utc_text
from firstshot.live.messages import EventReport, StateReport
from firstshot.live.outputs.protocol import DeliveryError, RefusedError
from firstshot.live.outputs.secrets import Secret, read_secret, secret_fields
from firstshot.messages import shown

_TIMEOUT = 20.0
_PORTS = {"tls": 465, "starttls": 587, "none": 25}


@dataclass
class Mail:
    """A mail server and the people it writes to; see `firstshot.live.outputs.protocol.Output`.

    `security` is "starttls", "tls", or "none" for a server on this machine.
    """

    name: str
    host: str
    port: int
    security: str
    sender: str
    to: tuple[str, ...]
    user: str | None = None
    password: Secret | None = None

    FIELDS = ("host", "port", "security", "from", "to", "user", *secret_fields("password"))

    @classmethod
    def read(cls, table: Table, name: str) -> Mail:
        """Return the output that a table of settings describes; raises ValueError."""
        security = table.choice("security", tuple(_PORTS)) if "security" in table else "starttls"
        to = [str(item) for item in table.items("to")]
        for address in (*to, table.line("from")):
            if "@" not in address or not address.isprintable() or " " in address:
                raise ValueError(f"{table.place}: {shown(address)!r} is no address of a mailbox")
        if not to:
            raise ValueError(f"{table.place}.to names no mailbox")
        password, user = read_secret(table, "password"), None
        if password is not None:
            user = table.line("user")
            if security == "none" and table.line("host") not in ("localhost", "127.0.0.1", "::1"):
                raise ValueError(
                    f'{table.place}.security is "none", which shows the password to the network; '
                    'choose "starttls" or "tls"'
                )
        port = table.whole("port", 1, 65535) if "port" in table else _PORTS[security]
        return cls(
            name, table.line("host"), port, security, table.line("from"), tuple(to), user, password
        )

    def open(self) -> None:
        """Log in and leave; nothing is sent."""
        with self._server():
            pass

    def send(self, report: EventReport | StateReport, key: str) -> None:
        """Send one e-mail to all."""
        message = compose(report, key, self.sender, self.to)
        with self._server() as server:
            server.send_message(message)

    def close(self) -> None:
        """Nothing stays open."""

    @contextmanager
    def _server(self) -> Iterator[smtplib.SMTP]:
        """Connect and log in; every fault is one of the two kinds, and tells no password."""
        where = f"the mail server {self.host}:{self.port}"
        try:
            secure = ssl.create_default_context()
            if self.security == "tls":
                server: smtplib.SMTP = smtplib.SMTP_SSL(
                    self.host, self.port, timeout=_TIMEOUT, context=secure
                )
            else:
                server = smtplib.SMTP(self.host, self.port, timeout=_TIMEOUT)
            with server:
                if self.security == "starttls":
                    server.starttls(context=secure)
                if self.user is not None and self.password is not None:
                    server.login(self.user, self.password.value)
                yield server
        except smtplib.SMTPAuthenticationError:
            raise RefusedError(f"{where} refuses the password of {self.user}") from None
        except smtplib.SMTPNotSupportedError as error:
            raise RefusedError(f"{where}: {shown(error)}; see `security`") from None
        except smtplib.SMTPRecipientsRefused as error:
            kind = (
                DeliveryError
                if any(_passes(code) for code, _ in error.recipients.values())
                else RefusedError
            )
            raise kind(f"{where} refuses {', '.join(map(shown, error.recipients))}") from None
        except smtplib.SMTPResponseException as error:
            kind = DeliveryError if _passes(error.smtp_code) else RefusedError
            raise kind(f"{where} answers with status {error.smtp_code}") from None
        except ssl.SSLCertVerificationError as error:
            raise RefusedError(f"{where}: {shown(error.verify_message)}") from None
        except (OSError, smtplib.SMTPException) as error:
            reason = getattr(error, "strerror", None) or error
            raise DeliveryError(f"{where} does not answer ({shown(reason)})") from None


def _passes(code: int) -> bool:
    return 400 <= code < 500


def compose(
    report: EventReport | StateReport, key: str, sender: str, to: tuple[str, ...]
) -> EmailMessage:
    """Return the e-mail about a message.

    Its Message-ID depends on the key alone, so a mailbox that gets it twice shows it once; the end
    of an event answers its beginning.
    """
    message = EmailMessage()
    message["From"], message["To"] = sender, ", ".join(to)
    message["Date"] = format_datetime(report.time)
    domain = sender.rpartition("@")[2]
    message["Message-ID"] = _message_id(key, domain)
    message["Auto-Submitted"] = "auto-generated"  # so that no absence notice answers it
    if isinstance(report, EventReport) and report.ended is not None:
        message["In-Reply-To"] = message["References"] = _message_id(f"{report.id}-begin", domain)
    message["Subject"] = subject(report)
    message.set_content("\n".join([*_lines(report), "", json.dumps(report.as_json(), indent=1)]))
    return message


def subject(report: EventReport | StateReport) -> str:
    """Return a message as one line.

    >>> from datetime import UTC
    >>> from firstshot.live.messages import State
    >>> noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    >>> subject(StateReport("fan", noon, State.normal, State.learning, "24 of 24 h heard."))
    'fan: normal since 2026-03-01 12:00:00Z'
    """
    if isinstance(report, StateReport):
        return f"{report.machine}: {report.state.value} since {_short(report.time)}"
    if report.kind == "digest":
        return f"{report.machine}: {report.count} events since {_short(report.started)}"
    what = "alarm" if report.kind == "alarm" else "no usable sound"
    if report.ended is None:
        return f"{report.machine}: {what} since {_short(report.started)}"
    return f"{report.machine}: {what} has ended, {_short(report.started)} to {_short(report.ended)}"


def _lines(report: EventReport | StateReport) -> list[str]:
    lines = [subject(report), report.reason]
    if isinstance(report, EventReport):
        if report.peak is not None and report.threshold is not None:
            kind = report.threshold_kind
            lines.append(
                f"Highest score {report.peak:.4g}, threshold {report.threshold:.4g} ({kind})."
            )
        if report.clip is not None:
            lines.append(f"Recording: {report.clip}")
    return lines


def _short(moment: datetime) -> str:
    return utc_text(moment)[:19].replace("T", " ") + "Z"


def _message_id(key: str, domain: str) -> str:
    return f"<firstshot.{hashlib.sha256(key.encode()).hexdigest()[:32]}@{domain}>"
