"""Arithmetic, comparisons, logic, bits and casts."""

from __future__ import annotations

import math
from typing import Any

from ingot.interchange.onnx.emit.writer import EMIT, UnsupportedError, Writer, emits
from ingot.interchange.onnx.tensors import type_code
from ingot.ir import dtypes
from ingot.ir.graph import Node

__all__ = ["narrow", "number", "widened"]

_SAME = {
    "neg": "Neg", "abs": "Abs", "sign": "Sign", "relu": "Relu", "reciprocal": "Reciprocal", "sqrt": "Sqrt", "floor": "Floor",
    "ceil": "Ceil", "round": "Round", "exp": "Exp", "log": "Log", "sin": "Sin", "cos": "Cos", "tan": "Tan", "asin": "Asin",
    "acos": "Acos", "atan": "Atan", "sinh": "Sinh", "cosh": "Cosh", "asinh": "Asinh", "acosh": "Acosh", "atanh": "Atanh", "tanh": "Tanh",
    "sigmoid": "Sigmoid", "erf": "Erf", "isnan": "IsNaN", "isinf": "IsInf", "logical_not": "Not", "bitwise_not": "BitwiseNot",
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div",
    "eq": "Equal", "lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual",
    "logical_and": "And", "logical_or": "Or", "logical_xor": "Xor", "maximum": "Max", "minimum": "Min", "select": "Where",
}  # fmt: skip


_ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Abs", "Neg")


def _same(w: Writer, n: Node, xs: list[str]) -> str:
    op = _SAME[n.op.name]
    if w.opset < 14 and op in _ARITHMETIC and n.inputs[0].type.dtype.bits < 32 and _kind(n) in "iu":
        return widened(w, n, xs, op)
    return w.node(op, *xs)


for _name in _SAME:
    EMIT[_name] = _same


def number(w: Writer, value: Any, n: Node, i: int = 0) -> str:
    """A number of the type of input `i`."""
    return w.constant(value, n.inputs[i].type.dtype)


def _kind(n: Node, i: int = 0) -> str:
    return n.inputs[i].type.dtype.kind


def narrow(dtype: dtypes.DType) -> dtypes.DType:
    """The integer type that runtimes compute in: of at least 32 bits."""
    return dtype if dtype.kind == "f" or dtype.bits >= 32 and dtype.kind == "i" else dtypes.i64 if dtype.bits >= 32 else dtypes.i32


def widened(w: Writer, n: Node, xs: list[str], op: str, **attrs: Any) -> str:
    """An op that is there for wide integers only, on integers that wrap around alike."""
    dtype = n.inputs[0].type.dtype
    wide = narrow(dtype)
    if wide is dtype:
        return w.node(op, *xs, **attrs)
    return w.cast(w.node(op, *[w.cast(x, wide) for x in xs], **attrs), dtype)


@emits("neg")
def _neg(w: Writer, n: Node, xs: list[str]) -> str:
    return w.node("Sub", number(w, 0, n), *xs) if _kind(n) == "u" else w.node("Neg", *xs)


@emits("relu")
def _relu(w: Writer, n: Node, xs: list[str]) -> str:
    if _kind(n) == "i" and w.opset < 14:
        return w.node("Where", w.node("Less", *xs, number(w, 0, n)), number(w, 0, n), *xs)
    return xs[0] if _kind(n) == "u" else w.node("Relu", *xs)


@emits("sign")
def _sign(w: Writer, n: Node, xs: list[str]) -> str:
    sign = w.node("Sign", *xs)
    return sign if _kind(n) != "f" else w.node("Where", _nan(w, n, xs[0]), number(w, 0, n), sign)


def _nan(w: Writer, n: Node, x: str) -> str:
    return w.node("IsNaN", x if n.inputs[0].type.dtype.bits > 16 or w.opset >= 20 else w.cast(x, dtypes.f32))


@emits("isinf", "isnan")
def _classified(w: Writer, n: Node, xs: list[str]) -> str:
    x = xs[0] if n.inputs[0].type.dtype.bits > 16 or w.opset >= 20 else w.cast(xs[0], dtypes.f32)
    return w.node("IsInf" if n.op.name == "isinf" else "IsNaN", x)


@emits("isfinite")
def _finite(w: Writer, n: Node, xs: list[str]) -> str:
    x = xs[0] if n.inputs[0].type.dtype.bits > 16 or w.opset >= 20 else w.cast(xs[0], dtypes.f32)
    return w.node("Not", w.node("Or", w.node("IsInf", x), w.node("IsNaN", x)))


@emits("ne")
def _ne(w: Writer, n: Node, xs: list[str]) -> str:
    return w.node("Not", w.node("Equal", *xs))


@emits("eq")
def _eq(w: Writer, n: Node, xs: list[str]) -> str:
    return w.node("Equal", *xs)


@emits("lt", "le", "gt", "ge")
def _ordered(w: Writer, n: Node, xs: list[str]) -> str:
    if _kind(n) == "b":
        xs = [w.cast(x, dtypes.i32) for x in xs]
    return w.node(_SAME[n.op.name], *xs)


