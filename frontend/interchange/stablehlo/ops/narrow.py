"""Numbers of few bits: integers of 2 and 4 are kept in bytes, floats of 4, 6 and 8 in float32; what operations give is rounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.interchange.stablehlo.module import CARRIERS, DTYPES, Operation, Type, Value, is_narrow

__all__ = ["narrow"]

_NAMES = {np.dtype(np.int8): "i8", np.dtype(np.uint8): "ui8", np.dtype(np.float32): "f32"}
_BITWISE = ("shift_right_logical", "count_leading_zeros", "popcnt")  # which see bits that bytes have more of


def narrow(run: Any, o: Operation, inputs: Sequence[Any]) -> list[Any]:
    """An operation some of whose types have few bits."""
    if o.name in _BITWISE:
        raise NotImplementedError("on integers of less than 8 bits")

    def plain(v: Value) -> Value:
        return Value(Type("tensor", _NAMES[CARRIERS[v.type.element]], v.type.shape)) if is_narrow(v.type) else v

    given = list(inputs)
    if o.name == "bitcast_convert":
        return [_bits_as(run, run.tensor(given[0]), o.inputs[0].type, o.outputs[0].type)]
    shadow = Operation(o.name, tuple(map(plain, o.inputs)), tuple(map(plain, o.outputs)), o.attrs, o.regions, o.place)
    results = run.ruled(shadow, given)
    return [_kept(run.tensor(r, s.type), v.type) if is_narrow(v.type) else r for r, v, s in zip(results, o.outputs, shadow.outputs)]


def _kept(x: Tensor, t: Type) -> Tensor:
    """The nearest that the type has; integers are cut to their lowest bits."""
    if x.is_floating_point():
        return _rounded(x, DTYPES[t.element])
    size = 1 << int(t.element.lstrip("iu"))
    low = -size // 2 if t.element[0] == "i" else 0
    return ((x - low) & (size - 1)) + low if low else x & (size - 1)


def _rounded(x: Tensor, dtype: np.dtype) -> Tensor:
    """float32 rounded to the nearest number of a smaller type, ties to even; beyond its last one: infinity, NaN, or the last one."""
    info: Any = ml_dtypes.finfo(dtype)
    size = x.abs()
    lowest = int(np.log2(float(info.smallest_subnormal)))  # the exponent of the closest spacing
    places = (size.view(ingot.int32) >> 23) - 127 - int(info.nmant)
    step = ((ingot.clamp(places, lowest, 127) + 127).clamp(min=1) << 23).view(ingot.float32)
    y = ingot.round(size / step) * step
    if dtype.name == "float8_e8m0fnu":  # powers of two alone
        return ingot.where((x > 0) & ingot.isfinite(x), ingot.clamp(y, min=float(info.smallest_normal)), float("nan"))
    last, odd = float(info.max), np.array([np.inf, np.nan], np.float32).astype(dtype).astype(np.float32)
    beyond = float(odd[0]) if not np.isfinite(odd[0]) else last
    y = ingot.where(y > last, beyond, y)
    if dtype.name.endswith("fnuz"):  # no negative zero
        return ingot.where(y == 0, 0, ingot.copysign(y, x))
    y = ingot.copysign(y, x)
    return y if np.isnan(odd[1]) else ingot.where(ingot.isnan(x), float(odd[1]), y)


def _bits_as(run: Any, x: Tensor, given: Type, to: Type) -> Tensor:
    """Bits as another type of the same width."""
    codes = _codes(x, given) if is_narrow(given) else x.view(ingot.uint8)
    if not is_narrow(to):
        return codes.view(run.dtype(to))
    dtype, carrier = DTYPES[to.element], CARRIERS[to.element]
    if carrier != np.float32:
        return _kept(codes.view(ingot.int8) if carrier == np.int8 else codes, to)
    return ingot.from_numpy(_table(dtype))[codes.long()]


def _table(dtype: np.dtype) -> np.ndarray:
    """What each code means."""
    bits = 4 if "4_" in dtype.name else 6 if "6_" in dtype.name else 8
    return np.arange(1 << bits, dtype=np.uint8).view(dtype).astype(np.float32)


def _codes(x: Tensor, t: Type) -> Tensor:
    if not x.is_floating_point():
        return (x & ((1 << int(t.element.lstrip("iu"))) - 1)).view(ingot.uint8)
    table = _table(DTYPES[t.element])
    half = len(table) // 2 if np.signbit(table).any() else len(table)  # those with a sign have it in the highest bit
    at = (x.abs().unsqueeze(-1) == ingot.from_numpy(table[:half])).to(ingot.uint8).argmax(-1)
    at = at + (x.view(ingot.int32) < 0).to(ingot.int64) * half
    odd = np.flatnonzero(np.isnan(table))
    return (ingot.where(ingot.isnan(x), int(odd[0]), at) if odd.size else at).to(ingot.uint8)
