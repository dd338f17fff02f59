"""Elementwise functions of one tensor. Most are made from the declarations of their ops; what torch does otherwise is written out."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ingot._tensor.composites import composite
from ingot.functions.common import (
    OPS,
    Number,
    Tensor,
    apply,
    cast,
    cast_out,
    check_tensor,
    dtypes,
    emit_out,
    float_dtype,
    inside,
    record,
    refuse,
    scalar,
    static_int,
    upcast,
)
from ingot.functions.declared import declared, define, example, reference
from ingot.ir.op import Op
from ingot.ir.public import Unary

__all__ = [
    "angle", "bitwise_not", "deg2rad", "erfinv", "frac", "isfinite", "isinf", "isnan", "isneginf", "isposinf", "isreal", "logical_not",
    "logit", "nan_to_num", "neg", "negative", "positive", "rad2deg", "relu", "round", "sgn", "sign", "signbit", "sinc", "square",
]  # fmt: skip


def _make(name: str, op: Op, row: Unary) -> Callable[..., Tensor]:
    domain = row.domain

    def function(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        check_tensor(name, input)
        kind = input.dtype.kind
        if kind == "c" and row.complex:
            return cast_out(record(OPS[row.complex], (input,)), out)
        if kind != "f":
            if domain == "float":
                input = cast(input, float_dtype(input.dtype))
            elif kind == "b":
                raise refuse(name, input.dtype)
            elif domain == "rounding" and kind != "c":
                return emit_out(apply("reshape", input, attrs=(tuple(input.shape),)), out)
        result = record(op, (input,))
        return result if out is None else emit_out(result, out, domain == "float")

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"{row.doc or op.doc}\n\n    Elementwise, of any shape; the result has the shape of `input`"
        + (" (integers and bools give the default float dtype)." if domain == "float" else " and its dtype.")
        + f"\n    RuntimeError for {'a dtype without it' if domain == 'float' else 'bool'}."
        + "\n\n"
        + example(f"ingot.{name}(ingot.tensor([0.5, 1.0]))", lambda: reference(op, np.array([0.5, 1.0], np.float32)), indent=" " * 8)
    )
    return function


for _name, _op, _row in declared(Unary):
    define(globals(), _make(_name, _op, _row), _row.aliases)


def round(input: Tensor, *, decimals: int = 0, out: Tensor | None = None) -> Tensor:
    """Round to the nearest integer, halves to even; with `decimals`, to that many digits.

    Same shape and dtype as `input`; integers are unchanged. RuntimeError for bool, or decimals with integers.

        >>> ingot.round(ingot.tensor([0.5, 1.5, 2.345]), decimals=2)
        tensor([0.5000, 1.5000, 2.3400])
    """
    check_tensor("round", input)
    if input.dtype.kind == "b" or (decimals and input.dtype.kind != "f"):
        raise refuse("round", input.dtype)
    if input.dtype.kind != "f":
        return emit_out(_copy(input), out)
    if not decimals:
        return emit_out(apply("round", input), out)
    return emit_out(_round_to(input, static_int(decimals, "decimals")), out)


@composite
def _round_to(x: Tensor, decimals: int) -> Tensor:
    ten = 10.0 ** abs_int(decimals)
    y = upcast(x)
    y = apply("round", y * ten) / ten if decimals > 0 else apply("round", y / ten) * ten
    return cast(y, x.dtype)


def abs_int(n: int) -> int:
    return -n if n < 0 else n


def _copy(x: Tensor) -> Tensor:
    return apply("reshape", x, attrs=(tuple(x.shape),))


def neg(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """-input, elementwise. RuntimeError for bool.

    >>> ingot.neg(ingot.tensor([1.0, -2.0]))
    tensor([-1.,  2.])
    """
    check_tensor("neg", input)
    if input.dtype.kind == "b":
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, "
            "use the `~` or `logical_not()` operator instead."
        )
    return emit_out(apply("neg", input), out)


negative = neg


def positive(input: Tensor) -> Tensor:
    """`input` itself. RuntimeError for bool."""
    check_tensor("positive", input)
    if input.dtype.kind == "b":
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


def sign(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """-1, 0 or 1 by the sign of each element, in the dtype of `input`; bools are their own sign.

    >>> ingot.sign(ingot.tensor([-3.0, 0.0, 2.0]))
    tensor([-1.,  0.,  1.])
    """
    check_tensor("sign", input)
    if input.dtype.kind == "c":
        raise RuntimeError("Unlike NumPy, sign() is not intended to support complex numbers. Please use sgn() instead.")
    return emit_out(_copy(input) if input.dtype.kind == "b" else apply("sign", input), out)



def sgn(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """`sign`; of complex numbers the number of magnitude 1 that has their angle, and 0 for 0.

    >>> ingot.sgn(ingot.tensor([3 + 4j, 0j]))
    tensor([0.6000+0.8000j, 0.0000+0.0000j])
    """
    check_tensor("sgn", input)
    return emit_out(_sgn(input) if input.dtype.kind == "c" else sign(input), out)


@composite
def _sgn(x: Tensor) -> Tensor:
    size = apply("magnitude", x)
    zero = size == 0
    safe = apply("select", zero, scalar(1, size.dtype), size)
    parts = (apply("select", zero, scalar(0, size.dtype), apply(part, x) / safe) for part in ("real", "imag"))
    return apply("complex", *parts)



def signbit(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """True where the sign bit is set (-0.0 included). A bool tensor of the shape of `input`."""
    check_tensor("signbit", input)
    if input.dtype.kind == "b":
        return emit_out(apply("logical_xor", input, input), out)
    if input.dtype.kind == "f":
        return emit_out(_signbit(input), out)
    return emit_out(input < 0, out)


@composite
def _signbit(x: Tensor) -> Tensor:
    return apply("copysign", scalar(1, x.dtype), x) < 0


def square(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """input * input, elementwise (bools as int64).

    >>> ingot.square(ingot.tensor([2.0, -3.0]))
    tensor([4., 9.])
    """
    check_tensor("square", input)
    x = cast(input, dtypes.i64) if input.dtype.kind == "b" else input
    return cast_out(apply("mul", x, x), out)


def frac(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The fractional part, with the sign of the element. Floating dtypes only (RuntimeError)."""
    check_tensor("frac", input)
    if input.dtype.kind != "f":
        raise refuse("frac", input.dtype)
    return emit_out(input - apply("trunc", input), out)


