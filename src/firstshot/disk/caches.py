"""What is kept between runs says what it is: its key and a digest lie in the file itself.

Input: a key and arrays, or plain values. Output: the content of a file, and the same back once the
digest holds and the key is the one asked for. A bit that flipped, a file that was swapped with
another or put in two places, a type that changed: each is a ValueError, for which the caller sets
the file aside and computes anew. This guards against chance and not against an attacker, who can
compute a digest too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.disk.documents import Table, parse_json
from firstshot.errors import warn

ASIDE = ".damaged"
MOST_KEY = 1 << 22
"""Characters: a key may hold what a file is, as JSON."""
_KEY, _DIGEST = "key", "sha256"
_SEAL = "firstshot"
"""One text, "DIGEST KEY": safetensors writes several in any order, and equal entries are equal."""


def pack_arrays(key: str, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return arrays as a safetensors file whose header holds the key and the digest.

    >>> content = pack_arrays("a", {"x": np.arange(3)})
    >>> unpack_arrays("a", content)["x"].tolist()
    [0, 1, 2]
    >>> unpack_arrays("b", content)
    Traceback (most recent call last):
    ValueError: it is the entry of another key
    """
    from safetensors.numpy import save

    packed: bytes = save(dict(arrays), {_SEAL: f"{_digest_of_arrays(key, arrays)} {key}"})
    return packed


def key_of_arrays(content: bytes) -> str:
    """Return the key that a file of `pack_arrays` names, which `unpack_arrays` then checks.

    Raises ValueError where the content is no such file.

    >>> key_of_arrays(pack_arrays("a", {"x": np.arange(3)}))
    'a'
    """
    length = int.from_bytes(content[:8], "little")
    if not content[8:9] == b"{" or length > len(content) - 8:
        raise ValueError("it is not whole")
    header = Table.of(parse_json(content[8 : 8 + length]))
    return header.table("__metadata__").text(_SEAL, MOST_KEY).partition(" ")[2]


def unpack_arrays(key: str, content: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of `pack_arrays`, or raise ValueError saying what is wrong."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays: dict[str, NDArray[Any]] = load(content)
        header = parse_json(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (SafetensorError, KeyError, TypeError) as error:
        raise ValueError(f"it is not whole ({' '.join(str(error).split())})") from None
    digest, _, entry = header.get("__metadata__", {}).get(_SEAL, "").partition(" ")
    _check({_KEY: entry or None, _DIGEST: digest}, key, _digest_of_arrays(key, arrays))
    return arrays


def pack_json(key: str, value: Any) -> str:
    """Return plain values as a JSON document with the key and the digest.

    >>> unpack_json("a", pack_json("a", {"auc": 0.5}))
    {'auc': 0.5}
    """
    plain = json.loads(json.dumps(value))
    document = {_KEY: key, _DIGEST: digest_of_json([key, plain]), "content": plain}
    return json.dumps(document, indent=1) + "\n"


def unpack_json(key: str, content: bytes) -> Any:
    """Return the values of `pack_json`, or raise ValueError saying what is wrong."""
    document = Table.of(parse_json(content)).values
    value = document.get("content")
    _check(document, key, digest_of_json([key, value]))
    return value


def digest_of_json(value: Any) -> str:
    """Return the hex SHA-256 of plain values, whatever the order of their tables."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def set_aside(path: Path) -> str:
    """Rename a damaged file, so that it is not read again; return how to say so."""
    aside = path.with_name(path.name + ASIDE)
    with contextlib.suppress(OSError):  # another process did it, or the folder is read-only
        path.replace(aside)
        return f"set aside as {aside.name}"
    return "not used"


def warn_of_damage(path: Path, reason: object, then: str) -> None:
    """Set a damaged file aside and say so; `then` tells what is done instead."""
    warn(f"{path}: {reason}; it is {set_aside(path)}, and {then}")


def _check(header: Mapping[str, Any], key: str, digest: str) -> None:
    if header.get(_KEY) is None or header.get(_DIGEST) is None:
        raise ValueError("it has no key and digest")
    if header[_KEY] != key:
        raise ValueError("it is the entry of another key")
    if header[_DIGEST] != digest:
        raise ValueError("its content is not what was written (the digest differs)")


def _digest_of_arrays(key: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    names = sorted(arrays)
    shapes = [[name, arrays[name].dtype.str, list(arrays[name].shape)] for name in names]
    digest = hashlib.sha256(json.dumps([key, shapes]).encode())
    for name in names:
        digest.update(np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
