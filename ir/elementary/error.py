"""The error function and its complement."""

from __future__ import annotations

from typing import Any

from ingot.ir.dtypes import f64
from ingot.ir.elementary import tables as t
from ingot.ir.elementary.core import F32, at_most, bits, format_of, in_f64, polynomial, with_sign_of
from ingot.ir.elementary.exponential import exp_parts

Scalar = Any


def erf(e: Any, x: Scalar) -> Scalar:
    """The error function: a polynomial near 0, 1 minus a small term beyond. 32 instructions for f32."""
    f = format_of(e, x)
    if f is F32:
        a = at_most(e, e.abs(x), 3.95)
        u = e.mul(a, a)
        small = e.fma(a, polynomial(e, u, t.ERF_F32), a)
        z = polynomial(e, a, t.ERF_TAIL_F32)  # log2(1 - erf(a)), in [-25, -2]
        shifted = e.add(z, f.magic + f.bias)
        r = e.sub(z, e.sub(shifted, f.magic + f.bias))
        s = e.bitcast(e.shl(bits(e, shifted), f.mantissa), f.dtype)
        large = e.fma(e.neg(s), e.fma(r, polynomial(e, r, t.EXP2_SHORT), 1.0), 1.0)
        return with_sign_of(e, e.select(e.lt(a, 0.9), small, large), x)
    a = e.abs(x)
    small = e.mul(a, polynomial(e, e.mul(a, a), t.ERF_F64))
    large = e.sub(e.const(1.0, f64), _erfc_positive(e, a))
    return with_sign_of(e, e.select(e.lt(a, 1.0), small, large), x)


def _erfc_positive(e: Any, a: Scalar) -> Scalar:
    """erfc(a) for a >= 0: exp(-a**2) times a polynomial in (a - 4) / (a + 4), over 1 + 2 a."""
    a = at_most(e, a, 28.0)
    q = polynomial(e, e.div(e.sub(a, 4.0), e.add(a, 4.0)), t.ERFCX_F64)
    q = e.div(q, e.fma(a, 2.0, 1.0))
    square = e.mul(a, a)
    rest = e.fma(a, a, e.neg(square))
    p, s = exp_parts(e, e.neg(square))
    p = e.mul(p, q)
    return e.mul(e.mul(e.fma(e.neg(rest), p, p), s), s)


@in_f64
def erfc(e: Any, x: Scalar) -> Scalar:
    """1 - erf(x), precise where it is small. Within 4 ulp for f64."""
    a = e.abs(x)
    large = _erfc_positive(e, a)
    large = e.select(e.lt(x, 0.0), e.sub(e.const(2.0, f64), large), large)
    u = e.mul(x, x)
    near = e.sub(e.const(1.0, f64), e.mul(x, polynomial(e, u, t.ERF_F64)))
    return e.select(e.lt(a, 0.5), near, large)