def relu(input: Tensor) -> Tensor:
    """max(input, 0), elementwise; NaN stays NaN, and the gradient at 0 is 0. RuntimeError for bool.

    >>> ingot.relu(ingot.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    check_tensor("relu", input)
    if input.dtype.kind == "b":
        raise RuntimeError("Boolean inputs not supported for relu")
    return apply("relu", input)


def _predicate(name: str, op: str, of_integers: str, doc: str) -> Callable[..., Tensor]:
    def function(input: Tensor) -> Tensor:
        check_tensor(name, input)
        if input.dtype.kind == "c":
            return _of_parts(input, op)
        return apply(op, input) if input.dtype.kind == "f" else apply(of_integers, input, input)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{doc} A bool tensor of the shape of `input`.\n\n" + example(
        f"ingot.{name}(ingot.tensor([1.0, float('nan')]))", lambda: reference(OPS[op], np.array([1.0, math.nan], np.float32))
    )
    return function


@composite
def _of_parts(x: Tensor, op: str) -> Tensor:
    re, im = (apply(op, apply(part, x)) for part in ("real", "imag"))
    return apply("logical_and" if op == "isfinite" else "logical_or", re, im)


isnan = _predicate("isnan", "isnan", "ne", "True where an element is NaN.")
isinf = _predicate("isinf", "isinf", "ne", "True where an element is infinite.")
isfinite = _predicate("isfinite", "isfinite", "eq", "True where an element is neither NaN nor infinite.")


def isposinf(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """True where an element is +inf. A bool tensor."""
    check_tensor("isposinf", input)
    if input.dtype.kind == "c":
        raise RuntimeError("isposinf does not support complex inputs.")
    return emit_out(input == math.inf if input.dtype.kind == "f" else apply("ne", input, input), out)


def isneginf(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """True where an element is -inf. A bool tensor."""
    check_tensor("isneginf", input)
    if input.dtype.kind == "c":
        raise RuntimeError("isneginf does not support complex inputs.")
    return emit_out(input == -math.inf if input.dtype.kind == "f" else apply("ne", input, input), out)


def isreal(input: Tensor) -> Tensor:
    """True where the imaginary part is 0: everywhere, for real dtypes. A bool tensor.

    >>> ingot.isreal(ingot.tensor([1 + 0j, 2j]))
    tensor([ True, False])
    """
    check_tensor("isreal", input)
    if input.dtype.kind == "c":
        return apply("imag", input) == 0
    x = apply("isnan", input) if input.dtype.kind == "f" else input
    return apply("eq", x, x)


def logical_not(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """True where an element is 0 or False. A bool tensor.

    >>> ingot.logical_not(ingot.tensor([0, 3]))
    tensor([ True, False])
    """
    check_tensor("logical_not", input)
    return cast_out(apply("logical_not", input) if input.dtype.kind == "b" else input == 0, out)


def bitwise_not(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Each bit inverted; for bools, logical not. RuntimeError for floating dtypes.

    >>> ~ingot.tensor([0, 5])
    tensor([-1, -6])
    """
    check_tensor("bitwise_not", input)
    if input.dtype.kind in "fc":
        raise refuse("bitwise_not", input.dtype)
    return emit_out(apply("logical_not" if input.dtype.kind == "b" else "bitwise_not", input), out)


