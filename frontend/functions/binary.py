"""Elementwise functions of two tensors or numbers: arithmetic, comparison, logic, bits. Shapes broadcast."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from ingot._tensor.composites import composite
from ingot._tensor.extents import Extent
from ingot._tensor.recording import stop_gradient
from ingot.functions.common import (
    OPS,
    Tensor,
    apply,
    cast,
    cast_out,
    check_tensor,
    common_dtype,
    dtypes,
    emit_out,
    float_dtype,
    is_number,
    number_tensor,
    operands,
    record,
    refuse,
    safe_root,
    scalar,
    upcast,
)
from ingot.functions.declared import declared, define, example, reference
from ingot.ir.op import Op
from ingot.ir.public import Binary

__all__: list[str] = [
    "add", "div", "divide", "float_power", "floor_divide", "fmax", "fmin", "fmod", "heaviside", "hypot", "ldexp", "logaddexp",
    "logaddexp2", "mul", "multiply", "pow", "remainder", "rsub", "sub", "subtract", "true_divide", "xlogy",
]  # fmt: skip

Operand: TypeAlias = Tensor | complex

_SUB_BOOLS = (
    "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator instead."
)
_SUB_BOOL = (
    "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, "
    "use the `~` or `logical_not()` operator instead."
)


def _scaled(name: str, other: Any, alpha: Any, dtype: dtypes.DType) -> Tensor:
    """alpha * other in the common dtype; torch's rules on the kind of alpha."""
    if isinstance(alpha, bool) and dtype.kind != "b":
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if isinstance(alpha, complex) and dtype.kind != "c":
        raise RuntimeError("For non-complex input tensors, argument alpha must not be a complex number.")
    if isinstance(alpha, float) and dtype.kind not in "fc":
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
    (b,) = operands(name, other, dtype=dtype)
    if dtype.kind == "b":
        return apply("logical_and", b, scalar(bool(alpha), dtype))
    return apply("mul", b, number_tensor(alpha, dtype, True))


def _sides(name: str, input: Any, other: Any, tensors: str = "none") -> None:
    """TypeError, in torch's words, unless both are Tensors or numbers, and those that torch insists on Tensors.

    tensors: "none", "one" (either), "first" or "both".
    """
    if tensors == "first" or tensors == "both":
        check_tensor(name, input)
    if tensors == "both":
        check_tensor(name, other, "other", 2)
    if tensors == "one" and not isinstance(input, Tensor) and not isinstance(other, Tensor):
        given = f"({type(input).__name__}, {type(other).__name__})"
        raise TypeError(f"{name}() received an invalid combination of arguments - got {given}, but expected at least one Tensor")
    for i, (argument, v) in enumerate((("input", input), ("other", other))):
        if not isinstance(v, Tensor) and not is_number(v):
            raise TypeError(f"{name}(): argument '{argument}' (position {i + 1}) must be Tensor, not {type(v).__name__}")


_NEVER_SPARSE = (Tensor, float, int)


def _has_sparse(*values: Any) -> bool:
    return any([isinstance(v, Tensor) and v._sparse for v in values])


def add(input: Operand, other: Operand, last: Any = None, *, alpha: complex = 1, out: Tensor | None = None) -> Tensor:
    """input + alpha * other, with broadcasting and type promotion; bool + bool is `or`.

    >>> ingot.add(ingot.ones(2, 3), ingot.arange(3), alpha=2)
    tensor([[1., 3., 5.],
            [1., 3., 5.]])
    """
    if last is not None:  # the older order: alpha first
        other, alpha = last, other  # type: ignore[assignment]
    if not (type(input) in _NEVER_SPARSE and type(other) in _NEVER_SPARSE) and _has_sparse(input, other):
        return cast_out(input + (other if alpha == 1 else other * alpha), out)
    if isinstance(alpha, Tensor) or alpha != 1:
        _sides("add", input, other)
        dtype = common_dtype(input, other)
        a, b = operands("add", input, dtype=dtype)[0], _scaled("add", other, alpha, dtype)
    else:
        a, b = operands("add", input, other)
    result = apply("logical_or" if a.dtype.kind == "b" else "add", a, b)
    return result if out is None else cast_out(result, out)


