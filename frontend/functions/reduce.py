"""Reductions over dims: sums, means, moments, norms, extrema, truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ingot._tensor.composites import composite
from ingot.functions import binary
from ingot.functions.binary import truth
from ingot.functions.common import (
    Number,
    Tensor,
    apply,
    cast,
    check_tensor,
    dim_list,
    dtype_name,
    dtypes,
    emit_out,
    float_dtype,
    is_number,
    one_dim,
    refuse,
    scalar,
    stop_gradient,
    upcast,
)

__all__ = [
    "ValuesIndices", "all", "amax", "amin", "aminmax", "any", "argmax", "argmin", "count_nonzero", "log_softmax", "logsumexp", "max",
    "mean", "min", "nanmean", "nansum", "prod", "softmax", "std", "std_mean", "sum", "var", "var_mean",
]  # fmt: skip

Dims = int | Sequence[int] | None


class ValuesIndices(NamedTuple):
    """What `max`, `min`, `median`, `kthvalue`, `sort`, `topk`, `cummax` and `cummin` give along a dim."""

    values: Tensor
    indices: Tensor


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


def _accumulator(x: Tensor, dtype: dtypes.DType | None) -> dtypes.DType:
    return dtype or (x.dtype if x.dtype.kind == "f" else dtypes.i64)


def sum(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: dtypes.DType | None = None, out: Tensor | None = None
) -> Tensor:
    """Sum over `dim` (all dims when None). Integers and bools sum to int64; `dtype` casts first.

    IndexError for a dim out of range, RuntimeError for a repeated one.

        >>> ingot.sum(ingot.ones(2, 3), dim=1)
        tensor([3., 3.])
    """
    check_tensor("sum", input)
    axes = dim_list(dim, input.ndim)
    return emit_out(_sum(input, axes, bool(keepdim), _accumulator(input, dtype)), out)


def nansum(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: dtypes.DType | None = None, out: Tensor | None = None
) -> Tensor:
    """`sum` that takes NaN for 0."""
    check_tensor("nansum", input)
    return emit_out(_nansum(input, dim_list(dim, input.ndim), bool(keepdim), _accumulator(input, dtype)), out)


@composite
def _nansum(x: Tensor, axes: tuple[int, ...], keepdim: bool, dtype: dtypes.DType) -> Tensor:
    if x.dtype.kind == "f":
        x = apply("select", x != x, scalar(0, x.dtype), x)
    return _sum(x, axes, keepdim, dtype)


def prod(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: dtypes.DType | None = None, out: Tensor | None = None
) -> Tensor:
    """Product over one `dim` (all dims when None). Integers and bools give int64; `dtype` casts first.

    >>> ingot.prod(ingot.tensor([2.0, 3.0]))
    tensor(6.)
    """
    check_tensor("prod", input)
    axes = tuple(range(input.ndim)) if dim is None else dim_list(one_dim(dim, input.ndim), input.ndim)
    return emit_out(_prod(input, axes, bool(keepdim), _accumulator(input, dtype)), out)


@composite
def _prod(x: Tensor, axes: tuple[int, ...], keepdim: bool, dtype: dtypes.DType) -> Tensor:
    x = cast(x, dtype)
    if dtype.kind == "b":
        return reduced("reduce_and", x, axes, keepdim)
    return cast(reduced("reduce_prod", upcast(x), axes, keepdim), dtype)


def _mean_dtype(name: str, x: Tensor, dtype: dtypes.DType | None) -> dtypes.DType:
    result = dtype or x.dtype
    if result.kind != "f":
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
    return emit_out(_mean(input, dim_list(dim, input.ndim), bool(keepdim), result), out)


@composite
def _mean(x: Tensor, axes: tuple[int, ...], keepdim: bool, dtype: dtypes.DType) -> Tensor:
    y = upcast(cast(x, dtype))
    return cast(reduced("reduce_sum", y, axes, keepdim) / float(count(x.shape, axes)), dtype)


def nanmean(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: dtypes.DType | None = None, out: Tensor | None = None
) -> Tensor:
    """Mean of the elements that are not NaN. RuntimeError unless `input` is floating."""
    check_tensor("nanmean", input)
    if input.dtype.kind != "f":
        raise RuntimeError(f"nanmean(): expected input to have floating point or complex dtype but got {dtype_name(input.dtype)}")
    return emit_out(_nanmean(input, dim_list(dim, input.ndim), bool(keepdim), dtype or input.dtype), out)


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
    if input.dtype.kind != "f":
        raise RuntimeError("std and var only support floating point and complex dtypes")
    if unbiased is not None:
        correction = 1 if unbiased else 0
    return dim_list(dim, input.ndim), float(1 if correction is None else correction)


@composite
def _var_mean(x: Tensor, axes: tuple[int, ...], correction: float, keepdim: bool, root: bool) -> tuple[Tensor, Tensor]:
    n = count(x.shape, axes)
    y = upcast(x)
    mean = reduced("reduce_sum", y, axes, True) / float(n)
    gap = y - mean
    # two passes: sum of squared gaps to the mean. At or below zero degrees of freedom the divisor is 0, as in torch.
    var = reduced("reduce_sum", gap * gap, axes, keepdim) / (n - correction if n > correction else 0.0)
    spread = apply("sqrt", var) if root else var
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
    return emit_out(_var(input, axes, c, bool(keepdim), False), out)


def std(
    input: Tensor, dim: Dims | bool = None, unbiased: bool | None = None, keepdim: bool = False, *,
    correction: Number | None = None, out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Standard deviation: the square root of `var`.

    >>> ingot.std(ingot.tensor([1.0, 2.0, 4.0]), correction=0)
    tensor(1.2472)
    """
    axes, c = _moment_arguments("std", input, dim, unbiased, correction)
    return emit_out(_var(input, axes, c, bool(keepdim), True), out)


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


