"""Elementwise arithmetic: one element of each (broadcast) input makes one element of the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ingot.ir.builder import Expr
from ingot.ir.dtypes import Float, Number, f32, u32
from ingot.ir.facts import DIVISION, FUNCTION, SIMPLE, Foldable, Kept, Nonzero, OverComplex
from ingot.ir.op import NO_GRAD, OPS
from ingot.ir.ops import scalars as s
from ingot.ir.ops.family import elementwise
from ingot.ir.ops.samples import Domain, floats
from ingot.ir.public import Binary, Unary
from ingot.ir.struct import replace

__all__ = ["add", "sub", "mul", "div", "neg", "abs_", "sign", "relu", "reciprocal", "sqrt", "floor", "ceil", "round_",
           "round_tf32", "trunc", "floor_divide", "remainder", "fmod", "maximum", "minimum", "copysign", "integer_pow"]  # fmt: skip

zero = lambda *_: [0]  # noqa: E731


# -- unary -----------------------------------------------------------------------------------------------------------

neg = elementwise(
    "neg", Number, doc="-x; integers wrap around.", ref=np.negative, partials=lambda x, y: [-1], scalar=lambda e, x: e.neg(x),
    cost=SIMPLE, foldable=Foldable.ALWAYS,
    over_complex=OverComplex.PLAIN,
)  # fmt: skip
abs_ = elementwise(
    "abs", Number, doc="Absolute value; the least signed integer stays itself. The derivative at 0 is 0.",
    ref=np.abs, partials=lambda x, y: [OPS["sign"](x)], scalar=s.abs_, samples=floats(-5, 5, gap=0.1),
    cost=SIMPLE, foldable=Foldable.ALWAYS,
    public=Unary("number", "Absolute value; of complex numbers their magnitude.", aliases=("absolute",), complex="magnitude"),
)  # fmt: skip
sign = elementwise(
    "sign", Number, doc="-1, 0 or 1; 0 for NaN.", ref=lambda x: np.subtract(x > 0, x < 0, dtype=np.int8), partials=zero, scalar=s.sign,
    samples=floats(-5, 5, gap=0.1), cost=SIMPLE, foldable=Foldable.ALWAYS,
)  # fmt: skip
relu = elementwise(
    "relu", Number, doc="max(x, 0); -0.0 and NaN stay. The derivative at 0 is 0.", ref=lambda x: np.where(x < 0, x.dtype.type(0), x),
    partials=lambda x, y: [lambda t: OPS["select"](y <= 0.0, 0.0, t)], samples=floats(-5, 5, gap=0.1), cost=SIMPLE,
    scalar=lambda e, x: e.select(e.lt(x, e.const(0, e.dtype(x))), e.const(0, e.dtype(x)), x), foldable=Foldable.ALWAYS,
)  # fmt: skip
reciprocal = elementwise(
    "reciprocal", Float, doc="1 / x.", ref=lambda x: s.divide(np.ones_like(x), x), partials=lambda x, y: [-y * y],
    scalar=lambda e, x: e.div(e.const(1.0, e.dtype(x)), x), samples=floats(-5, 5, gap=0.5), cost=SIMPLE, foldable=Foldable.ALWAYS,
    public=Unary("float"),
    over_complex=OverComplex.CONJUGATE,
)  # fmt: skip
sqrt = elementwise(
    "sqrt", Float, doc="Square root, correctly rounded; NaN below 0.", ref=np.sqrt, partials=lambda x, y: [0.5 / y],
    scalar=lambda e, x: e.sqrt(x), samples=floats(0.1, 50), cost=DIVISION, foldable=Foldable.ALWAYS,
    public=Unary("float", "Square root."),
    over_complex=OverComplex.CONJUGATE,
)  # fmt: skip
floor = elementwise(
    "floor", Float, doc="Greatest integer <= x.", ref=np.floor, partials=zero, scalar=lambda e, x: e.floor(x), samples=floats(-20, 20),
    cost=SIMPLE, foldable=Foldable.ALWAYS,
    public=Unary("rounding", "The largest integer not above each element."),
)  # fmt: skip
ceil = elementwise(
    "ceil", Float, doc="Least integer >= x.", ref=np.ceil, partials=zero, scalar=lambda e, x: e.ceil(x), samples=floats(-20, 20),
    cost=SIMPLE, foldable=Foldable.ALWAYS,
    public=Unary("rounding", "The smallest integer not below each element."),
)  # fmt: skip
round_ = elementwise(
    "round", Float, doc="Nearest integer, halves to even.", ref=np.rint, partials=zero, scalar=lambda e, x: e.rint(x),
    samples=floats(-20, 20), cost=SIMPLE, foldable=Foldable.ALWAYS,
)  # fmt: skip
trunc = elementwise(
    "trunc", Float, doc="x without its fraction.", ref=np.trunc, partials=zero, scalar=lambda e, x: e.trunc(x), samples=floats(-20, 20),
    cost=SIMPLE, foldable=Foldable.ALWAYS,
    public=Unary("rounding", "The integer part, towards zero.", aliases=("fix",)),
)  # fmt: skip


def _tf32(x: np.ndarray) -> np.ndarray:
    """Rounded to ten bits of fraction, half away from zero, as NVIDIA's `cvt.rna.tf32` does; NaN stays one."""
    bits = x.astype(np.float32).view(np.uint32)
    rounded = (bits + np.uint32(1 << 12)) & np.uint32(0xFFFFE000)
    return np.where(np.isnan(x), np.float32(np.nan), rounded.view(np.float32))


