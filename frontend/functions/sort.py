"""Sorting and order statistics."""

from __future__ import annotations

import math

from ingot._tensor.autocast import full
from ingot._tensor.composites import composite, keeps, routine
from ingot._tensor.recording import stop_gradient
from ingot.functions import numpy_names
from ingot.functions.common import (
    Tensor,
    apply,
    as_index,
    cast,
    check_tensor,
    dtypes,
    emit_out,
    larger,
    one_dim,
    refuse,
    scalar,
    static_int,
    upcast,
)
from ingot.functions.extrema import ValuesIndices
from ingot.functions.reduce import kept_shape, reduced
from ingot.functions.select import _lerp
from ingot.ir.facts import Kept

__all__ = [
    "argsort", "kthvalue", "median", "msort", "nanmedian", "nanquantile", "quantile", "sort", "topk",
]  # fmt: skip


@composite
def _sort(x: Tensor, axis: int, descending: bool) -> tuple[Tensor, Tensor]:
    if not x.ndim:
        values, indices = apply("sort", apply("reshape", x, attrs=((1,),)), attrs=(0, descending))
        return apply("reshape", values, attrs=((),)), apply("reshape", indices, attrs=((),))
    return apply("sort", x, attrs=(axis, descending))


def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False, *, out: tuple | None = None) -> ValuesIndices:
    """(values, indices) in order along `dim`. Always stable; NaN counts as the largest. int64 indices.

    IndexError for a dim out of range.

        >>> ingot.sort(ingot.tensor([3, 1, 2])).indices
        tensor([1, 2, 0])
    """
    check_tensor("sort", input)
    return emit_out(ValuesIndices(*_sort(input, one_dim(dim, input.ndim), bool(descending))), out)


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices of `sort`.

    >>> ingot.argsort(ingot.tensor([3, 1, 2]))
    tensor([1, 2, 0])
    """
    return sort(input, dim, descending).indices


def msort(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The values of `sort` along dim 0."""
    return emit_out(sort(input, 0).values, out)


def topk(
    input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True, *, out: tuple | None = None
) -> ValuesIndices:
    """The `k` largest (or smallest) elements along `dim`, in order, as (values, indices).

    RuntimeError when k is larger than the dim, or for bool.

        >>> ingot.topk(ingot.tensor([3.0, 1.0, 2.0]), 2).values
        tensor([3., 2.])
    """
    check_tensor("topk", input)
    k = static_int(k, "k")
    if input.dtype.kind == "b":
        raise RuntimeError("topk does not support bool dtypes on CPU")
    axis = one_dim(dim, input.ndim)
    if k < 0 or k > (input.shape[axis] if input.ndim else 1):
        raise RuntimeError("selected index k out of range")
    return emit_out(ValuesIndices(*_topk(input, k, axis, bool(largest))), out)


@composite
def _topk(x: Tensor, k: int, axis: int, largest: bool) -> tuple[Tensor, Tensor]:
    if x.ndim:
        return apply("top", x, attrs=(axis, largest, k))
    values, indices = apply("top", apply("reshape", x, attrs=((1,),)), attrs=(0, largest, k))
    if not k:
        return values, indices
    return apply("reshape", values, attrs=((),)), apply("reshape", indices, attrs=((),))


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False, *, out: tuple | None = None) -> ValuesIndices:
    """The `k`-th smallest element along `dim` (k counts from 1), as (values, indices): the first of equals.

    RuntimeError for k out of range, and for bool; IndexError for a dim of extent 0.
    """
    check_tensor("kthvalue", input)
    axis = one_dim(dim, input.ndim)
    n = input.shape[axis] if input.ndim else 1
    if not n:
        raise IndexError(f"kthvalue(): Expected reduction dim {axis} to have non-zero size.")
    if input.dtype.kind == "b":
        raise refuse("kthvalue", input.dtype)
    k = as_index(k)
    if not 1 <= static_int(k, "k") <= n:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {axis}")
    return emit_out(ValuesIndices(*_kth(input, axis, bool(keepdim), scalar(k - 1, dtypes.i64))), out)


