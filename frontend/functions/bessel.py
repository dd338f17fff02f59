"""Bessel functions of orders 0 and 1 and Airy's function, as series near 0 and integrals elsewhere. `ingot.special` names them.

The integrals are summed by the trapezoid rule, which for an analytic integrand that dies out at both ends is exact up to an error that
falls exponentially with the number of points: no fitted coefficients are needed. All is computed in float64. As in torch none has
a derivative.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ingot._tensor.composites import composite
from ingot.functions.common import Tensor, apply, cast, cast_out, check_tensor, dtypes, float_dtype, refuse, scalar
from ingot.functions.gamma import bessel as modified

__all__: list[str] = []

EULER = 0.57721566490153286061


def _where(c: Tensor, a: Tensor | float, b: Tensor | float) -> Tensor:
    return apply("select", c, *(s if isinstance(s, Tensor) else scalar(s, dtypes.f64) for s in (a, b)))


def _series(v: Tensor, coefficients: list[float]) -> Tensor:
    total = v * 0.0 + coefficients[-1]
    for c in reversed(coefficients[:-1]):
        total = total * v + c
    return total


def _harmonic(k: int) -> float:
    return math.fsum(1 / j for j in range(1, k + 1))


def _low_series(x: Tensor, order: int, sign: int, terms: int) -> tuple[Tensor, Tensor]:
    """J (sign -1) or I (1) of `order` 0 or 1 by its power series, and the sum beside the logarithm in Y or K (DLMF 10.8.1, 10.31.1).

    That sum is of (psi(k + 1) + psi(order + k + 1)) times the terms of J or I.
    """
    v = x * x * 0.25
    plain = [sign**k / (math.factorial(k) * math.factorial(k + order)) for k in range(terms)]
    other = [c * (_harmonic(k) + _harmonic(k + order) - 2 * EULER) for k, c in enumerate(plain)]
    head = x * 0.5 if order else 1.0
    return _series(v, plain) * head, _series(v, other) * head


# -- J and Y -----------------------------------------------------------------------------------------------------------

_NEAR, _STEP, _COUNT = 5.0, 0.3, 22


def _hankel(x: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """J and Y for x >= 5 by Hankel's integral of exp(-t) t**(n - 1/2) (1 + i t / 2x)**(n - 1/2) (DLMF 10.9.11 with t = s**2)."""
    real, imaginary = x * 0.0, x * 0.0
    for k in range(_COUNT):
        t = (k * _STEP) ** 2
        weight = math.exp(-t) * _STEP * (1.0 if k == 0 else 2.0) / math.sqrt(math.pi) * (2 * t if order else 1.0)
        if weight < 1e-20:
            continue
        u = (0.5 * t) / x
        r = apply("sqrt", u * u + 1.0)
        root = apply("sqrt", (r + 1.0) * 0.5)
        across = u / (root * 2.0)
        if order:
            real, imaginary = real + root * weight, imaginary + across * weight
        else:
            real, imaginary = real + root / r * weight, imaginary - across / r * weight
    c, s = apply("cos", x), apply("sin", x)
    cosine, sine = (c + s, s - c) if order == 0 else (s - c, -s - c)  # of x - n pi/2 - pi/4, times the root of 2
    scale = apply("rsqrt", x * math.pi)
    return scale * (real * cosine - imaginary * sine), scale * (real * sine + imaginary * cosine)


def _bessel_j(x: Tensor, order: int) -> Tensor:
    a = apply("abs", x)
    near = a < _NEAR
    low, _ = _low_series(_where(near, a, 1.0), order, -1, 26)
    high, _ = _hankel(_where(near, _NEAR, a), order)
    value = _where(near, low, high)
    return _where(x < 0, -value, value) if order else value


def _bessel_y(x: Tensor, order: int) -> Tensor:
    near = x < _NEAR
    z = _where(apply("logical_and", near, x > 0), x, 1.0)
    j, other = _low_series(z, order, -1, 26)
    low = (j * apply("log", z * 0.5) * 2.0 - other) * (1 / math.pi)
    if order:
        low = low - 2 / math.pi / z
    _, high = _hankel(_where(near, _NEAR, x), order)
    return _where(x == 0, -math.inf, _where(x < 0, math.nan, _where(near, low, high)))


# -- K -----------------------------------------------------------------------------------------------------------------

_POINTS = 24


def _decay(x: Tensor, order: float) -> Tensor:
    """exp(x) K(x) for x >= 1: the integral of exp(-x (cosh t - 1)) cosh(order t) (DLMF 10.32.9) up to where that is exp(-40)."""
    step = apply("asinh", apply("sqrt", 20 / x)) * (2 / _POINTS)
    total = x * 0.0 + 0.5
    for k in range(1, _POINTS + 1):
        t = step * float(k)
        half = apply("sinh", t * 0.5)
        value = apply("exp", half * half * x * -2.0)
        total = total + (value * apply("cosh", t * order) if order else value)
    return total * step


def _bessel_k(x: Tensor, order: int, scaled: bool) -> Tensor:
    near = x < 1
    z = _where(apply("logical_and", near, x > 0), x, 0.5)
    i, other = _low_series(z, order, 1, 14)
    log = apply("log", z * 0.5)
    low = i * log + 1 / z - other * 0.5 if order else other * 0.5 - i * log
    far = _where(near, 1.0, x)
    infinite = far == math.inf
    high = _where(infinite, 0.0, _decay(_where(infinite, 1.0, far), order))
    if scaled:
        low = low * apply("exp", z)
    else:
        high = high * apply("exp", -far)
    return _where(x == 0, math.inf, _where(x < 0, math.nan, _where(near, low, high)))


