"""Values while a model is evaluated: Tensors, NumPy arrays that are known, lists for sequences, None for what is absent, and codes.

`Coded` holds elements of a type that no Tensor has (8-bit floats, 4- and 2-bit integers): their bits, one a byte.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.ir.struct import struct

__all__ = ["Coded", "decoded", "encoded", "is_coded", "numpy_of", "of_numpy"]

# by their names in ml_dtypes, which few models need
_INTEGERS = {"int4": (-8, 7), "uint4": (0, 15), "int2": (-2, 1), "uint2": (0, 3)}
_FLOATS = {"float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float4_e2m1fn", "float8_e8m0fnu"}


@struct
class Coded:
    """codes: int8 or uint8 values of 2- and 4-bit integers; the bits of small floats, as uint8."""

    codes: Tensor
    dtype: np.dtype


def is_coded(dtype: Any) -> bool:
    """Whether a NumPy dtype is one that no Tensor has, and that is kept in codes."""
    name = np.dtype(dtype).name
    return name in _INTEGERS or name in _FLOATS


def of_numpy(array: np.ndarray) -> np.ndarray:
    """The codes of an array of such a dtype."""
    if array.dtype.name in _INTEGERS:
        return array.astype(np.int8 if _INTEGERS[array.dtype.name][0] < 0 else np.uint8)
    return array.view(np.uint8)


def numpy_of(codes: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The array that has these codes."""
    return codes.astype(dtype) if dtype.name in _INTEGERS else codes.view(dtype)


def decoded(value: Coded) -> Tensor:
    """The numbers: 2- and 4-bit integers as 8-bit ones, small floats as float32."""
    if value.dtype.name in _INTEGERS:
        return value.codes
    count = 16 if value.dtype.name == "float4_e2m1fn" else 256
    table = np.arange(count, dtype=np.uint8).view(value.dtype).astype(np.float32)
    return ingot.from_numpy(table)[value.codes.long()]


def encoded(x: Tensor, dtype: np.dtype, saturate: bool = True, up: str = "up") -> Coded:
    """Numbers in a type of codes: integers by their lowest bits, floats rounded to the nearest, ties to even.

    saturate: what is too large becomes the largest finite number, and infinity or NaN otherwise. up: how e8m0 rounds.
    """
    if dtype.name in _INTEGERS:
        return Coded(_wrapped(x, *_INTEGERS[dtype.name]), dtype)
    if dtype.name == "float8_e8m0fnu":
        return Coded(_exponents(x, saturate, up), dtype)
    return Coded(_float_codes(x, dtype, saturate), dtype)


def _wrapped(x: Tensor, low: int, high: int) -> Tensor:
    whole = x.trunc().to(ingot.int32) if x.is_floating_point() else x.to(ingot.int32)
    whole = ((whole - low) & (high - low)) + low
    return whole.to(ingot.int8 if low else ingot.uint8)


def _float_codes(x: Tensor, dtype: np.dtype, saturate: bool) -> Tensor:
    import ml_dtypes

    info: Any = ml_dtypes.finfo(dtype)
    mantissa, smallest, largest = int(info.nmant), float(info.smallest_subnormal), float(info.max)
    name = dtype.name
    wide = x.to(ingot.float32)
    size = wide.abs()
    # the spacing of the type's numbers around x, a power of two: from the exponent of x, at least that of the subnormals
    exponent = (size.view(ingot.int32) >> 23) - 127
    lowest = int(np.log2(smallest)) + mantissa
    step_at = ingot.clamp(exponent, min=lowest) - mantissa
    step = ((ingot.clamp(step_at, min=-126) + 127) << 23).view(ingot.float32)
    rounded = ingot.round(size / step) * step
    # the code: how many numbers of the type lie below
    bits = rounded.view(ingot.int32)
    new_exponent = (bits >> 23) - 127
    normal = new_exponent >= lowest
    fraction = (bits >> (23 - mantissa)) & ((1 << mantissa) - 1)
    code = ingot.where(normal, ((new_exponent - lowest + 1) << mantissa) + fraction, (rounded / smallest).to(ingot.int32))
    top = int(np.array(largest, np.float32).astype(dtype).view(np.uint8))
    over = rounded > largest
    fn, fnuz, four = name.endswith("fn"), name.endswith("fnuz"), name == "float4_e2m1fn"
    nan = 0x80 if fnuz else 0x7F
    sign = 8 if four else 0x80
    negative = (wide.view(ingot.int32) < 0).to(ingot.int32) * sign
    if saturate or four:
        code = ingot.where(over, top, code)
        infinite = ingot.isinf(wide)
        if not four and not saturate:
            code = ingot.where(infinite, nan, code)
    else:
        code = ingot.where(over, nan if fn or fnuz else 0x7C, code)
    if fnuz:  # no negative zero
        negative = ingot.where(code == 0, 0, negative)
        if not saturate:
            negative = ingot.where(over, 0, negative)
    code = code + negative
    # what has no NaN makes of it -0, as ml_dtypes does
    return ingot.where(ingot.isnan(wide), 8 if four else nan if fnuz else nan + negative, code).to(ingot.uint8)


def _exponents(x: Tensor, saturate: bool, up: str) -> Tensor:
    bits = x.to(ingot.float32).abs().view(ingot.int32)
    exponent, fraction = bits >> 23, bits & 0x7FFFFF
    if up == "up":
        more = (fraction > 0) & ((exponent > 0) | (fraction > 0x400000))
    elif up == "nearest":
        more = ingot.where(exponent > 0, fraction >= 0x400000, fraction > 0x400000)
    else:
        more = fraction < 0
    code = exponent + more.to(ingot.int32)
    code = ingot.where(code > 254, 254 if saturate else 255, code)
    return ingot.where(ingot.isnan(x.to(ingot.float32)), 255, code).to(ingot.uint8)
