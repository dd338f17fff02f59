"""Searching and counting. What has a shape that depends on values (nonzero, unique) reads them, or computes it where it is compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ingot._tensor.composites import composite
from ingot._tensor.recording import from_array, own_array, placed
from ingot.functions.binary import truth
from ingot.functions.chosen import chosen_per_dim, computed, distinct, tally
from ingot.functions.common import (
    Number,
    ShapeError,
    Tensor,
    apply,
    cast,
    check_tensor,
    dtypes,
    emit_out,
    larger,
    one_dim,
    operands,
    plain_dims,
    refuse,
    scalar,
)
from ingot.functions.cumulative import cumsum
from ingot.functions.index import gather
from ingot.functions.join import stack

__all__ = [
    "argwhere", "bincount", "bucketize", "histc", "isin", "nonzero", "nonzero_static", "searchsorted", "unique",
    "unique_consecutive",
]  # fmt: skip


def nonzero(input: Tensor, *, as_tuple: bool = False, out: Tensor | None = None) -> Any:
    """The indices of the elements that are not zero: int64 of shape (n, rank), or a tuple of one vector per dim.

    Reads the values: the shape depends on them. A compiled function computes it, for all that reads the values as they are.

        >>> ingot.nonzero(ingot.tensor([0, 3, 4]))
        tensor([[1],
                [2]])
    """
    check_tensor("nonzero", input)
    mask = truth(input)
    if as_tuple:
        return tuple(chosen_per_dim(mask))
    if computed(mask):
        found = chosen_per_dim(mask)
        return emit_out(stack(found, 1) if mask.ndim else found[0].new_zeros((found[0].shape[0], 0)), out)
    values = _values(mask)
    places = np.flatnonzero(values).reshape(-1, 1) if values.ndim == 1 else np.argwhere(values)
    return emit_out(placed(own_array(np.ascontiguousarray(places, np.int64)), input.device), out)


def argwhere(input: Tensor) -> Tensor:
    """`nonzero` as one tensor of shape (n, rank)."""
    return nonzero(input)


def _values(x: Tensor) -> np.ndarray:
    return x._value()


class UniqueResult(NamedTuple):
    """What `unique` gives with return_inverse and return_counts."""

    output: Tensor
    inverse_indices: Tensor
    counts: Tensor


def unique(
    input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The distinct elements (or slices along `dim`), sorted; with flags, also the inverse indices and the counts.

    Reads the values: the shape depends on them. No gradient. RuntimeError where another dim than `dim` has no elements.

        >>> ingot.unique(ingot.tensor([3, 1, 3]))
        tensor([1, 3])
    """
    check_tensor("unique", input)
    axis = None if dim is None else one_dim(dim, input.ndim)
    if axis is None and input.dtype.kind != "c" and computed(input):
        return _asked(distinct(input, None, True), return_inverse, return_counts)
    if axis is None and input.dtype.kind != "c":
        return _unique_elements(input, return_inverse, return_counts)
    values = _values(input)
    if axis is not None and not all(d for i, d in enumerate(values.shape) if i != axis):
        raise RuntimeError("There are 0 sized dimensions, and they aren't selected, so unique cannot be applied")
    if axis is None:
        values = values.reshape(-1)
    key = values.astype(np.float32) if input.dtype is dtypes.bf16 else values
    _, first, inverse, counts = np.unique(key, return_index=True, return_inverse=True, return_counts=True, axis=axis, equal_nan=False)
    found = values[first] if axis is None else np.take(values, first, axis)
    inverse = inverse.reshape(tuple(input.shape) if axis is None else -1)
    return _unique_result(input, found, inverse, counts, return_inverse, return_counts)


