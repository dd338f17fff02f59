"""Elementary functions: exponentials, logarithms, trigonometry, the error and gamma functions, powers.

Their references compute in float64 and round once, so that they are a truth for float32 and the half types. The scalar
code is in `ir/elementary/`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ingot.ir.builder import Expr
from ingot.ir.dtypes import Float, Half, Number, f32
from ingot.ir.facts import DIVISION, FUNCTION, Cost, Foldable, Kept, OverComplex
from ingot.ir.op import OPS, Op
from ingot.ir.ops import scalars as s
from ingot.ir.ops.family import elementwise
from ingot.ir.ops.samples import Domain, floats
from ingot.ir.public import Binary, Unary

LN2, LN10 = math.log(2), math.log(10)
TWO_OVER_SQRT_PI = 2 / math.sqrt(math.pi)


def _function(name: str, doc: str, ref: Callable, partials: Any, samples: Domain, public: str = "", aliases: tuple[str, ...] = (),
              source: str = "", cost: Cost = FUNCTION, analytic: bool = True, kept: Kept = Kept.READ) -> Op:  # fmt: skip
    """An elementary function. `public`: the doc of its public function where it is not `doc`; analytic: of complex numbers too."""
    return elementwise(
        name, Float, doc=doc, ref=ref, partials=partials, scalar=s.elementary(name), samples=samples, precise=True, source=source,
        cost=cost, foldable=Foldable.NEVER, public=Unary("float", public, aliases=aliases),
        over_complex=OverComplex.CONJUGATE if analytic else OverComplex.NONE, kept=kept,
    )  # fmt: skip


def _by_element(fn: Callable[[float], float], at_pole: float = math.inf) -> Callable:
    """A function of one Python float as a function of arrays; what it refuses (poles, overflow) gives `at_pole`."""

    def one(x: float) -> float:
        if math.isnan(x):
            return x
        try:
            return fn(x)
        except (ValueError, OverflowError):
            return at_pole

    return np.vectorize(one, otypes=[np.float64])


def _digamma(x: np.ndarray) -> np.ndarray:
    """Reflection below 0, recurrence up to 10, then the asymptotic series."""
    x = np.asarray(x, np.float64)
    low = x < 0
    z = np.where(low, 1 - x, x)
    shift = np.zeros_like(z)
    for _ in range(12):
        small = z < 12
        shift = np.where(small, shift - 1 / z, shift)
        z = np.where(small, z + 1, z)
    r = 1 / (z * z)
    series = r * (1 / 12 - r * (1 / 120 - r * (1 / 252 - r * (1 / 240 - r * (1 / 132 - r * (691 / 32760 - r / 12))))))
    value = np.log(z) - 0.5 / z - series + shift
    fraction = x - np.rint(x)  # tan(pi x) has period 1: this keeps its precision
    value = np.where(low, value - np.pi / np.tan(np.pi * fraction), value)
    value = np.where(x == 0, np.copysign(np.inf, -x), value)
    value = np.where(low & (x == np.floor(x)), np.nan, value)
    return np.where(x == np.inf, np.inf, value)


# trigamma(w) ~ 1/w + 1/(2 w**2) + sum of these by w**3, w**5, ...: the Bernoulli numbers B2, B4, ...
_TRIGAMMA = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)


def _trigamma(x: Expr) -> Expr:
    """The derivative of digamma: reflection below 1/2, recurrence by 8, then the asymptotic series."""
    wide = x.cast(f32) if x.dtype in Half else x
    low = wide < 0.5
    z = OPS["select"](low, 1 - wide, wide)
    total = 1 / (z * z)
    for k in range(1, 8):
        total = total + 1 / ((z + float(k)) * (z + float(k)))
    v = 1 / (z + 8.0)
    square = v * v
    series = v.full(0.0)
    for b in reversed(_TRIGAMMA):
        series = (series + b) * square
    total = total + v * (series + 1 + v * 0.5)
    sine = OPS["sin"]((wide - OPS["round"](wide)) * math.pi)  # sin(pi x)**2 has period 1: this keeps its precision
    sine = OPS["select"](low, sine, 1.0)  # at whole numbers it is 0, and the derivative of what is not taken would be NaN
    return OPS["select"](low, math.pi**2 / (sine * sine) - total, total).cast(x.dtype)


def _exp2(x: np.ndarray) -> np.ndarray:
    return np.exp(x * LN2) if x.dtype.kind == "c" else np.exp2(x)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    if x.dtype.kind == "c":
        return 1 / (1 + np.exp(-x))
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small / (1 + small), 1 / (1 + small))


def _acosh_partials(x: Expr, y: Expr) -> list:
    if x.dtype.kind == "c":  # where the root of the product is minus the product of the roots
        return [OPS["rsqrt"](x - 1) * OPS["rsqrt"](x + 1)]
    return [OPS["rsqrt"](x * x - 1)]


exp = _function("exp", "e to the power of each element.", np.exp, lambda x, y: [y], floats(-20, 20))
exp2 = _function("exp2", "2 to the power of each element.", _exp2, lambda x, y: [y * LN2], floats(-20, 20))
expm1 = _function(
    "expm1", "exp(x) - 1, accurate near 0.", np.expm1, lambda x, y: [OPS["exp"](x)], floats(-10, 10), kept=Kept.RESULTS,
)  # fmt: skip
log = _function("log", "Natural logarithm.", np.log, lambda x, y: [lambda t: t / x], floats(0.1, 50))
log2 = _function("log2", "Logarithm to base 2.", np.log2, lambda x, y: [lambda t: t / (x * LN2)], floats(0.1, 50))
log10 = _function("log10", "Logarithm to base 10.", np.log10, lambda x, y: [lambda t: t / (x * LN10)], floats(0.1, 50))
log1p = _function("log1p", "log(1 + x), accurate near 0.", np.log1p, lambda x, y: [lambda t: t / (x + 1)], floats(-0.9, 50))
rsqrt = _function(
    "rsqrt", "Reciprocal of the square root.", lambda x: 1 / np.sqrt(x), lambda x, y: [y * y * y * -0.5], floats(0.1, 50), cost=DIVISION
)

sin = _function("sin", "Sine.", np.sin, lambda x, y: [OPS["cos"](x)], floats(-20, 20))
cos = _function("cos", "Cosine.", np.cos, lambda x, y: [-OPS["sin"](x)], floats(-20, 20))
tan = _function("tan", "Tangent.", np.tan, lambda x, y: [y * y + 1], floats(-1.4, 1.4))
asin = _function("asin", "Arc sine.", np.arcsin, lambda x, y: [OPS["rsqrt"](1 - x * x)], floats(-0.95, 0.95), aliases=("arcsin",))
acos = _function("acos", "Arc cosine.", np.arccos, lambda x, y: [-OPS["rsqrt"](1 - x * x)], floats(-0.95, 0.95), aliases=("arccos",))
atan = _function("atan", "Arc tangent.", np.arctan, lambda x, y: [lambda t: t / (x * x + 1)], floats(-20, 20), aliases=("arctan",))
sinh = _function("sinh", "Hyperbolic sine.", np.sinh, lambda x, y: [OPS["cosh"](x)], floats(-10, 10))
cosh = _function("cosh", "Hyperbolic cosine.", np.cosh, lambda x, y: [OPS["sinh"](x)], floats(-10, 10))
asinh = _function(
    "asinh", "Inverse hyperbolic sine.", np.arcsinh, lambda x, y: [OPS["rsqrt"](x * x + 1)], floats(-20, 20), aliases=("arcsinh",)
)
acosh = _function(
    "acosh", "Inverse hyperbolic cosine.", np.arccosh, _acosh_partials, floats(1.2, 20), aliases=("arccosh",)
)
atanh = _function(
    "atanh", "Inverse hyperbolic tangent.", np.arctanh, lambda x, y: [lambda t: t / (1 - x * x)], floats(-0.95, 0.95), aliases=("arctanh",)
)
tanh = _function("tanh", "Hyperbolic tangent.", np.tanh, lambda x, y: [1 - y * y], floats(-5, 5))
sigmoid = _function("sigmoid", "1 / (1 + exp(-x)).", _sigmoid, lambda x, y: [y * (1 - y)], floats(-20, 20))

erf = _function(
    "erf", "Error function.", _by_element(math.erf), lambda x, y: [OPS["exp"](-x * x) * TWO_OVER_SQRT_PI], floats(-4, 4), analytic=False,
)
erfc = _function(
    "erfc", "1 - erf(x), exact in its tail.", _by_element(math.erfc), lambda x, y: [OPS["exp"](-x * x) * -TWO_OVER_SQRT_PI], floats(-4, 6),
    public="Complementary error function.", analytic=False,
)  # fmt: skip
lgamma = _function(
    "lgamma", "log |gamma(x)|; infinite at 0 and the negative integers.", _by_element(math.lgamma),
    lambda x, y: [OPS["digamma"](x)], floats(0.2, 20), public="Logarithm of the absolute value of the gamma function.", analytic=False,
)  # fmt: skip
digamma = _function(
    "digamma", "Derivative of lgamma; NaN at the negative integers, -+infinity at +-0.", _digamma,
    lambda x, y: [lambda t: t * _trigamma(x)], floats(0.2, 20),
    public="Derivative of lgamma.", source="Abramowitz and Stegun 6.3.5, 6.3.7, 6.3.18", analytic=False,
)  # fmt: skip


# -- binary ----------------------------------------------------------------------------------------------------------


def _pow(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.dtype.kind in "fc":
        return np.power(a, b)
    a, b = np.broadcast_arrays(a, b)
    result, base, left = np.ones_like(a), a, b
    for _ in range(a.dtype.itemsize * 8):
        result = np.where(left & 1, result * base, result)
        base, left = base * base, left >> 1
    return np.where(b < 0, s.int_pow_negative(a, b), result).astype(a.dtype)


def _pow_partials(a: Expr, b: Expr, y: Expr) -> list:
    def by_a(t: Expr) -> Expr:
        none = b.eq(0.0)
        return OPS["select"](none, 0.0, t * (b * OPS["pow"](a, OPS["select"](none, 0.0, b - 1))))  # not 1 / 0, which has derivatives

    def by_b(t: Expr) -> Expr:
        power = OPS["real"](b) if b.dtype.kind == "c" else b
        return OPS["select"](a.eq(0.0) & (power >= 0.0), 0.0, t * (y * OPS["log"](a)))

    return [by_a, by_b]


pow_ = elementwise(
    "pow", Number, arity=2, precise=True, doc="a ** b; integers wrap around, and a negative integer power is 0 unless |a| is 1.",
    ref=_pow, partials=_pow_partials, scalar=s.power, samples=(floats(0.2, 4), floats(-3, 3)),
    over_complex=OverComplex.CONJUGATE, cost=FUNCTION, foldable=Foldable.NEVER,
)  # fmt: skip


def _atan2_partials(a: Expr, b: Expr, y: Expr) -> list:
    square = a * a + b * b
    scale = OPS["select"](square.eq(0.0), 0.0, 1 / square)
    return [b * scale, -a * scale]


atan2 = elementwise(
    "atan2", Float, arity=2, precise=True, doc="The angle of the point (b, a); its derivative at the origin is 0.",
    ref=np.arctan2, partials=_atan2_partials, scalar=s.elementary("atan2"), samples=floats(-5, 5, gap=0.1),
    public=Binary("float", "The angle of the point (other, input), in (-pi, pi].", aliases=("arctan2",), tensors="both"),
    cost=FUNCTION, foldable=Foldable.NEVER,
)  # fmt: skip
