"""Reading at computed places: gather with general dims, slices with computed starts. Starts are moved so that windows lie inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ingot._tensor import Tensor
from ingot.functions.common import apply, cast, scalar
from ingot.interchange.stablehlo.ops.movement import dims_of, transposed
from ingot.interchange.stablehlo.rules import op
from ingot.ir import dtypes

__all__ = ["along", "as_index", "check_dims", "clamped", "starts_of"]


def as_index(x: Tensor) -> Tensor:
    """Integers as i64; what is too large for it stays large."""
    if x.dtype is dtypes.u64:
        x = apply("minimum", x, scalar((1 << 63) - 1, dtypes.u64))
    return cast(x, dtypes.i64)


def clamped(x: Tensor, high: Any) -> Tensor:
    """Between 0 and `high`."""
    zero, top = scalar(0, dtypes.i64), scalar(high, dtypes.i64)
    return apply("minimum", apply("maximum", x, zero), apply("maximum", top, zero))


def along(n: Any, rank: int, axis: int) -> Tensor:
    """0, 1, … along one of `rank` dims, the others of extent 1."""
    return apply("iota", attrs=(dtypes.i64, tuple(n if i == axis else 1 for i in range(rank)), axis))


def check_dims(what: str, rank: int, dims: Sequence[int]) -> None:
    """TypeError unless all are dims of something, and different."""
    if any(not 0 <= d < rank for d in dims) or len(set(dims)) < len(dims):
        raise TypeError(f"{list(dims)} are no dims of the {what}, which has {rank}")


def starts_of(indices: Tensor, vector: int, count: int) -> list[Tensor]:
    """The parts of index vectors, which lie along the dim `vector`, or behind the last dim: one tensor for each."""
    if vector == indices.ndim:
        return [indices]
    out = []
    for k in range(count):
        starts = tuple(k if i == vector else 0 for i in range(indices.ndim))
        stops = tuple(k + 1 if i == vector else n for i, n in enumerate(indices.shape))
        part = apply("slice", indices, attrs=(starts, stops, (1,) * indices.ndim))
        out.append(apply("reshape", part, attrs=(tuple(n for i, n in enumerate(indices.shape) if i != vector),)))
    return out


def _gather(
    x: Tensor, indices: Tensor, sizes: Sequence[Any], offset_dims: Sequence[int], collapsed: Sequence[int], batching: Sequence[int],
    indices_batching: Sequence[int], index_map: Sequence[int], vector: int,
) -> Tensor:  # fmt: skip
    """out[batch, offset] = x[start[batch] + offset], dims that are read whole left alone.

    The index of each other dim has the batch dims, then those of windows in the dims that are read in part.
    """
    check_dims("operand", x.ndim, [*collapsed, *batching])
    check_dims("operand", x.ndim, index_map)
    check_dims("start_indices", indices.ndim, indices_batching)
    free = x.ndim - len(collapsed) - len(batching)
    if len(sizes) != x.ndim or any(isinstance(n, int) and isinstance(k, int) and not 0 <= k <= n for n, k in zip(x.shape, sizes)):
        raise TypeError(f"slices of {list(sizes)} of {list(x.shape)}")
    if not 0 <= vector <= indices.ndim or len(index_map) != (indices.shape[vector] if vector < indices.ndim else 1):
        raise TypeError(f"index vectors along the dim {vector} for {len(index_map)} dims")
    check_dims("result", free + indices.ndim - (vector < indices.ndim), offset_dims)
    if len(offset_dims) != free or len(batching) != len(indices_batching):
        raise TypeError(f"{len(offset_dims)} offset_dims, where {free} dims are left")
    parts = starts_of(as_index(indices), vector, len(index_map))
    batch = tuple(n for i, n in enumerate(indices.shape) if i != vector)
    starts = dict(zip(index_map, parts))
    whole = [d for d in range(x.ndim) if d not in batching and _whole(x, d, sizes)]
    read = [d for d in range(x.ndim) if d not in whole]
    windows = [d for d in read if d not in collapsed and d not in batching]
    rank = len(batch) + len(windows)
    spread = (*batch, *(1,) * len(windows))
    if not read:
        out = apply("broadcast", x, attrs=((*batch, *x.shape),))
    else:
        at = []
        for d in read:
            if d in starts:
                place = apply("reshape", clamped(starts[d], x.shape[d] - sizes[d]), attrs=(spread,))
            elif d in batching:
                axis = indices_batching[list(batching).index(d)]
                place = along(x.shape[d], rank, axis - (axis > vector))
            else:
                place = scalar(0, dtypes.i64)
            if d in windows:
                place = apply("add", place, along(sizes[d], rank, len(batch) + windows.index(d)))
            at.append(place)
        shapes = (*batch, *(sizes[d] for d in windows))
        at[0] = apply("broadcast", at[0], attrs=(shapes,)) if tuple(at[0].shape) != shapes else at[0]
        order = [*read, *whole]
        out = apply("index_get", transposed(x, order), *at, attrs=(tuple(range(len(read))),))
    # batch dims, windows, whole dims: the offset dims in the order of x's
    kept = [d for d in range(x.ndim) if d not in collapsed and d not in batching]
    have = [*windows, *whole]
    have = [d for d in have if d in kept]
    shape = (*batch, *(sizes[d] for d in have))
    if tuple(out.shape) != shape:  # collapsed dims of extent 1 that were read whole
        out = apply("reshape", out, attrs=(shape,))
    total = len(batch) + len(kept)
    places = {d: len(batch) + have.index(d) for d in have}
    offsets, batches = iter(kept), iter(range(len(batch)))
    return transposed(out, [places[next(offsets)] if i in offset_dims else next(batches) for i in range(total)])


def _whole(x: Tensor, d: int, sizes: Sequence[Any]) -> bool:
    """Whether all of a dim is read, wherever its start is."""
    return sizes[d] == x.shape[d]


@op("gather")
def gather(
    operand: Tensor, start_indices: Tensor, *, offset_dims: Any = (), collapsed_slice_dims: Any = (), operand_batching_dims: Any = (),
    start_indices_batching_dims: Any = (), start_index_map: Any = (), index_vector_dim: int = 0, slice_sizes: Any,
    indices_are_sorted: bool = False,
) -> Tensor:  # fmt: skip
    return _gather(operand, start_indices, tuple(slice_sizes), offset_dims, collapsed_slice_dims, operand_batching_dims,
                   start_indices_batching_dims, start_index_map, index_vector_dim)  # fmt: skip


@op("dynamic_gather", known=("slice_sizes",))
def dynamic_gather(
    operand: Tensor, start_indices: Tensor, slice_sizes: np.ndarray, *, offset_dims: Any = (), collapsed_slice_dims: Any = (),
    operand_batching_dims: Any = (), start_indices_batching_dims: Any = (), start_index_map: Any = (), index_vector_dim: int = 0,
    indices_are_sorted: bool = False,
) -> Tensor:  # fmt: skip
    return _gather(operand, start_indices, dims_of(slice_sizes), offset_dims, collapsed_slice_dims, operand_batching_dims,
                   start_indices_batching_dims, start_index_map, index_vector_dim)  # fmt: skip


def _places(x: Tensor, starts: Sequence[Any], sizes: Sequence[Any]) -> tuple[list[int], list[Tensor]]:
    """The dims of which a window is a part, and the window's places there."""
    dims = [d for d in range(x.ndim) if not _whole(x, d, sizes)]
    at = []
    for d in dims:
        place = clamped(as_index(starts[d]), x.shape[d] - sizes[d])
        at.append(apply("add", place, along(sizes[d], len(dims), dims.index(d))))
    return dims, at


