"""Graphs of random numbers that are drawn by rejection: gamma, Poisson, binomial and von Mises numbers.

A number is the first accepted one of a fixed count of candidates, so that every element takes the same steps; the last is accepted
anyway, which happens with a probability below 1e-10.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ingot._streams import gauss, unit_numbers
from ingot._tensor import Tensor
from ingot._tensor.composites import composite
from ingot._tensor.recording import cast, stop_gradient
from ingot.functions.common import apply, scalar
from ingot.functions.incomplete_gamma import igamma, igammac
from ingot.ir.dtypes import f64
from ingot.ir.types import numel

__all__ = ["binomial", "gamma", "poisson", "von_mises"]

Stream = Callable[[int], tuple[Tensor, Tensor]]  # of a number of random words: the seed and the offset

_GAMMA_TRIES, _COUNT_TRIES, _ANGLE_TRIES = 8, 16, 24


def _row(t: Tensor, k: int) -> Tensor:
    shape = tuple(t.shape)
    cut = apply("slice", t, attrs=((k,) + (0,) * (len(shape) - 1), (k + 1, *shape[1:]), (1,) * len(shape)))
    return apply("reshape", cut, attrs=(shape[1:],))


def _select(c: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return apply("select", c, a, b)


def gamma(alpha: Tensor, stream: Stream) -> Tensor:
    """Standard gamma numbers of shape parameter `alpha`, in float64, with gradients by implicit differentiation.

    stream(words) gives a seed and an offset. Source: Marsaglia and Tsang, https://doi.org/10.1145/358407.358414;
    https://arxiv.org/abs/1805.08498 for the gradient.
    """
    shape = tuple(alpha.shape)
    many = (_GAMMA_TRIES, *shape)
    n = numel(many)
    zero, one = scalar(0.0, f64), scalar(1.0, f64)
    z = gauss(*stream(4 * n), zero, one, many, f64)
    u = unit_numbers(*stream(2 * n), many, f64)
    boost = unit_numbers(*stream(2 * numel(shape)), shape, f64)
    a = cast(alpha, f64)
    drawn = _marsaglia(stop_gradient(a), z, u, boost)
    return _attached(a, drawn)


@composite
def _marsaglia(alpha: Tensor, z: Tensor, u: Tensor, boost: Tensor) -> Tensor:
    one = scalar(1.0, f64)
    small = alpha < 1
    d = _select(small, alpha + 1, alpha) - 1 / 3
    c = 1 / apply("sqrt", d * 9.0)
    value = d
    found = alpha != alpha
    for k in range(_GAMMA_TRIES):
        x = _row(z, k)
        v = c * x + 1
        v = v * v * v
        safe = _select(v > 0, v, one)
        good = apply("log", 1 - _row(u, k)) < x * x * 0.5 + d - d * safe + d * apply("log", safe)
        good = apply("logical_and", good, v > 0)
        value = _select(found, value, _select(v > 0, d * safe, value))
        found = apply("logical_or", found, good)
    scaled = apply("exp", apply("log", 1 - boost) / alpha)
    return apply("maximum", _select(small, value * scaled, value), scalar(1e-300, f64))


@composite
def _attached(alpha: Tensor, drawn: Tensor) -> Tensor:
    """`drawn`, whose gradient is -(dP/da) / p, P the distribution function and p the density; without second derivatives."""
    a, x = stop_gradient(alpha), stop_gradient(drawn)
    step = (a + 1) * 1e-5
    lower = apply("minimum", step, a * 0.5)
    span = step + lower
    low = (igamma(a + step, x) - igamma(a - lower, x)) / span
    high = -(igammac(a + step, x) - igammac(a - lower, x)) / span
    slope = _select(x > a, high, low)
    density = apply("exp", (a - 1) * apply("log", x) - x - apply("lgamma", a))
    rate = _select(density > 0, -slope / density, scalar(0.0, f64))
    return x + (alpha - a) * stop_gradient(rate)


def poisson(rate: Tensor, stream: Stream) -> Tensor:
    """Poisson numbers, in float64. Source for rates from 10 on: Hoermann, https://doi.org/10.1016/0167-6687(93)90997-4."""
    shape = tuple(rate.shape)
    many = (_COUNT_TRIES, *shape)
    u, v = (unit_numbers(*stream(2 * numel(many)), many, f64) for _ in range(2))
    return _poisson(cast(rate, f64), u, v)


_SEARCH = 48  # terms of a distribution function that is searched from 0 on


def _searched(first: Tensor, ratio: Callable[[int], Tensor], u: Tensor) -> Tensor:
    """How many terms of a distribution function lie below u: first, first * ratio(1), ..."""
    term = total = first
    count = u * 0.0
    for k in range(1, _SEARCH):
        count = count + cast(u >= total, f64)
        term = term * ratio(k)
        total = total + term
    return count


