"""Elementary functions of complex numbers, over operations on their real and imaginary parts.

A function takes and gives pairs (re, im) of Exprs. Those marked `wide` compute in float64 for float32 parts, and round once: there squares
do not overflow, and what cancels loses nothing that float32 would have kept. In float64 itself they scale where it matters.

Source: W. Kahan, Branch cuts for complex elementary functions (1987); R. L. Smith, Algorithm 116 (1962).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from ingot.ir.builder import Expr
from ingot.ir.dtypes import f32, f64
from ingot.ir.op import OPS

__all__ = ["FUNCTIONS", "Pair", "magnitude", "mul"]

Pair = tuple[Expr, Expr]
Function = Callable[..., Pair]


def _op(name: str) -> Callable[..., Any]:
    return lambda *xs: OPS[name](*xs)


_select, _abs, _sqrt, _exp, _log1p, _sin, _cos, _sinh, _cosh, _atan2, _copysign, _max, _min = map(
    _op, ("select", "abs", "sqrt", "exp", "log1p", "sin", "cos", "sinh", "cosh", "atan2", "copysign", "maximum", "minimum")
)  # fmt: skip


def wide(fn: Function) -> Function:
    """`fn` in float64 where the parts are float32."""

    @functools.wraps(fn)
    def call(*pairs: Pair, **options: Any) -> Pair:
        if pairs[0][0].dtype is not f32:
            return fn(*pairs, **options)
        re, im = fn(*((re.cast(f64), im.cast(f64)) for re, im in pairs), **options)
        return re.cast(f32), im.cast(f32)

    return call


def _scaled_by(x: Expr, zero: Expr) -> Expr:
    """x * zero, and 0 where `zero` is 0, even if x is infinite."""
    return _select(zero.eq(0.0), zero, x * zero)


# -- arithmetic ------------------------------------------------------------------------------------------------------


def mul(x: Pair, y: Pair) -> Pair:
    (a, b), (c, d) = x, y
    return a * c - b * d, a * d + b * c


def div(x: Pair, y: Pair) -> Pair:
    """Smith's method: by the larger part of the divisor first, so that no square overflows. Divided by 0 each part is."""
    (a, b), (c, d) = x, y
    swap = _abs(c) < _abs(d)
    large, small = _select(swap, d, c), _select(swap, c, d)
    zero = large.eq(0.0)
    ratio = _select(zero, 0.0, small / _select(zero, 1.0, large))
    below = _select(zero, _abs(large), large + small * ratio)
    re = _select(swap, a * ratio + b, a + b * ratio) / below
    im = _select(swap, b * ratio - a, b - a * ratio) / below
    return re, im


def reciprocal(x: Pair) -> Pair:
    return div((x[0].full(1.0), x[0].full(0.0)), x)


def conj(x: Pair) -> Pair:
    return x[0], -x[1]


def magnitude(x: Pair) -> Expr:
    a, b = x
    if a.dtype is f32:
        p, q = a.cast(f64), b.cast(f64)
        size = _sqrt(p * p + q * q).cast(f32)
    else:
        p, q = _abs(a), _abs(b)
        large, small = _max(p, q), _min(p, q)
        zero = large.eq(0.0)
        ratio = small / _select(zero, 1.0, large)
        size = large * _sqrt(ratio * ratio + 1)
    infinite = _abs(a).eq(math.inf) | _abs(b).eq(math.inf)
    return _select(infinite, math.inf, size)


def integer_pow(x: Pair, exponent: int) -> Pair:
    """By squaring; large powers by logarithms, in which roundings do not add up."""
    if exponent == 0:
        return x[0].full(1.0), x[0].full(0.0)
    n = abs(exponent)
    if n > 32:
        return pow_(x, (x[0].full(float(exponent)), x[0].full(0.0)))
    power = _squared(x, exponent=n)
    return power if exponent > 0 else reciprocal(power)


@wide
def _squared(x: Pair, exponent: int) -> Pair:
    result, base = None, x
    while exponent:
        if exponent & 1:
            result = base if result is None else mul(result, base)
        exponent >>= 1
        if exponent:
            base = mul(base, base)
    assert result is not None
    return result


