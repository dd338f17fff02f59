"""Bits: reinterpreted, counted, cut off."""

from __future__ import annotations

from ingot._tensor import Tensor
from ingot.functions.common import apply, cast, scalar
from ingot.interchange.stablehlo.rules import Call, op
from ingot.ir import dtypes
from ingot.ir.dtypes import DType

__all__ = ["reinterpret", "signed", "unsigned"]

_SIGNED = {8: dtypes.i8, 16: dtypes.i16, 32: dtypes.i32, 64: dtypes.i64}
_UNSIGNED = {8: dtypes.u8, 16: dtypes.u16, 32: dtypes.u32, 64: dtypes.u64}
_FRACTION = {dtypes.f16: 10, dtypes.bf16: 7, dtypes.f32: 23, dtypes.f64: 52}  # bits of it


def signed(dtype: DType) -> DType:
    """The signed integers of a dtype's width."""
    return _SIGNED[dtype.bits]


def unsigned(dtype: DType) -> DType:
    """The unsigned integers of a dtype's width."""
    return _UNSIGNED[dtype.bits]


def reinterpret(x: Tensor, dtype: DType) -> Tensor:
    """The same bits as another dtype of the same width."""
    return x if x.dtype is dtype else apply("bitcast", x, attrs=(dtype,))


@op("bitcast_convert")
def bitcast_convert(c: Call, x: Tensor) -> Tensor:
    """Bits as another type: what is wider becomes a last dim of parts, the lowest first, and the other way round."""
    to = c.dtype
    if x.dtype.kind == "c" and to.kind == "c" or x.dtype is dtypes.bool_ or to is dtypes.bool_:
        if x.dtype.bits != to.bits:
            raise TypeError(f"{x.dtype.torch_name} as {to.torch_name}")
        return x if x.dtype is to else cast(x, to)
    if x.dtype.kind == "c":
        x = apply("view_as_real", x)
        return reinterpret(x, to) if to.bits == x.dtype.bits else _merged(reinterpret(x, unsigned(x.dtype)), to)
    if to.kind == "c":
        part = to.to_real()
        x = reinterpret(x, part) if x.dtype.bits == part.bits else reinterpret(_split(x, part), part)
        return apply("view_as_complex", x)
    if x.dtype.bits == to.bits:
        return reinterpret(x, to)
    return reinterpret(_split(x, to), to) if x.dtype.bits > to.bits else _merged(x, to)


def _split(x: Tensor, to: DType) -> Tensor:
    whole = reinterpret(x, unsigned(x.dtype))
    count = x.dtype.bits // to.bits
    parts = apply("reshape", whole, attrs=((*whole.shape, 1),))
    by = apply("iota", attrs=(whole.dtype, (*(1,) * whole.ndim, count), whole.ndim))
    return cast(apply("shift_right", parts, apply("mul", by, scalar(to.bits, whole.dtype))), unsigned(to))


def _merged(x: Tensor, to: DType) -> Tensor:
    wide = unsigned(to)
    parts = cast(reinterpret(x, unsigned(x.dtype)), wide)
    by = apply("iota", attrs=(wide, (*(1,) * (x.ndim - 1), to.bits // x.dtype.bits), x.ndim - 1))
    shifted = apply("shift_left", parts, apply("mul", by, scalar(x.dtype.bits, wide)))
    total = apply("reduce_sum", shifted, attrs=((x.ndim - 1,),))
    return reinterpret(apply("reshape", total, attrs=(tuple(x.shape[:-1]),)), to)


@op("popcnt", lifted=True)
def popcnt(x: Tensor) -> Tensor:
    """Neighbours are added up, in ever larger groups."""
    bits = unsigned(x.dtype)
    return reinterpret(_ones(reinterpret(x, bits)), x.dtype)


def _ones(v: Tensor) -> Tensor:
    n = v.dtype.bits

    def mask(width: int) -> Tensor:
        return scalar(sum(((1 << width) - 1) << i for i in range(0, n, 2 * width)), v.dtype)

    width = 1
    while width < n:
        low = apply("bitwise_and", v, mask(width))
        high = apply("bitwise_and", apply("shift_right", v, scalar(width, v.dtype)), mask(width))
        v = apply("add", low, high)
        width *= 2
    return v


@op("count_leading_zeros", lifted=True)
def count_leading_zeros(x: Tensor) -> Tensor:
    """All bits behind the first that is set are set, and those that are not counted."""
    v = reinterpret(x, unsigned(x.dtype))
    step = 1
    while step < v.dtype.bits:
        v = apply("bitwise_or", v, apply("shift_right", v, scalar(step, v.dtype)))
        step *= 2
    return reinterpret(_ones(apply("bitwise_not", v)), x.dtype)


@op("reduce_precision", lifted=True)
def reduce_precision(x: Tensor, *, exponent_bits: int, mantissa_bits: int) -> Tensor:
    """Rounded, ties to even, to what a float with so many bits holds: what is too large is infinite, what is too small 0; NaN stays."""
    fraction = _FRACTION[x.dtype]
    width = x.dtype.bits - 1 - fraction  # of the exponent
    if exponent_bits >= width and mantissa_bits >= fraction:
        return x
    kind = unsigned(x.dtype)
    bits = reinterpret(x, kind)

    def number(value: int) -> Tensor:
        return scalar(value, kind)

    sign = apply("bitwise_and", bits, number(1 << (x.dtype.bits - 1)))
    size = apply("bitwise_xor", bits, sign)
    if mantissa_bits < fraction:
        cut = fraction - mantissa_bits
        odd = apply("bitwise_and", apply("shift_right", size, number(cut)), number(1))
        size = apply("add", size, apply("add", odd, number((1 << (cut - 1)) - 1)))
        size = apply("bitwise_and", size, number(((1 << (x.dtype.bits - 1)) - 1) >> cut << cut))
    if exponent_bits < width:
        bias, own = (1 << (width - 1)) - 1, (1 << (exponent_bits - 1)) - 1
        exponent = apply("shift_right", size, number(fraction))
        infinite = number(((1 << width) - 1) << fraction)
        size = apply("select", apply("gt", exponent, number(bias + own)), infinite, size)
        size = apply("select", apply("le", exponent, number(bias - own)), number(0), size)
    return apply("select", apply("isnan", x), x, reinterpret(apply("bitwise_or", size, sign), x.dtype))