def sub(input: Operand, other: Operand, last: Any = None, *, alpha: complex = 1, out: Tensor | None = None) -> Tensor:
    """input - alpha * other, with broadcasting and type promotion. RuntimeError for bools.

    >>> ingot.sub(ingot.tensor([3, 4]), 1)
    tensor([2, 3])
    """
    if last is not None:  # the older order: alpha first
        other, alpha = last, other  # type: ignore[assignment]
    if not (type(input) in _NEVER_SPARSE and type(other) in _NEVER_SPARSE) and _has_sparse(input, other):
        return cast_out(input - (other if alpha == 1 else other * alpha), out)
    bools = [isinstance(v, bool) or (isinstance(v, Tensor) and v.dtype.kind == "b") for v in (input, other)]
    if any(bools):
        raise RuntimeError(_SUB_BOOLS if all(bools) else _SUB_BOOL)
    if isinstance(alpha, Tensor) or alpha != 1:
        _sides("sub", input, other)
        dtype = common_dtype(input, other)
        a, b = operands("sub", input, dtype=dtype)[0], _scaled("sub", other, alpha, dtype)
    else:
        a, b = operands("sub", input, other)
    result = apply("sub", a, b)
    return result if out is None else cast_out(result, out)


def rsub(input: Tensor, other: Operand, *, alpha: complex = 1) -> Tensor:
    """other - alpha * input."""
    return sub(other, input, alpha=alpha)


def mul(input: Operand, other: Operand, *, out: Tensor | None = None) -> Tensor:
    """input * other, with broadcasting and type promotion; bool * bool is `and`.

    >>> ingot.mul(ingot.tensor([1.0, 2.0]), 3)
    tensor([3., 6.])
    """
    if not (type(input) in _NEVER_SPARSE and type(other) in _NEVER_SPARSE) and _has_sparse(input, other):
        return cast_out(input * other, out)
    a, b = operands("mul", input, other)
    result = apply("logical_and" if a.dtype.kind == "b" else "mul", a, b)
    return result if out is None else cast_out(result, out)


def div(input: Operand, other: Operand, *, rounding_mode: str | None = None, out: Tensor | None = None) -> Tensor:
    """input / other, with broadcasting; integers divide to the default float dtype.

    rounding_mode="trunc" rounds towards zero and "floor" down; both keep integer dtypes. RuntimeError for another mode.

        >>> ingot.div(ingot.tensor([7, -7]), 2, rounding_mode="floor")
        tensor([ 3, -4])
    """
    if type(input) is not Tensor and _has_sparse(input):
        return cast_out(input.div(other, rounding_mode=rounding_mode), out)  # type: ignore[union-attr, arg-type]
    if rounding_mode is None:
        _sides("div", input, other)
        dtype = common_dtype(input, other)
        a, b = operands("div", input, other, dtype=float_dtype(dtype))
        result = apply("div", a, b)
        return result if out is None else cast_out(result, out)
    if rounding_mode == "floor":
        return floor_divide(input, other, out=out)
    if rounding_mode != "trunc":
        raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'")
    a, b = _no_bool("div_trunc", input, other)
    _refuse_zero(a.dtype, other)
    return cast_out(_div_trunc(a, b), out)


@composite
def _div_trunc(a: Tensor, b: Tensor) -> Tensor:
    if a.dtype.kind == "f":
        return apply("trunc", stop_gradient(apply("div", a, b)))  # 0 / b would be NaN at 0
    return apply("floor_divide", apply("sub", a, apply("fmod", a, b)), b)


def _no_bool(name: str, input: Any, other: Any) -> tuple[Tensor, ...]:
    a, b = operands(name, input, other)
    if a.dtype.kind == "b":
        raise refuse(name, a.dtype)
    return a, b


def _refuse_zero(dtype: dtypes.DType, other: Any) -> None:
    """Integer division by the number 0 is an error at the call."""
    if dtype.kind in "iu" and not isinstance(other, Tensor) and other == 0:
        raise RuntimeError("ZeroDivisionError")


def floor_divide(input: Operand, other: Operand, *, out: Tensor | None = None) -> Tensor:
    """The largest integer not above input / other; keeps integer dtypes. RuntimeError for bools.

    >>> ingot.floor_divide(ingot.tensor([7, -7]), 2)
    tensor([ 3, -4])
    """
    a, b = _no_bool("div_floor", input, other)
    _refuse_zero(a.dtype, other)
    return cast_out(apply("floor_divide", a, b), out)