def _unique_elements(x: Tensor, return_inverse: bool, return_counts: bool) -> Any:
    """`unique` of all elements: in order, those that differ from the one before."""
    flat = apply("reshape", x, attrs=((x.numel(),),))
    ordered, order = apply("sort", flat, attrs=(0, False))
    values = _values(ordered)
    new = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=new[1:])
    inverse = counts = np.zeros(0, np.int64)
    if return_inverse:
        inverse = np.empty(tuple(x.shape), np.int64)
        inverse.reshape(-1)[_values(order)] = np.cumsum(new) - 1
    if return_counts:
        counts = np.diff(np.append(np.flatnonzero(new), len(values)))
    return _unique_result(x, values[np.flatnonzero(new)], inverse, counts, return_inverse, return_counts)


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """`input` without the repeats of equal neighbours (along `dim`, or flattened). Reads the values.

    >>> ingot.unique_consecutive(ingot.tensor([1, 1, 2, 1]))
    tensor([1, 2, 1])
    """
    check_tensor("unique_consecutive", input)
    axis = 0 if dim is None else one_dim(dim, input.ndim)
    if computed(input):
        return _asked(distinct(input, None if dim is None else axis, False), return_inverse, return_counts)
    values = _values(input)
    if dim is None:
        values = values.reshape(-1)
    rows = np.moveaxis(values, axis, 0)
    n = rows.shape[0]
    flat = rows.reshape(n, -1) if rows.size else rows.reshape(n, 0)
    new = np.ones(n, bool)
    new[1:] = (flat[1:] != flat[:-1]).any(axis=1)
    starts = np.flatnonzero(new)
    counts = np.diff(np.append(starts, n))
    inverse = np.cumsum(new) - 1
    if dim is None:
        inverse = inverse.reshape(tuple(input.shape))
    return _unique_result(input, np.take(values, starts, axis), inverse, counts, return_inverse, return_counts)


def _unique_result(x: Tensor, found: np.ndarray, inverse: np.ndarray, counts: np.ndarray, return_inverse: bool, return_counts: bool) -> Any:
    parts = [from_array(np.array(p)) for p in (found, inverse.astype(np.int64), counts.astype(np.int64))]
    return _asked([placed(p, x.device) for p in parts], return_inverse, return_counts)


def _asked(parts: Sequence[Tensor], return_inverse: bool, return_counts: bool) -> Any:
    found, inverse, counts = parts
    asked = (found, *([inverse] if return_inverse else []), *([counts] if return_counts else []))
    return asked if len(asked) > 1 else found


# --- sorted sequences -------------------------------------------------------------------------------------------------


