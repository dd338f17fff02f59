"""An Emitter (`ir/instructions.py`) that computes with NumPy arrays: how tests evaluate elementwise code without a compiler.

Every instruction gives the bits that `ir/instructions.py` defines, fma included.
"""

from __future__ import annotations

from math import inf, isfinite
from typing import Any

import numpy as np

from ingot.ir.dtypes import DType, Half, bool_, by_numpy, f32, u32

__all__ = ["NumpyEmitter", "evaluate"]


def evaluate(function: Any, *arrays: Any, attrs: tuple = ()) -> np.ndarray:
    """`function(emitter, *scalars, *attrs)` for every element of `arrays`, which broadcast.

    evaluate(elementary.tanh, np.float32([0.5, 1.0]))
    """
    with np.errstate(all="ignore"):
        return np.asarray(function(NumpyEmitter(), *map(np.asarray, arrays), *attrs))


class NumpyEmitter:
    """Scalars are NumPy arrays (or NumPy scalars); see `ir.instructions.Emitter` for the instructions."""

    def dtype(self, x: Any) -> DType:
        return by_numpy(x.dtype)

    def const(self, value: bool | int | float, dtype: DType) -> Any:
        return np.asarray(value).astype(dtype.numpy)

    def _like(self, a: Any, *others: Any) -> tuple:
        return (a, *[o if isinstance(o, (np.ndarray, np.generic)) else self.const(o, self.dtype(a)) for o in others])

    def add(self, a, b):
        a, b = self._like(a, b)
        return a + b

    def sub(self, a, b):
        a, b = self._like(a, b)
        return a - b

    def mul(self, a, b):
        a, b = self._like(a, b)
        return a * b

    def div(self, a, b):
        a, b = self._like(a, b)
        if self.dtype(a).is_floating_point:
            return a / b
        return _int_div(a, b)

    def rem(self, a, b):
        a, b = self._like(a, b)
        if self.dtype(a).is_floating_point:
            return np.fmod(a, b)
        return np.where(b == 0, a.dtype.type(0), a - _int_div(a, b) * b)

    def neg(self, a):
        return np.negative(a)

    def abs(self, a):
        return np.abs(a)

    def fma(self, a, b, c):
        a, b, c = self._like(a, b, c)
        return _fma32(a, b, c) if self.dtype(a) is f32 else _fma64(a, b, c)

    def dot(self, a, b):
        a, b = self._like(a, b)
        low = self.mul(self.shr(self.shl(a, 16), 16), self.shr(self.shl(b, 16), 16))
        return self.add(low, self.mul(self.shr(a, 16), self.shr(b, 16)))

    def dot_bytes(self, a, b, c):
        a, b, c = self._like(a, b, c)
        for up in (0, 8, 16, 24):
            c = self.add(c, self.mul(self.and_(self.shr(a, up), 255), self.shr(self.shl(b, 24 - up), 24)))
        return c

    def dot_halves(self, a, b, c):
        a, b, c = self._like(a, b, c)
        x, y = self.bitcast(a, u32), self.bitcast(b, u32)
        for up in (0, 16):
            part = (self.bitcast(self.shl(self.shr(v, 16 - up), 16), f32) for v in (x, y))
            c = self.fma(*part, c)
        return c

    def sqrt(self, a):
        return np.sqrt(a)

    def min(self, a, b):
        a, b = self._like(a, b)
        return -self.max(-a, -b) if self.dtype(a).is_floating_point else np.minimum(a, b)

    def max(self, a, b):
        a, b = self._like(a, b)
        out = np.maximum(a, b)
        if self.dtype(a).is_floating_point:  # NumPy leaves the sign of a zero open
            out = np.where((a == 0) & (b == 0), a + b, out)
        return out

    def rint(self, a):
        return np.rint(a)

    def floor(self, a):
        return np.floor(a)

    def ceil(self, a):
        return np.ceil(a)

    def trunc(self, a):
        return np.trunc(a)

    def and_(self, a, b):
        return np.bitwise_and(*self._like(a, b))

    def or_(self, a, b):
        return np.bitwise_or(*self._like(a, b))

    def xor(self, a, b):
        return np.bitwise_xor(*self._like(a, b))

    def not_(self, a):
        return np.invert(a)

    def shl(self, a, b):
        a, b = self._like(a, b)
        bits = self.dtype(a).bits
        far = (b < 0) | (b >= bits)
        return np.where(far, a.dtype.type(0), np.left_shift(a, np.where(far, 0, b).astype(a.dtype)))

    def shr(self, a, b):
        a, b = self._like(a, b)
        bits = self.dtype(a).bits
        far = (b < 0) | (b >= bits)
        gone = np.right_shift(a, a.dtype.type(bits - 1)) if self.dtype(a).kind == "i" else a.dtype.type(0)
        return np.where(far, gone, np.right_shift(a, np.where(far, 0, b).astype(a.dtype)))

    def eq(self, a, b):
        return np.equal(*self._like(a, b))

    def ne(self, a, b):
        return np.not_equal(*self._like(a, b))

    def lt(self, a, b):
        return np.less(*self._like(a, b))

    def le(self, a, b):
        return np.less_equal(*self._like(a, b))

    def gt(self, a, b):
        return np.greater(*self._like(a, b))

    def ge(self, a, b):
        return np.greater_equal(*self._like(a, b))

    def select(self, c, a, b):
        if not isinstance(a, (np.ndarray, np.generic)):
            b, a = self._like(b, a)
        a, b = self._like(a, b)
        return np.where(c, a, b)

    def cast(self, a, dtype: DType):
        a = np.asarray(a)
        have = self.dtype(a)
        if dtype is bool_:
            return a != 0
        if have is dtype:
            return a
        if have in Half:
            return self.cast(a.astype(np.float32), dtype)
        if dtype in Half:
            return a.astype(np.float32).astype(dtype.numpy)
        if have.is_floating_point and dtype.is_integer:
            info = np.iinfo(dtype.numpy)
            whole = np.trunc(np.where(np.isnan(a), a.dtype.type(0), a))
            high = whole >= -float(info.min) * 1.0 if info.min else whole >= 2.0**dtype.bits
            low = whole < float(info.min)
            inside = np.where(high | low, a.dtype.type(0), whole).astype(dtype.numpy)
            return np.where(high, info.max, np.where(low, info.min, inside)).astype(dtype.numpy)
        return a.astype(dtype.numpy)

    def bitcast(self, a, dtype: DType):
        return np.ascontiguousarray(a).reshape(np.shape(a)).view(dtype.numpy)