# --- truth ------------------------------------------------------------------------------------------------------------


def _truth(name: str, op: str, input: Any, dim: Any, keepdim: bool, out: Any) -> Tensor:

    check_tensor(name, input)
    result = reduced(op, truth(input), dim_list(dim, input.ndim, all_if_empty=False), bool(keepdim))
    return emit_out(cast(result, dtypes.u8) if input.dtype is dtypes.u8 else result, out)


def any(input: Tensor, dim: Dims = None, keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """True where any element along `dim` (all dims when None) is true. A bool tensor (uint8 for uint8).

    >>> ingot.any(ingot.tensor([False, True]))
    tensor(True)
    """
    return _truth("any", "reduce_or", input, dim, keepdim, out)


def all(input: Tensor, dim: Dims = None, keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """True where all elements along `dim` (all dims when None) are true. A bool tensor (uint8 for uint8).

    >>> ingot.all(ingot.tensor([False, True]))
    tensor(False)
    """
    return _truth("all", "reduce_and", input, dim, keepdim, out)


def count_nonzero(input: Tensor, dim: Dims = None) -> Tensor:
    """How many elements along `dim` are not zero. int64."""

    check_tensor("count_nonzero", input)
    return _sum(truth(input), dim_list(dim, input.ndim), False, dtypes.i64)


# --- extrema ----------------------------------------------------------------------------------------------------------

_BOOL = {"reduce_max": "reduce_or", "reduce_min": "reduce_and"}


def _nonempty(name: str, x: Tensor, axes: tuple[int, ...], whole: bool, error: type[Exception] = IndexError) -> None:
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


def _extreme(name: str, op: str, input: Any, dim: Any, keepdim: bool) -> Tensor:
    check_tensor(name, input)
    axes = dim_list(dim, input.ndim)
    whole = dim is None or (isinstance(dim, (tuple, list)) and not dim)
    _nonempty(name, input, axes, whole, RuntimeError if name in ("max", "min") else IndexError)
    return reduced(_BOOL[op] if input.dtype.kind == "b" else op, input, axes, bool(keepdim))


def amax(input: Tensor, dim: Dims = (), keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """The largest element over `dim` (all by default); NaN wins. Ties share the gradient. IndexError over no elements.

    >>> ingot.amax(ingot.tensor([[1.0, 5.0], [3.0, 2.0]]), dim=1)
    tensor([5., 3.])
    """
    return emit_out(_extreme("amax", "reduce_max", input, dim, keepdim), out)


def amin(input: Tensor, dim: Dims = (), keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """The smallest element over `dim` (all by default); NaN wins. Ties share the gradient. IndexError over no elements.

    >>> ingot.amin(ingot.tensor([[1.0, 5.0], [3.0, 2.0]]), dim=1)
    tensor([1., 2.])
    """
    return emit_out(_extreme("amin", "reduce_min", input, dim, keepdim), out)


def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """(`amin`, `amax`) over one `dim`, or over all."""
    return amin(input, () if dim is None else dim, keepdim), amax(input, () if dim is None else dim, keepdim)


def _arg(name: str, op: str, input: Any, dim: Any, keepdim: bool) -> Tensor:
    check_tensor(name, input)
    if input.dtype.kind == "b":
        raise RuntimeError(f"{name}(): does not support bool input")
    axes = dim_list(None if dim is None else one_dim(dim, input.ndim), input.ndim)
    _nonempty(name, input, axes, dim is None)
    return _arg_of(input, op, None if dim is None else (axes[0] if axes else 0), bool(keepdim))


@composite
def _arg_of(x: Tensor, op: str, axis: int | None, keepdim: bool) -> Tensor:
    rank = x.ndim
    if axis is None or not rank:
        y = apply(op, apply("reshape", x, attrs=((x.numel(),),)), attrs=(0,))
        return apply("reshape", y, attrs=((1,) * rank if keepdim else (),))
    y = apply(op, x, attrs=(axis,))
    return apply("reshape", y, attrs=(kept_shape(x.shape, (axis,), keepdim),))


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """Index of the largest element along `dim`, or in the flattened tensor. The first of equals; int64.

    RuntimeError for bool, IndexError over no elements.

        >>> ingot.argmax(ingot.tensor([1.0, 5.0, 3.0]))
        tensor(1)
    """
    return emit_out(_arg("argmax", "argmax", input, dim, keepdim), out)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """Index of the smallest element along `dim`, or in the flattened tensor. The first of equals; int64.

    RuntimeError for bool, IndexError over no elements.

        >>> ingot.argmin(ingot.tensor([1.0, 5.0, 3.0]))
        tensor(0)
    """
    return emit_out(_arg("argmin", "argmin", input, dim, keepdim), out)


@composite
def _value_and_index(x: Tensor, arg: str, axis: int, keepdim: bool) -> tuple[Tensor, Tensor]:
    """Values through a gather, so that the gradient goes to the chosen element alone."""
    if not x.ndim:
        return apply("reshape", x, attrs=((),)), scalar(0, dtypes.i64)
    index = apply(arg, x, attrs=(axis,))
    index = apply("reshape", index, attrs=(kept_shape(x.shape, (axis,), True),))
    values = apply("gather", x, index, attrs=(axis,))
    shape = kept_shape(x.shape, (axis,), keepdim)
    return apply("reshape", values, attrs=(shape,)), apply("reshape", index, attrs=(shape,))


def _max_or_min(name: str, input: Any, dim: Any, keepdim: bool, out: Any) -> Any:
    check_tensor(name, input)
    if dim is None:
        return emit_out(_extreme(name, f"reduce_{name}", input, None, False), out)
    if isinstance(dim, Tensor) or (is_number(dim) and isinstance(dim, float)):
        return getattr(binary, f"{name}imum")(input, dim, out=out)
    axis = one_dim(dim, input.ndim)
    _nonempty(name, input, (axis,) if input.ndim else (), False)
    return emit_out(ValuesIndices(*_value_and_index(input, f"arg{name}", axis, bool(keepdim))), out)


def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Tensor | None = None, out: Any = None) -> Any:
    """The largest element; with `dim`, (values, indices) along it; with a Tensor, the elementwise maximum.

    RuntimeError over no elements, IndexError for an empty dim.

        >>> ingot.max(ingot.tensor([[1.0, 5.0], [3.0, 2.0]]), dim=1).indices
        tensor([1, 0])
    """
    return _max_or_min("max", input, dim if other is None else other, keepdim, out)


def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Tensor | None = None, out: Any = None) -> Any:
    """The smallest element; with `dim`, (values, indices) along it; with a Tensor, the elementwise minimum.

    RuntimeError over no elements, IndexError for an empty dim.

        >>> ingot.min(ingot.tensor([[1.0, 5.0], [3.0, 2.0]]), dim=1).values
        tensor([1., 2.])
    """
    return _max_or_min("min", input, dim if other is None else other, keepdim, out)


# --- exponentials -----------------------------------------------------------------------------------------------------


def _finite_max(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The maximum over `axes` (kept), infinite ones as 0, without gradient: shifting by it changes no result."""
    top = apply("reduce_max", stop_gradient(x), attrs=(axes,))
    return apply("select", apply("isinf", top), scalar(0, x.dtype), top)


def logsumexp(input: Tensor, dim: int | Sequence[int], keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """log(sum(exp(input))) over `dim`, without overflow. Integers give the default float dtype.

    >>> ingot.logsumexp(ingot.tensor([1000.0, 1000.0]), 0)
    tensor(1000.6932)
    """
    check_tensor("logsumexp", input)
    x = cast(input, float_dtype(input.dtype))
    return emit_out(_logsumexp(x, dim_list(dim, input.ndim), bool(keepdim)), out)


@composite
def _logsumexp(x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    y = upcast(x)
    if not axes:
        return cast(y, x.dtype)
    if not count(x.shape, axes):
        return cast(apply("log", reduced("reduce_sum", apply("exp", y), axes, keepdim)), x.dtype)
    top = _finite_max(y, axes)
    total = apply("log", reduced("reduce_sum", apply("exp", y - top), axes, True)) + top
    return cast(apply("reshape", total, attrs=(kept_shape(x.shape, axes, keepdim),)), x.dtype)


def _soft(name: str, input: Any, dim: Any, dtype: Any) -> tuple[Tensor, int]:
    check_tensor(name, input)
    x = input if dtype is None else cast(input, dtype)
    if x.dtype.kind != "f":
        raise refuse(name, x.dtype)
    if dim is None:
        dim = 0 if x.ndim in (0, 1, 3) else 1  # torch's deprecated implicit choice
    return x, one_dim(dim, x.ndim)


def softmax(input: Tensor, dim: int | None = None, *, dtype: dtypes.DType | None = None, out: Tensor | None = None) -> Tensor:
    """exp(input) normalised to sum 1 along `dim`, without overflow. RuntimeError unless floating (or cast by `dtype`).

    >>> ingot.softmax(ingot.tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([0.0900, 0.2447, 0.6652])
    """
    return emit_out(_softmax(*_soft("softmax", input, dim, dtype)), out)


def log_softmax(input: Tensor, dim: int | None = None, *, dtype: dtypes.DType | None = None, out: Tensor | None = None) -> Tensor:
    """log(softmax(input)) along `dim`, computed without the intermediate underflow.

    >>> ingot.log_softmax(ingot.tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([-2.4076, -1.4076, -0.4076])
    """
    return emit_out(_log_softmax(*_soft("log_softmax", input, dim, dtype)), out)


def _shifted(x: Tensor, axis: int) -> Tensor:
    y = upcast(x)
    return y - apply("reduce_max", stop_gradient(y), attrs=((axis,),))


@composite
def _softmax(x: Tensor, axis: int) -> Tensor:
    if not x.numel():
        return apply("reshape", x, attrs=(tuple(x.shape),))
    shape = tuple(x.shape)
    if not shape:
        x = apply("reshape", x, attrs=((1,),))
    e = apply("exp", _shifted(x, axis))
    y = cast(e / apply("reduce_sum", e, attrs=((axis,),)), x.dtype)
    return y if shape else apply("reshape", y, attrs=((),))


@composite
def _log_softmax(x: Tensor, axis: int) -> Tensor:
    if not x.numel():
        return apply("reshape", x, attrs=(tuple(x.shape),))
    shape = tuple(x.shape)
    if not shape:
        x = apply("reshape", x, attrs=((1,),))
    z = _shifted(x, axis)
    y = cast(z - apply("log", apply("reduce_sum", apply("exp", z), attrs=((axis,),))), x.dtype)
    return y if shape else apply("reshape", y, attrs=((),))
