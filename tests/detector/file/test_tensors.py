"""Arrays as bytes: what is packed comes back, aligned, and other readers read it too."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load

from firstshot.detector.file.tensors import ALIGNMENT, PIECE, pack, unpack

ARRAYS = {
    "half": np.arange(7, dtype=np.float16),
    "single": np.arange(6, dtype=np.float32).reshape(2, 3),
    "double": np.array([0.5]),
    "rows": np.arange(5),
    "none": np.empty((0, 4), np.float32),
    "one": np.array(2.5),
    "long": np.arange(PIECE // 4 + 3, dtype=np.float32),
}


def packed(arrays, place=0):
    return b"".join(pack(arrays, place))


def aligned(content, place=0):
    """The block as it lies in a file that is mapped at a multiple of the alignment."""
    whole = np.zeros(place + len(content) + ALIGNMENT, np.uint8)
    start = -whole.ctypes.data % ALIGNMENT + place
    whole[start : start + len(content)] = np.frombuffer(content, np.uint8)
    return whole[start : start + len(content)]


def header_of(content):
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length])


def with_header(content, header):
    text = json.dumps(header).encode()
    length = int.from_bytes(content[:8], "little")
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


@pytest.mark.parametrize("place", [0, 46, 66, 127])
def test_arrays_come_back_aligned_read_only_and_not_copied(place):
    block = aligned(packed(ARRAYS, place), place)
    found = unpack(block)
    assert set(found) == set(ARRAYS)
    for name, array in found.items():
        assert (array.dtype, array.shape) == (ARRAYS[name].dtype, ARRAYS[name].shape)
        assert np.array_equal(array, ARRAYS[name])
        assert array.ctypes.data % ALIGNMENT == 0 or not array.size
        assert not array.flags.writeable
        assert np.shares_memory(array, block) or not array.size


def test_arrays_that_lie_askew_are_copied():
    found = unpack(aligned(packed(ARRAYS), 1))
    for name, array in found.items():
        assert array.flags.aligned
        assert np.array_equal(array, ARRAYS[name])


def test_other_readers_of_safetensors_read_it():
    found = load(packed(ARRAYS, 46))
    assert {name for name in found if not name.startswith("padding.")} == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert np.array_equal(found[name], array)


def test_equal_arrays_are_equal_bytes_in_pieces_of_bounded_size():
    turned = dict(reversed([(name, array.copy()) for name, array in ARRAYS.items()]))
    assert packed(turned) == packed(ARRAYS)
    assert max(len(piece) for piece in pack(ARRAYS, 0)) <= PIECE
    strided = {"x": np.arange(12.0).reshape(3, 4).T}
    assert np.array_equal(unpack(aligned(packed(strided)))["x"], strided["x"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("data_offsets", [0, 1 << 40]),
        ("data_offsets", [-4, 4]),
        ("data_offsets", [8, 0]),
        ("data_offsets", [0]),
        ("shape", [2]),
        ("shape", [-1, -1]),
        ("dtype", "BF16"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(field, value):
    content = packed({"x": np.zeros(1)})
    header = header_of(content)
    header["x"][field] = value
    with pytest.raises((ValueError, KeyError)):
        unpack(aligned(with_header(content, header)))


def test_a_block_that_ends_within_its_header_is_refused():
    with pytest.raises(ValueError, match="longer than the"):
        unpack(aligned(packed(ARRAYS)[:20]))
