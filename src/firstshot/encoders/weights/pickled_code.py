"""Which code a pickle names, found without running any of it.

Input: a file that may be a pickle, or a zip as torch writes it. Output: the functions and classes
that loading it would import, besides those that tensors and plain containers need. A pickle is a
list of instructions (`pickletools` documents them); here they are listed and never carried out.
That files are loaded with `weights_only=True` is what keeps firstshot safe; this is for messages.
"""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from firstshot.disk.archives import DAMAGED

_MOST_BYTES = 1 << 22  # the tensors' names and shapes; their values come later
_MOST_PICKLES = 8  # the older format is a few pickles, one after the other
_NAME = re.compile(r"[A-Za-z_][\w.]*")
_PLAIN = re.compile(
    r"collections\.(OrderedDict|Counter|defaultdict)|_codecs\.encode|torch\.\w*Storage"
    r"|torch\.(Tensor|Size|device|bool|b?float\d\w*|double|half|u?int\d+|long|short|complex\d+)"
    r"|torch\.(_utils\._rebuild_\w+|_tensor\._rebuild_\w+|storage\.\w*Storage)"
    r"|torch\.(nn\.parameter\.(Parameter|Buffer)|serialization\._get_layout)"
)


def find_code(path: Path) -> tuple[str, ...]:
    """Return the names, as `posix.system`, in the order in which they appear; empty if none."""
    found: dict[str, None] = {}
    for content in _pickles(path):
        for _ in range(_MOST_PICKLES):
            names, whole = _read_names(content)
            found.update(dict.fromkeys(names))
            if not whole:
                break
    return tuple(name for name in found if not _PLAIN.fullmatch(name))


def is_pickle_with_code(path: Path) -> bool:
    """Return whether a file is, from its first byte, a pickle that names code.

    The oldest protocols have no sign of their own at the beginning.
    """
    for content in _pickles(path):
        names, whole = _read_names(content)
        return whole and any(not _PLAIN.fullmatch(name) for name in names)
    return False


def _pickles(path: Path) -> Iterator[io.BytesIO]:
    try:
        with path.open("rb") as file:
            start = file.read(_MOST_BYTES)
        if not start.startswith(b"PK\x03\x04"):
            yield io.BytesIO(start)
            return
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith("data.pkl"):
                    with archive.open(name) as member:
                        yield io.BytesIO(member.read(_MOST_BYTES))
    except (*DAMAGED, OSError):
        return  # damaged: the caller says so


def _read_names(content: io.BytesIO) -> tuple[list[str], bool]:
    """Names in one pickle, and whether it could be read to its end."""
    names: list[str] = []
    texts: list[str] = ["", ""]  # the last two that were put on the stack
    memo: dict[object, str] = {}
    try:
        for opcode, arg, _ in pickletools.genops(content):
            if opcode.name in ("GLOBAL", "INST"):
                names.append(_join(*str(arg).split(" ", 1)))
            elif opcode.name == "STACK_GLOBAL":
                names.append(_join(*texts))
            elif opcode.name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
                memo[len(memo) if opcode.name == "MEMOIZE" else arg] = texts[-1]
            elif opcode.name in ("GET", "BINGET", "LONG_BINGET"):
                texts = [texts[-1], memo.get(arg, "")]
            elif isinstance(arg, str):
                texts = [texts[-1], arg]
    except (ValueError, LookupError, ArithmeticError):
        return [name for name in names if name], False
    return names, all(names)


def _join(module: str, name: str = "") -> str:
    """`posix`, `system` -> `posix.system`; empty where these are no names."""
    whole = _NAME.fullmatch(module) and _NAME.fullmatch(name)
    return f"{module}.{name}" if whole else ""
