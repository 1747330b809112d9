"""What is kept between runs is what was written, or it is set aside."""

from __future__ import annotations

import json

import numpy as np
import pytest

from firstshot.disk.caches import (
    pack_arrays,
    pack_json,
    set_aside,
    unpack_arrays,
    unpack_json,
    warn_of_damage,
)
from firstshot.errors import FirstshotWarning

ARRAYS = {
    "half": np.arange(6, dtype=np.float16).reshape(2, 3),
    "single": np.linspace(0, 1, 7, dtype=np.float32),
    "whole": np.array(3, dtype=np.int64),
    "empty": np.empty((0, 4)),
}


def test_arrays_come_back_with_their_types_and_shapes_and_equal_ones_are_equal_bytes():
    content = pack_arrays("key", ARRAYS)
    found = unpack_arrays("key", content)
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert np.array_equal(found[name], array)
    assert pack_arrays("key", dict(reversed(ARRAYS.items()))) == content


def test_every_flipped_bit_of_an_entry_is_refused_or_changes_no_array():
    content = pack_arrays("key", ARRAYS)
    for place in range(len(content)):
        for bit in (1, 32):
            flipped = bytearray(content)
            flipped[place] ^= bit
            try:
                found = unpack_arrays("key", bytes(flipped))
            except ValueError as error:
                assert "\n" not in str(error)
                continue
            assert found.keys() == ARRAYS.keys()
            for name, array in ARRAYS.items():
                assert (found[name].dtype, found[name].tobytes()) == (array.dtype, array.tobytes())


def test_every_flipped_bit_of_json_is_refused_or_changes_no_value():
    value = {"7": {"auc": 0.75, "pauc": 0.5}, "8": "fails"}
    content = pack_json("key", value).encode()
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1
        try:
            assert unpack_json("key", bytes(flipped)) == value
        except ValueError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    "content", ["[]", "3", "{}", '{"key": "key"}', '{"key": 1, "sha256": 2}', '{"key": []}']
)
def test_json_of_another_shape_is_refused(content):
    with pytest.raises(ValueError, match=r"key|table"):
        unpack_json("key", content.encode())


def test_the_entry_of_another_key_is_refused_though_its_digest_holds():
    with pytest.raises(ValueError, match="the entry of another key"):
        unpack_arrays("key", pack_arrays("other", ARRAYS))
    with pytest.raises(ValueError, match="the entry of another key"):
        unpack_json("key", pack_json("other", [1]).encode())
    moved = {**json.loads(pack_json("other", [1])), "key": "key"}
    with pytest.raises(ValueError, match="the digest differs"):
        unpack_json("key", json.dumps(moved).encode())


def test_a_damaged_file_is_set_aside_under_another_name_and_said(tmp_path):
    path = tmp_path / "entry.json"
    path.write_text("{")
    with pytest.warns(FirstshotWarning, match=r"entry\.json: cut; it is set aside as entry\.json"):
        warn_of_damage(path, "cut", "made anew")
    assert [p.name for p in tmp_path.iterdir()] == ["entry.json.damaged"]
    assert set_aside(path) == "not used"
