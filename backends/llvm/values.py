"""Values of LLVM IR as text: types, literals, and what a value is.

How values stand in LLVM IR: a bool is `i1`, a half type is its bits in an `i16`, everything else is what it says.
"""

from __future__ import annotations

import math
import struct

from ingot.ir import dtypes
from ingot.ir.dtypes import DType, Half
from ingot.ir.loop.ir import Const

__all__ = ["TYPES", "Value", "constant", "literal", "splat", "suffix", "type_of", "wide_type"]

HERE = 1 << 30


class Value:
    """An LLVM value: its text, dtype, lanes (0: one value for all lanes) and the depth of the scope that defines it
    (HERE: the innermost at the time)."""

    __slots__ = ("text", "dtype", "lanes", "depth")

    def __init__(self, text: str, dtype: DType, lanes: int = 0, depth: int = HERE):
        self.text = text
        self.dtype = dtype
        self.lanes = lanes
        self.depth = depth

    @property
    def is_literal(self) -> bool:
        """Whether it is a number in the text; a splat counts as computed."""
        return self.text[0] not in "%s"


TYPES: dict[DType, str] = {
    dtypes.bool_: "i1", dtypes.u8: "i8", dtypes.i8: "i8", dtypes.i16: "i16", dtypes.u16: "i16", dtypes.i32: "i32",
    dtypes.u32: "i32", dtypes.i64: "i64", dtypes.u64: "i64", dtypes.f16: "i16", dtypes.bf16: "i16", dtypes.f32: "float",
    dtypes.f64: "double",
}  # fmt: skip
_SUFFIX = {"i1": "i1", "i8": "i8", "i16": "i16", "i32": "i32", "i64": "i64", "float": "f32", "double": "f64", "half": "f16"}


def type_of(dtype: DType, lanes: int = 0) -> str:
    """The LLVM type of a value."""
    t = TYPES[dtype]
    return f"<{lanes} x {t}>" if lanes else t


def wide_type(t: str, lanes: int) -> str:
    """An LLVM type for this many lanes; the type itself for 0."""
    return f"<{lanes} x {t}>" if lanes else t


def suffix(t: str, lanes: int) -> str:
    """How an intrinsic's name ends for a type and lanes: `f32`, `v8f32`."""
    return f"v{lanes}{_SUFFIX[t]}" if lanes else _SUFFIX[t]


def splat(t: str, lit: str, lanes: int) -> str:
    """A literal in every lane."""
    return f"splat ({t} {lit})" if lanes else lit


def literal(value: bool | int | float, dtype: DType) -> str:
    """A constant's text; floats by their bits, integers wrapped to the dtype."""
    if dtype.kind == "b":
        return "true" if value else "false"
    if dtype in Half:
        return str(int.from_bytes(_half_bytes(float(value), dtype), "little"))
    if dtype is dtypes.f32:
        value = float(value)
        if math.isfinite(value):
            value = _round_f32(value)
        return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
    if dtype is dtypes.f64:
        return f"0x{struct.unpack('<Q', struct.pack('<d', float(value)))[0]:016X}"
    bits = dtype.bits
    v = int(value) & ((1 << bits) - 1)
    return str(v - (1 << bits) if v >> (bits - 1) else v)


def _round_f32(value: float) -> float:
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def _half_bytes(value: float, dtype: DType) -> bytes:
    import numpy as np

    with np.errstate(over="ignore"):
        return np.float32(value).astype(dtype.numpy).tobytes()


def constant(c: Const) -> Value:
    """A literal operand."""
    return Value(literal(c.value, c.dtype), c.dtype)
