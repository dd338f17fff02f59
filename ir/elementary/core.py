"""What the elementary functions share: the facts of a floating-point format, polynomials, signs, wide evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ingot.ir.dtypes import DType, f32, f64, i32, i64
from ingot.ir.struct import value_type

__all__ = ["Format", "F32", "F64", "format_of", "polynomial", "at_most", "at_least", "bits", "with_sign_of", "in_f64", "INF", "NAN"]

INF = float("inf")
NAN = float("nan")


@value_type
class Format:
    """A floating-point format. Adding `magic` to a small number rounds it to an integer, which then stands in the low
    bits. `ln2` and `log10_2` are sums hi + lo, where hi times an exponent is exact; `log2e` and `log10e` are rounded
    values with their remainders."""

    dtype: DType
    integer: DType  # of the same width
    mantissa: int  # stored bits
    bias: int
    magic: float
    min_normal: float
    one: int  # the bits of 1.0
    sqrt_half: int  # the bits of sqrt(1/2)
    sign: int  # the sign bit, as a signed integer
    tiny: float  # below it, odd functions with slope 1 are the identity
    exp_limit: float  # beyond +- this, exp overflows or is 0; twice it is still in reach of the scaling
    ln2: tuple[float, float]
    log10_2: tuple[float, float]
    log2e: tuple[float, float]
    log10e: tuple[float, float]


F32 = Format(
    f32, i32, 23, 127, 1.5 * 2**23, 2.0**-126, 0x3F800000, 0x3F3504F3, -(1 << 31), 2.0**-30, 150.0,
    (0.693145751953125, 1.428606765330187e-06), (0.30103302001953125, -3.024355464731343e-06),
    (1.4426950216293335, 1.925963033500011e-08), (0.4342944920063019, -1.0103049952192578e-08),
)  # fmt: skip
F64 = Format(
    f64, i64, 52, 1023, 1.5 * 2**52, 2.0**-1022, 0x3FF0000000000000, 0x3FE6A09E667F3BCD, -(1 << 63), 2.0**-60, 1100.0,
    (0.6931471805598903, 5.497923018708371e-14), (0.30102999566395283, 2.8363394551044964e-14),
    (1.4426950408889634, 2.0355273740931033e-17), (0.4342944819032518, 1.098319650216765e-17),
)  # fmt: skip


def format_of(e: Any, x: Any) -> Format:
    """The format of a scalar. TypeError unless it is f32 or f64."""
    d = e.dtype(x)
    if d is f32:
        return F32
    if d is f64:
        return F64
    raise TypeError(f"elementary functions take f32 or f64, not {d.name}")


def polynomial(e: Any, x: Any, coefficients: Sequence[float]) -> Any:
    """c0 + c1 x + c2 x**2 + ..., by Horner's rule."""
    acc = e.fma(x, coefficients[-1], coefficients[-2])
    for c in reversed(coefficients[:-2]):
        acc = e.fma(x, acc, c)
    return acc


def at_most(e: Any, x: Any, limit: float) -> Any:
    """min(x, limit) that lets NaN through; this form is one instruction on x86, where `e.min` is several."""
    return e.select(e.gt(x, limit), limit, x)


def at_least(e: Any, x: Any, limit: float) -> Any:
    return e.select(e.lt(x, limit), limit, x)


def bits(e: Any, x: Any) -> Any:
    return e.bitcast(x, format_of(e, x).integer)


def with_sign_of(e: Any, magnitude: Any, x: Any) -> Any:
    """`magnitude`, which is not negative, with the sign of x."""
    f = format_of(e, x)
    return e.bitcast(e.or_(bits(e, magnitude), e.and_(bits(e, x), f.sign)), f.dtype)


def in_f64(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function for both formats by computing in f64: for those where f32 speed is not worth a second algorithm."""

    def both(e: Any, *xs: Any) -> Any:
        if format_of(e, xs[0]) is F64:
            return function(e, *xs)
        return e.cast(function(e, *[e.cast(x, f64) for x in xs]), f32)

    both.__name__ = function.__name__
    both.__doc__ = function.__doc__
    return both
