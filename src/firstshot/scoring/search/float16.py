"""float16 rows become float32 and back, exactly and fast.

Input: finite float16 values. Output: the same values as float32. numpy converts one value after
another. Here whole-array operations move the bits, which is several times as fast: a shift by 13
puts the exponent and mantissa of a float16 where those of a float32 stand, and a product with 2^112
corrects the exponent's offset (127 - 15). Numbers below float16's normal range become right too,
since the product normalises them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import ParameterError

LARGEST_HALF = 65504.0
_MANTISSA_SHIFT = 13
_SIGN_AND_VALUE = np.int32(np.uint32(0x8FFFFFFF).astype(np.int32))
_EXPONENT = 0x7C00
_OFFSET = np.float32(2.0**112)
CACHED_VALUES = 1 << 17
"""Values per step: 512 KB of float32, which the passes over them find in the cache again."""


def to_float32(rows: NDArray[Any]) -> NDArray[np.float32]:
    """Return finite float16 rows (clips, values) as a new float32 array.

    >>> to_float32(np.array([[1.5, -2.0, 6e-8]], dtype=np.float16)).tolist()
    [[1.5, -2.0, 5.960464477539063e-08]]
    """
    out = np.empty(rows.shape, dtype=np.float32)
    step = max(1, CACHED_VALUES // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        values = out[start : start + step]
        bits = values.view(np.int32)
        np.copyto(bits, np.ascontiguousarray(rows[start : start + step]).view(np.int16))
        np.left_shift(bits, _MANTISSA_SHIFT, out=bits)
        np.bitwise_and(bits, _SIGN_AND_VALUE, out=bits)
        np.multiply(values, _OFFSET, out=values)
    return out


def all_finite(rows: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell for every row (clips, values) whether it holds neither NaN nor infinite values."""
    if rows.dtype == np.float16:  # not all ones in the exponent; numpy's own test is far slower
        finite = np.ascontiguousarray(rows).view(np.int16) & np.int16(_EXPONENT) != _EXPONENT
    else:
        finite = np.isfinite(rows)
    every: NDArray[np.bool_] = finite.all(axis=1)
    return every


def to_float16(rows: NDArray[Any], what: str = "embeddings") -> NDArray[np.float16]:
    """Return rows rounded to float16, or refuse values beyond its range.

    >>> to_float16(np.array([[0.1]])).dtype
    dtype('float16')

    Raises
    ------
    ParameterError
        A value is beyond 65504.
    """
    with np.errstate(over="ignore"):
        rounded = rows.astype(np.float16)
    lost = np.isinf(rounded) & np.isfinite(rows)
    if lost.any():
        raise ParameterError(
            f"{what} reach {np.abs(rows[lost]).max():.3g} and float16 ends at {LARGEST_HALF:g}; "
            "keep the bank in float32"
        )
    return rounded