def deg2rad(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Degrees to radians; integers give the default float dtype."""
    check_tensor("deg2rad", input)
    return cast_out(cast(input, float_dtype(input.dtype)) * (math.pi / 180), out)


def rad2deg(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Radians to degrees; integers give the default float dtype."""
    check_tensor("rad2deg", input)
    return cast_out(cast(input, float_dtype(input.dtype)) * (180 / math.pi), out)


def angle(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The angle of each element in the complex plane, in (-pi, pi], as a real tensor; of real ones pi below 0, else 0; NaN stays.

    Integers give the default float dtype.

    >>> ingot.angle(ingot.tensor([-2.0, 3.0]))
    tensor([3.1416, 0.0000])
    """
    check_tensor("angle", input)
    return cast_out(_angle(cast(input, float_dtype(input.dtype))), out)


@composite
def _angle(x: Tensor) -> Tensor:
    if x.dtype.kind == "c":
        return apply("atan2", apply("imag", x), apply("real", x))
    found = apply("select", x < 0, scalar(math.pi, x.dtype), scalar(0, x.dtype))
    return apply("select", x != x, scalar(math.nan, x.dtype), found)


def sinc(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """sin(pi x) / (pi x), and 1 at 0; integers give the default float dtype."""
    check_tensor("sinc", input)
    return cast_out(_sinc(cast(input, float_dtype(input.dtype))), out)


@composite
def _sinc(x: Tensor) -> Tensor:
    y = upcast(x) * math.pi
    square = y * y
    size = abs(y) if y.dtype.kind == "c" else apply("abs", y)
    near = size < 0.5  # by its series, whose derivative is exact as well
    safe = apply("select", near, scalar(1, y.dtype), y)
    square = apply("select", near, square, scalar(0, y.dtype))
    series = scalar(1, y.dtype)
    for k in range(7, 0, -1):
        series = 1 - square * series / (2 * k * (2 * k + 1))
    return cast(apply("select", near, series, apply("sin", safe) / safe), x.dtype)


def logit(input: Tensor, eps: float | None = None, *, out: Tensor | None = None) -> Tensor:
    """log(x / (1 - x)); with `eps`, x is first clamped to [eps, 1 - eps]. Integers give the default float dtype.

    >>> ingot.logit(ingot.tensor([0.25, 0.5]))
    tensor([-1.0986,  0.0000])
    """
    check_tensor("logit", input)
    return cast_out(_logit(cast(input, float_dtype(input.dtype)), None if eps is None else float(eps)), out)


@composite
def _logit(x: Tensor, eps: float | None) -> Tensor:
    y = upcast(x)
    if eps is not None:
        low, high = scalar(eps, y.dtype), scalar(1 - eps, y.dtype)
        y = apply("select", y < low, low, apply("select", y > high, high, y))
    return cast(inside(y, 0, 1, lambda y: apply("log", y / (1 - y))), x.dtype)


def nan_to_num(
    input: Tensor, nan: Number | None = None, posinf: Number | None = None, neginf: Number | None = None, *, out: Tensor | None = None
) -> Tensor:
    """Replace NaN by `nan` (0), +inf by `posinf` (the dtype's largest) and -inf by `neginf` (its lowest).

    Same shape and dtype; integers are unchanged.

        >>> ingot.nan_to_num(ingot.tensor([float("nan"), float("inf"), 1.0]))
        tensor([0.0000e+00, 3.4028e+38, 1.0000e+00])
    """
    check_tensor("nan_to_num", input)
    if input.dtype.kind == "c":
        parts = (nan_to_num(apply(part, input), nan, posinf, neginf) for part in ("real", "imag"))
        return cast_out(apply("complex", *parts), out)
    if input.dtype.kind != "f":
        return emit_out(_copy(input), out)
    from ingot.functions.typeinfo import finfo

    limits = finfo(input.dtype)
    values = (0.0 if nan is None else nan, limits.max if posinf is None else posinf, limits.min if neginf is None else neginf)
    return emit_out(_nan_to_num(input, *(scalar(v, input.dtype) for v in values)), out)


@composite
def _nan_to_num(x: Tensor, nan: Tensor, posinf: Tensor, neginf: Tensor) -> Tensor:
    y = apply("select", x == math.inf, posinf, x)
    y = apply("select", x == -math.inf, neginf, y)
    return apply("select", x != x, nan, y)


def erfinv(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of erf on (-1, 1); infinite at the ends, NaN outside. Integers give the default float dtype.

    >>> ingot.erfinv(ingot.tensor([0.0, 0.5]))
    tensor([0.0000, 0.4769])
    """
    check_tensor("erfinv", input)
    return cast_out(_erfinv(cast(input, float_dtype(input.dtype))), out)


# Giles, "Approximating the erfinv function" (2010): polynomials in w = -log((1 - x)(1 + x)), good to about 1e-6;
# two Newton steps on erf then square the error twice. The tail polynomial is in sqrt(w) - 3.
_CENTRAL = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164, 0.246640727, 1.50140941,
)
_TAIL = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047, 1.00167406, 2.83297682,
)


@composite
def _erfinv(x: Tensor) -> Tensor:
    return cast(inside(upcast(x), -1, 1, _erfinv_inside), x.dtype)


def _erfinv_inside(v: Tensor) -> Tensor:
    w = -(apply("log1p", -v) + apply("log1p", v))
    central, tail = w - 2.5, apply("sqrt", apply("maximum", w, scalar(5, v.dtype))) - 3.0
    p, q = _CENTRAL[0] + central * 0, _TAIL[0] + tail * 0
    for c, d in zip(_CENTRAL[1:], _TAIL[1:]):
        p, q = p * central + c, q * tail + d
    y = apply("select", w < 5, p, q) * v
    a = apply("abs", v)
    for _ in range(2):  # in erfc, which keeps the tail's digits
        tail = ((1 - a) - apply("erfc", apply("abs", y))) * apply("sign", v)
        y = y - apply("select", a < 0.5, apply("erf", y) - v, tail) * (math.sqrt(math.pi) / 2) * apply("exp", y * y)
    return y


METHODS = {f"__{name}__": globals()[fn] for name, fn in dict(neg="neg", pos="positive", abs="abs", invert="bitwise_not").items()}