def searchsorted(
    sorted_sequence: Tensor, input: Tensor | Number, *, out_int32: bool = False, right: bool = False, side: str | None = None,
    sorter: Tensor | None = None, out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Where to insert `input` into each row of `sorted_sequence` (last dim) to keep it sorted: before equals, or after (`right`).

    A 1-D sequence serves all of `input`; otherwise the dims before the last must agree (RuntimeError). int64, or int32.

        >>> ingot.searchsorted(ingot.tensor([1, 3, 5]), ingot.tensor([3, 6]))
        tensor([1, 3])
    """
    check_tensor("searchsorted", sorted_sequence, "sorted_sequence")
    if side not in (None, "left", "right"):
        raise RuntimeError(f"searchsorted(): side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError("searchsorted(): side and right can't be set to opposites, got side of left while right was True")
    right = right or side == "right"
    sequence = sorted_sequence
    if sorter is not None:
        sequence = gather(sequence, -1, sorter)
    if not isinstance(input, Tensor):
        if sequence.ndim != 1:
            raise ShapeError("searchsorted(): input value can be a scalar only when boundaries tensor dimension is 1")
    elif sequence.ndim != 1 and tuple(sequence.shape[:-1]) != tuple(input.shape[:-1]):
        raise ShapeError(
            "searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and input value "
            "tensor "
            f"must match, but we got boundaries tensor {list(sequence.shape)} and input value tensor {list(input.shape)}"
        )
    a, b = operands("searchsorted", sequence, input)
    return emit_out(_search(a, b, right, dtypes.i32 if out_int32 else dtypes.i64), out)


@composite
def _search(sequence: Tensor, values: Tensor, right: bool, dtype: dtypes.DType) -> Tensor:
    """Bisection, unrolled: in each step the position grows by a power of two while what stands there is still to the left."""
    n, shape = sequence.shape[-1], tuple(values.shape)
    zero = scalar(0, dtypes.i64)
    place = apply("broadcast", zero, attrs=(shape,))
    if not n or not values.numel():
        return cast(place, dtype)
    step = 1 << (n.bit_length() - 1)
    while step:
        trial = place + step
        inside = trial <= n
        at = apply("select", inside, trial - 1, zero)
        if sequence.ndim == 1:
            here = apply("index_get", sequence, at, attrs=((0,),))
        else:
            rows = apply("reshape", sequence, attrs=((sequence.numel() // n, n),))
            wide = apply("reshape", at, attrs=((sequence.numel() // n, shape[-1]),))
            here = apply("reshape", apply("gather", rows, wide, attrs=(1,)), attrs=(shape,))
        left = here <= values if right else here < values
        if sequence.dtype.kind == "f":  # NaN is the largest of all
            nan = values != values
            left = apply("logical_or", left, nan if right else apply("logical_and", nan, here == here))
        place = apply("select", apply("logical_and", inside, left), trial, place)
        step >>= 1
    return cast(place, dtype)


def bucketize(
    input: Tensor | Number, boundaries: Tensor, *, out_int32: bool = False, right: bool = False, out: Tensor | None = None
) -> Tensor:
    """The index of the bucket each element falls in, between sorted 1-D `boundaries`. int64, or int32.

    >>> ingot.bucketize(ingot.tensor([2, 9]), ingot.tensor([1, 3, 5]))
    tensor([1, 3])
    """
    check_tensor("bucketize", boundaries, "boundaries", 2)
    if boundaries.ndim != 1:
        raise ShapeError(f"boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right, out=out)


def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False, out: Tensor | None = None) -> Tensor:
    """Whether each of `elements` is among `test_elements`. A bool tensor of the shape of `elements`.

    >>> ingot.isin(ingot.tensor([1, 2]), ingot.tensor([2, 3]))
    tensor([False,  True])
    """
    a, b = operands("isin", elements, test_elements)
    return emit_out(_isin(a, b, bool(invert)), out)


@composite
def _isin(a: Tensor, b: Tensor, invert: bool) -> Tensor:
    column = apply("reshape", a, attrs=((a.numel(), 1),))
    same = apply("eq", column, apply("reshape", b, attrs=((1, b.numel()),)))
    found = apply("reshape", apply("reduce_or", same, attrs=((1,),)), attrs=(tuple(a.shape),))
    return apply("logical_not", found) if invert else found


# --- counting ---------------------------------------------------------------------------------------------------------


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each of 0, 1, 2, ... occurs in a vector of non-negative integers (or the sums of their weights).

    Reads the values: the length is the largest plus one, at least `minlength`. RuntimeError for negatives or another rank.

        >>> ingot.bincount(ingot.tensor([0, 2, 2]))
        tensor([1, 0, 2])
    """
    check_tensor("bincount", input)
    if input.dtype.kind not in "iu":
        raise refuse("bincount", input.dtype)
    if input.ndim != 1:
        raise ShapeError("bincount only supports 1-d non-negative integral inputs.")
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if weights is not None and tuple(weights.shape) != tuple(input.shape):
        raise ShapeError("weights should be 1-d and have the same length as input")
    if weights is None:
        dtype = dtypes.i64
    else:
        dtype = weights.dtype if weights.dtype in (dtypes.f32, dtypes.f64) else dtypes.f64
    if computed(input):
        source = apply("broadcast", scalar(1, dtype), attrs=(plain_dims(tuple(input.shape)),)) if weights is None else cast(weights, dtype)
        return tally(cast(input, dtypes.i64), source, minlength)
    values = _values(input)
    if values.size and values.min() < 0:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    n = max(int(values.max()) + 1 if values.size else 0, minlength)
    if not n:
        return placed(from_array(np.zeros(0, dtype.numpy)), input.device)
    source = apply("broadcast", scalar(1, dtype), attrs=(tuple(input.shape),)) if weights is None else cast(weights, dtype)
    return _count(cast(input, dtypes.i64), source, n)


@composite
def _count(index: Tensor, source: Tensor, n: int) -> Tensor:
    none = apply("broadcast", scalar(0, source.dtype), attrs=((n,),))
    return apply("scatter", none, index, source, attrs=(0, "add")) if index.numel() else none


def histc(input: Tensor, bins: int = 100, min: Number = 0, max: Number = 0, *, out: Tensor | None = None) -> Tensor:
    """Counts of the elements in `bins` equal bins from `min` to `max` (the data's range when both are equal), the last bin closed.

    Floating dtypes only; elements outside are not counted. RuntimeError for bins <= 0 or max < min.

        >>> ingot.histc(ingot.tensor([1.0, 2.0, 1.0]), bins=4, min=0, max=3)
        tensor([0., 2., 1., 0.])
    """
    check_tensor("histc", input)
    if input.dtype.kind != "f":
        raise refuse("histogram", input.dtype)
    if bins <= 0:
        raise RuntimeError("bins must be > 0")
    if max < min:
        raise RuntimeError("max must be larger than min")
    if not input.numel():
        return emit_out(apply("broadcast", scalar(0, input.dtype), attrs=((bins,),)), out)
    return emit_out(_histc(input, int(bins), None if min == max == 0 or min == max else (float(min), float(max))), out)


@composite
def _histc(x: Tensor, bins: int, limits: tuple[float, float] | None) -> Tensor:
    wide = dtypes.f32 if x.dtype in dtypes.Half else x.dtype
    v = apply("reshape", cast(x, wide), attrs=((x.numel(),),))
    if limits is None:
        low, high = apply("reduce_min", v, attrs=((0,),)), apply("reduce_max", v, attrs=((0,),))
        flat = low == high
        low, high = apply("select", flat, low - 1, low), apply("select", flat, high + 1, high)
    else:
        low, high = scalar(limits[0], wide), scalar(limits[1], wide)
    inside = apply("logical_and", v >= low, v <= high)
    place = apply("floor", (v - low) * float(bins) / (high - low))
    place = apply("minimum", apply("select", inside, place, scalar(0, wide)), scalar(bins - 1, wide))
    return cast(_count(cast(place, dtypes.i64), cast(inside, wide), bins), x.dtype)


def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """`nonzero` with exactly `size` rows: cut, or filled up with `fill_value`. Nothing reads the values.

    >>> ingot.nonzero_static(ingot.tensor([0, 3]), size=2)
    tensor([[ 1],
            [-1]])
    """
    if size < 0:
        raise RuntimeError(f"nonzero_static: 'size' must be an non-negative integer, got {size}")
    check_tensor("nonzero_static", input)
    mask = apply("reshape", truth(input), attrs=((input.numel(),),))
    rows = apply("iota", attrs=(dtypes.i64, (size,), 0))
    place = searchsorted(cumsum(mask, 0), rows + 1)  # of the first element with so many behind it
    columns, step = [], 1
    for d in reversed(input.shape):
        columns.append(place // step % larger(1, d))
        step = step * larger(1, d)
    found = stack(columns[::-1], 1) if columns else apply("iota", attrs=(dtypes.i64, (size, 0), 0))
    there = apply("reshape", place < input.numel(), attrs=((size, 1),))
    return apply("select", there, found, scalar(fill_value, dtypes.i64))