@emits("trunc")
def _trunc(w: Writer, n: Node, xs: list[str]) -> str:
    (x,) = xs
    return w.node("Where", w.node("Less", x, number(w, 0, n)), w.node("Ceil", x), w.node("Floor", x))


@emits("rsqrt")
def _rsqrt(w: Writer, n: Node, xs: list[str]) -> str:
    return w.node("Reciprocal", w.node("Sqrt", *xs))


@emits("exp2")
def _exp2(w: Writer, n: Node, xs: list[str]) -> str:
    return w.node("Pow", number(w, 2, n), *xs)


@emits("log2", "log10")
def _log(w: Writer, n: Node, xs: list[str]) -> str:
    return w.node("Div", w.node("Log", *xs), number(w, math.log(2 if n.op.name == "log2" else 10), n))


@emits("expm1")
def _expm1(w: Writer, n: Node, xs: list[str]) -> str:
    """Near 0 by Kahan's way, (u - 1) * x / log(u) with u = exp(x), in which the rounding of u cancels."""
    (x,) = xs
    one = number(w, 1, n)
    u = w.node("Exp", x)
    less = w.node("Sub", u, one)
    near = w.node("Less", w.node("Abs", x), number(w, 0.5, n))
    corrected = w.node("Div", w.node("Mul", less, x), w.node("Where", w.node("Equal", u, one), one, w.node("Log", u)))
    corrected = w.node("Where", w.node("Equal", u, one), x, corrected)
    return w.node("Where", near, corrected, less)


@emits("log1p")
def _log1p(w: Writer, n: Node, xs: list[str]) -> str:
    """Near 0 by Kahan's way, log(u) * x / (u - 1) with u = 1 + x."""
    (x,) = xs
    one = number(w, 1, n)
    u = w.node("Add", x, one)
    log = w.node("Log", u)
    near = w.node("Less", w.node("Abs", x), number(w, 0.5, n))
    less = w.node("Sub", u, one)
    safe = w.node("Where", w.node("Equal", u, one), one, less)
    corrected = w.node("Where", w.node("Equal", u, one), x, w.node("Div", w.node("Mul", log, x), safe))
    return w.node("Where", near, corrected, log)


@emits("erfc")
def _erfc(w: Writer, n: Node, xs: list[str]) -> str:
    return w.node("Sub", number(w, 1, n), w.node("Erf", *xs))


@emits("atan2")
def _atan2(w: Writer, n: Node, xs: list[str]) -> str:
    y, x = xs
    zero, one, pi = number(w, 0, n), number(w, 1, n), number(w, math.pi, n)
    both = w.node("And", w.node("IsInf", y), w.node("IsInf", x))  # infinities count by their signs
    y, x = (w.node("Where", both, w.node("Sign", v), v) for v in (y, x))
    low, left = (_negative(w, v, zero) for v in (y, x))
    size = w.node("Abs", y)
    origin = w.node("And", w.node("Equal", y, zero), w.node("Equal", x, zero))
    base = w.node("Atan", w.node("Div", size, w.node("Where", origin, one, w.node("Abs", x))))
    angle = w.node("Where", left, w.node("Sub", pi, base), base)
    return w.node("Where", low, w.node("Neg", angle), angle)


def _negative(w: Writer, x: str, zero: str) -> str:
    """Whether the sign is set: that of 0 is its reciprocal's."""
    return w.node("Or", w.node("Less", x, zero), w.node("Less", w.node("Reciprocal", x), zero))


def _floored(w: Writer, n: Node, xs: list[str]) -> tuple[str, str]:
    """For integers: the quotient rounded down, and the remainder that has the divisor's sign."""
    a, b = xs
    zero, one = number(w, 0, n), number(w, 1, n)
    q = w.node("Div", a, b)
    rest = w.node("Sub", a, w.node("Mul", q, b))
    if _kind(n) == "u":
        return q, rest
    other = w.node("And", w.node("Not", w.node("Equal", rest, zero)), w.node("Xor", w.node("Less", rest, zero), w.node("Less", b, zero)))
    return w.node("Where", other, w.node("Sub", q, one), q), w.node("Where", other, w.node("Add", rest, b), rest)


@emits("floor_divide")
def _floor_divide(w: Writer, n: Node, xs: list[str]) -> str:
    """For floats as Python has it: of what is left when the remainder is taken away, so that the quotient's rounding does not count."""
    if _kind(n) != "f":
        return _floored(w, n, xs)[0]
    a, b = xs
    zero, one = number(w, 0, n), number(w, 1, n)
    rest = w.node("Mod", a, b, fmod=1)
    q = w.node("Div", w.node("Sub", a, rest), b)
    other = w.node("And", w.node("Not", w.node("Equal", rest, zero)), w.node("Xor", w.node("Less", rest, zero), w.node("Less", b, zero)))
    q = w.node("Where", other, w.node("Sub", q, one), q)
    whole = w.node("Floor", q)
    whole = w.node("Where", w.node("Greater", w.node("Sub", q, whole), number(w, 0.5, n)), w.node("Add", whole, one), whole)
    return w.node("Where", w.node("Equal", b, zero), w.node("Div", a, b), whole)


