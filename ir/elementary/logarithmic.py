"""Logarithms, the inverse hyperbolic functions and powers. log x = k ln 2 + log m with m in [sqrt(1/2), sqrt(2))."""

from __future__ import annotations

from typing import Any

from ingot.ir.dtypes import f32, f64
from ingot.ir.elementary import tables as t
from ingot.ir.elementary.core import F32, F64, INF, NAN, Format, at_least, at_most, bits, format_of, in_f64, polynomial, with_sign_of

Scalar = Any
LN2 = 0.6931471805599453


def rsqrt(e: Any, x: Scalar) -> Scalar:
    """1 / sqrt(x)."""
    return e.div(e.const(1.0, e.dtype(x)), e.sqrt(x))


def log_parts(e: Any, x: Scalar, denormals: bool = True) -> tuple[Scalar, Scalar, Scalar]:
    """(k, f, shifted) with x = 2**k (1 + f) for positive finite x; `shifted` is k in the exponent field, as an integer."""
    f = format_of(e, x)
    # an integer added to the bits of `magic` reads as magic + integer: a conversion that every target has for i64, too
    magic: Any = f.magic
    if denormals:
        small = e.lt(x, f.min_normal)
        x = e.select(small, e.mul(x, 2.0 ** (f.mantissa + 1)), x)
        magic = e.select(small, e.const(f.magic + (f.mantissa + 1), f.dtype), f.magic)
    b = bits(e, x)
    exponent = e.shr(e.sub(b, f.sqrt_half), f.mantissa)
    shifted = e.shl(exponent, f.mantissa)
    m = e.bitcast(e.sub(b, shifted), f.dtype)
    magic_bits = (f.bias + f.mantissa << f.mantissa) + (1 << f.mantissa - 1)
    k = e.sub(e.bitcast(e.add(exponent, magic_bits), f.dtype), magic)
    return k, e.sub(m, 1.0), shifted


def log1p_core(e: Any, f: Scalar) -> Scalar:
    """log(1 + f) for 1 + f in [sqrt(1/2), sqrt(2))."""
    if format_of(e, f) is F32:
        return e.fma(e.mul(f, f), polynomial(e, f, t.LOG_F32), f)
    s = e.div(f, e.add(f, 2.0))
    u = e.mul(s, s)
    r = e.mul(u, polynomial(e, u, t.LOG_F64))
    half = e.mul(e.mul(f, 0.5), f)
    return e.sub(f, e.sub(half, e.mul(s, e.add(half, r))))


def _ends(e: Any, x: Scalar, y: Scalar, low: float = 0.0) -> Scalar:
    """A logarithm y at the ends of its domain: -inf at x == low, NaN below and for NaN, inf at inf."""
    d = e.dtype(x)
    pole = e.select(e.eq(x, low), e.const(-INF, d), NAN)
    return e.select(e.lt(x, INF), e.select(e.le(x, low), pole, y), x)


def _natural(e: Any, k: Scalar, y: Scalar, f: Format) -> Scalar:
    """k ln 2 + y"""
    return e.fma(k, f.ln2[0], e.fma(k, f.ln2[1], y))


def log(e: Any, x: Scalar) -> Scalar:
    """The natural logarithm."""
    k, f, _ = log_parts(e, x)
    return _ends(e, x, _natural(e, k, log1p_core(e, f), format_of(e, x)))


def log2(e: Any, x: Scalar) -> Scalar:
    """The logarithm to base 2."""
    k, f, _ = log_parts(e, x)
    hi, lo = format_of(e, x).log2e
    y = log1p_core(e, f)
    return _ends(e, x, e.fma(y, hi, e.fma(y, lo, k)))


def log10(e: Any, x: Scalar) -> Scalar:
    """The logarithm to base 10."""
    k, f, _ = log_parts(e, x)
    fmt = format_of(e, x)
    y = log1p_core(e, f)
    y = e.fma(y, fmt.log10e[0], e.fma(y, fmt.log10e[1], e.mul(k, fmt.log10_2[1])))
    return _ends(e, x, e.fma(k, fmt.log10_2[0], y))


