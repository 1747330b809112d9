"""What was measured on this machine, kept in the cache so that it is measured once.

Input: the name of a kind of measurement, a key that holds all that decides it, and the value.
Output: `NAME.json` in the cache folder, values by key with a digest. A file that is absent or
damaged holds nothing, so the measurement is made again.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from firstshot.disk.cache_folder import cache_folder
from firstshot.disk.caches import pack_json, unpack_json, warn_of_damage
from firstshot.disk.documents import Table
from firstshot.disk.files import write_atomically
from firstshot.errors import OutputError

AGAIN = "it is measured again"
"""What happens to what a damaged file held."""


def measured_file(name: str) -> Path:
    """Return where the measurements of one kind are kept."""
    return cache_folder() / f"{name}.json"


def read_measured(name: str) -> dict[str, Any]:
    """Return the values by key; empty where the file is absent, or damaged and then set aside."""
    try:
        path = measured_file(name)
        return dict(Table.of(unpack_json(name, path.read_bytes())).values)
    except (OSError, OutputError):
        return {}
    except ValueError as error:
        warn_of_damage(path, error, AGAIN)
        return {}


def keep_measured(name: str, key: str, value: object) -> None:
    """Keep a value; where the cache cannot be written, it is measured again next time."""
    kept = {**read_measured(name), key: value}
    with suppress(OSError, OutputError):
        path = measured_file(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, pack_json(name, kept))
