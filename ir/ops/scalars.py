"""Scalar code of simple ops, over `ir/instructions.Emitter` and the lowering's writer; and the integer powers their references share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ingot.ir.dtypes import DType, Half, f32, u32, u64
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import Point
from ingot.ir.types import Dim

Emitter = Any
Scalar = Any


def elementary(name: str) -> Any:
    """The scalar code of `ingot.ir.elementary.<name>`, imported when first emitted."""

    def scalar(e: Emitter, *xs: Scalar) -> Scalar:
        from ingot.ir import elementary

        return getattr(elementary, name)(e, *xs)

    scalar.__name__ = name
    return scalar


def convert(e: Emitter, x: Scalar, dtype: DType) -> Scalar:
    """x as dtype; half types convert from and to f32 only."""
    source = e.dtype(x)
    if source is dtype:
        return x
    if f32 not in (source, dtype) and (source in Half or dtype in Half):
        x = e.cast(x, f32)
    return e.cast(x, dtype)


def both(e: Emitter, a: Scalar | None, b: Scalar) -> Scalar:
    """The mask of what a and b hold for; None: a holds everywhere."""
    return b if a is None else e.and_(a, b)


def within(w: Emitter, dims: Iterable[tuple[Index, int, Dim, bool, bool]]) -> tuple[Point, Scalar | None]:
    """The elements at places, a dim each, and the mask of where there is one in all dims (None: everywhere).

    A dim is (place, gap, size, below, above): which of `size` elements, `gap` apart, stands at `place`; below, above: whether the
    place may be in front of the first, behind the last.
    """
    mask = None
    point = []
    for place, gap, size, below, above in dims:
        v = w.index_value(place) if below or above or gap != 1 else None
        if below:
            mask = both(w, mask, w.ge(v, 0))
        if gap != 1:
            # below 0 the quotient means nothing, but there the mask is false
            mask = both(w, mask, w.eq(w.rem(v, gap), 0))
            v = w.div(v, gap)
            place = w.as_index(v)
        if above:
            mask = both(w, mask, w.lt(v, size))
        point.append(place)
    return tuple(point), mask


def abs_(e: Emitter, x: Scalar) -> Scalar:
    return x if e.dtype(x).kind == "u" else e.abs(x)


def sign(e: Emitter, x: Scalar) -> Scalar:
    d = e.dtype(x)
    zero, one = e.const(0, d), e.const(1, d)
    up = e.select(e.gt(x, zero), one, zero)
    return up if d.kind == "u" else e.select(e.lt(x, zero), e.const(-1, d), up)


def copysign(e: Emitter, a: Scalar, b: Scalar) -> Scalar:
    d = e.dtype(a)
    u, high = (u32, 1 << 31) if d is f32 else (u64, 1 << 63)
    bits = e.or_(e.and_(e.bitcast(a, u), e.const(high - 1, u)), e.and_(e.bitcast(b, u), e.const(high, u)))
    return e.bitcast(bits, d)


def _signs_differ(e: Emitter, r: Scalar, b: Scalar) -> Scalar:
    """Whether the remainder r is not 0 and its sign is not b's."""
    zero = e.const(0, e.dtype(r))
    return e.and_(e.ne(r, zero), e.xor(e.lt(r, zero), e.lt(b, zero)))


def remainder(e: Emitter, a: Scalar, b: Scalar) -> Scalar:
    r = e.rem(a, b)
    if e.dtype(a).kind == "u":
        return r
    # x % 0 is 0 for integers: then r is 0 and nothing is added
    return e.select(_signs_differ(e, r, b), e.add(r, b), r)


def floor_divide(e: Emitter, a: Scalar, b: Scalar) -> Scalar:
    d = e.dtype(a)
    if d.kind == "u":
        return e.div(a, b)
    if d.kind == "i":
        q = e.div(a, b)
        return e.select(_signs_differ(e, e.rem(a, b), b), e.sub(q, 1), q)
    zero = e.const(0.0, d)
    r = e.rem(a, b)
    q = e.div(e.sub(a, r), b)
    q = e.select(_signs_differ(e, r, b), e.sub(q, 1.0), q)
    whole = e.floor(q)
    whole = e.select(e.gt(e.sub(q, whole), 0.5), e.add(whole, 1.0), whole)
    quotient = e.div(a, b)
    return e.select(e.eq(b, zero), quotient, e.select(e.eq(q, zero), copysign(e, zero, quotient), whole))


