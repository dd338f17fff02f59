"""exp and its kin. exp(x) = 2**n exp(r) with x = n ln 2 + r; n is rounded by adding a large constant, and its bits
shifted into the exponent field give 2**n without a conversion."""

from __future__ import annotations

from typing import Any

from ingot.ir.dtypes import f64
from ingot.ir.elementary import tables as t
from ingot.ir.elementary.core import F32, F64, at_least, at_most, bits, format_of, in_f64, polynomial, with_sign_of

Scalar = Any


def exp_parts(e: Any, x: Scalar) -> tuple[Scalar, Scalar]:
    """(p, s) with exp(x) = p * s * s, p in [1/2, 2], for |x| within twice the format's exp_limit.

    n is taken even, n = 2 m, and applied as two factors s = 2**m: neither over- nor underflows before exp(x) does, and
    only the last product rounds where the result is denormal.
    """
    f = format_of(e, x)
    hi, lo = f.ln2
    shifted = e.fma(x, 0.5 * f.log2e[0], f.magic + f.bias)
    m = e.sub(shifted, f.magic + f.bias)
    r = e.fma(m, -2 * lo, e.fma(m, -2 * hi, x))
    s = e.bitcast(e.shl(bits(e, shifted), f.mantissa), f.dtype)
    q = polynomial(e, r, t.EXP_F32 if f is F32 else t.EXP_F64)
    return e.fma(r, e.fma(r, q, 1.0), 1.0), s


def exp(e: Any, x: Scalar) -> Scalar:
    """e**x. 16 instructions for f32."""
    f = format_of(e, x)
    p, s = exp_parts(e, at_most(e, at_least(e, x, -f.exp_limit), f.exp_limit))
    return e.mul(e.mul(p, s), s)


def exp_of_negative(e: Any, x: Scalar) -> Scalar:
    """e**x for x <= 0, within 1 ulp: only the lower end needs care, so that 2**n can be applied as 2**(n + bias/2) and a constant."""
    f = format_of(e, x)
    hi, lo = f.ln2
    half = f.bias // 2 + 1
    x = at_least(e, x, -105.0 if f is F32 else -750.0)
    shifted = e.fma(x, f.log2e[0], f.magic + (f.bias + half))
    n = e.sub(shifted, f.magic + (f.bias + half))
    r = e.fma(n, -lo, e.fma(n, -hi, x))
    s = e.bitcast(e.shl(bits(e, shifted), f.mantissa), f.dtype)
    p = e.fma(r, e.fma(r, polynomial(e, r, t.EXP_HALF_F32 if f is F32 else t.EXP_HALF_F64), 1.0), 1.0)
    return e.mul(e.mul(p, s), 2.0**-half)


def exp2(e: Any, x: Scalar) -> Scalar:
    """2**x. Exact for integers."""
    f = format_of(e, x)
    x = at_most(e, at_least(e, x, -1.5 * f.exp_limit), 1.5 * f.exp_limit)
    shifted = e.fma(x, 0.5, f.magic + f.bias)
    m = e.sub(shifted, f.magic + f.bias)
    r = e.fma(m, -2.0, x)
    s = e.bitcast(e.shl(bits(e, shifted), f.mantissa), f.dtype)
    p = e.fma(r, polynomial(e, r, t.EXP2_F32 if f is F32 else t.EXP2_F64), 1.0)
    return e.mul(e.mul(p, s), s)


def expm1_inner(e: Any, x: Scalar) -> Scalar:
    """e**x - 1 without regard for tiny x, for x >= -exp_limit/5 and below overflow.

    2**n (1 + q) - 1 = 2 (s q + (s - 1/2)) with s = 2**(n-1), which stays finite where n is one too large.
    """
    f = format_of(e, x)
    hi, lo = f.ln2
    shifted = e.fma(x, f.log2e[0], f.magic + (f.bias - 1))
    n = e.sub(shifted, f.magic + (f.bias - 1))
    r = e.fma(n, -lo, e.fma(n, -hi, x))
    s = e.bitcast(e.shl(bits(e, shifted), f.mantissa), f.dtype)
    q = e.fma(e.mul(r, r), polynomial(e, r, t.EXPM1_F32 if f is F32 else t.EXPM1_F64), r)
    half = e.fma(s, q, e.sub(s, 0.5))
    return e.add(half, half)


def expm1(e: Any, x: Scalar) -> Scalar:
    """e**x - 1, precise near 0."""
    f = format_of(e, x)
    top = 89.0 if f is F32 else 710.0  # beyond overflow, and 2**(n-1) still finite
    y = expm1_inner(e, at_most(e, at_least(e, x, -40.0), top))
    return e.select(e.lt(e.abs(x), f.tiny), x, y)


def sigmoid(e: Any, x: Scalar) -> Scalar:
    """1 / (1 + e**-x), precise (denormals too) where it is close to 0."""
    z = exp_of_negative(e, e.neg(e.abs(x)))
    return e.div(e.select(e.lt(x, 0.0), z, 1.0), e.add(z, 1.0))


def tanh(e: Any, x: Scalar) -> Scalar:
    """The hyperbolic tangent, from m = e**(-2 |x|) - 1 and z = m + 1: -m / (1 + z), beyond 0.55 as 1 - 2 z / (1 + z)."""
    f = format_of(e, x)
    hi, lo = f.ln2
    a = at_most(e, e.abs(x), 10.0 if f is F32 else 20.0)
    shifted = e.fma(a, -2 * f.log2e[0], f.magic + f.bias)
    n = e.sub(shifted, f.magic + f.bias)
    r = e.fma(n, -lo, e.fma(n, -hi, e.mul(a, -2.0)))
    s = e.bitcast(e.shl(bits(e, shifted), f.mantissa), f.dtype)
    q = e.fma(e.mul(r, r), polynomial(e, r, t.EXPM1_F32 if f is F32 else t.EXPM1_F64), r)
    m = e.fma(s, q, e.sub(s, 1.0))
    z = e.fma(s, q, s)
    small = e.lt(a, 0.55)
    y = e.div(e.select(small, m, e.add(z, z)), e.add(z, 1.0))
    return with_sign_of(e, e.select(small, e.abs(y), e.sub(e.const(1.0, f.dtype), y)), x)


def _half_exp(e: Any, a: Scalar) -> Scalar:
    """e**a / 2 for a >= 0: overflows only where sinh and cosh do."""
    p, s = exp_parts(e, at_most(e, a, F64.exp_limit))
    return e.mul(e.mul(e.mul(p, 0.5), s), s)


@in_f64
def cosh(e: Any, x: Scalar) -> Scalar:
    """The hyperbolic cosine."""
    h = _half_exp(e, e.abs(x))
    return e.add(h, e.div(e.const(0.25, f64), h))


@in_f64
def sinh(e: Any, x: Scalar) -> Scalar:
    """The hyperbolic sine: a polynomial below 1, else from e**x."""
    a = e.abs(x)
    h = _half_exp(e, a)
    large = e.sub(h, e.div(e.const(0.25, f64), h))
    u = e.mul(x, x)
    small = e.fma(e.mul(a, u), polynomial(e, u, t.SINH_F64), a)
    return with_sign_of(e, e.select(e.lt(a, 1.0), small, large), x)
