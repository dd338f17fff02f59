"""Gathering and scattering. A place that is out of range fails the call here; there it is moved inside, or not written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ingot.interchange.stablehlo.emit.writer import V, Writer, alike, emits, empty, ints, sized
from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.graph import Node
from ingot.ir.ops.indexing import place_of_indices
from ingot.ir.types import broadcast_shapes

__all__ = ["combiner", "scatter_attrs"]

_MODES = {"add": "add", "mul": "multiply", "min": "minimum", "max": "maximum"}


def scatter_attrs(**dims: Any) -> str:
    fields = ", ".join(f"{k} = {list(v) if not isinstance(v, int) else v}" for k, v in dims.items() if v or isinstance(v, int))
    return f"scatter_dimension_numbers = #stablehlo.scatter<{fields}>, indices_are_sorted = false, unique_indices = false"


def combiner(w: Writer, dtype: DType, mode: str) -> tuple[Sequence[V], Callable[..., Sequence[V]]]:
    """The region that writes."""
    args = (w.scalar(dtype), w.scalar(dtype))
    return args, (lambda a, b: [b]) if mode == "set" else (lambda a, b: [w.op(_MODES[mode], a, b)])


def _positive(w: Writer, index: V, extent: int) -> V:
    """Places counted from the front."""
    index = w.cast(index, dtypes.i64)
    return w.select(w.compare("LT", index, w.like(0, index)), w.op("add", index, w.like(extent, index)), index)


def _vectors(w: Writer, indices: Sequence[V], shape: Sequence[int]) -> V:
    """Indices broadcast to a shape, as vectors along one more, last dim."""
    parts = [w.reshape(w.broadcast(i, shape), (*shape, 1)) for i in indices]
    return w.concatenate(parts, len(shape))


def _points(w: Writer, x: V, index: V, axis: int) -> V:
    """Where each element of an index along an axis points: vectors of a place in every dim."""
    shape = index.shape
    places = [_positive(w, index, x.shape[axis]) if d == axis else w.iota(dtypes.i64, shape, d) for d in range(x.rank)]
    return _vectors(w, places, shape)


def _gathered(w: Writer, x: V, index: V, axes: Sequence[int], offsets: Sequence[int], shape: Sequence[int]) -> V:
    sizes = [1 if d in axes else n for d, n in enumerate(x.shape)]
    dims = f"offset_dims = {list(offsets)}, collapsed_slice_dims = {list(axes)}, start_index_map = {list(axes)}"
    vector = index.rank - 1
    attrs = f"dimension_numbers = #stablehlo.gather<{dims}, index_vector_dim = {vector}>, indices_are_sorted = false"
    if sized(*sizes):
        return w.many("dynamic_gather", (x, index, w.sizes(sizes)), [(x.dtype, shape)], attrs)[0]
    return w.many("gather", (x, index), [(x.dtype, shape)], f"{attrs}, slice_sizes = {ints(sizes)}")[0]


@emits("gather")
def _gather(w: Writer, n: Node, xs: list[V]) -> V:
    x, index = xs
    shape = n.outputs[0].type.shape
    if empty(shape):
        return w.constant(0, x.dtype, shape)
    return _gathered(w, x, _points(w, x, index, n.attrs[0]), range(x.rank), [], shape)


def _layout(x: V, axes: Sequence[int], common: int) -> list[int]:
    """The dims of what is selected that come from whole dims of x."""
    at = place_of_indices(tuple(axes))
    rest = x.rank - len(axes)
    return [*range(at), *range(at + common, common + rest)]


@emits("index_get")
def _index_get(w: Writer, n: Node, xs: list[V]) -> V:
    x, *indices = xs
    (axes,) = n.attrs
    shape = n.outputs[0].type.shape
    if empty(shape):
        return w.constant(0, x.dtype, shape)
    common = broadcast_shapes(*[i.shape for i in indices])
    index = _vectors(w, [_positive(w, i, x.shape[a]) for i, a in zip(indices, axes)], common)
    return _gathered(w, x, index, axes, _layout(x, axes, len(common)), shape)


def _written(w: Writer, x: V, index: V, src: V, mode: str, axes: Sequence[int], windows: Sequence[int]) -> V:
    if empty(src.shape) or empty(x.shape):
        return x
    halves = mode in ("add", "mul") and x.dtype in dtypes.Half
    wide, update = (w.cast(v, dtypes.f32) if halves else v for v in (x, src))
    attrs = scatter_attrs(
        update_window_dims=windows, inserted_window_dims=axes, scatter_dims_to_operand_dims=axes, index_vector_dim=index.rank - 1
    )
    region = combiner(w, wide.dtype, mode)
    return w.cast(w.many("scatter", (wide, index, update), [(wide.dtype, x.shape)], attrs, [region])[0], x.dtype)


@emits("scatter")
def _scatter(w: Writer, n: Node, xs: list[V]) -> V:
    x, index, src = xs
    axis, mode = n.attrs
    if not alike(src.shape, index.shape):  # more than there are indices
        src = w.slice(src, (0,) * src.rank, index.shape)
    if empty(index.shape):
        return x
    return _written(w, x, _points(w, x, index, axis), src, mode, range(x.rank), [])


@emits("index_put")
def _index_put(w: Writer, n: Node, xs: list[V]) -> V:
    x, src, *indices = xs
    axes, mode = n.attrs
    common = broadcast_shapes(*[i.shape for i in indices])
    if empty(common) or empty(src.shape):
        return x
    index = _vectors(w, [_positive(w, i, x.shape[a]) for i, a in zip(indices, axes)], common)
    return _written(w, x, index, src, mode, axes, _layout(x, axes, len(common)))
