"""Functions beside the gamma function, and modified Bessel functions."""

from __future__ import annotations

import math
from typing import Any

from ingot._tensor.composites import composite
from ingot.functions.common import (
    Tensor,
    apply,
    before,
    cast,
    cast_out,
    check_tensor,
    dtypes,
    float_dtype,
    scalar,
    static_int,
    store,
    upcast,
)
from ingot.functions.numpy_names import methods

__all__ = ["i0", "mvlgamma", "polygamma"]

# B2, B4, ...: the coefficients of the Euler-Maclaurin formula
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)


def polygamma(n: int, input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The `n`-th derivative of digamma, elementwise; integers become the default float dtype. RuntimeError for a negative `n`.

    >>> ingot.polygamma(1, ingot.tensor([1.0, 0.5]))
    tensor([1.6449, 4.9348])
    """
    check_tensor("polygamma", input, "input", 2)
    n = static_int(n, "n")
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    x = cast(input, float_dtype(input.dtype))
    return cast_out(apply("digamma", x) if n == 0 else _polygamma(x, n), out)


def _cotangent_derivative(n: int) -> list[int]:
    """The `n`-th derivative of cot as a polynomial in cot, from the constant on: cot' = -(1 + cot**2)."""
    p = [0, 1]
    for _ in range(n):
        slope = [k * c for k, c in enumerate(p)][1:]
        p = [-((slope[k] if k < len(slope) else 0) + (slope[k - 2] if 0 <= k - 2 < len(slope) else 0)) for k in range(len(slope) + 2)]
    return p


@composite
def _polygamma(x: Tensor, n: int) -> Tensor:
    """Reflection below 1/2, the terms of the series up to 10, the Euler-Maclaurin formula for the rest."""
    y = upcast(x)
    low = y < 0.5
    z = apply("select", low, 1 - y, y)
    total = apply("integer_pow", z, attrs=(-(n + 1),))
    for k in range(1, 10):
        total = total + apply("integer_pow", z + float(k), attrs=(-(n + 1),))
    w = z + 10.0
    v = 1 / w
    rest = 1 / n + v * 0.5
    power, rising = v, 1.0
    for k, b in enumerate(_BERNOULLI, 1):  # b / (2k)! * (n+1)(n+2)...(n+2k-1) / w**(2k)
        rising = math.prod(range(n + 1, n + 2 * k)) / math.factorial(2 * k)
        power = v * v if k == 1 else power * v * v
        rest = rest + power * (b * rising)
    total = (total + rest * apply("integer_pow", v, attrs=(n,))) * ((-1.0) ** (n + 1) * math.factorial(n))
    below = apply("select", low, y, scalar(0.25, y.dtype))  # a finite gradient where the reflection is not taken
    cot = _cot_pi(below)
    coefficients = _cotangent_derivative(n)
    series = scalar(float(coefficients[-1]), y.dtype)
    for c in reversed(coefficients[:-1]):
        series = series * cot + float(c)
    reflected = total * (-1.0) ** n - series * math.pi ** (n + 1)
    return cast(apply("select", low, reflected, total), x.dtype)


def _cot_pi(x: Tensor) -> Tensor:
    """cot(pi x), exactly 0 halfway between whole numbers: from the nearest pole or the nearest zero, whichever is less far."""
    f = x - apply("round", x)
    pole = apply("abs", f) < 0.25
    zero = apply("select", f < 0, scalar(-0.5, x.dtype), scalar(0.5, x.dtype)) - f
    t = apply("tan", apply("select", pole, f, zero) * math.pi)
    return apply("select", pole, 1 / apply("select", pole, t, scalar(1.0, x.dtype)), t)


def mvlgamma(input: Tensor, p: int, *, out: Tensor | None = None) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension `p`, elementwise. RuntimeError for p < 1.

    >>> ingot.mvlgamma(ingot.tensor([3.0, 4.5]), 2)
    tensor([1.5502, 4.8179])
    """
    check_tensor("mvlgamma", input)
    p = static_int(p, "p")
    if p < 1:
        raise RuntimeError("mvlgamma: p has to be greater than or equal to 1")
    if input.dtype.kind == "b":
        raise RuntimeError("mvlgamma: The input tensor may not be a boolean tensor.")
    return cast_out(_mvlgamma(cast(input, float_dtype(input.dtype)), p), out)


@composite
def _mvlgamma(x: Tensor, p: int) -> Tensor:
    y = upcast(x)
    total = apply("lgamma", y) + p * (p - 1) / 4 * math.log(math.pi)
    for k in range(1, p):
        total = total + apply("lgamma", y - k / 2)
    return cast(total, x.dtype)


_POINTS, _FAR, _TERMS = 28, 30.0, 24


@composite
def bessel(x: Tensor, order: int, scaled: bool) -> Tensor:
    """The modified Bessel function I of order 0 or 1, by exp(-|x|) if `scaled`.

    Up to 30 by the trapezoid rule on its integral over a circle, which for a periodic integrand is as exact as the points are
    many; beyond by the asymptotic series. In float64: the terms of the derivative cancel near 0, and overflow before it does.
    """
    y = cast(x, dtypes.f64)
    # i0 is smooth at 0, where that of abs would lose its second derivative
    a = apply("abs", y) if scaled else y * apply("select", y < 0, scalar(-1, y.dtype), scalar(1, y.dtype))
    far = a > _FAR
    near_a = apply("select", far, scalar(_FAR, y.dtype), a)
    near = near_a * 0.0
    for k in range(_POINTS + 1):
        angle = math.pi * k / _POINTS
        weight = (0.5 if k in (0, _POINTS) else 1.0) / _POINTS * (math.sin(angle) ** 2 if order else 1.0)
        if weight > 1e-30:
            near = near + apply("exp", near_a * (math.cos(angle) - 1)) * weight
    if order:
        near = near * apply("select", far, near_a, y)  # odd, and differentiable at 0
    far_a = apply("select", far, a, scalar(_FAR, y.dtype))
    v, term, series = 1 / (far_a * 8.0), 1.0, []
    for k in range(1, _TERMS):
        term *= -(4.0 * order * order - (2 * k - 1) ** 2) / k
        series.append(term)
    total = scalar(series[-1], y.dtype)
    for c in reversed([1.0, *series[:-1]]):
        total = total * v + c
    infinite = far_a == math.inf
    distant = total * apply("rsqrt", far_a * (2 * math.pi))
    if order:
        distant = apply("select", y < 0, -distant, distant)
    out = apply("select", far, distant, near)
    if not scaled:
        grown = apply("exp", a - math.log(2.0)) * out * 2.0  # later by a factor of two: exp alone overflows first
        out = apply("select", infinite, y if order else a, grown)
    return cast(out, x.dtype)


def bessel_of(name: str, input: Any, order: int, scaled: bool, out: Any) -> Tensor:
    check_tensor(name, input)
    return cast_out(bessel(cast(input, float_dtype(input.dtype)), order, scaled), out)


def i0(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The modified Bessel function of order 0, elementwise; integers become the default float dtype.

    >>> ingot.i0(ingot.tensor([0.0, 1.0]))
    tensor([1.0000, 1.2661])
    """
    return bessel_of("i0", input, 0, False, out)


def _polygamma_method(self: Tensor, n: int) -> Tensor:
    """`ingot.polygamma(n, self)`."""
    return polygamma(n, self)


def _polygamma_(self: Tensor, n: int) -> Tensor:
    """`polygamma`, in place."""
    return store(self, polygamma(n, before(self)))


METHODS = methods(polygamma=_polygamma_method, polygamma_=_polygamma_)