def _round_tf32(e: Any, x: Any) -> Any:
    bits = e.bitcast(x, u32)
    rounded = e.bitcast(e.and_(e.add(bits, e.const(1 << 12, u32)), e.const(0xFFFFE000, u32)), f32)
    return e.select(e.ne(x, x), e.const(float("nan"), f32), rounded)


round_tf32 = elementwise(
    "round_tf32", frozenset((f32,)), doc="Nearest number of TensorFloat-32, which has ten bits of fraction; halves away from zero.",
    ref=_tf32, partials=NO_GRAD, scalar=_round_tf32, samples=floats(-20, 20), cost=SIMPLE, foldable=Foldable.ALWAYS,
    source="NVIDIA A100 Tensor Core GPU Architecture, 2020",
)  # fmt: skip


# -- binary ----------------------------------------------------------------------------------------------------------

add = elementwise(
    "add", Number, arity=2, doc="a + b; integers wrap around.", ref=np.add, partials=lambda a, b, y: [1, 1],
    scalar=lambda e, a, b: e.add(a, b), cost=SIMPLE, foldable=Foldable.ALWAYS, commutative=True,
    over_complex=OverComplex.PLAIN,
)  # fmt: skip
sub = elementwise(
    "sub", Number, arity=2, doc="a - b; integers wrap around.", ref=np.subtract, partials=lambda a, b, y: [1, -1],
    scalar=lambda e, a, b: e.sub(a, b), cost=SIMPLE, foldable=Foldable.ALWAYS,
    over_complex=OverComplex.PLAIN,
)  # fmt: skip
mul = elementwise(
    "mul", Number, arity=2, doc="a * b; integers wrap around.", ref=np.multiply, partials=lambda a, b, y: [b, a],
    scalar=lambda e, a, b: e.mul(a, b), cost=SIMPLE, foldable=Foldable.ALWAYS, commutative=True,
    over_complex=OverComplex.CONJUGATE,
)  # fmt: skip
div = elementwise(
    "div", Float, arity=2, doc="a / b.", ref=s.divide, scalar=lambda e, a, b: e.div(a, b),
    partials=lambda a, b, y: [lambda t: t / b, lambda t: -t * (y / b)], samples=(floats(-5, 5), floats(-5, 5, gap=0.5)),
    cost=DIVISION, foldable=Foldable.ALWAYS,
    over_complex=OverComplex.CONJUGATE, kept=Kept.OPERANDS,
)  # fmt: skip


_BY_ZERO = Nonzero(1, "iu", "ZeroDivisionError: an integer is divided by zero")


def _no_zero(b: np.ndarray) -> None:
    if b.dtype.kind != "f" and not b.all():
        raise RuntimeError(_BY_ZERO.message)


def _int_floor_divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    _no_zero(b)
    least = np.iinfo(a.dtype).min
    wraps = (a == least) & (b == np.array(-1).astype(a.dtype)) & (least < 0)
    return np.floor_divide(a, np.where(wraps, np.ones_like(b), b))  # MIN // -1 is MIN // 1: it wraps


def _floor_divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.dtype.kind != "f":
        return _int_floor_divide(a, b)
    mod = np.fmod(a, b)
    q = (a - mod) / b
    q = np.where((mod != 0) & ((b < 0) != (mod < 0)), q - 1, q)
    whole = np.floor(q)
    whole = np.where(q - whole > 0.5, whole + 1, whole)
    return np.where(b == 0, a / b, np.where(q == 0, np.copysign(np.zeros_like(q), a / b), whole))


