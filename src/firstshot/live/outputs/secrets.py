"""Passwords and tokens come from the environment or from files, and are never shown."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from firstshot.disk.documents import Table

_MOST_BYTES = 4096


@dataclass(frozen=True)
class Secret:
    """A password; its `repr` does not tell it.

    >>> Secret("12345")
    Secret()
    """

    value: str = field(repr=False)


def secret_fields(name: str) -> tuple[str, str]:
    """Return the two fields of a table that may tell where a secret is.

    >>> secret_fields("password")
    ('password_env', 'password_file')
    """
    return f"{name}_env", f"{name}_file"


def read_secret(table: Table, name: str) -> Secret | None:
    """Return a secret, None where the table names none.

    Raises
    ------
    ValueError
        The variable is not set, or the file cannot be read.
    """
    variable, file = secret_fields(name)
    if variable in table and file in table:
        raise ValueError(f"{table.place} has {variable} and {file}, expected one of them")
    if variable in table:
        where = table.line(variable)
        value = os.environ.get(where, "").strip()
        missing = f"{table.place}.{variable}: the environment variable {where} is not set"
    elif file in table:
        where = table.line(file)
        missing = f"{table.place}.{file}: {where} is no file with a secret in it"
        try:
            with Path(where).open(encoding="utf-8") as opened:
                value = opened.read(_MOST_BYTES).strip()
        except (OSError, UnicodeDecodeError):
            raise ValueError(missing) from None
    else:
        return None
    if not value:
        raise ValueError(missing)
    return Secret(value)
