"""Running sums, products and extrema; differences; the trapezoid rule."""

from __future__ import annotations

from typing import Any

from ingot.composite import composite
from ingot.functions.common import (
    Tensor,
    apply,
    cast,
    check_tensor,
    dtypes,
    emit_out,
    float_dtype,
    one_dim,
    scalar,
    static_int,
    upcast,
)
from ingot.functions.reduce import ValuesIndices

__all__ = [
    "cummax", "cummin", "cumprod", "cumsum", "diff", "logcumsumexp", "trapezoid", "trapz",
]  # fmt: skip


def _running(name: str, input: Any, dim: int, dtype: dtypes.DType | None, out: Any) -> Tensor:
    check_tensor(name, input)
    axis = one_dim(dim, input.ndim)
    result = dtype or (input.dtype if input.dtype.kind == "f" else dtypes.i64)
    return emit_out(_run(input, name, axis, result), out)


@composite
def _run(x: Tensor, op: str, axis: int, dtype: dtypes.DType) -> Tensor:
    x = cast(x, dtype)
    if not x.ndim:
        return apply("reshape", x, attrs=((),))
    return apply(op, x, attrs=(axis, False))


def cumsum(input: Tensor, dim: int, *, dtype: dtypes.DType | None = None, out: Tensor | None = None) -> Tensor:
    """Running sums along `dim`; integers and bools give int64, `dtype` casts first.

    >>> ingot.cumsum(ingot.tensor([1, 2, 3]), 0)
    """
    return _running("cumsum", input, dim, dtype, out)


def cumprod(input: Tensor, dim: int, *, dtype: dtypes.DType | None = None, out: Tensor | None = None) -> Tensor:
    """Running products along `dim`; integers and bools give int64, `dtype` casts first.

    >>> ingot.cumprod(ingot.tensor([1, 2, 3]), 0)
    """
    return _running("cumprod", input, dim, dtype, out)


@composite
def _cumextreme(x: Tensor, op: str, axis: int) -> tuple[Tensor, Tensor]:
    y = cast(x, dtypes.u8) if x.dtype.kind == "b" else x
    shape = tuple(x.shape)
    if not shape:
        y = apply("reshape", y, attrs=((1,),))
    values, indices = apply(op, y, attrs=(axis,))
    return cast(apply("reshape", values, attrs=(shape,)), x.dtype), apply("reshape", indices, attrs=(shape,))


def cummax(input: Tensor, dim: int, *, out: tuple | None = None) -> ValuesIndices:
    """Running maxima along `dim`, as (values, indices): the last index of equals; NaN stays.

    >>> ingot.cummax(ingot.tensor([1.0, 3.0, 2.0]), 0).values
    """
    check_tensor("cummax", input)
    return emit_out(ValuesIndices(*_cumextreme(input, "cummax", one_dim(dim, input.ndim))), out)


def cummin(input: Tensor, dim: int, *, out: tuple | None = None) -> ValuesIndices:
    """Running minima along `dim`, as (values, indices): the last index of equals; NaN stays."""
    check_tensor("cummin", input)
    return emit_out(ValuesIndices(*_cumextreme(input, "cummin", one_dim(dim, input.ndim))), out)


def logcumsumexp(input: Tensor, dim: int, *, out: Tensor | None = None) -> Tensor:
    """log of the running sums of exp along `dim`, without overflow. Floating dtypes only (RuntimeError)."""
    check_tensor("logcumsumexp", input)
    if input.dtype.kind != "f":
        raise RuntimeError(f'"logcumsumexp_out_cpu" not implemented for {input.dtype!r}')
    return emit_out(_logcumsumexp(input, one_dim(dim, input.ndim)), out)


@composite
def _logcumsumexp(x: Tensor, axis: int) -> Tensor:
    from ingot.functions.binary import logaddexp

    if not x.ndim:
        return apply("reshape", x, attrs=((),))
    y, n, step = upcast(x), x.shape[axis], 1
    lowest = scalar(float("-inf"), y.dtype)
    zeros = (0,) * x.ndim
    while step < n:  # doubling: after k rounds each element holds the sum of the 2**k before it
        stops = tuple(d - step if i == axis else d for i, d in enumerate(x.shape))
        early = apply("slice", y, attrs=(zeros, stops, (1,) * x.ndim))
        low = tuple(step if i == axis else 0 for i in range(x.ndim))
        y = logaddexp(y, apply("pad", early, lowest, attrs=(low, zeros, zeros)))
        step *= 2
    return cast(y, x.dtype)


def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None, *, out: Tensor | None = None
) -> Tensor:
    """The `n`-th difference of neighbours along `dim`, `prepend` and `append` put around first; bools by exclusive or.

    >>> ingot.diff(ingot.tensor([1, 4, 9]))
    """
    check_tensor("diff", input)
    if not input.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    n = static_int(n, "n")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    axis = one_dim(dim, input.ndim)
    x = input
    if n and (prepend is not None or append is not None):
        from ingot.functions.join import cat

        x = cat([t for t in (prepend, input, append) if t is not None], axis)
    return emit_out(_diff(x, min(n, x.shape[axis]), axis), out)


@composite
def _diff(x: Tensor, n: int, axis: int) -> Tensor:
    one = (1,) * x.ndim
    if not n:
        return apply("reshape", x, attrs=(tuple(x.shape),))
    for _ in range(n):
        starts = tuple(1 if i == axis else 0 for i in range(x.ndim))
        stops = tuple(d - 1 if i == axis else d for i, d in enumerate(x.shape))
        right = apply("slice", x, attrs=(starts, tuple(x.shape), one))
        left = apply("slice", x, attrs=((0,) * x.ndim, stops, one))
        x = apply("logical_xor" if x.dtype.kind == "b" else "sub", right, left)
    return x


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """The integral of `y` along `dim` by the trapezoid rule, with points `x` or the spacing `dx`.

    >>> ingot.trapezoid(ingot.tensor([1.0, 2.0, 3.0]))
    """
    check_tensor("trapezoid", y, "y")
    axis = one_dim(dim, y.ndim)
    if y.dtype.kind != "f":
        y = cast(y, float_dtype(y.dtype))
    means = _neighbour_mean(y, axis)
    if x is None:
        return (means * dx).sum(axis)
    if x.ndim == 1:
        x = apply("reshape", x, attrs=((x.shape[0],) + (1,) * (y.ndim - 1 - axis),))
        return (means * _diff(x, 1, 0)).sum(axis)
    return (means * _diff(x, 1, one_dim(dim, x.ndim))).sum(axis)


@composite
def _neighbour_mean(y: Tensor, axis: int) -> Tensor:
    if y.shape[axis] < 2:
        return apply("slice", y, attrs=((0,) * y.ndim, tuple(0 if i == axis else d for i, d in enumerate(y.shape)), (1,) * y.ndim))
    starts = tuple(1 if i == axis else 0 for i in range(y.ndim))
    stops = tuple(d - 1 if i == axis else d for i, d in enumerate(y.shape))
    one = (1,) * y.ndim
    return (apply("slice", y, attrs=(starts, tuple(y.shape), one)) + apply("slice", y, attrs=((0,) * y.ndim, stops, one))) * 0.5


trapz = trapezoid
