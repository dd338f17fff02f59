"""The logarithm of the gamma function, and its derivative."""

from __future__ import annotations

from typing import Any

from ingot.ir.dtypes import f64
from ingot.ir.elementary import tables as t
from ingot.ir.elementary.core import INF, NAN, in_f64, polynomial, with_sign_of
from ingot.ir.elementary.logarithmic import log
from ingot.ir.elementary.trigonometric import cos, sin

Scalar = Any
PI = 3.141592653589793
LOG_PI = 1.1447298858494002
HALF_LOG_2PI = 0.9189385332046728


@in_f64
def lgamma(e: Any, x: Scalar) -> Scalar:
    """log |gamma(x)|; inf at 0, -1, -2, ... Within 3 ulp for x > 0; below 0 within 1e-15 of max(1, |result|)."""
    one = e.const(1.0, f64)
    negative = e.lt(x, 0.0)
    z = e.abs(x)
    # below 10: gamma(z) = product * gamma(1 + y) with y in [0, 1], all factors above 1 (or a single one below)
    y, product = z, one
    for _ in range(8):
        far = e.gt(y, 2.0)
        y = e.select(far, e.sub(y, 1.0), y)
        product = e.select(far, e.mul(product, y), product)
    below = e.lt(z, 1.0)
    v = e.select(below, z, e.sub(y, 1.0))
    core = e.mul(e.mul(v, e.sub(v, 1.0)), polynomial(e, v, t.LGAMMA_F64))
    large = e.ge(z, 10.0)
    logarithm = log(e, e.select(large, z, e.select(below, z, product)))
    small_value = e.add(core, e.select(below, e.neg(logarithm), logarithm))
    inverse = e.div(one, z)
    series = e.mul(inverse, polynomial(e, e.mul(inverse, inverse), t.STIRLING_F64))
    # (z - 1/2) (log z - 1) - 1/2 + log(2 pi) / 2: no overflow before the result's
    large_value = e.fma(e.sub(z, 0.5), e.sub(logarithm, 1.0), e.add(series, HALF_LOG_2PI - 0.5))
    value = e.select(large, large_value, small_value)
    # gamma(-z) gamma(z) = -pi / (z sin(pi z))
    sine = e.abs(_sin_pi(e, z))
    reflected = e.sub(e.sub(e.const(LOG_PI, f64), log(e, e.mul(z, sine))), value)
    result = e.select(negative, reflected, value)
    return e.select(e.eq(z, INF), z, e.select(e.and_(negative, e.eq(e.floor(x), x)), e.const(INF, f64), result))


def _sin_pi(e: Any, z: Scalar) -> Scalar:
    """sin(pi z) up to its sign, by the distance of z from a whole number, which is exact."""
    return sin(e, e.mul(e.sub(z, e.rint(z)), PI))


@in_f64
def digamma(e: Any, x: Scalar) -> Scalar:
    """The derivative of lgamma; NaN at -1, -2, ..., and -inf at 0. Within 1e-14 of max(1, |result|)."""
    one = e.const(1.0, f64)
    negative = e.lt(x, 0.0)
    z = e.select(negative, e.sub(one, x), x)
    # digamma(z) = digamma(z + n) - (1/z + 1/(z+1) + ...), the sum kept as one fraction
    near = e.lt(z, 10.0)
    numerator, denominator = one, z
    for k in range(1, 10):
        term = e.add(z, float(k))
        numerator = e.fma(numerator, term, denominator)
        denominator = e.mul(denominator, term)
    shift = e.select(near, e.div(numerator, e.select(near, denominator, 1.0)), 0.0)
    w = e.select(near, e.add(z, 10.0), z)
    inverse = e.div(one, w)
    v = e.mul(inverse, inverse)
    value = e.sub(e.sub(log(e, w), e.mul(inverse, 0.5)), e.fma(v, polynomial(e, v, t.DIGAMMA_F64), shift))
    angle = e.mul(e.sub(x, e.rint(x)), PI)
    reflected = e.sub(value, e.div(e.mul(cos(e, angle), PI), sin(e, angle)))
    result = e.select(negative, reflected, value)
    result = e.select(e.and_(negative, e.eq(e.floor(x), x)), e.const(NAN, f64), result)
    return e.select(e.eq(x, 0.0), with_sign_of(e, e.const(INF, f64), e.neg(x)), result)