def _int_div(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Truncating; x/0 is 0, MIN/-1 is MIN."""
    a, b = np.broadcast_arrays(a, b)
    safe = np.where((b == 0) | (b == -1) if a.dtype.kind == "i" else b == 0, a.dtype.type(1), b)
    q = np.floor_divide(a, safe)
    q = q + ((a - q * safe != 0) & ((a < 0) != (safe < 0))).astype(a.dtype)  # floor to truncation
    if a.dtype.kind == "i":
        q = np.where(b == -1, -a, q)
    return np.where(b == 0, a.dtype.type(0), q)


def _two_sum(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a + b exactly, as a rounded sum and its error."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def _odd_sum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a + b in float64, an inexact result rounded to the neighbour with an odd last bit, so that rounding again is right."""
    s, err = _two_sum(a, b)
    s = np.asarray(s)
    bits = s.view(np.int64)
    fix = (err != 0) & (bits & 1 == 0) & np.isfinite(s)
    step = np.where((err > 0) == (s > 0), 1, -1)
    return np.where(fix, bits + step, bits).view(np.float64)


def _fma32(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    product = a.astype(np.float64) * b.astype(np.float64)  # exact
    c64 = c.astype(np.float64)
    plain = product + c64
    exact = np.isfinite(plain) & (plain != 0)
    return np.where(exact, _odd_sum(product, c64), plain).astype(np.float32)


def _fma64(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """One rounding: the product and the sum are kept as sums of doubles, scaled near 1 (Boldo and Melquiond, 2008)."""
    if np.ndim(a) == np.ndim(b) == np.ndim(c) == 0:
        return _fma_of_numbers(float(a), float(b), float(c))
    a, b, c = np.broadcast_arrays(a, b, c)
    plain = np.where((c == 0) & (a != 0) & (b != 0), a * b, a * b + c)  # a product that underflows keeps its sign
    plain = np.where(np.isfinite(a) & np.isfinite(b) & ~np.isfinite(c), c, plain)  # a product that overflows is still finite
    tame = np.isfinite(a) & np.isfinite(b) & np.isfinite(c) & (a != 0) & (b != 0) & (c != 0)
    ma, ea = np.frexp(np.where(tame, a, 1.0))
    mb, eb = np.frexp(np.where(tame, b, 1.0))
    mc, ec = np.frexp(np.where(tame, c, 1.0))
    e = ea + eb
    gap = np.clip(ec - e, -200, 200)  # farther apart, only the sign of the smaller one matters
    u, ulow = _two_product(ma, mb)
    scaled = np.ldexp(mc, gap)
    th, tl = _two_sum(scaled, ulow)
    vh, vl = _two_sum(u, th)
    z = _odd_sum(tl, vl)
    out = np.ldexp(vh + z, e)
    # below the normal range the last place is 2**-1074: adding a large number of that last place rounds there, once
    large = np.copysign(np.ldexp(1.0, np.clip(52 - 1074 - e, -1000, 1000)), vh + z)
    h, l = _two_sum(large, vh)
    small = np.ldexp(h + _odd_sum(l, z) - large, e)
    small = np.where(small == 0, out * 0.0, small)  # the sign of a zero
    out = np.where(np.abs(out) < 2.0**-1022, small, out)
    out = np.where(ec - e > 200, c, out)
    return np.where(tame, out, plain)


def _fma_of_numbers(a: float, b: float, c: float) -> np.ndarray:
    """The same by integers, which takes a twentieth of the time for one number."""
    if not (isfinite(a) and isfinite(b)):
        return np.asarray(a * b + c)
    if not isfinite(c):
        return np.asarray(c)  # a product that overflows is still finite
    if a == 0 or b == 0:
        return np.asarray(a * b + c)
    if c == 0:
        return np.asarray(a * b)  # a product that underflows keeps its sign
    (a1, a2), (b1, b2), (c1, c2) = a.as_integer_ratio(), b.as_integer_ratio(), c.as_integer_ratio()
    num, den = a1 * b1 * c2 + c1 * a2 * b2, a2 * b2 * c2
    try:
        return np.asarray(num / den)  # Python rounds it once
    except OverflowError:
        return np.asarray(inf if num > 0 else -inf)


def _two_product(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a * b exactly, for operands near 1, as a rounded product and its error (Dekker)."""
    p = a * b
    ah, bh = _high(a), _high(b)
    al, bl = a - ah, b - bh
    return p, ((ah * bh - p) + ah * bl + al * bh) + al * bl


def _high(a: np.ndarray) -> np.ndarray:
    t = a * 134217729.0  # 2**27 + 1
    return t - (t - a)


