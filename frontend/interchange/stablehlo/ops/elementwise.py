"""Arithmetic, comparisons, logic, conversions: what works element by element."""

from __future__ import annotations

from typing import Any

from ingot._tensor import Tensor
from ingot.functions.common import apply, cast, scalar
from ingot.interchange.stablehlo.ops.bits import reinterpret, signed, unsigned
from ingot.interchange.stablehlo.rules import Call, op
from ingot.ir import dtypes

__all__ = ["binary", "select", "total_order"]

_ACCURACY: Any = None  # how exact a result must be; it is as exact as it can be

# StableHLO's name: the IR's, and the one for booleans
_UNARY = {
    "ceil": "ceil", "floor": "floor", "cosine": "cos", "sine": "sin", "tan": "tan", "tanh": "tanh", "exponential": "exp", "log": "log",
    "exponential_minus_one": "expm1", "log_plus_one": "log1p", "logistic": "sigmoid", "sqrt": "sqrt", "rsqrt": "rsqrt",
    "round_nearest_even": "round", "is_finite": "isfinite", "sign": "sign", "negate": "neg",
}  # fmt: skip
_BINARY = {
    "add": ("add", "logical_or"), "subtract": ("sub", "logical_xor"), "multiply": ("mul", "logical_and"),
    "maximum": ("maximum", "logical_or"), "minimum": ("minimum", "logical_and"), "and": ("bitwise_and", "logical_and"),
    "or": ("bitwise_or", "logical_or"), "xor": ("bitwise_xor", "logical_xor"), "atan2": ("atan2", ""), "shift_left": ("shift_left", ""),
}  # fmt: skip
_COMPARISONS = {"EQ": "eq", "NE": "ne", "LT": "lt", "LE": "le", "GT": "gt", "GE": "ge"}


def binary(name: str, x: Tensor, y: Tensor) -> Tensor:
    """A binary operation by StableHLO's name."""
    return apply(_BINARY[name][x.dtype is dtypes.bool_], x, y)