def is_nan(e: Emitter, x: Scalar) -> Scalar:
    return e.ne(x, x)


def is_inf(e: Emitter, x: Scalar) -> Scalar:
    return e.eq(e.abs(x), e.const(float("inf"), e.dtype(x)))


def is_finite(e: Emitter, x: Scalar) -> Scalar:
    return e.lt(e.abs(x), e.const(float("inf"), e.dtype(x)))


def _power(e: Emitter, x: Scalar, n: int) -> Scalar:
    """x ** n by repeated squaring, n >= 1."""
    result, base = None, x
    while n:
        if n & 1:
            result = base if result is None else e.mul(result, base)
        n >>= 1
        if n:
            base = e.mul(base, base)
    return result


def integer_pow(e: Emitter, x: Scalar, n: int) -> Scalar:
    d = e.dtype(x)
    one = e.const(1, d)
    if n == 0:
        return one
    if d.kind == "f":
        if 0 < n <= 4:
            return _power(e, x, n)
        if -2 <= n < 0:
            return e.div(one, _power(e, x, -n))
        return elementary("pow")(e, x, e.const(float(n), d))  # products would add their roundings up
    if n > 0:
        return _power(e, x, n)
    # 1 / x ** -n, rounded towards 0: only 1 and -1 leave anything
    zero = e.const(0, d)
    out = e.select(e.eq(x, one), one, zero)
    if d.kind == "u":
        return out
    return e.select(e.eq(x, e.const(-1, d)), e.const(-1 if n % 2 else 1, d), out)


def power(e: Emitter, x: Scalar, n: Scalar) -> Scalar:
    """x ** n; integers wrap around, and a negative n leaves 0 unless |x| is 1."""
    d = e.dtype(x)
    if d.kind == "f":
        return elementary("pow")(e, x, n)
    zero, one = e.const(0, d), e.const(1, d)
    result, base, left = one, x, n
    for i in range(d.bits):
        result = e.select(e.ne(e.and_(left, one), zero), e.mul(result, base), result)
        if i + 1 < d.bits:
            base, left = e.mul(base, base), e.shr(left, one)
    if d.kind == "u":
        return result
    odd = e.ne(e.and_(n, one), zero)
    minus_one = e.const(-1, d)
    negative = e.select(e.eq(x, one), one, e.select(e.eq(x, minus_one), e.select(odd, minus_one, one), zero))
    return e.select(e.lt(n, zero), negative, result)


def divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b; of complex numbers by Smith's method, which makes infinities of a division by 0, as torch has it."""
    if a.dtype.kind != "c":
        return np.divide(a, b)
    swap = np.abs(b.real) < np.abs(b.imag)
    large, small = np.where(swap, b.imag, b.real), np.where(swap, b.real, b.imag)
    ratio = np.where(large == 0, 0, small / np.where(large == 0, 1, large))
    below = np.where(large == 0, np.abs(large), large + small * ratio)
    re = np.where(swap, a.real * ratio + a.imag, a.real + a.imag * ratio) / below
    im = np.where(swap, a.imag * ratio - a.real, a.imag - a.real * ratio) / below
    out = np.empty(re.shape, a.dtype)
    out.real, out.imag = re, im
    return out


def int_pow(x: np.ndarray, n: int) -> np.ndarray:
    """x ** n for n >= 0 in wrapping arithmetic."""
    result = np.ones_like(x)
    while n:
        if n & 1:
            result = result * x
        x = x * x
        n >>= 1
    return result


def int_pow_negative(x: np.ndarray, n: np.ndarray) -> np.ndarray:
    """x ** n for n < 0: 1, -1 or 0."""
    one, zero = np.ones_like(x), np.zeros_like(x)
    if x.dtype.kind == "u":
        return np.where(x == 1, one, zero)
    return np.where(x == 1, one, np.where(x == -1, np.where(n % 2 != 0, -one, one), zero)).astype(x.dtype)
