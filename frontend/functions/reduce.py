"""Reductions over dims. Those of one op are made from its declaration; sums, means and moments are written out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ingot._tensor.autocast import full
from ingot._tensor.composites import composite
from ingot.functions import numpy_names
from ingot.functions.binary import truth
from ingot.functions.common import (
    Number,
    Tensor,
    apply,
    cast,
    cast_out,
    check_tensor,
    dim_list,
    dtype_name,
    dtypes,
    emit_out,
    one_dim,
    refuse,
    safe_root,
    scalar,
    upcast,
)
from ingot.functions.declared import declared, define, example, reference
from ingot.ir.op import Op
from ingot.ir.public import Reduce

__all__ = ["count_nonzero", "mean", "nanmean", "nansum", "prod", "std", "std_mean", "sum", "var", "var_mean"]

Dims = int | Sequence[int] | None


def kept_shape(shape: Sequence[int], axes: tuple[int, ...], keepdim: bool) -> tuple[int, ...]:
    """The shape after reducing `axes`."""
    if keepdim:
        return tuple(1 if i in axes else d for i, d in enumerate(shape))
    return tuple(d for i, d in enumerate(shape) if i not in axes)


def count(shape: Sequence[int], axes: tuple[int, ...]) -> int:
    """How many elements go into each result of a reduction over `axes`."""
    return math.prod(shape[a] for a in axes)


def reduced(op: str, x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    """Record the reduction `op`, dropping its dims unless `keepdim`."""
    y = apply(op, x, attrs=(axes,))
    if keepdim or not axes:
        return y
    return apply("reshape", y, attrs=(kept_shape(x.shape, axes, False),))


@composite
def _sum(x: Tensor, axes: tuple[int, ...], keepdim: bool, dtype: dtypes.DType) -> Tensor:
    op = "reduce_or" if dtype.kind == "b" else "reduce_sum"
    return cast(reduced(op, cast(x, dtype), axes, keepdim), dtype)


def accumulator(x: Tensor, dtype: dtypes.DType | None, out: Tensor | None) -> dtypes.DType:
    """In what sums and products of `x` are formed: `dtype`, the dtype of `out`, or that of `x`, where integers become int64."""
    if dtype is None and isinstance(out, Tensor):
        return out.dtype
    return dtype or (x.dtype if x.dtype.kind in "fc" else dtypes.i64)


def sum(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: dtypes.DType | None = None, out: Tensor | None = None
) -> Tensor:
    """Sum over `dim` (all dims when None). Integers and bools sum to int64; `dtype` casts first.

    IndexError for a dim out of range, RuntimeError for a repeated one.

        >>> ingot.sum(ingot.ones(2, 3), dim=1)
        tensor([3., 3.])
    """
    check_tensor("sum", input)
    if input._sparse:
        return cast_out(input.sum(dim, keepdim, dtype=dtype), out)
    axes = dim_list(dim, input.ndim)
    return cast_out(_sum(input, axes, bool(keepdim), accumulator(input, dtype, out)), out)


def nansum(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: dtypes.DType | None = None, out: Tensor | None = None
) -> Tensor:
    """`sum` that takes NaN for 0."""
    check_tensor("nansum", input)
    return cast_out(_nansum(input, dim_list(dim, input.ndim), bool(keepdim), accumulator(input, dtype, out)), out)


@composite
def _nansum(x: Tensor, axes: tuple[int, ...], keepdim: bool, dtype: dtypes.DType) -> Tensor:
    if x.dtype.kind in "fc":
        x = apply("select", x != x, scalar(0, x.dtype), x)
    return _sum(x, axes, keepdim, dtype)


@full
def prod(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: dtypes.DType | None = None, out: Tensor | None = None
) -> Tensor:
    """Product over one `dim` (all dims when None). Integers and bools give int64; `dtype` casts first.

    >>> ingot.prod(ingot.tensor([2.0, 3.0]))
    tensor(6.)
    """
    check_tensor("prod", input)
    axes = tuple(range(input.ndim)) if dim is None else dim_list(one_dim(dim, input.ndim), input.ndim)
    return cast_out(_prod(input, axes, bool(keepdim), accumulator(input, dtype, out)), out)


@composite
def _prod(x: Tensor, axes: tuple[int, ...], keepdim: bool, dtype: dtypes.DType) -> Tensor:
    x = cast(x, dtype)
    if dtype.kind == "b":
        return reduced("reduce_and", x, axes, keepdim)
    return cast(reduced("reduce_prod", upcast(x), axes, keepdim), dtype)


def _mean_dtype(name: str, x: Tensor, dtype: dtypes.DType | None) -> dtypes.DType:
    result = dtype or x.dtype
    if result.kind not in "fc":
        which = "Input" if dtype is None else "Optional"
        raise RuntimeError(
            f"{name}(): could not infer output dtype. {which} dtype must be either a floating point or complex dtype. Got: "
            f"{dtype_name(result)}"
        )
    return result


def mean(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: dtypes.DType | None = None, out: Tensor | None = None
) -> Tensor:
    """Mean over `dim` (all dims when None); NaN over no elements. RuntimeError unless the dtype is floating.

    >>> ingot.mean(ingot.ones(2, 3), dim=0)
    tensor([1., 1., 1.])
    """
    check_tensor("mean", input)
    result = _mean_dtype("mean", input, dtype)
    return cast_out(_mean(input, dim_list(dim, input.ndim), bool(keepdim), result), out)


@composite
def _mean(x: Tensor, axes: tuple[int, ...], keepdim: bool, dtype: dtypes.DType) -> Tensor:
    y = upcast(cast(x, dtype))
    return cast(reduced("reduce_sum", y, axes, keepdim) / count(x.shape, axes), dtype)


def nanmean(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: dtypes.DType | None = None, out: Tensor | None = None
) -> Tensor:
    """Mean of the elements that are not NaN. RuntimeError unless `input` is floating."""
    check_tensor("nanmean", input)
    if input.dtype.kind not in "fc":
        raise RuntimeError(f"nanmean(): expected input to have floating point or complex dtype but got {dtype_name(input.dtype)}")
    return cast_out(_nanmean(input, dim_list(dim, input.ndim), bool(keepdim), dtype or input.dtype), out)


@composite
def _nanmean(x: Tensor, axes: tuple[int, ...], keepdim: bool, dtype: dtypes.DType) -> Tensor:
    y = upcast(cast(x, dtype))
    good = y == y
    total = reduced("reduce_sum", apply("select", good, y, scalar(0, y.dtype)), axes, keepdim)
    return cast(total / reduced("reduce_sum", cast(good, y.dtype), axes, keepdim), dtype)


# --- variance ---------------------------------------------------------------------------------------------------------


def _moment_arguments(name: str, input: Any, dim: Any, unbiased: Any, correction: Any) -> tuple[tuple[int, ...], float]:
    check_tensor(name, input)
    if isinstance(dim, bool):  # torch's overload var(input, unbiased)
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise TypeError(f"{name}(): give unbiased or correction, not both")
    if input.dtype.kind not in "fc":
        raise RuntimeError("std and var only support floating point and complex dtypes")
    if unbiased is not None:
        correction = 1 if unbiased else 0
    return dim_list(dim, input.ndim), float(1 if correction is None else correction)


@composite
def _var_mean(x: Tensor, axes: tuple[int, ...], correction: float, keepdim: bool, root: bool) -> tuple[Tensor, Tensor]:
    n = count(x.shape, axes)
    if x.dtype.kind == "c":  # the variances of the parts add up
        found = [_var_mean(apply(part, x), axes, correction, keepdim, False) for part in ("real", "imag")]
        total = found[0][0] + found[1][0]
        return safe_root(total) if root else total, apply("complex", found[0][1], found[1][1])
    y = upcast(x)
    mean = reduced("reduce_sum", y, axes, True) / n
    gap = y - mean
    c = int(correction) if correction.is_integer() else correction
    # two passes: sum of squared gaps to the mean. At or below zero degrees of freedom the divisor is 0, as in torch.
    var = reduced("reduce_sum", gap * gap, axes, keepdim) / (n - c if n > c else 0.0)
    spread = safe_root(var) if root else var
    shape = kept_shape(x.shape, axes, keepdim)
    return cast(spread, x.dtype), cast(apply("reshape", mean, attrs=(shape,)), x.dtype)


@composite
def _var(x: Tensor, axes: tuple[int, ...], correction: float, keepdim: bool, root: bool) -> Tensor:
    return _var_mean(x, axes, correction, keepdim, root)[0]


def var(
    input: Tensor, dim: Dims | bool = None, unbiased: bool | None = None, keepdim: bool = False, *,
    correction: Number | None = None, out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Variance over `dim` (all when None), divided by n - correction (1 by default). Two-pass.

    RuntimeError unless `input` is floating.

        >>> ingot.var(ingot.tensor([1.0, 2.0, 4.0]))
        tensor(2.3333)
    """
    axes, c = _moment_arguments("var", input, dim, unbiased, correction)
    return cast_out(_var(input, axes, c, bool(keepdim), False), out)