@emits("remainder")
def _remainder(w: Writer, n: Node, xs: list[str]) -> str:
    if _kind(n) != "f":
        return _floored(w, n, xs)[1]
    a, b = xs
    rest, zero = w.node("Mod", a, b, fmod=1), number(w, 0, n)
    other = w.node("And", w.node("Not", w.node("Equal", rest, zero)), w.node("Xor", w.node("Less", rest, zero), w.node("Less", b, zero)))
    return w.node("Where", other, w.node("Add", rest, b), rest)


@emits("fmod")
def _fmod(w: Writer, n: Node, xs: list[str]) -> str:
    return w.node("Mod", *xs, fmod=1)


@emits("copysign")
def _copysign(w: Writer, n: Node, xs: list[str]) -> str:
    """The sign of 0 is that of its reciprocal."""
    a, b = xs
    zero = number(w, 0, n)
    below = _negative(w, b, zero)
    size = w.node("Abs", a)
    return w.node("Where", below, w.node("Neg", size), size)


@emits("pow")
def _pow(w: Writer, n: Node, xs: list[str]) -> str:
    if n.inputs[0].type.dtype is dtypes.u64:
        raise UnsupportedError("powers of uint64")
    return widened(w, n, xs, "Pow")


@emits("integer_pow")
def _integer_pow(w: Writer, n: Node, xs: list[str]) -> str:
    exponent = n.attrs[0]
    if exponent == 2:
        return w.node("Mul", xs[0], xs[0])
    wide = narrow(n.inputs[0].type.dtype)
    x = xs[0] if wide is n.inputs[0].type.dtype else w.cast(xs[0], wide)
    y = w.node("Pow", x, w.constant(exponent, wide))
    return y if wide is n.inputs[0].type.dtype else w.cast(y, n.inputs[0].type.dtype)


_LOGIC = {"bitwise_and": ("And", "BitwiseAnd"), "bitwise_or": ("Or", "BitwiseOr"), "bitwise_xor": ("Xor", "BitwiseXor")}


@emits("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not")
def _bitwise(w: Writer, n: Node, xs: list[str]) -> str:
    if n.op.name == "bitwise_not":
        return w.node("Not" if _kind(n) == "b" else "BitwiseNot", *xs)
    return w.node(_LOGIC[n.op.name][_kind(n) != "b"], *xs)


@emits("shift_left", "shift_right")
def _shift(w: Writer, n: Node, xs: list[str]) -> str:
    """ONNX shifts unsigned numbers only: signed ones as such, below 0 by their complement."""
    dtype = n.inputs[0].type.dtype
    left = n.op.name == "shift_left"
    unsigned = dtypes.by_name(f"u{dtype.bits}")
    x, b = xs
    negative = None
    if dtype.kind == "i":
        if not left:
            negative = w.node("Less", x, number(w, 0, n))
            x = w.node("Where", negative, w.node("BitwiseNot", x), x)
        x = w.cast(x, unsigned)
    wrong = w.node("Or", w.node("Less", b, number(w, 0, n, 1)), w.node("GreaterOrEqual", b, number(w, dtype.bits, n, 1)))
    safe = w.node("Where", wrong, number(w, 0, n, 1), b)
    shifted = w.node("BitShift", x, safe if dtype.kind == "u" else w.cast(safe, unsigned), direction="LEFT" if left else "RIGHT")
    shifted = w.node("Where", wrong, w.constant(0, unsigned), shifted)
    if dtype.kind == "u":
        return shifted
    out = w.cast(shifted, dtype)
    return out if negative is None else w.node("Where", negative, w.node("BitwiseNot", out), out)


@emits("maximum", "minimum")
def _extreme(w: Writer, n: Node, xs: list[str]) -> str:
    if _kind(n) == "b":
        return w.node("Or" if n.op.name == "maximum" else "And", *xs)
    if w.opset < 12 and _kind(n) != "f":
        return w.node("Where", w.node("Less" if n.op.name == "maximum" else "Greater", *xs), *xs[::-1])
    return w.node(_SAME[n.op.name], *xs)


@emits("select")
def _select(w: Writer, n: Node, xs: list[str]) -> str:
    return w.node("Where", *xs)


@emits("cast")
def _cast(w: Writer, n: Node, xs: list[str]) -> str:
    source, target = n.inputs[0].type.dtype, n.outputs[0].type.dtype
    return xs[0] if source is target else w.cast(xs[0], target)


@emits("bitcast")
def _bitcast(w: Writer, n: Node, xs: list[str]) -> str:
    """There and back again is what stops gradients: nothing."""
    source, target = n.inputs[0].type.dtype, n.outputs[0].type.dtype
    before = w.root.bits.get(xs[0])
    if before is not None and before[1] is target:
        return before[0]
    if w.opset >= 26:
        out = w.node("BitCast", *xs, to=type_code(target.numpy))
    else:
        out = w.fresh("bits")
        w.root.unmade[out] = f"bitcast from {source.torch_name} to {target.torch_name} needs op set 26"
    w.root.bits[out] = (xs[0], source)
    return out
