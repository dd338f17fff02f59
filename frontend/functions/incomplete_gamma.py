"""The regularized incomplete gamma functions and Hurwitz's zeta function, as compositions: derivatives come from these."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ingot._tensor.composites import composite
from ingot._tensor.recording import constant
from ingot.functions.common import Tensor, apply, cast, cast_out, common_dtype, dtypes, float_dtype, operands, scalar

__all__ = ["igamma", "igammac"]

_LARGE = 30.0  # from here on a is large
_TERMS, _LEVELS = 60, 48
_POINTS = 28


def _pick(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return apply("select", condition, a, b)


def _small(a: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """P by its power series (good for x <= a + 1) and Q by its continued fraction (good beyond), for a up to _LARGE."""
    front = apply("exp", a * apply("log", x) - x - apply("lgamma", a + 1))
    total = a * 0.0 + 1
    for k in range(_TERMS, 0, -1):
        total = total * (x / (a + float(k))) + 1
    fraction = x + (2.0 * _LEVELS + 1) - a
    for n in range(_LEVELS, 0, -1):
        fraction = x + (2.0 * n - 1) - a - (float(n) - a) * float(n) / fraction
    return front * total, front * a / fraction


def _fall(past: Tensor, top: Tensor) -> Tensor:
    """top * log(t / top) - past, for t = top + past: by its series near the top, where both cancel; for a of 1e12 nothing would be left."""
    d = past / top
    t = apply("maximum", top + past, scalar(1e-300, dtypes.f64))
    series = d * 0.0 + 1 / 12
    for k in range(11, 1, -1):
        series = series * -d + 1 / k
    return _pick(apply("abs", d) < 0.02, -top * d * d * series, top * apply("log", t / top) - past)


def _quadrature(a: Tensor, x: Tensor) -> Tensor:
    """The integral of the density from x outwards, for large a: Q where x is beyond a - 1, else P."""
    top = a - 1
    width = apply("sqrt", top)
    begin = x - top  # from the top, as the rest: for a of 1e35 the whole rise is less than the distance of two floats
    end = _pick(x > top, apply("maximum", width * 12.0, begin + width * 10.0), apply("minimum", width * -8.0, begin - width * 6.0))
    end = apply("maximum", end, -top)
    lead = tuple(a.shape)
    places, sizes = np.polynomial.legendre.leggauss(_POINTS)  # of Gauss and Legendre, from -1 to 1
    nodes, weights = constant(places * 0.5 + 0.5, dtypes.f64), constant(sizes * 0.5, dtypes.f64)

    def wide(t: Tensor) -> Tensor:
        return apply("reshape", t, attrs=((*lead, 1),))

    height = apply("exp", _fall(wide(begin) + wide(end - begin) * nodes, wide(top)))
    total = apply("reshape", apply("reduce_sum", height * weights, attrs=((len(lead),),)), attrs=(lead,))
    v = 1 / top
    stirling = v * (1 / 12 - v * v * (1 / 360 - v * v * (1 / 1260 - v * v / 1680)))  # of lgamma(a); what it cancels against is left out
    scale = apply("rsqrt", top * (2 * math.pi)) * apply("exp", -stirling)
    return apply("abs", total * (end - begin) * scale)


@composite
def _incomplete(a: Tensor, x: Tensor, upper: bool) -> Tensor:
    """P(a, x), or Q(a, x) if `upper`."""
    out = a.dtype
    a, x = cast(a, dtypes.f64), cast(x, dtypes.f64)
    zero, one = scalar(0.0, dtypes.f64), scalar(1.0, dtypes.f64)
    inside = apply("logical_and", apply("logical_and", a > 0, x > 0), apply("logical_and", a < math.inf, x < math.inf))
    b, y = _pick(inside, a, one), _pick(inside, x, one)
    large = b > _LARGE
    few, near = _pick(large, one, b), _pick(large, one, y)
    series, fraction = _small(few, near)
    below = near <= few + 1
    many, far = _pick(large, b, scalar(100.0, dtypes.f64)), _pick(large, y, scalar(100.0, dtypes.f64))
    outer = _quadrature(many, far)
    left = far <= many - 1
    if upper:
        value = _pick(large, _pick(left, 1 - outer, outer), _pick(below, 1 - series, fraction))
    else:
        value = _pick(large, _pick(left, outer, 1 - outer), _pick(below, series, 1 - fraction))
    low, high = (one, zero) if upper else (zero, one)  # where all of the mass is beyond x, and where none is
    edge = _pick(apply("logical_or", a == math.inf, apply("logical_and", x == 0, a > 0)), low, high)
    nan = apply("logical_or", apply("logical_or", a < 0, x < 0), apply("logical_or", apply("isnan", a), apply("isnan", x)))
    nan = apply("logical_or", nan, apply("logical_and", a == 0, x == 0))
    nan = apply("logical_or", nan, apply("logical_and", a == math.inf, x == math.inf))
    return cast(_pick(inside, value, _pick(nan, scalar(math.nan, dtypes.f64), edge)), out)


def _pair(name: str, input: Any, other: Any, upper: bool, out: Tensor | None) -> Tensor:
    dtype = float_dtype(common_dtype(input, other))
    a, x = operands(name, input, other, dtype=dtype)
    shape = tuple((a * 0 + x * 0).shape)
    a, x = (t if tuple(t.shape) == shape else apply("broadcast", t, attrs=(shape,)) for t in (a, x))
    return cast_out(_incomplete(a, x, upper), out)


def igamma(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """P(a, x), the regularized lower incomplete gamma function of a = `input` and x = `other`, elementwise; NaN for negative ones.

    The integral of t ** (a - 1) * exp(-t) from 0 to x, divided by that from 0 to infinity.

    >>> ingot.igamma(ingot.tensor([1.0, 4.0]), ingot.tensor([2.0, 2.0]))
    tensor([0.8647, 0.1429])
    """
    return _pair("igamma", input, other, False, out)


def igammac(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Q(a, x) = 1 - P(a, x), see `igamma`, computed on its own: it stays exact where it is small.

    >>> ingot.igammac(ingot.tensor([1.0, 4.0]), ingot.tensor([2.0, 2.0]))
    tensor([0.1353, 0.8571])
    """
    return _pair("igammac", input, other, True, out)