def _remainder(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.dtype.kind != "f":
        _no_zero(b)
        return np.remainder(a, b)
    mod = np.fmod(a, b)
    return np.where((mod != 0) & ((b < 0) != (mod < 0)), mod + b, mod)


def _fmod(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    _no_zero(b)
    return np.fmod(a, b)


_divisors = replace(floats(-5, 5, gap=1), divides=True)
floor_divide = elementwise(
    "floor_divide", Number, arity=2, doc="floor(a / b) as Python's //; for integers x // 0 is an error and MIN // -1 is MIN.",
    ref=_floor_divide, partials=NO_GRAD, scalar=s.floor_divide, cost=SIMPLE, foldable=Foldable.INTEGERS,
    samples=(Domain(), _divisors), check=_BY_ZERO,
)  # fmt: skip
remainder = elementwise(
    "remainder", Number, arity=2, doc="a - b * floor(a / b), with the sign of b, as Python's %; for integers x % 0 is an error.",
    ref=_remainder, partials=lambda a, b, y: [1, lambda t: -t * OPS["floor_divide"](a, b)], scalar=s.remainder,
    samples=(floats(-9, 9), _divisors), cost=FUNCTION, foldable=Foldable.INTEGERS, check=_BY_ZERO,
)  # fmt: skip
fmod = elementwise(
    "fmod", Number, arity=2, doc="a - b * trunc(a / b), with the sign of a, as C's fmod; for integers x % 0 is an error.",
    ref=_fmod, partials=lambda a, b, y: [1, lambda t: -t * OPS["trunc"](a / b)], scalar=lambda e, a, b: e.rem(a, b),
    samples=(floats(-9, 9), _divisors), cost=FUNCTION, foldable=Foldable.INTEGERS, check=_BY_ZERO,
)  # fmt: skip


def _extremum_partials(wins: str) -> Callable:
    """The larger (smaller) input takes the cotangent; equal ones half each, and NaN on either side both, as torch has it."""

    def side(x: Expr, other: Expr) -> Callable:
        loses = OPS[wins](other, x)
        return lambda t: OPS["select"](x.eq(other), t * 0.5, OPS["select"](loses, 0.0, t))

    return lambda a, b, y: [side(a, b), side(b, a)]


maximum = elementwise(
    "maximum", Number, arity=2, doc="The larger of a and b; NaN if either is. Equal inputs share the derivative.",
    ref=np.maximum, partials=_extremum_partials("gt"), scalar=lambda e, a, b: e.max(a, b),
    cost=SIMPLE, foldable=Foldable.ALWAYS, commutative=True,
    public=Binary("number", "The larger of two elements; NaN if either is.", bools="logical_or", tensors="both"),
)  # fmt: skip
minimum = elementwise(
    "minimum", Number, arity=2, doc="The smaller of a and b; NaN if either is. Equal inputs share the derivative.",
    ref=np.minimum, partials=_extremum_partials("lt"), scalar=lambda e, a, b: e.min(a, b),
    cost=SIMPLE, foldable=Foldable.ALWAYS, commutative=True,
    public=Binary("number", "The smaller of two elements; NaN if either is.", bools="logical_and", tensors="both"),
)  # fmt: skip
copysign = elementwise(
    "copysign", Float, arity=2, doc="|a| with the sign of b.", ref=np.copysign, scalar=s.copysign,
    partials=lambda a, b, y: [OPS["select"](a.eq(0.0), 0.0, y / a), 0], samples=(floats(-5, 5, gap=0.1), floats(-5, 5, gap=0.1)),
    cost=SIMPLE, foldable=Foldable.ALWAYS,
    public=Binary("float", "The magnitude of `input` with the sign of `other`.", tensors="first"),
)  # fmt: skip


def _integer_pow(x: np.ndarray, n: int) -> np.ndarray:
    if x.dtype.kind == "c":
        return np.power(x, n) if n >= 0 else s.divide(np.ones_like(x), np.power(x, -n))
    if x.dtype.kind == "f":
        return np.power(x, np.asarray(n, x.dtype))
    if n < 0:
        return s.int_pow_negative(x, np.full(x.shape, n))
    return s.int_pow(x, n)


def _integer_pow_partials(x: Expr, y: Expr, n: int) -> list:
    if n == 0:
        return [0]
    if n == 1:
        return [1]
    rest = x if n == 2 else OPS["integer_pow"](x, exponent=n - 1)
    return [lambda t: t * (rest * float(n))]


integer_pow = elementwise(
    "integer_pow", Number, attrs=("exponent",), doc="x to a static integer power; for integers a negative power is 0 unless |x| is 1.",
    ref=_integer_pow, partials=_integer_pow_partials, scalar=s.integer_pow, precise=True,
    samples=floats(-3, 3, gap=0.5), sample_attrs=[(0,), (1,), (2,), (3,), (-1,), (-2,), (5,), (-3,), (11,)],
    cost=SIMPLE, foldable=Foldable.INTEGERS,
    over_complex=OverComplex.CONJUGATE,
)  # fmt: skip

