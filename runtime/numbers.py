"""Python numbers that enter a graph at run time: checked against the dtype they are to have."""

from __future__ import annotations

import math
from typing import Any

from ingot.ir.dtypes import DType, f16, f32, f64
from ingot.ir.types import TensorType, tensor_type
from ingot.runtime.array import Array, host

__all__ = ["number", "host_number", "wrap_i64", "rank0"]

_RANK0: dict[DType, TensorType] = {}


def rank0(dtype: DType) -> TensorType:
    """The type of a number of `dtype`."""
    found = _RANK0.get(dtype)
    if found is None:
        found = _RANK0[dtype] = tensor_type(dtype, ())
    return found


def number(value: Any, dtype: DType) -> bool | int | float | complex:
    """`value` as the Python number that stands for it in `dtype`.

    RuntimeError, as in torch, where an integer dtype cannot hold it; TypeError if it is no number.
    """
    kind = dtype.kind
    if kind == "c":
        return complex(value)
    if isinstance(value, complex):
        if value.imag:
            raise RuntimeError(f"value cannot be converted to type {dtype.torch_name} without overflow")
        value = value.real
    if kind == "f":
        value = float(value)
        if dtype is f32 and math.isfinite(value) and abs(value) > 3.4028235677973366e38:
            return math.copysign(math.inf, value)  # what rounding to float32 gives
        if dtype is f16 and math.isfinite(value) and abs(value) >= 65520.0:
            return math.copysign(math.inf, value)
        return value
    if kind == "b":
        return bool(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise RuntimeError(f"value cannot be converted to type {dtype.torch_name}: {value}")
    n = int(value)
    bits = dtype.bits
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if kind == "i" else (0, (1 << bits) - 1)
    if not low <= n <= high:
        raise RuntimeError(f"value cannot be converted to type {dtype.torch_name} without overflow: {n}")
    return n


def host_number(value: Any, dtype: DType) -> Array:
    """`value` as a rank-0 Array of `dtype`, passed by value to the code that reads it."""
    return host(rank0(dtype), value if type(value) is float and dtype is f64 else number(value, dtype))


def wrap_i64(n: int) -> int:
    """The low 64 bits of `n` as a signed number."""
    n &= (1 << 64) - 1
    return n - (1 << 64) if n >> 63 else n