@op("dynamic_slice", raw=True)
def dynamic_slice(c: Any, operand: Any, *start_indices: Any, slice_sizes: Any) -> Any:
    """A slice where all starts are known."""
    x = c.tensor(operand, c.op.inputs[0].type)
    sizes = tuple(slice_sizes)
    if all(isinstance(s, np.ndarray) and s.dtype != object for s in start_indices):
        starts = tuple(max(0, min(int(s), n - k)) for s, n, k in zip(start_indices, x.shape, sizes))
        return apply("slice", x, attrs=(starts, tuple(s + k for s, k in zip(starts, sizes)), (1,) * x.ndim))
    dims, at = _places(x, [c.tensor(s, v.type) for s, v in zip(start_indices, c.op.inputs[1:])], sizes)
    if not dims:
        return x
    order = [*dims, *(d for d in range(x.ndim) if d not in dims)]
    out = apply("index_get", transposed(x, order), *at, attrs=(tuple(range(len(dims))),))
    return transposed(out, np.argsort(order).tolist())


@op("dynamic_update_slice")
def dynamic_update_slice(operand: Tensor, update: Tensor, *start_indices: Tensor) -> Tensor:
    dims, at = _places(operand, start_indices, tuple(update.shape))
    if not dims:
        return update
    order = [*dims, *(d for d in range(operand.ndim) if d not in dims)]
    out = apply("index_put", transposed(operand, order), transposed(update, order), *at, attrs=(tuple(range(len(dims))), "set"))
    return transposed(out, np.argsort(order).tolist())


@op("torch_index_select")
def torch_index_select(operand: Tensor, index: Tensor, *, dim: int, batch_dims: int) -> Tensor:
    """x[…, index, …] at a dim; the first `batch_dims` dims of both go together."""
    n = operand.ndim
    index = clamped(as_index(index), operand.shape[dim] - 1)
    rank = index.ndim
    order = [*range(batch_dims), dim, *(d for d in range(batch_dims, n) if d != dim)]
    at = [along(operand.shape[d], rank, d) for d in range(batch_dims)]
    out = apply("index_get", transposed(operand, order), *at, index, attrs=(tuple(range(batch_dims + 1)),))
    own = list(range(batch_dims, rank))  # the dims of the index, which take the place of `dim`
    rest = list(range(rank, out.ndim))
    before = rest[: dim - batch_dims]
    return transposed(out, [*range(batch_dims), *before, *own, *rest[dim - batch_dims :]])