@composite
def _kth(x: Tensor, axis: int, keepdim: bool, k: Tensor) -> tuple[Tensor, Tensor]:
    """The elements of rank k, a number or one for each line, in an order of lines without `axis`."""
    rest = tuple(i for i in range(x.ndim) if i != axis)
    rows = apply("transpose", x, attrs=((*rest, axis),)) if x.ndim else apply("reshape", x, attrs=((1,),))
    n = rows.shape[-1]
    lines = apply("reshape", rows, attrs=((rows.numel() // larger(1, n), n),))
    ranks = apply("broadcast", apply("reshape", k, attrs=((k.numel(),),)), attrs=((lines.shape[0],),))
    shape = kept_shape(x.shape, (axis,), keepdim) if x.ndim else ()
    v, i = (apply("reshape", t, attrs=(shape,)) for t in _of_rank(lines, ranks))
    return v, i


@routine("order.kth")
def _of_rank(lines: Tensor, ranks: Tensor) -> tuple[Tensor, Tensor]:
    """Of each line the element of a rank, from 0 on, and its place."""
    values, indices = apply("sort", lines, attrs=(1, False))
    at = apply("reshape", ranks, attrs=((lines.shape[0], 1),))
    v, i = (apply("reshape", apply("gather", t, at, attrs=(1,)), attrs=((lines.shape[0],),)) for t in (values, indices))
    return v, i


def median(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: tuple | None = None) -> Tensor | ValuesIndices:
    """The lower median: of all elements, or (values, indices) along `dim`. NaN if any element is. RuntimeError for bool.

    The gradient goes to the element at the index; of all elements, those equal to the median share it.

    >>> ingot.median(ingot.tensor([4.0, 1.0, 3.0, 2.0]))
    tensor(2.)
    """
    return _median_of("median", input, dim, keepdim, False, out)


def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: tuple | None = None) -> Tensor | ValuesIndices:
    """`median` of the elements that are not NaN."""
    return _median_of("nanmedian", input, dim, keepdim, True, out)


def _median_of(name: str, input: Tensor, dim: int | None, keepdim: bool, ignore_nan: bool, out: tuple | None) -> Tensor | ValuesIndices:
    check_tensor(name, input)
    if input.dtype.kind == "b":
        raise refuse(name, input.dtype)
    if dim is None:
        if not input.numel():
            if input.dtype.kind == "f":
                return scalar(float("nan"), input.dtype)
            raise RuntimeError(f"{name}() of no elements has no value in {input.dtype}")
        return _whole_median(apply("reshape", input, attrs=((input.numel(),),)), ignore_nan)
    axis = one_dim(dim, input.ndim)
    if input.ndim and not input.shape[axis]:
        raise IndexError(f"{name}(): Expected reduction dim {axis} to have non-zero size.")
    if not input.ndim:
        flat = apply("reshape", input, attrs=((1,),))
        values, indices = _median(flat, 0, False, ignore_nan)
        return emit_out(ValuesIndices(values, indices), out)
    return emit_out(ValuesIndices(*_median(input, axis, bool(keepdim), ignore_nan)), out)


@composite
@keeps(Kept.NOTHING)
def _median(x: Tensor, axis: int, keepdim: bool, ignore_nan: bool) -> tuple[Tensor, Tensor]:
    n = x.shape[axis]
    if x.dtype.kind != "f":
        return _kth(x, axis, keepdim, scalar((n - 1) // 2, dtypes.i64))
    good = apply("reduce_sum", cast(x == x, dtypes.i64), attrs=((axis,),))  # NaN sorts last: `good` is where they begin
    middle = apply("floor_divide", apply("maximum", good, scalar(1, dtypes.i64)) - 1, scalar(2, dtypes.i64))
    k = middle if ignore_nan else apply("select", good < n, apply("minimum", good, scalar(n - 1, dtypes.i64)), middle)
    return _kth(x, axis, keepdim, k)


@composite
@keeps(Kept.BOTH)
def _whole_median(x: Tensor, ignore_nan: bool) -> Tensor:
    """The median of a vector, whose gradient all elements equal to it share."""
    found = _median(x, 0, False, ignore_nan)[0]
    if x.dtype.kind != "f":
        return found
    value, bad = stop_gradient(found), x != x
    sign = apply("select", value < 0, scalar(-1, x.dtype), scalar(1, x.dtype))  # so that no equal element is the least of all
    equal = apply("select", x == value, x * sign, scalar(-math.inf, x.dtype))
    number = reduced("reduce_max", equal, (0,), False) * sign
    count = reduced("reduce_sum", cast(bad, upcast(x).dtype), (0,), False)
    share = cast(1 / apply("maximum", count, scalar(1, count.dtype)), x.dtype)
    nothing = reduced("reduce_sum", apply("select", bad, x, scalar(0, x.dtype)), (0,), False) * share
    return apply("select", value == value, number, nothing)


@full
def quantile(
    input: Tensor, q: float | Tensor, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear",
    out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The `q`-th quantiles along `dim` (of all elements when None); a Tensor `q` puts its dim in front. NaN if any element is.

    interpolation: linear, lower, higher, nearest or midpoint. RuntimeError for q outside [0, 1] or dtypes other than
    float32 and float64.

        >>> ingot.quantile(ingot.tensor([0.0, 1.0, 2.0]), 0.25)
        tensor(0.5000)
    """
    return _quantiles("quantile", input, q, dim, keepdim, interpolation, out)


@full
def nanquantile(
    input: Tensor, q: float | Tensor, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear",
    out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """`quantile` of the elements that are not NaN; NaN where there are none."""
    return _quantiles("nanquantile", input, q, dim, keepdim, interpolation, out)


def _quantiles(
    name: str, input: Tensor, q: float | Tensor, dim: int | None, keepdim: bool, interpolation: str, out: Tensor | None
) -> Tensor:
    check_tensor(name, input)
    if input.dtype not in (dtypes.f32, dtypes.f64):
        raise RuntimeError(f"{name}() input tensor must be either float or double dtype")
    if interpolation not in ("linear", "lower", "higher", "nearest", "midpoint"):
        raise RuntimeError(f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {interpolation}")
    if not input.numel():
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    if isinstance(q, Tensor) and q._weak:
        q = cast(q, input.dtype)  # the float argument of a compiled function
    if isinstance(q, Tensor):
        if q.dtype is not input.dtype:
            raise RuntimeError(f"{name}() q tensor must be same dtype as the input tensor")
        if q.ndim > 1:
            raise RuntimeError(f"{name}() q must be a scalar or 1D tensor")
    elif not 0 <= q <= 1:
        raise RuntimeError(f"{name}() q must be in the range [0, 1] but got {q}")
    rank = input.ndim
    x = input if dim is not None and rank else apply("reshape", input, attrs=((input.numel(),),))
    axis = one_dim(dim, rank) if dim is not None and rank else 0
    at = q if isinstance(q, Tensor) else scalar(q, input.dtype)
    result = _quantile(x, at, axis, interpolation, name == "nanquantile")  # q's dim, then x's without `axis`
    lead = (at.numel(),) if at.ndim else ()
    if keepdim:
        kept = (1,) * rank if dim is None else kept_shape(input.shape, (axis,) if rank else (), True)
        return emit_out(apply("reshape", result, attrs=((*lead, *kept),)), out)
    return emit_out(apply("reshape", result, attrs=((*lead, *(kept_shape(x.shape, (axis,), False))),)), out)


@composite
def _quantile(x: Tensor, q: Tensor, axis: int, interpolation: str, skip_nan: bool) -> Tensor:
    rest = tuple(i for i in range(x.ndim) if i != axis)
    n = x.shape[axis]
    many = x.numel() // n
    alone = q.numel() == 1  # two elements of each line: it is not sorted
    if alone:
        lines = apply("reshape", apply("transpose", x, attrs=((*rest, axis),)), attrs=((many, n),))
        values = apply("transpose", lines, attrs=((1, 0),))
    else:
        values = apply("reshape", _sort(apply("transpose", x, attrs=((axis, *rest),)), 0, False)[0], attrs=((n, many),))
    wrong = apply("ne", values, values)
    last = scalar(n - 1, x.dtype)
    if skip_nan:  # they stand at the end
        last = apply("maximum", n - 1 - apply("reduce_sum", cast(wrong, x.dtype), attrs=((0,),)), scalar(0, x.dtype))
    place = apply("reshape", q, attrs=((q.numel(), 1),)) * last
    if not skip_nan:  # a NaN, which takes the gradient
        place = apply("select", apply("reduce_or", wrong, attrs=((0,),)), last, place)
    low = apply("floor", place)
    if interpolation == "nearest":
        low = apply("round", place)
    elif interpolation == "higher":
        low = apply("ceil", place)
    count = (q.numel(), many)

    def pick(index: Tensor) -> Tensor:
        if alone:
            ranks = apply("broadcast", cast(index, dtypes.i64), attrs=(count,))
            return apply("reshape", _of_rank(lines, apply("reshape", ranks, attrs=((many,),)))[0], attrs=(count,))
        index = apply("broadcast", cast(index, dtypes.i64), attrs=(count,))
        return apply("gather", apply("broadcast", values, attrs=((n, count[1]),)), index, attrs=(0,))

    result = pick(low)
    if interpolation not in ("linear", "midpoint"):
        return result
    part = place - low
    weight = part if interpolation == "linear" else apply("select", part > 0, scalar(0.5, x.dtype), scalar(0, x.dtype))
    return _lerp(result, pick(apply("ceil", place)), weight)


numpy_names.install(globals(), __all__)