def log1p(e: Any, x: Scalar) -> Scalar:
    """log(1 + x), precise near 0: (1 + x) / 2**k - 1 = x / 2**k + (2**-k - 1) is rounded once."""
    f = format_of(e, x)
    u = e.add(x, 1.0)
    k, rounded, shifted = log_parts(e, u, denormals=False)
    scale = e.bitcast(e.sub(e.const(f.one, f.integer), shifted), f.dtype)
    exact = e.fma(x, scale, e.sub(scale, 1.0))
    y = log1p_core(e, e.select(e.gt(x, 2.0 ** (f.mantissa + 2)), rounded, exact))
    y = _ends(e, x, _natural(e, k, y, f), -1.0)
    return e.select(e.eq(x, 0.0), x, y)  # -0


@in_f64
def asinh(e: Any, x: Scalar) -> Scalar:
    """The inverse hyperbolic sine."""
    a = e.abs(x)
    large = e.gt(a, 2.0**28)
    small = e.add(a, e.div(e.mul(a, a), e.add(e.sqrt(e.fma(a, a, 1.0)), 1.0)))
    y = log1p(e, e.select(large, e.sub(a, 1.0), small))
    y = e.add(y, e.select(large, e.const(LN2, f64), 0.0))
    return with_sign_of(e, y, x)


@in_f64
def acosh(e: Any, x: Scalar) -> Scalar:
    """The inverse hyperbolic cosine; NaN below 1."""
    large = e.gt(x, 2.0**28)
    v = e.sub(x, 1.0)
    y = log1p(e, e.select(large, v, e.add(v, e.sqrt(e.fma(v, v, e.add(v, v))))))
    y = e.add(y, e.select(large, e.const(LN2, f64), 0.0))
    return e.select(e.lt(x, 1.0), e.const(NAN, f64), y)


@in_f64
def atanh(e: Any, x: Scalar) -> Scalar:
    """The inverse hyperbolic tangent; NaN beyond +-1, where it is infinite."""
    a = e.abs(x)
    twice = e.add(a, a)
    y = e.mul(log1p(e, e.fma(twice, e.div(a, e.sub(e.const(1.0, f64), a)), twice)), 0.5)
    return with_sign_of(e, e.select(e.gt(a, 1.0), e.const(NAN, f64), y), x)


# -- powers ------------------------------------------------------------------------------------------------------------


def pow(e: Any, x: Scalar, y: Scalar) -> Scalar:
    """x**y with the special values of IEEE 754 and C: pow(x, 0) = pow(1, y) = 1, a negative base with a whole exponent."""
    f = format_of(e, x)
    a = e.abs(x)
    r = _pow32(e, a, y) if f is F32 else _pow64(e, a, y)
    whole = e.eq(e.rint(y), y)
    half = e.mul(y, 0.5)
    odd = e.and_(whole, e.ne(e.rint(half), half))
    negative = e.lt(bits(e, x), 0)
    r = e.select(e.and_(negative, odd), e.neg(r), r)
    nan = e.and_(e.and_(e.lt(x, 0.0), e.gt(x, -INF)), e.not_(whole))
    r = e.select(nan, e.const(NAN, f.dtype), r)
    # a == 1 with an infinite y; x == 1 or y == 0 with anything, NaN included
    one = e.or_(e.or_(e.eq(y, 0.0), e.eq(x, 1.0)), e.and_(e.eq(a, 1.0), e.eq(e.abs(y), INF)))
    return e.select(one, e.const(1.0, f.dtype), r)


def _pow32(e: Any, a: Scalar, y: Scalar) -> Scalar:
    """2**(y log2 a) in f64, to 2**-28: rounded once."""
    a = e.cast(a, f64)
    k, f, _ = log_parts(e, a, denormals=False)  # no f32 is denormal in f64
    s = e.div(f, e.add(f, 2.0))
    u = e.mul(s, s)
    log_m = e.fma(e.mul(s, u), polynomial(e, u, t.LOG_WIDE), e.add(s, s))
    z = e.mul(_ends(e, a, e.fma(log_m, F64.log2e[0], k)), e.cast(y, f64))
    z = at_most(e, at_least(e, z, -200.0), 200.0)
    shifted = e.add(z, F64.magic + F64.bias)
    r = e.sub(z, e.sub(shifted, F64.magic + F64.bias))
    s = e.bitcast(e.shl(bits(e, shifted), F64.mantissa), f64)
    p = e.fma(r, polynomial(e, r, t.EXP2_WIDE), 1.0)
    return e.cast(e.mul(p, s), f32)