def select(condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return apply("select", condition, x, y)


def _enter_unary(name: str, own: str) -> None:
    @op(name, lifted=True)
    def rule(x: Tensor, *, result_accuracy: Any = _ACCURACY) -> Tensor:
        return apply(own, x)


def _enter_binary(name: str) -> None:
    @op(name, lifted=True)
    def rule(x: Tensor, y: Tensor) -> Tensor:
        if x.dtype.kind == "c" and name in ("maximum", "minimum"):
            first = _lexicographic("ge" if name == "maximum" else "le", x, y)
            return select(first, x, y)
        return binary(name, x, y)


for _name in _UNARY.keys() - {"sign", "negate", "logistic", "exponential_minus_one", "log_plus_one"}:
    _enter_unary(_name, _UNARY[_name])
for _name in _BINARY:
    _enter_binary(_name)


@op("negate", lifted=True)
def negate(x: Tensor) -> Tensor:
    return apply("neg", x) if x.dtype.kind != "u" else apply("sub", scalar(0, x.dtype), x)


@op("logistic", lifted=True)
def logistic(x: Tensor, *, result_accuracy: Any = _ACCURACY) -> Tensor:
    if x.dtype.kind != "c":
        return apply("sigmoid", x)
    one = scalar(1, x.dtype)
    return apply("div", one, apply("add", one, apply("exp", apply("neg", x))))


@op("exponential_minus_one", lifted=True)
def exponential_minus_one(x: Tensor, *, result_accuracy: Any = _ACCURACY) -> Tensor:
    """Of a + bi: expm1(a) cos(b) - 2 sin(b/2)**2 + exp(a) sin(b) i, where nothing cancels."""
    if x.dtype.kind != "c":
        return apply("expm1", x)
    a, b = apply("real", x), apply("imag", x)
    half = apply("sin", b * 0.5)
    return apply("complex", apply("expm1", a) * apply("cos", b) - half * half * 2, apply("exp", a) * apply("sin", b))


@op("log_plus_one", lifted=True)
def log_plus_one(x: Tensor, *, result_accuracy: Any = _ACCURACY) -> Tensor:
    """Of a + bi: log1p(a (a + 2) + b**2) / 2 + atan2(b, 1 + a) i near 0."""
    if x.dtype.kind != "c":
        return apply("log1p", x)
    a, b = apply("real", x), apply("imag", x)
    near = apply("lt", apply("abs", a), scalar(0.5, a.dtype)).logical_and(apply("lt", apply("abs", b), scalar(0.5, a.dtype)))
    small = apply("log1p", select(near, a * (a + 2) + b * b, scalar(0, a.dtype))) * 0.5
    large = apply("real", apply("log", apply("add", x, scalar(1, x.dtype))))
    return apply("complex", select(near, small, large), apply("atan2", b, a + 1))


@op("sign", lifted=True)
def sign(x: Tensor) -> Tensor:
    if x.dtype.kind == "c":
        size = apply("magnitude", x)
        zero = apply("eq", size, scalar(0, size.dtype))
        safe = select(zero, scalar(1, size.dtype), size)
        return select(zero, scalar(0, x.dtype), apply("complex", apply("real", x) / safe, apply("imag", x) / safe))
    out = apply("sign", x)
    if x.dtype.kind != "f":
        return out
    keep = apply("logical_or", apply("isnan", x), apply("eq", x, scalar(0, x.dtype)))  # NaN, and -0 too, stay what they are
    return select(keep, x, out)


@op("abs", lifted=True)
def absolute(x: Tensor) -> Tensor:
    return apply("magnitude", x) if x.dtype.kind == "c" else x if x.dtype.kind == "u" else apply("abs", x)


@op("not", lifted=True)
def invert(x: Tensor) -> Tensor:
    return apply("logical_not" if x.dtype is dtypes.bool_ else "bitwise_not", x)


@op("real", lifted=True)
def real(x: Tensor) -> Tensor:
    return apply("real", x) if x.dtype.kind == "c" else x


@op("imag", lifted=True)
def imag(x: Tensor) -> Tensor:
    return apply("imag", x) if x.dtype.kind == "c" else apply("mul", x, scalar(0, x.dtype))


@op("complex", lifted=True)
def complex_(x: Tensor, y: Tensor) -> Tensor:
    return apply("complex", x, y)


@op("cbrt", lifted=True)
def cbrt(x: Tensor, *, result_accuracy: Any = _ACCURACY) -> Tensor:
    """By exp2(log2(x) / 3), and one of Newton's steps."""
    wide = cast(x, dtypes.f32) if x.dtype.bits < 32 else x
    size = apply("abs", wide)
    plain = apply(
        "logical_not", apply("logical_or", apply("eq", size, scalar(0, wide.dtype)), apply("logical_not", apply("isfinite", size)))
    )
    safe = select(plain, size, scalar(1, wide.dtype))
    root = apply("exp2", apply("log2", safe) * (1 / 3))
    square = root * root
    root = root - (root - safe / square) * (1 / 3)
    return cast(select(plain, apply("copysign", root, wide), wide), x.dtype)


@op("round_nearest_afz", lifted=True)
def round_away(x: Tensor) -> Tensor:
    """Halves away from zero."""
    whole = apply("trunc", x)
    more = apply("ge", apply("abs", x - whole), scalar(0.5, x.dtype))
    return apply("copysign", select(more, apply("abs", whole) + 1, apply("abs", whole)), x)


# ---- division


def _safe(y: Tensor) -> tuple[Tensor, Tensor]:
    """Where an integer is 0, and it with 1 there."""
    zero = apply("eq", y, scalar(0, y.dtype))
    return zero, select(zero, scalar(1, y.dtype), y)


@op("divide", lifted=True)
def divide(x: Tensor, y: Tensor) -> Tensor:
    """Of integers towards zero; all bits set where y is 0."""
    if x.dtype.kind in "fc":
        return apply("div", x, y)
    zero, y = _safe(y)
    quotient = apply("floor_divide", apply("sub", x, apply("fmod", x, y)), y)
    return select(zero, apply("bitwise_not", scalar(0, x.dtype)), quotient)


@op("remainder", lifted=True)
def remainder(x: Tensor, y: Tensor) -> Tensor:
    """With the sign of x; x itself where an integer y is 0."""
    if x.dtype.kind == "f":
        return apply("fmod", x, y)
    zero, y = _safe(y)
    return select(zero, x, apply("fmod", x, y))


@op("power", lifted=True)
def power(x: Tensor, y: Tensor) -> Tensor:
    return apply("pow", x, y)


# ---- comparisons and choices


def total_order(x: Tensor) -> Tensor:
    """Integers that are ordered as the floats are by IEEE 754's totalOrder: -NaN, numbers, -0 before 0, NaN."""
    bits = reinterpret(x, signed(x.dtype))
    return select(bits < 0, apply("bitwise_xor", bits, scalar((1 << (x.dtype.bits - 1)) - 1, bits.dtype)), bits)


def _lexicographic(name: str, x: Tensor, y: Tensor) -> Tensor:
    """Complex numbers compared by their real parts, and where these are equal by their imaginary ones."""
    a, b = apply("real", x), apply("real", y)
    strict = {"ge": "gt", "le": "lt"}.get(name, name)
    return select(apply("eq", a, b), apply(name, apply("imag", x), apply("imag", y)), apply(strict, a, b))


@op("compare", lifted=True)
def compare(x: Tensor, y: Tensor, *, comparison_direction: str, compare_type: str = "NOTYPE") -> Tensor:
    name = _COMPARISONS[comparison_direction]
    if compare_type == "TOTALORDER" and x.dtype.kind == "f":
        x, y = total_order(x), total_order(y)
    if x.dtype is dtypes.bool_ and name not in ("eq", "ne"):
        x, y = cast(x, dtypes.u8), cast(y, dtypes.u8)
    if x.dtype.kind == "c" and name not in ("eq", "ne"):
        return _lexicographic(name, x, y)
    return apply(name, x, y)


@op("select", lifted=True)
def choose(pred: Tensor, on_true: Tensor, on_false: Tensor) -> Tensor:
    return select(pred, on_true, on_false)


@op("clamp", lifted=True)
def clamp(low: Tensor, operand: Tensor, high: Tensor) -> Tensor:
    return binary("minimum", binary("maximum", operand, low), high)


# ---- types


@op("convert", lifted=True)
def convert(c: Call, x: Tensor) -> Tensor:
    to = c.dtype
    if x.dtype.kind == "c" and to.kind != "c":
        x = apply("ne", x, scalar(0, x.dtype)) if to is dtypes.bool_ else apply("real", x)
    if x.dtype is dtypes.f64 and to in dtypes.Half:
        x = cast(x, dtypes.f32)
    return cast(x, to)


@op("shift_right_logical", lifted=True)
def shift_right_logical(x: Tensor, y: Tensor) -> Tensor:
    bits = unsigned(x.dtype)
    return reinterpret(apply("shift_right", reinterpret(x, bits), reinterpret(y, bits)), x.dtype)


@op("shift_right_arithmetic", lifted=True)
def shift_right_arithmetic(x: Tensor, y: Tensor) -> Tensor:
    bits = signed(x.dtype)
    return reinterpret(apply("shift_right", reinterpret(x, bits), reinterpret(y, bits)), x.dtype)