# B2 / 2!, B4 / 4!, ...: the coefficients of the Euler-Maclaurin formula
_COEFFICIENTS = [b / math.factorial(2 * k) for k, b in enumerate(
    (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330, 854513 / 138,
     -236364091 / 2730), 1,
)]  # fmt: skip
_STEPS = 12


def _positive_zeta(p: Tensor, q: Tensor) -> Tensor:
    """For p > 1 and q > 0: the first terms, and the Euler-Maclaurin formula for the rest."""
    p = apply("minimum", p, scalar(1e300, dtypes.f64))
    total = p * 0.0
    for k in range(_STEPS):
        total = total + apply("exp", -p * apply("log", q + float(k)))
    w = q + float(_STEPS)
    base = apply("exp", -p * apply("log", w))
    total = total + base * w / (p - 1) + base * 0.5
    rising, ladder = _pick(base > 0, p, scalar(2.0, dtypes.f64)), base / w  # a large p would make it infinite, times 0
    p = rising
    for k, c in enumerate(_COEFFICIENTS, 1):
        total = total + ladder * rising * c
        rising = rising * (p + (2.0 * k - 1)) * (p + 2.0 * k)
        ladder = ladder / (w * w)
    return total


@composite
def _zeta(s: Tensor, q: Tensor) -> Tensor:
    out = s.dtype
    s, q = cast(s, dtypes.f64), cast(q, dtypes.f64)
    one, nan = scalar(1.0, dtypes.f64), scalar(math.nan, dtypes.f64)
    whole_q, whole_s = apply("floor", q) == q, apply("floor", s) == s
    negative = apply("logical_and", q < 0, apply("logical_and", whole_s, apply("logical_not", whole_q)))
    fine = apply("logical_and", s > 1, apply("logical_or", q > 0, negative))
    p = _pick(fine, s, one * 2)
    # below 0: the terms below it are +-(f + j) ** -s up to j = floor(-q), f the fraction of -q, and those above begin at 1 - f
    r = _pick(negative, -q, one * 1.5)
    f = r - apply("floor", r)
    below = _positive_zeta(p, f) - _positive_zeta(p, r + 1)
    below = _pick(apply("remainder", p, one * 2) == 1, -below, below)
    total = _positive_zeta(p, _pick(negative, 1 - f, _pick(fine, q, one))) + _pick(negative, below, one * 0)
    pole = apply("logical_and", s > 1, apply("logical_and", q <= 0, whole_q))
    other = _pick(apply("logical_or", s == 1, pole), scalar(math.inf, dtypes.f64), nan)
    return cast(_pick(fine, total, other), out)


def zeta(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """Hurwitz's zeta function: the sum of (k + q) ** -x over k = 0, 1, 2, ..., for x = `input` and q = `other`, elementwise.

    Infinite at x = 1, and where q is a whole number not above 0; NaN for x below 1, and for a negative q unless x is whole.

        >>> ingot.special.zeta(ingot.tensor([2.0, 4.0]), 1)
        tensor([1.6449, 1.0823])
    """
    dtype = float_dtype(common_dtype(input, other))
    s, q = operands("zeta", input, other, dtype=dtype)
    return cast_out(_zeta(s, q), out)