def _two_sum(e: Any, a: Scalar, b: Scalar) -> tuple[Scalar, Scalar]:
    """a + b rounded, and its error, for |a| >= |b|."""
    s = e.add(a, b)
    return s, e.sub(b, e.sub(s, a))


def _log_pair(e: Any, a: Scalar) -> tuple[Scalar, Scalar]:
    """log a as hi + lo to about 2**-66, for positive finite a."""
    k, f, _ = log_parts(e, a)
    # s = f / (2 + f) as a pair; 2 + f = d + dl exactly
    d = e.add(f, 2.0)
    dl = e.sub(f, e.sub(d, 2.0))
    inverse = e.div(e.const(1.0, f64), d)
    s = e.mul(f, inverse)
    sl = e.mul(e.fma(e.neg(s), dl, e.fma(e.neg(s), d, f)), inverse)
    u = e.mul(s, s)
    ul = e.fma(e.add(s, s), sl, e.fma(s, s, e.neg(u)))
    # 2 s + s u (2/3 + u p(u))
    b, bl = _two_sum(e, e.const(2 / 3, f64), e.mul(u, polynomial(e, u, t.LOG_POW)))
    bl = e.add(bl, 3.700743415417188e-17)
    c = e.mul(s, u)
    cl = e.fma(s, ul, e.fma(sl, u, e.fma(s, u, e.neg(c))))
    g = e.mul(c, b)
    gl = e.fma(c, bl, e.fma(cl, b, e.fma(c, b, e.neg(g))))
    twice = e.add(s, s)
    h, hl = _two_sum(e, twice, g)
    hl = e.add(hl, e.add(e.add(sl, sl), gl))
    top = e.mul(k, F64.ln2[0])  # exact
    z = e.add(top, h)
    # |top| >= |h| or top is 0: the error of the sum is exact either way
    zl = e.select(e.eq(k, 0.0), e.const(0.0, f64), e.sub(h, e.sub(z, top)))
    zl = e.add(zl, e.fma(k, F64.ln2[1], hl))
    return _two_sum(e, z, zl)


def _pow64(e: Any, a: Scalar, y: Scalar) -> Scalar:
    """exp(y log a) with the logarithm and the product as pairs."""
    hi, lo = _log_pair(e, a)
    hi = _ends(e, a, hi)
    lo = e.select(e.and_(e.gt(a, 0.0), e.lt(a, INF)), lo, 0.0)
    limited = at_most(e, at_least(e, y, -(2.0**80)), 2.0**80)  # keeps inf - inf out of the pair
    z = e.mul(hi, limited)
    zl = e.fma(lo, limited, e.fma(hi, limited, e.neg(z)))
    inside = e.lt(e.abs(z), 800.0)
    zl = e.select(inside, zl, 0.0)
    z = at_most(e, at_least(e, z, -800.0), 800.0)
    shifted = e.fma(z, F64.log2e[0], F64.magic)
    n = e.sub(shifted, F64.magic)
    r = e.fma(n, -F64.ln2[0], z)
    zl = e.fma(n, -F64.ln2[1], zl)
    # 1 + r + (zl + r**2 p(r)) with the sum 1 + r kept exactly: powers that are exact come out exact
    top, rest = _two_sum(e, e.const(1.0, f64), r)
    w = e.add(r, zl)
    p = e.add(top, e.add(rest, e.fma(e.mul(w, w), polynomial(e, w, t.EXPM1_F64), zl)))
    # n is applied in two halves: only the last product rounds where the result is denormal
    upper = e.fma(n, 0.5, F64.magic + F64.bias)
    lower = e.add(e.sub(n, e.sub(upper, F64.magic + F64.bias)), F64.magic + F64.bias)
    for part in (upper, lower):
        p = e.mul(p, e.bitcast(e.shl(bits(e, part), F64.mantissa), f64))
    return p