# -- roots, exponentials, logarithms ---------------------------------------------------------------------------------


@wide
def sqrt(x: Pair) -> Pair:
    """The root in the right half plane; the cut is the negative real axis, to the side that the sign of a zero imaginary part says."""
    a, b = x
    large = _max(_abs(a), _abs(b))
    far = large > 1e300
    scale, back = _select(far, a.const(0.0625), 1.0), _select(far, a.const(4.0), 1.0)
    a, b = a * scale, b * scale
    t = _sqrt((_abs(a) + magnitude((a, b))) * 0.5)
    other = _abs(b) / (_select(t.eq(0.0), 1.0, t) * 2)
    right = a >= 0.0
    re = _select(right, t, other) * back
    im = _copysign(_select(right, other, t), b) * back
    infinite = _abs(b).eq(math.inf)
    re = _select(infinite, math.inf, re)
    im = _select(infinite, b, im)
    nan = (a.ne(a) | b.ne(b)) & ~infinite
    far_re, far_im = _select(a.eq(math.inf), a, math.nan), _select(a.eq(-math.inf), -a, math.nan)
    return _select(nan, far_re, re), _select(nan, far_im, im)


def rsqrt(x: Pair) -> Pair:
    return reciprocal(sqrt(x))


def exp(x: Pair) -> Pair:
    """Where e**re overflows the product with a small sine or cosine may not: it is taken in two steps."""
    a, b = x
    step = 64.0 if a.dtype is f32 else 512.0
    far = a > step
    size = _exp(_select(far, a - step, a))
    more = _select(far, a.const(math.exp(step)), 1.0)
    return (_cos(b) * size) * more, _scaled_by(size, _sin(b)) * more


def exp2(x: Pair) -> Pair:
    return _exp2(x)


@wide
def _exp2(x: Pair) -> Pair:
    return exp((x[0] * math.log(2), x[1] * math.log(2)))


@wide
def expm1(x: Pair) -> Pair:
    a, b = x
    half = _sin(b * 0.5)
    return OPS["expm1"](a) * _cos(b) - half * half * 2, _scaled_by(_exp(a), _sin(b))


def _log_size(a: Expr, b: Expr) -> Expr:
    """log |a + bi|: near the unit circle by log1p of |z|**2 - 1, elsewhere scaled."""
    p, q = _abs(a), _abs(b)
    large, small = _max(p, q), _min(p, q)
    near = (large > 0.5) & (large < 2.0)
    excess = (large - 1) * (large + 1) + small * small
    ratio = small / _select(large.eq(0.0) | large.eq(math.inf), 1.0, large)
    ratio = _select(large.eq(math.inf), 0.0, ratio)
    far = OPS["log"](large) + _log1p(ratio * ratio) * 0.5
    infinite = p.eq(math.inf) | q.eq(math.inf)
    return _select(infinite, math.inf, _select(near, _log1p(_select(near, excess, 0.0)) * 0.5, far))


def _log(x: Pair, scale: float = 1.0) -> Pair:
    a, b = x
    size, angle = _log_size(a, b), _atan2(b, a)
    return (size, angle) if scale == 1.0 else (size * scale, angle * scale)


@wide
def log(x: Pair) -> Pair:
    return _log(x)


@wide
def log2(x: Pair) -> Pair:
    return _log(x, 1 / math.log(2))


@wide
def log10(x: Pair) -> Pair:
    return _log(x, 1 / math.log(10))


@wide
def log1p(x: Pair) -> Pair:
    a, b = x
    small = (_abs(a) < 0.5) & (_abs(b) < 0.5)
    excess = _select(small, a * (a + 2) + b * b, 0.0)
    return _select(small, _log1p(excess) * 0.5, _log_size(a + 1, b)), _atan2(b, a + 1)


@wide
def pow_(x: Pair, y: Pair) -> Pair:
    """exp(y log x). Anything to the power 0 is 1; 0 is 0 to a power with a positive real part, and to another infinite."""
    re, im = exp(mul(y, _log(x)))
    zero = x[0].eq(0.0) & x[1].eq(0.0)
    one = y[0].eq(0.0) & y[1].eq(0.0)
    up = y[0] > 0.0
    at_zero = _select(up, re.const(0.0), math.inf), _select(up, re.const(0.0), math.nan)
    return _select(one, 1.0, _select(zero, at_zero[0], re)), _select(one, 0.0, _select(zero, at_zero[1], im))