@composite
def _poisson(rate: Tensor, u: Tensor, v: Tensor) -> Tensor:
    one = scalar(1.0, f64)
    large = rate >= 10
    few = _select(large, one, rate)
    small = _searched(apply("exp", -few), lambda k: few / float(k), _row(u, 0))
    m = _select(large, rate, one * 10)
    root = apply("sqrt", m)
    log = apply("log", m)
    b = root * 2.53 + 0.931
    a = b * 0.02483 - 0.059
    inverse = 1.1239 + 1.1328 / (b - 3.4)
    squeeze = 0.9277 - 3.6224 / (b - 2)
    value, found = apply("floor", m), m != m
    for i in range(_COUNT_TRIES):
        x = _row(u, i) - 0.5
        w = 1 - _row(v, i)
        us = 0.5 - apply("abs", x)
        k = apply("floor", (2 * a / us + b) * x + m + 0.43)
        quick = apply("logical_and", us >= 0.07, w <= squeeze)
        out = apply("logical_or", k < 0, apply("logical_and", us < 0.013, w > us))
        safe = _select(k < 0, one, k)
        close = apply("log", w) + apply("log", inverse) - apply("log", a / (us * us) + b) <= safe * log - m - apply("lgamma", safe + 1)
        good = apply("logical_or", quick, apply("logical_and", apply("logical_not", out), close))
        value = _select(apply("logical_and", apply("logical_not", found), good), k, value)
        found = apply("logical_or", found, good)
    return _select(large, value, _select(rate == 0, rate * 0.0, small))


def binomial(count: Tensor, prob: Tensor, stream: Stream) -> Tensor:
    """Binomial numbers, in float64. Source for means from 10 on: Hoermann, https://doi.org/10.1080/00949659308811496."""
    shape = tuple((count * 0 + prob * 0).shape)
    many = (_COUNT_TRIES, *shape)
    u, v = (unit_numbers(*stream(2 * numel(many)), many, f64) for _ in range(2))
    count, prob = (t if tuple(t.shape) == shape else apply("broadcast", t, attrs=(shape,)) for t in (count, prob))
    return _binomial(cast(count, f64), cast(prob, f64), u, v)


@composite
def _binomial(n: Tensor, p: Tensor, u: Tensor, v: Tensor) -> Tensor:
    one = scalar(1.0, f64)
    flip = p > 0.5
    q = _select(flip, 1 - p, p)
    large = n * q >= 10
    few, low = _select(large, one, n), _select(large, one * 0.1, q)
    odds = low / (1 - low)
    first = apply("exp", few * apply("log1p", -low))
    small = _searched(first, lambda k: apply("maximum", few - float(k - 1), one * 0) * odds / float(k), _row(u, 0))
    m, s = _select(large, n, one * 100), _select(large, q, one * 0.5)
    spread = apply("sqrt", m * s * (1 - s))
    b = 1.15 + spread * 2.53
    a = b * 0.0248 - 0.0873 + s * 0.01
    middle = m * s + 0.5
    squeeze = 0.92 - 4.2 / b
    alpha = (2.83 + 5.1 / b) * spread
    mode = apply("floor", (m + 1) * s)
    log_odds = apply("log", s / (1 - s))
    top = apply("lgamma", mode + 1) + apply("lgamma", m - mode + 1)
    value, found = mode, m != m
    for i in range(_COUNT_TRIES):
        x = _row(u, i) - 0.5
        w = 1 - _row(v, i)
        us = 0.5 - apply("abs", x)
        k = apply("floor", (2 * a / us + b) * x + middle)
        within = apply("logical_and", k >= 0, k <= m)
        safe = _select(within, k, mode)
        quick = apply("logical_and", apply("logical_and", us >= 0.07, w <= squeeze), within)
        scaled = apply("log", w * alpha / (a / (us * us) + b))
        close = scaled <= top - apply("lgamma", safe + 1) - apply("lgamma", m - safe + 1) + (safe - mode) * log_odds
        good = apply("logical_or", quick, apply("logical_and", within, close))
        value = _select(apply("logical_and", apply("logical_not", found), good), k, value)
        found = apply("logical_or", found, good)
    drawn = apply("minimum", _select(large, value, small), n)
    return _select(flip, n - drawn, drawn)


def von_mises(concentration: Tensor, stream: Stream) -> Tensor:
    """Angles around 0, in float64. Source: Best and Fisher, https://doi.org/10.2307/2346732."""
    shape = tuple(concentration.shape)
    many = (_ANGLE_TRIES, *shape)
    u, v, w = (unit_numbers(*stream(2 * numel(many)), many, f64) for _ in range(3))
    return _von_mises(cast(stop_gradient(concentration), f64), u, v, w)


@composite
def _von_mises(k: Tensor, u: Tensor, v: Tensor, w: Tensor) -> Tensor:
    one = scalar(1.0, f64)
    tau = 1 + apply("sqrt", 1 + k * k * 4.0)
    rho = (tau - apply("sqrt", tau * 2.0)) / (k * 2.0)
    r = _select(k < 1e-5, 1 / k + k, (1 + rho * rho) / (rho * 2.0))
    value, found = k * 0.0, k != k
    for i in range(_ANGLE_TRIES):
        z = apply("cos", _row(u, i) * math.pi)
        f = (1 + r * z) / (r + z)
        c = k * (r - f)
        accept = apply("logical_or", c * (2 - c) - _row(v, i) > 0, apply("log", c / (1 - _row(v, i))) + 1 - c >= 0)
        angle = apply("sign", _row(w, i) - 0.5) * apply("acos", apply("minimum", apply("maximum", f, -one), one))
        value = _select(found, value, angle)
        found = apply("logical_or", found, accept)
    return value