def std(
    input: Tensor, dim: Dims | bool = None, unbiased: bool | None = None, keepdim: bool = False, *,
    correction: Number | None = None, out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Standard deviation: the square root of `var`.

    >>> ingot.std(ingot.tensor([1.0, 2.0, 4.0]), correction=0)
    tensor(1.2472)
    """
    axes, c = _moment_arguments("std", input, dim, unbiased, correction)
    return cast_out(_var(input, axes, c, bool(keepdim), True), out)


def var_mean(
    input: Tensor, dim: Dims | bool = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: Number | None = None
) -> tuple[Tensor, Tensor]:
    """(`var`, `mean`) in one pass over the data twice."""
    axes, c = _moment_arguments("var_mean", input, dim, unbiased, correction)
    return _var_mean(input, axes, c, bool(keepdim), False)


def std_mean(
    input: Tensor, dim: Dims | bool = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: Number | None = None
) -> tuple[Tensor, Tensor]:
    """(`std`, `mean`)."""
    axes, c = _moment_arguments("std_mean", input, dim, unbiased, correction)
    return _var_mean(input, axes, c, bool(keepdim), True)


def count_nonzero(input: Tensor, dim: Dims = None) -> Tensor:
    """How many elements along `dim` are not zero. int64."""

    check_tensor("count_nonzero", input)
    return _sum(truth(input), dim_list(dim, input.ndim), False, dtypes.i64)


# --- of one op ---------------------------------------------------------------------------------------------------------

_OVER = "Over all dims, or over `dim` (one or several), which `keepdim` keeps with extent 1."
_RESULT = {
    "number": f"{_OVER} The result has the dtype of `input`.",
    "truth": f"{_OVER} A bool tensor (uint8 for uint8).",
    "position": "In the flattened tensor, or along one `dim`, which `keepdim` keeps with extent 1. RuntimeError for bool.",
}


def _make(name: str, op: Op, row: Reduce) -> Callable[..., Tensor]:
    domain = row.domain

    def function(input: Tensor, dim: Dims = None, keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
        check_tensor(name, input)
        if domain == "truth":
            result = reduced(op.name, truth(input), dim_list(dim, input.ndim, all_if_empty=False), bool(keepdim))
            return emit_out(cast(result, dtypes.u8) if dtypes.u8 in (input.dtype, getattr(out, "dtype", None)) else result, out)
        if domain == "position":
            if input.dtype.kind == "b":
                raise RuntimeError(f"{name}(): does not support bool input")
            dim = None if dim is None else one_dim(dim, input.ndim)
        axes = dim_list(dim, input.ndim)
        if not row.empty:
            whole = dim is None or (isinstance(dim, (tuple, list)) and not dim)
            need_elements(name, input, axes, whole, RuntimeError if domain == "number" else IndexError)
        if domain == "position":
            return emit_out(_arg_of(input, op.name, None if dim is None else (axes[0] if axes else 0), bool(keepdim)), out)
        return emit_out(reduced(op_for(name, op, row, input), input, axes, bool(keepdim)), out)

    if domain == "position":
        function.__annotations__["dim"] = "int | None"
    function.__name__ = function.__qualname__ = name

    def result() -> np.ndarray:
        x = np.array([[0, 5], [3, 2]], np.bool_ if domain == "truth" else np.float32)
        return reference(op, x, 1 if domain == "position" else (1,)).reshape(2)

    no_dim = " along a dim, RuntimeError over none at all" if domain == "number" else ""
    function.__doc__ = (
        f"{row.doc or op.doc}\n\n    {_RESULT[domain]}"
        + ("" if row.empty else f"\n    IndexError over no elements{no_dim}.")
        + "\n\n"
        + example(f"ingot.{name}(ingot.tensor([[0.0, 5.0], [3.0, 2.0]]), dim=1)", result, indent=" " * 8)
    )
    return function


def op_for(name: str, op: Op, row: Reduce, x: Tensor) -> str:
    """The op that reduces `x`: for bools the one that the declaration names."""
    if x.dtype.kind != "b":
        return op.name
    if not row.bools:
        raise refuse(name, x.dtype)
    return row.bools


def need_elements(name: str, x: Tensor, axes: tuple[int, ...], whole: bool, error: type[Exception] = IndexError) -> None:
    """IndexError, or `error` where all dims are reduced for want of `dim`, unless there are elements to reduce."""
    if x.numel() and math.prod(x.shape) or not x.ndim:
        return
    if whole:
        if not x.numel():
            raise error(
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' "
                "argument."
            )
        return
    for a in axes:
        if x.shape[a] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {a} to have non-zero size.")


@composite
def _arg_of(x: Tensor, op: str, axis: int | None, keepdim: bool) -> Tensor:
    rank = x.ndim
    if axis is None or not rank:
        y = apply(op, apply("reshape", x, attrs=((x.numel(),),)), attrs=(0,))
        return apply("reshape", y, attrs=((1,) * rank if keepdim else (),))
    y = apply(op, x, attrs=(axis,))
    return apply("reshape", y, attrs=(kept_shape(x.shape, (axis,), keepdim),))


for _name, _op, _row in declared(Reduce):
    define(globals(), _make(_name, _op, _row), _row.aliases)


numpy_names.install(globals(), __all__)