@wide
def sigmoid(x: Pair) -> Pair:
    """By the side on which the exponential does not overflow."""
    a, b = x
    low = a < 0.0
    re, im = exp((_select(low, a, -a), _select(low, b, -b)))
    one = re.full(1.0), re.full(0.0)
    below = re + 1, im
    left, right = div((re, im), below), div(one, below)
    return _select(low, left[0], right[0]), _select(low, left[1], right[1])


# -- trigonometry ----------------------------------------------------------------------------------------------------


def sinh(x: Pair) -> Pair:
    a, b = x
    return _scaled_by(_cos(b), _sinh(a)), _scaled_by(_cosh(a), _sin(b))


def cosh(x: Pair) -> Pair:
    a, b = x
    return _cosh(a) * _cos(b), _scaled_by(_sinh(a), _sin(b))


@wide
def tanh(x: Pair) -> Pair:
    """Kahan's way: sinh and tan of the parts; far out, where the squares would overflow, by the limit."""
    a, b = x
    far = _abs(a) > 20.0
    near = _select(far, 0.0, a)
    t, s = OPS["tan"](b), _sinh(near)
    beta, rho = t * t + 1, _sqrt(s * s + 1)
    below = beta * s * s + 1
    limit = _sin(b) * _cos(b) * 4 * _exp(_abs(a) * -2)
    return _select(far, _copysign(a.full(1.0), a), beta * rho * s / below), _select(far, limit, t / below)


def _turned(fn: Function) -> Function:
    """-i f(i x): sin of sinh, tan of tanh, asinh of asin."""

    def call(x: Pair) -> Pair:
        re, im = fn((-x[1], x[0]))
        return im, -re

    return call


def cos(x: Pair) -> Pair:
    a, b = x
    return _cos(a) * _cosh(b), -_scaled_by(_sinh(b), _sin(a))


def _one_plus(x: Pair, sign: float) -> Pair:
    """1 + sign x."""
    return (x[0] + 1, x[1]) if sign > 0 else (1 - x[0], -x[1])


def _cross(x: Pair, y: Pair) -> Expr:
    """The imaginary part of conj(x) y."""
    return x[0] * y[1] - x[1] * y[0]


@wide
def asin(x: Pair) -> Pair:
    up, down = sqrt(_one_plus(x, 1)), sqrt(_one_plus(x, -1))
    return _atan2(x[0], mul(up, down)[0]), OPS["asinh"](_cross(down, up))


@wide
def acos(x: Pair) -> Pair:
    up, down = sqrt(_one_plus(x, 1)), sqrt(_one_plus(x, -1))
    return _atan2(down[0], up[0]) * 2, OPS["asinh"](_cross(up, down))


@wide
def acosh(x: Pair) -> Pair:
    up, down = sqrt((x[0] + 1, x[1])), sqrt((x[0] - 1, x[1]))
    return OPS["asinh"](down[0] * up[0] + down[1] * up[1]), _atan2(down[1], up[0]) * 2


@wide
def atanh(x: Pair) -> Pair:
    a, b = x
    size = _log1p(a * 4 / ((1 - a) * (1 - a) + b * b)) * 0.25
    return size, _atan2(b * 2, (1 - a) * (a + 1) - b * b) * 0.5


FUNCTIONS: dict[str, Function] = {
    "conj": conj, "mul": mul, "div": div, "reciprocal": reciprocal, "integer_pow": integer_pow, "pow": pow_,
    "sqrt": sqrt, "rsqrt": rsqrt, "exp": exp, "exp2": exp2, "expm1": expm1, "log": log, "log2": log2, "log10": log10, "log1p": log1p,
    "sigmoid": sigmoid, "sinh": sinh, "cosh": cosh, "tanh": tanh, "sin": _turned(sinh), "cos": cos, "tan": _turned(tanh),
    "asin": asin, "acos": acos, "asinh": _turned(asin), "acosh": acosh, "atanh": atanh, "atan": _turned(atanh),
}  # fmt: skip
