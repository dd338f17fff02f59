"""Views by strides and an offset into a tensor's memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ingot._tensor.composites import composite
from ingot._tensor.extents import plain_dims
from ingot._tensor.recording import from_array
from ingot.functions.common import Tensor, apply, cast, check_tensor, dtypes, scalar, shape_arg, static_int
from ingot.functions.shape import reshape
from ingot.runtime.views import Strided

__all__ = ["as_strided", "as_strided_scatter"]


def as_strided(input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Tensor:
    """Elements picked from a tensor's memory by strides and an offset, by default its own. A view.

    Of a view that is a part of its memory, or has another order, it is a view of the tensor that has the memory, and gradients go there;
    where the view is of another dtype than it, or a leaf of its own, it is a copy of elements of the view. RuntimeError beyond those.

    >>> ingot.arange(6).view(2, 3).t().as_strided((2, 2), (3, 1), 1)
    tensor([[1, 2],
            [4, 5]])
    """
    check_tensor("as_strided", input)
    whole, memory = input, input._storage
    if not input.is_contiguous() or input.storage_offset() or (memory is not None and math.prod(memory.base.type.shape) != input.numel()):
        storage_offset = input.storage_offset() if storage_offset is None else storage_offset
        found = input._whole()
        if found is None:
            return _picked(input, shape_arg((size,)), shape_arg((stride,), "stride"), storage_offset)
        whole = found
    step = Strided(*plain_dims(_strided(whole.numel(), size, stride, storage_offset)))
    return whole._alias((step,), step.forward(whole._pair()))


def _picked(input: Tensor, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Tensor:
    """A copy of what `as_strided` reads, of a view whose own elements are all there is to read."""
    if len(shape) != len(strides):
        raise RuntimeError("mismatch in length of strides and shape")
    own = _numbers(tuple(input.shape), input.stride(), input.storage_offset())
    wanted = _numbers(shape, strides, offset)
    order = np.argsort(own, kind="stable")
    at = np.minimum(np.searchsorted(own[order], wanted), max(own.size - 1, 0))
    if wanted.size and (not own.size or (own[order][at] != wanted).any()):
        raise RuntimeError("as_strided: this view is of another dtype than its memory, or a leaf, and has not all that is asked for")
    index = from_array(order[at].astype(np.int64)) if wanted.size else from_array(np.zeros(0, np.int64))
    return reshape(reshape(input, (-1,))[index], shape)


def _numbers(shape: tuple[int, ...], strides: Sequence[int], offset: int) -> np.ndarray:
    """The places in memory of the elements of a view, in their order."""
    places = np.full(shape, offset, np.int64)
    for d, s in enumerate(strides):
        places = places + (np.arange(shape[d]) * s).reshape([-1 if i == d else 1 for i in range(len(shape))])
    return places.reshape(-1)


def _strided(n: int, size: Sequence[int], stride: Sequence[int], storage_offset: int | None) -> tuple[tuple, tuple, int]:
    """Shape, strides and offset. RuntimeError beyond a memory of `n` elements."""
    shape, strides = shape_arg((size,)), shape_arg((stride,), "stride")
    if len(shape) != len(strides):
        raise RuntimeError("mismatch in length of strides and shape")
    offset = 0 if storage_offset is None else static_int(storage_offset, "storage_offset")
    last = offset + sum((d - 1) * s for d, s in zip(shape, strides))
    if math.prod(shape) and not (0 <= offset < n and 0 <= last < n):
        raise RuntimeError(
            f"setStorage: sizes {list(shape)}, strides {list(strides)}, storage offset {offset} are out of bounds for {n} elements"
        )
    return shape, strides, offset


def _places(shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Tensor:
    place = apply("broadcast", scalar(offset, dtypes.i64), attrs=(shape,))
    for d, s in enumerate(strides):
        place = place + apply("iota", attrs=(dtypes.i64, shape, d)) * s
    return place


def as_strided_scatter(
    input: Tensor, src: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    """A copy of `input` with `src` where `as_strided` would read. RuntimeError for a `src` of another shape or beyond the memory."""
    check_tensor("as_strided_scatter", input)
    check_tensor("as_strided_scatter", src, "src", 2)
    shape, strides, offset = _strided(input.numel(), size, stride, storage_offset)
    if tuple(src.shape) != shape:
        raise RuntimeError(
            f"expected src to have a size equal to the slice of self. src size = {list(src.shape)}, slice size = {list(shape)}"
        )
    return _as_strided_scatter(input, cast(src, input.dtype), shape, strides, offset)


@composite
def _as_strided_scatter(x: Tensor, src: Tensor, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Tensor:
    if not math.prod(shape):
        return apply("reshape", x, attrs=(tuple(x.shape),))
    flat = apply("reshape", x, attrs=((x.numel(),),))
    return apply("reshape", apply("index_put", flat, src, _places(shape, strides, offset), attrs=((0,), "set")), attrs=(tuple(x.shape),))
