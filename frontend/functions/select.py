"""Elementwise functions of three operands: where, clamp, lerp, addcmul, addcdiv; closeness."""

from __future__ import annotations

from typing import Any, TypeAlias

from ingot._tensor.composites import composite
from ingot._tensor.recording import stop_gradient
from ingot.functions.common import (
    Tensor,
    apply,
    cast,
    cast_out,
    check_tensor,
    common_dtype,
    dtype_name,
    dtypes,
    emit_out,
    is_number,
    operands,
    refuse,
    scalar,
    settled,
    upcast,
)
from ingot.functions.numpy_names import methods
from ingot.functions.search import nonzero

__all__ = [
    "addcdiv", "addcmul", "allclose", "clamp", "clamp_max", "clamp_min", "clip", "equal", "isclose", "lerp", "where",
]  # fmt: skip

Operand: TypeAlias = Tensor | complex


def where(condition: Tensor, input: Operand | None = None, other: Operand | None = None, *, out: Tensor | None = None) -> Any:
    """`input` where `condition`, else `other`; shapes broadcast, dtypes promote.

    With `condition` alone: its nonzero indices, as a tuple of one int64 tensor per dim.
    RuntimeError unless `condition` is a bool tensor.

        >>> ingot.where(ingot.tensor([True, False]), ingot.ones(2), 0.0)
        tensor([1., 0.])
    """
    check_tensor("where", condition, "condition")
    if input is None and other is None:

        return nonzero(condition, as_tuple=True)
    if condition.dtype is not dtypes.bool_:
        if condition.dtype is not dtypes.u8:
            raise RuntimeError(
                f"where expected condition to be a boolean tensor, but got a tensor with dtype {dtype_name(condition.dtype)}"
            )
        condition = apply("ne", condition, scalar(0, dtypes.u8))
    if not any(isinstance(v, Tensor) and not v._weak for v in (input, other)):
        input, other = settled(input), settled(other)
    a, b = operands("where", input, other, wrap=False)
    return emit_out(apply("select", condition, a, b), out)


def clamp(input: Tensor, min: Operand | None = None, max: Operand | None = None, *, out: Tensor | None = None) -> Tensor:
    """`input` limited to [min, max]; each bound a number, a tensor that broadcasts, or None. Where min > max: max.

    The result has the common dtype; NaN stays. RuntimeError when both bounds are None.

        >>> ingot.clamp(ingot.tensor([-1.0, 0.5, 2.0]), 0, 1)
        tensor([0.0000, 0.5000, 1.0000])
    """
    check_tensor("clamp", input)
    if min is None and max is None:
        raise RuntimeError("clamp: At least one of 'min' or 'max' must not be None")
    bounds = [b for b in (min, max) if b is not None]
    for b in bounds:
        if not isinstance(b, Tensor) and not is_number(b):
            raise TypeError(f"clamp(): bounds must be Tensors or numbers, not {type(b).__name__}")
    if common_dtype(input, *bounds).kind == "c":
        raise RuntimeError("clamp is not supported for complex types")
    x, *limits = operands("clamp", input, *bounds, dtype=common_dtype(input, *bounds), wrap=False)
    if x.dtype.kind == "b":
        if len(bounds) == 2 or not isinstance(bounds[0], Tensor):
            raise refuse("clamp", x.dtype)
        return cast_out(apply("logical_or" if max is None else "logical_and", x, limits[0]), out)
    made = _clamp_min(x, limits[0]) if max is None else _clamp_max(x, limits[0]) if min is None else _clamp(x, limits[0], limits[1])
    return emit_out(made, out, casts=any(isinstance(b, Tensor) for b in bounds))  # as torch: by numbers `out` is of the input's dtype


def _no_number(t: Tensor, y: Tensor) -> Tensor:
    """`y`, and NaN where `t` is that: it gets no gradient, as in torch."""
    return apply("select", t != t, scalar(float("nan"), t.dtype), y) if t.dtype.kind == "f" else y