def remainder(input: Operand, other: Operand, *, out: Tensor | None = None) -> Tensor:
    """Python's modulus: the result has the sign of `other`. RuntimeError for bools.

    >>> ingot.remainder(ingot.tensor([-3.0, 4.0]), 2.5)
    tensor([2.0000, 1.5000])
    """
    _sides("remainder", input, other, "one")
    a, b = _no_bool("remainder", input, other)
    _refuse_zero(a.dtype, other)
    return cast_out(apply("remainder", a, b), out)


def fmod(input: Operand, other: Operand, *, out: Tensor | None = None) -> Tensor:
    """C's fmod: the result has the sign of `input`. RuntimeError for bools.

    >>> ingot.fmod(ingot.tensor([-3.0, 4.0]), 2.5)
    tensor([-0.5000,  1.5000])
    """
    _sides("fmod", input, other, "first")
    a, b = _no_bool("fmod", input, other)
    _refuse_zero(a.dtype, other)
    return cast_out(apply("fmod", a, b), out)


def pow(input: Operand, exponent: Operand, *, out: Tensor | None = None) -> Tensor:
    """input to the power of exponent, elementwise. An `int` exponent is part of the compiled code; a float is not.

    RuntimeError for bools to the power of a bool tensor, and for integers to a negative `int` power.

        >>> ingot.pow(ingot.tensor([2.0, 3.0]), 2)
        tensor([4., 9.])
    """
    if not isinstance(exponent, Tensor) and isinstance(input, Tensor) and is_number(exponent):
        if isinstance(exponent, bool) and input.dtype.kind == "b":
            return emit_out(apply("logical_or", input, scalar(not exponent, input.dtype)), out)
        if isinstance(exponent, int) and not isinstance(exponent, bool) and (type(exponent) is not Extent or input.dtype.kind in "iub"):
            x = cast(input, dtypes.i64) if input.dtype.kind == "b" else input
            if x.dtype.kind not in "fc" and exponent < 0:
                raise RuntimeError("Integers to negative integer powers are not allowed.")
            return cast_out(apply("integer_pow", x, attrs=(exponent,)), out)
    _sides("pow", input, exponent, "one")
    a, b = _no_bool("pow", input, exponent)
    return cast_out(apply("pow", a, b), out)


def float_power(input: Operand, exponent: Operand, *, out: Tensor | None = None) -> Tensor:
    """input to the power of exponent, computed and returned in float64 (complex128)."""
    _sides("float_power", input, exponent, "one")
    wide = dtypes.c128 if common_dtype(input, exponent).kind == "c" else dtypes.f64
    a, b = operands("float_power", input, exponent, dtype=wide)
    return emit_out(apply("pow", a, b), out)


_RESULT = {
    "number": "The result has the common dtype.", "float": "Integers and bools become the default float dtype.",
    "compare": "A bool tensor.", "logic": "A bool tensor.", "bits": "RuntimeError for floating dtypes.",
    "shift": "RuntimeError for dtypes that are not integers.",
}  # fmt: skip


def truth(x: Tensor) -> Tensor:
    """`x` as a bool tensor: True where it is not zero."""
    return x if x.dtype.kind == "b" else apply("ne", x, scalar(0, x.dtype))


def _comparable(name: str, input: Any, other: Any) -> dtypes.DType:
    """The dtype to compare in: the common one, or int64 beside an int that an integer dtype cannot hold."""
    dtype = common_dtype(input, other)
    if dtype.kind in "iu":
        low, high = (-(1 << dtype.bits - 1), (1 << dtype.bits - 1) - 1) if dtype.kind == "i" else (0, (1 << dtype.bits) - 1)
        if any(isinstance(v, int) and not low <= v <= high for v in (input, other)):
            return dtypes.i64
    return dtype


