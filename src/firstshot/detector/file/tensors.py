"""Arrays as one block of bytes in the safetensors layout, written by pieces and read as views.

Layout: the header's length (8 bytes), a JSON header that names every array with its type, shape and
place, padded with spaces, then the arrays. Where the block's own place in a file is known, every
array begins at a multiple of 64 bytes of that file: between arrays lie others named `padding.N`,
which other readers of safetensors show and this one leaves out. No byte of it is code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.disk.documents import Table, parse_json

ALIGNMENT = 64
MOST_HEADER = 1 << 22
"""Bytes of a header: a detector has some dozens of arrays, and each takes a line."""
PIECE = 1 << 20
"""Bytes that are written at once."""

_PADDING = "padding."
_TYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "U8": "|u1"}
_NAMES = {np.dtype(kind): name for name, kind in _TYPES.items()}


def pack(arrays: Mapping[str, NDArray[Any]], place: int) -> Iterator[memoryview]:
    """Yield the block of bytes, piece by piece, for a file in which it begins at byte `place`.

    Raises KeyError for an array of another type than those that the layout is used with.
    """
    header: dict[str, Any] = {}
    padded: list[NDArray[Any]] = []
    end = 0
    # Sorted, so that equal arrays are equal bytes.
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        gap = -end % ALIGNMENT
        if gap:
            header[f"{_PADDING}{len(padded)}"] = _entry("U8", [gap], end)
            padded.append(np.zeros(gap, np.uint8))
        header[name] = _entry(_NAMES[array.dtype], list(array.shape), end + gap, array.nbytes)
        padded.append(array)
        end += gap + array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(place + 8 + len(text)) % ALIGNMENT)
    yield memoryview(len(text).to_bytes(8, "little") + text)
    for array in padded:
        content = array.reshape(-1).view(np.uint8).data
        for start in range(0, len(content), PIECE):
            yield content[start : start + PIECE]


def unpack(block: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Return the arrays of a block: read-only views of it, copies where they are not aligned.

    Raises ValueError where the block is not in the layout.
    """
    length = int.from_bytes(block[:8].tobytes(), "little")
    if len(block) < 8 + length:
        raise ValueError(f"its header of {length} bytes is longer than the {len(block)} there are")
    text = block[8 : 8 + min(length, MOST_HEADER + 1)].tobytes()
    header = Table.of(parse_json(text, MOST_HEADER))
    content = block[8 + length :]
    arrays = {}
    for name in header.values:
        if name.startswith(_PADDING) or name == "__metadata__":
            continue
        entry = header.table(name)
        kind = np.dtype(_TYPES[entry.choice("dtype", _TYPES)])
        shape = entry.wholes("shape") if entry.items("shape") else ()
        start, stop = entry.wholes("data_offsets")
        if stop > len(content):
            raise ValueError(f"{name}: bytes {start} to {stop} of {len(content)}")
        if stop - start != math.prod(shape) * kind.itemsize:
            raise ValueError(f"{name}: {stop - start} bytes for shape {shape}")
        raw = content[start:stop]
        if raw.ctypes.data % kind.itemsize:
            raw = raw.copy()
        array = raw.view(kind).reshape(shape)
        array.setflags(write=False)
        arrays[name] = array
    return arrays


def _entry(kind: str, shape: list[int], start: int, size: int | None = None) -> dict[str, Any]:
    stop = start + (shape[0] if size is None else size)
    return {"dtype": kind, "shape": shape, "data_offsets": [start, stop]}