# -- Airy --------------------------------------------------------------------------------------------------------------

_AI0 = 1 / (3 ** (2 / 3) * math.gamma(2 / 3))
_AI1 = 1 / (3 ** (1 / 3) * math.gamma(1 / 3))
_DOWN, _UP = -2.75, 1.35


def _airy_waves(z: Tensor, x: Tensor) -> Tensor:
    """Ai(-z) for z >= 2.75, which is J of orders 1/3 and -1/3 (DLMF 9.6.6), by Hankel's integral with t = s**6."""
    real, imaginary, step = z * 0.0, z * 0.0, 0.05
    for k in range(1, 38):
        s = k * step
        weight = 6 * s**4 * math.exp(-(s**6)) * step / math.gamma(5 / 6)
        u = (0.5 * s**6) / x
        size = apply("exp", apply("log1p", u * u) * (-1 / 12)) * weight
        angle = apply("atan", u) * (-1 / 6)
        real, imaginary = real + size * apply("cos", angle), imaginary + size * apply("sin", angle)
    c, s = apply("cos", x), apply("sin", x)
    scale = apply("rsqrt", apply("sqrt", z)) * (1 / math.sqrt(2 * math.pi))
    return scale * (real * (c + s) - imaginary * (s - c))


def _airy(x: Tensor) -> Tensor:
    near = apply("logical_and", x > _DOWN, x < _UP)
    z = _where(near, x, 0.0)
    cube = z * z * z
    even, odd = [1.0], [1.0]
    for k in range(1, 16):  # Maclaurin's series, DLMF 9.4.1
        even.append(even[-1] / ((3 * k - 1) * (3 * k)))
        odd.append(odd[-1] / ((3 * k) * (3 * k + 1)))
    low = _series(cube, even) * _AI0 - z * _series(cube, odd) * _AI1
    up = _where(x >= _UP, x, _UP)
    grown = up * apply("sqrt", up) * (2 / 3)
    infinite = grown == math.inf
    decay = _decay(_where(infinite, 2.0, grown), 1 / 3) * apply("sqrt", _where(infinite, 1.0, up)) * (1 / (math.sqrt(3) * math.pi))
    high = apply("exp", -grown) * decay
    down = _where(x <= _DOWN, -x, -_DOWN)
    waves = _airy_waves(down, down * apply("sqrt", down) * (2 / 3))
    return _where(near, low, _where(x >= _UP, high, _where(x <= _DOWN, waves, x)))


def _spherical(x: Tensor) -> Tensor:
    zero = x == 0
    safe = _where(zero, 1.0, x)
    return _where(apply("abs", x) == math.inf, 0.0, _where(zero, 1.0, apply("sin", safe) / safe))


def _make(rule: Callable[[Tensor], Tensor], name: str, doc: str, shown: str) -> Callable[..., Tensor]:
    @composite
    def compute(x: Tensor) -> Tensor:
        return cast(rule(cast(x, dtypes.f64)), x.dtype)

    def function(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        check_tensor(name, input)
        x = cast(input, float_dtype(input.dtype))
        if x.dtype in dtypes.Half:
            raise refuse(f"{name}_cpu", x.dtype)
        return cast_out(compute(x.detach()), out)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"{doc}, without a derivative; integers give the default float dtype. RuntimeError for half dtypes.\n\n"
        f"        >>> ingot.special.{name}(ingot.tensor([0.5, 2.0]))\n        tensor([{shown}])\n    "
    )
    return function


airy_ai = _make(_airy, "airy_ai", "Airy's function Ai", "0.2317, 0.0349")
bessel_j0 = _make(lambda x: _bessel_j(x, 0), "bessel_j0", "The Bessel function of the first kind of order 0", "0.9385, 0.2239")
bessel_j1 = _make(lambda x: _bessel_j(x, 1), "bessel_j1", "The Bessel function of the first kind of order 1", "0.2423, 0.5767")
bessel_y0 = _make(lambda x: _bessel_y(x, 0), "bessel_y0", "The Bessel function of the second kind of order 0", "-0.4445,  0.5104")
bessel_y1 = _make(lambda x: _bessel_y(x, 1), "bessel_y1", "The Bessel function of the second kind of order 1", "-1.4715, -0.1070")
modified_bessel_i0 = _make(
    lambda x: modified(x, 0, False), "modified_bessel_i0", "The modified Bessel function I of order 0", "1.0635, 2.2796"
)
modified_bessel_i1 = _make(
    lambda x: modified(x, 1, False), "modified_bessel_i1", "The modified Bessel function I of order 1", "0.2579, 1.5906"
)
modified_bessel_k0 = _make(
    lambda x: _bessel_k(x, 0, False), "modified_bessel_k0", "The modified Bessel function K of order 0", "0.9244, 0.1139"
)
modified_bessel_k1 = _make(
    lambda x: _bessel_k(x, 1, False), "modified_bessel_k1", "The modified Bessel function K of order 1", "1.6564, 0.1399"
)
scaled_modified_bessel_k0 = _make(
    lambda x: _bessel_k(x, 0, True), "scaled_modified_bessel_k0", "exp(x) K0(x), of the modified Bessel function", "1.5241, 0.8416"
)
scaled_modified_bessel_k1 = _make(
    lambda x: _bessel_k(x, 1, True), "scaled_modified_bessel_k1", "exp(x) K1(x), of the modified Bessel function", "2.7310, 1.0335"
)
spherical_bessel_j0 = _make(_spherical, "spherical_bessel_j0", "sin(x) / x, the spherical Bessel function of order 0", "0.9589, 0.4546")