def _make(name: str, op: Op, row: Binary) -> Callable[..., Tensor]:
    domain, tensors = row.domain, row.tensors

    def function(input: Operand, other: Operand, *, out: Tensor | None = None) -> Tensor:
        if not isinstance(input, Tensor) or not isinstance(other, Tensor):
            _sides(name, input, other, tensors)
        if domain == "logic":
            sides = [truth(v) if isinstance(v, Tensor) else scalar(bool(v), dtypes.bool_) for v in (input, other)]
            return cast_out(record(op, sides), out)
        if domain == "float":
            a, b = operands(name, input, other, dtype=float_dtype(common_dtype(input, other)))
        elif domain == "compare":
            a, b = operands(name, input, other, dtype=_comparable(name, input, other), wrap=False)
        else:
            a, b = operands(name, input, other)
        kind = a.dtype.kind
        use = op
        if kind == "b" and domain != "compare":
            if not row.bools:
                raise refuse(name, a.dtype)
            use = OPS[row.bools]
        elif kind in "fc" and domain in ("bits", "shift"):
            raise refuse(name, a.dtype)
        result = record(use, (a, b))
        return result if out is None else cast_out(result, out)

    function.__name__ = function.__qualname__ = name
    computed = {"float": np.float32, "logic": np.bool_}.get(domain, np.int64)
    function.__doc__ = f"{row.doc or op.doc}\n\n    Elementwise, with broadcasting and type promotion. {_RESULT[domain]}\n\n" + example(
        f"ingot.{name}(ingot.tensor([1, 4]), {'ingot.tensor(2)' if tensors == 'both' else 2})",
        lambda: reference(op, np.array([1, 4], computed), np.array(2, computed)), indent=" " * 8,
    )  # fmt: skip
    return function


for _name, _op, _row in declared(Binary):
    define(globals(), _make(_name, _op, _row), _row.aliases)


def fmax(input: Operand, other: Operand, *, out: Tensor | None = None) -> Tensor:
    """The larger of two elements, ignoring a NaN beside a number. Broadcasts; the common dtype."""
    _sides("fmax", input, other, "both")
    a, b = operands("fmax", input, other)
    if a.dtype.kind == "b":
        return cast_out(apply("logical_or", a, b), out)
    return cast_out(_ignore_nan(a, b, "maximum") if a.dtype.kind == "f" else apply("maximum", a, b), out)


def fmin(input: Operand, other: Operand, *, out: Tensor | None = None) -> Tensor:
    """The smaller of two elements, ignoring a NaN beside a number. Broadcasts; the common dtype."""
    _sides("fmin", input, other, "both")
    a, b = operands("fmin", input, other)
    if a.dtype.kind == "b":
        return cast_out(apply("logical_and", a, b), out)
    return cast_out(_ignore_nan(a, b, "minimum") if a.dtype.kind == "f" else apply("minimum", a, b), out)


@composite
def _ignore_nan(a: Tensor, b: Tensor, op: str) -> Tensor:
    first = a >= b if op == "maximum" else a <= b  # of equals, which takes the whole gradient, as in torch
    return apply("select", apply("logical_or", first, b != b), a, b)


def _floats(name: str, input: Any, other: Any) -> tuple[Tensor, ...]:
    _sides(name, input, other, "both")
    a, b = operands(name, input, other)
    if a.dtype.kind != "f":
        raise refuse(name, a.dtype)
    return a, b


def hypot(input: Operand, other: Operand, *, out: Tensor | None = None) -> Tensor:
    """sqrt(input**2 + other**2) without overflow on the way. Floating dtypes only (RuntimeError)."""
    return cast_out(_hypot(*_floats("hypot", input, other)), out)


@composite
def _hypot(a: Tensor, b: Tensor) -> Tensor:
    """By a scale that is a number for derivatives: those of maximum would be wrong beyond the first where |a| is |b|."""
    x, y = upcast(a), upcast(b)
    wide, high = (apply("abs", stop_gradient(v)) for v in (x, y))
    big = apply("maximum", wide, high)
    infinite = apply("logical_or", wide == math.inf, high == math.inf)
    scale = apply("select", apply("logical_or", big == 0, infinite), scalar(1, x.dtype), big)
    left, right = (apply("select", infinite, scalar(1, x.dtype), v / scale) for v in (x, y))
    result = scale * safe_root(left * left + right * right)
    return cast(apply("select", infinite, scalar(math.inf, x.dtype), result), a.dtype)