# selects, not maximum and minimum: at a bound the gradient goes to the input whole, as in torch
@composite
def _clamp_min(x: Tensor, low: Tensor) -> Tensor:
    return _no_number(x, _no_number(low, apply("select", x < low, low, x)))


@composite
def _clamp_max(x: Tensor, high: Tensor) -> Tensor:
    return _no_number(x, _no_number(high, apply("select", x > high, high, x)))


@composite
def _clamp(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    if x.dtype.kind != "f":
        return _clamp_max(_clamp_min(x, low), high)
    above = apply("logical_or", x > high, high < low)  # `high` has the gradient there even where the others are NaN,
    # and of equal bounds the lower one has none, as in torch
    none = apply("logical_or", x != x, low != low)
    least = apply("select", low < high, low, stop_gradient(low))
    limit = high + apply("select", none, scalar(float("nan"), x.dtype), scalar(-0.0, x.dtype))
    return apply("select", above, limit, _no_number(high, _clamp_min(x, least)))


def clamp_min(input: Tensor, min: Operand, *, out: Tensor | None = None) -> Tensor:
    """`clamp` with a lower bound only."""
    return clamp(input, min=min, out=out)


def clamp_max(input: Tensor, max: Operand, *, out: Tensor | None = None) -> Tensor:
    """`clamp` with an upper bound only."""
    return clamp(input, max=max, out=out)


clip = clamp


def lerp(input: Tensor, end: Tensor, weight: Operand, *, out: Tensor | None = None) -> Tensor:
    """input + weight * (end - input), elementwise with broadcasting. One floating dtype (RuntimeError).

    >>> ingot.lerp(ingot.zeros(2), ingot.ones(2), 0.25)
    tensor([0.2500, 0.2500])
    """
    check_tensor("lerp", input)
    check_tensor("lerp", end, "end", 2)
    for name, t in (("end", end), ("weight", weight)):
        if isinstance(t, Tensor) and not t._weak and t.dtype is not input.dtype:
            raise RuntimeError(f"expected dtype {input.dtype} for `{name}` but got dtype {t.dtype}")
    if input.dtype.kind not in "fc":
        raise refuse("lerp", input.dtype)
    wide = dtypes.f32 if input.dtype in dtypes.Half else input.dtype
    w = weight if isinstance(weight, Tensor) and not weight._weak else scalar(weight, wide)
    return cast_out(_lerp(input, end, w), out)


@composite
def _lerp(x: Tensor, end: Tensor, weight: Tensor) -> Tensor:
    a, b, w = upcast(x), upcast(end), upcast(weight)
    gap = b - a
    # from the nearer end, so that weight 1 gives `end` exactly
    size = apply("magnitude" if w.dtype.kind == "c" else "abs", w)
    return cast(apply("select", size < 0.5, a + w * gap, b - gap * (1 - w)), x.dtype)


def _three(name: str, input: Tensor, tensor1: Tensor, tensor2: Tensor, value: Any) -> tuple[Tensor, ...]:
    for i, (argument, t) in enumerate((("input", input), ("tensor1", tensor1), ("tensor2", tensor2))):
        check_tensor(name, t, argument, i + 1)
    dtype = common_dtype(input, tensor1, tensor2)
    if dtype.kind not in "fc" and isinstance(value, float):
        raise RuntimeError(f"For integral input tensors, argument value must not be a floating point number, in {name}")
    return operands(name, input, tensor1, tensor2, value, dtype=dtype)


def addcmul(
    input: Tensor, tensor1: Tensor, tensor2: Tensor, last: Any = None, *, value: complex = 1, out: Tensor | None = None
) -> Tensor:  # fmt: skip
    """input + value * tensor1 * tensor2, with broadcasting and type promotion.

    >>> ingot.addcmul(ingot.zeros(2), ingot.ones(2), ingot.ones(2), value=0.5)
    tensor([0.5000, 0.5000])
    """
    if last is not None:  # the older order: value first
        value, tensor1, tensor2 = tensor1, tensor2, last  # type: ignore[assignment]
    return cast_out(_addcmul(*_three("addcmul", input, tensor1, tensor2, value)), out)


@composite
def _addcmul(x: Tensor, a: Tensor, b: Tensor, value: Tensor) -> Tensor:
    return cast(upcast(x) + upcast(value) * upcast(a) * upcast(b), x.dtype)


def addcdiv(
    input: Tensor, tensor1: Tensor, tensor2: Tensor, last: Any = None, *, value: complex = 1, out: Tensor | None = None
) -> Tensor:  # fmt: skip
    """input + value * tensor1 / tensor2, with broadcasting. Floating dtypes only (RuntimeError).

    >>> ingot.addcdiv(ingot.zeros(2), ingot.ones(2), ingot.full((2,), 4.0))
    tensor([0.2500, 0.2500])
    """
    if last is not None:  # the older order: value first
        value, tensor1, tensor2 = tensor1, tensor2, last  # type: ignore[assignment]
    x, a, b, v = _three("addcdiv", input, tensor1, tensor2, value)
    if tensor1.dtype.kind not in "fc" and tensor2.dtype.kind not in "fc":
        raise RuntimeError("Integer division with addcdiv is not supported; cast the divided tensors to a floating dtype first.")
    return cast_out(_addcdiv(x, a, b, v), out)


@composite
def _addcdiv(x: Tensor, a: Tensor, b: Tensor, value: Tensor) -> Tensor:
    return cast(upcast(x) + upcast(value) * upcast(a) / upcast(b), x.dtype)


def isclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """|input - other| <= atol + rtol * |other|, elementwise; infinities are close to themselves. A bool tensor.

    RuntimeError when the dtypes differ or a tolerance is negative.
    """
    check_tensor("isclose", input)
    check_tensor("isclose", other, "other", 2)
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{dtype_name(input.dtype)} did not match {dtype_name(other.dtype)}")
    if any(not isinstance(v, Tensor) and v < 0 for v in (rtol, atol)):
        raise RuntimeError(f"tolerances must be at least zero, but found rtol={rtol} and atol={atol}")
    rtol, atol = (v if isinstance(v, Tensor) else float(v) for v in (rtol, atol))  # tensors: float arguments of a compiled function
    return _isclose(input, other, rtol, atol, bool(equal_nan))


@composite
def _isclose(a: Tensor, b: Tensor, rtol: float, atol: float, equal_nan: bool) -> Tensor:
    same = apply("eq", a, b)
    if a.dtype.kind in "fc" and equal_nan:
        same = apply("logical_or", same, apply("logical_and", a != a, b != b))
    if not any(isinstance(v, Tensor) or v for v in (rtol, atol)):
        return same
    wide = dtypes.f32 if a.dtype in dtypes.Half else a.dtype if a.dtype.kind in "fc" else dtypes.f64
    x, y = cast(a, wide), cast(b, wide)
    size = "magnitude" if wide.kind == "c" else "abs"
    error = apply(size, x - y)
    near = apply("logical_and", apply("isfinite", error), error <= atol + rtol * apply(size, y))
    return apply("logical_or", same, near)


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """True when all elements are close, as `isclose` defines it. Reads the values.

    >>> ingot.allclose(ingot.ones(2), ingot.ones(2) + 1e-9)
    True
    """
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


def equal(input: Tensor, other: Tensor) -> bool:
    """True when shapes and all elements are equal, those of different dtypes in the common one. Reads the values.

    >>> ingot.equal(ingot.ones(2), ingot.ones(2))
    True
    """
    check_tensor("equal", input)
    check_tensor("equal", other, "other", 2)
    if tuple(input.shape) != tuple(other.shape):
        return False
    return bool(apply("eq", *operands("equal", input, other)).all())


def _where(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """This tensor where `condition`, else `other`."""
    return where(condition, self, other)


METHODS = methods(where=_where)