def logaddexp(input: Operand, other: Operand, *, out: Tensor | None = None) -> Tensor:
    """log(exp(input) + exp(other)), without overflow. Floating and complex dtypes only (RuntimeError).

    >>> ingot.logaddexp(ingot.tensor([0.0]), ingot.tensor([1.0]))
    tensor([1.3133])
    """
    if any(isinstance(v, complex) or isinstance(v, Tensor) and v.dtype.kind == "c" for v in (input, other)):
        _sides("logaddexp", input, other, "both")
        return cast_out(_complex_logaddexp(*operands("logaddexp", input, other)), out)
    a, b = _floats("logaddexp", input, other)
    return cast_out(_logaddexp(a, b, 1.0), out)


@composite
def _complex_logaddexp(x: Tensor, y: Tensor) -> Tensor:
    """From the one whose exp is larger."""
    a, b = apply("real", x), apply("real", y)
    same = apply("logical_and", x == y, apply("isinf", a))  # inf - inf is not 0
    high, low = apply("select", a >= b, x, y), apply("select", a >= b, y, x)
    gap = apply("select", same, scalar(0, x.dtype), low - high)
    return apply("select", same, x, high + apply("log1p", apply("exp", gap)))


def logaddexp2(input: Operand, other: Operand, *, out: Tensor | None = None) -> Tensor:
    """log2(2**input + 2**other), without overflow. Floating dtypes only (RuntimeError)."""
    a, b = _floats("logaddexp2", input, other)
    return cast_out(_logaddexp(a, b, math.log(2.0)), out)


@composite
def _logaddexp(a: Tensor, b: Tensor, scale: float) -> Tensor:
    x, y = upcast(a), upcast(b)
    same = apply("logical_and", x == y, apply("isinf", x))  # inf - inf is not 0
    ordered = x >= y
    high, low = apply("select", ordered, x, y), apply("select", ordered, y, x)  # all derivatives are right where x == y
    gap = apply("select", same, scalar(0, x.dtype), low - high)
    result = high + apply("log1p", apply("exp", gap * scale)) / scale
    return cast(apply("select", same, x / 2 + y / 2, result), a.dtype)


def xlogy(input: Operand, other: Operand, *, out: Tensor | None = None) -> Tensor:
    """input * log(other), and 0 where input is 0 (unless other is NaN). Integers become the default float dtype.

    >>> ingot.xlogy(ingot.tensor([0.0, 2.0]), ingot.tensor([0.0, 3.0]))
    tensor([0.0000, 2.1972])
    """
    _sides("xlogy", input, other, "one")
    return cast_out(_xlogy(*operands("xlogy", input, other, dtype=float_dtype(common_dtype(input, other)))), out)


@composite
def _xlogy(a: Tensor, b: Tensor) -> Tensor:
    x, y = upcast(a), upcast(b)
    zero = apply("logical_and", x == 0, apply("logical_or", y <= 0, y == math.inf))
    safe = apply("select", zero, scalar(1, x.dtype), y)
    return cast(apply("select", zero, scalar(0, x.dtype), x * apply("log", safe)), a.dtype)


def heaviside(input: Tensor, values: Tensor, *, out: Tensor | None = None) -> Tensor:
    """0 where input < 0, 1 where input > 0, `values` where input == 0. Both of one dtype (RuntimeError)."""
    check_tensor("heaviside", input)
    check_tensor("heaviside", values, "values", 2)
    if input.dtype is not values.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")
    if input.dtype.kind == "b":
        return cast_out(apply("logical_or", input, values), out)
    return emit_out(_heaviside(input, values), out)


@composite
def _heaviside(x: Tensor, values: Tensor) -> Tensor:
    return apply("select", x == 0, values, cast(x > 0, x.dtype))


def ldexp(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """input * 2**other. Integers become the default float dtype."""
    _sides("ldexp", input, other, "both")
    dtype = float_dtype(common_dtype(input, other))
    x, exponent = operands("ldexp", input, other, dtype=dtype)
    return cast_out(x * apply("exp", exponent * math.log(2.0)) if dtype.kind == "c" else _ldexp(x, exponent), out)


@composite
def _ldexp(x: Tensor, exponent: Tensor) -> Tensor:
    """In two steps: a power of two that leaves the range may come back into it."""
    wide = upcast(exponent)
    half = apply("select", apply("isinf", wide), scalar(0, wide.dtype), apply("trunc", wide * 0.5))
    return cast(upcast(x) * apply("exp2", half) * apply("exp2", wide - half), x.dtype)


multiply, divide, true_divide, subtract = mul, div, div, sub
