"""Reductions, running ones, sorting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ingot.interchange.stablehlo.emit.elementwise import is_nan
from ingot.interchange.stablehlo.emit.writer import V, Writer, emits, empty, ints, sized
from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.graph import Node

__all__ = ["greatest", "least"]


def least(dtype: DType) -> object:
    return False if dtype is dtypes.bool_ else -np.inf if dtype.kind == "f" else np.iinfo(dtype.numpy).min


def greatest(dtype: DType) -> object:
    return True if dtype is dtypes.bool_ else np.inf if dtype.kind == "f" else np.iinfo(dtype.numpy).max


def _wide(w: Writer, x: V) -> V:
    return w.cast(x, dtypes.f32) if x.dtype in dtypes.Half else x


@emits("reduce_sum", "reduce_prod")
def _sum(w: Writer, n: Node, xs: list[V]) -> V:
    (x,) = xs
    wide = _wide(w, x)
    out = w.reduce(wide, "add" if n.op.name == "reduce_sum" else "multiply", 0 if n.op.name == "reduce_sum" else 1, n.attrs[0])
    return w.cast(out, x.dtype)


@emits("reduce_max", "reduce_min")
def _extreme(w: Writer, n: Node, xs: list[V]) -> V:
    (x,) = xs
    largest = n.op.name == "reduce_max"
    return w.reduce(x, "maximum" if largest else "minimum", least(x.dtype) if largest else greatest(x.dtype), n.attrs[0])


@emits("reduce_and", "reduce_or")
def _logical(w: Writer, n: Node, xs: list[V]) -> V:
    both = n.op.name == "reduce_and"
    return w.reduce(xs[0], "and" if both else "or", both, n.attrs[0])


@emits("argmax", "argmin")
def _place(w: Writer, n: Node, xs: list[V]) -> V:
    """The first place that holds the extremum."""
    (x,) = xs
    axis, largest = n.attrs[0], n.op.name == "argmax"
    if x.dtype is dtypes.bool_:
        x = w.cast(x, dtypes.u8)
    best = w.reduce(x, "maximum" if largest else "minimum", least(x.dtype) if largest else greatest(x.dtype), [axis])
    best = w.broadcast(best, x.shape)
    found = w.compare("EQ", x, best)
    if x.dtype.kind == "f":
        found = w.op("or", found, is_nan(w, x))
    places = w.iota(dtypes.i64, x.shape, axis)
    places = w.select(found, places, w.like(x.shape[axis], places))
    out = w.reduce(places, "minimum", greatest(dtypes.i64), [axis], keep=len(n.outputs[0].type.shape) == x.rank)
    last = x.shape[axis] - 1
    return w.op("minimum", out, w.like(last if sized(last) else max(last, 0), out))


@emits("cumsum", "cumprod")
def _running(w: Writer, n: Node, xs: list[V]) -> V:
    (x,) = xs
    axis, reverse = n.attrs
    if empty(x.shape):
        return x
    name = "add" if n.op.name == "cumsum" else "multiply"
    wide = w.cast(x, dtypes.f64) if x.dtype is dtypes.f32 else _wide(w, x)
    if sized(x.shape[axis]):
        return w.cast(_stepwise(w, wide, name, axis, reverse), x.dtype)
    args = (w.scalar(wide.dtype), w.scalar(wide.dtype))
    start = w.constant(0 if name == "add" else 1, wide.dtype)
    region = (args, lambda a, b: [w.op(name, a, b)])
    out = w.many("reduce_window", (wide, start), [(wide.dtype, x.shape)], _prefixes(x, axis, reverse), [region])[0]
    return w.cast(out, x.dtype)


def _stepwise(w: Writer, x: V, name: str, axis: int, reverse: bool) -> V:
    """A running sum or product one step after the other, along a dim whose size varies: windows are of a size that is known."""
    row = [1 if d == axis else n for d, n in enumerate(x.shape)]
    length, zero, one = w.size(x.shape[axis]), w.constant(0, dtypes.i64), w.constant(1, dtypes.i64)
    state = [zero, w.constant(0 if name == "add" else 1, x.dtype, row), x]
    results = [(v.dtype, v.shape) for v in state]

    def step(count: V, total: V, whole: V) -> list[V]:
        at = w.op("subtract", w.op("subtract", length, one), count) if reverse else count
        total = w.op(name, total, w.part(whole, at, axis))
        places = [at if d == axis else zero for d in range(x.rank)]
        return [w.op("add", count, one), total, w.op("dynamic_update_slice", whole, total, *places)]

    args = [[w.value(d, s) for d, s in results] for _ in range(2)]
    return w.many("while", state, results, "", [(args[0], lambda count, *_: [w.compare("LT", count, length)]), (args[1], step)])[2]


def _prefixes(x: V, axis: int, reverse: bool) -> str:
    """The windows from each element to the first one, or the last."""
    size = x.shape[axis]
    window = [size if i == axis else 1 for i in range(x.rank)]
    pad = [0, size - 1] if reverse else [size - 1, 0]
    pads = ", ".join(str(pad if i == axis else [0, 0]) for i in range(x.rank))
    ones = ints([1] * x.rank)
    return (
        f"window_dimensions = {ints(window)}, window_strides = {ones}, base_dilations = {ones}, window_dilations = {ones}, "
        f"padding = dense<[{pads}]> : tensor<{x.rank}x2xi64>"
    )


@emits("cummax", "cummin")
def _running_extremum(w: Writer, n: Node, xs: list[V]) -> Sequence[V]:
    """The later one of equals, and NaN before all."""
    (x,) = xs
    axis = n.attrs[0]
    own = x.dtype
    if own is dtypes.bool_:
        x = w.cast(x, dtypes.u8)
    if empty(x.shape):
        return [xs[0], w.constant(0, dtypes.i64, x.shape)]
    largest = n.op.name == "cummax"
    places = w.iota(dtypes.i64, x.shape, axis)
    inits = w.constant(least(x.dtype) if largest else greatest(x.dtype), x.dtype), w.constant(-1, dtypes.i64)
    args = [w.scalar(d) for d in (x.dtype, dtypes.i64, x.dtype, dtypes.i64)]

    def body(a: V, i: V, b: V, j: V) -> list[V]:
        later = w.compare("GE", j, i)
        first = w.compare("GT" if largest else "LT", a, b)
        same = w.compare("EQ", a, b)
        if x.dtype.kind == "f":
            left, right = is_nan(w, a), is_nan(w, b)
            first = w.op("or", first, w.op("and", left, w.op("not", right)))
            same = w.op("or", same, w.op("and", left, right))
        keep = w.op("or", first, w.op("and", same, w.op("not", later)))
        return [w.select(keep, a, b), w.select(keep, i, j)]

    results = [(x.dtype, x.shape), (dtypes.i64, x.shape)]
    value, place = w.many("reduce_window", (x, places, *inits), results, _prefixes(x, axis, False), [(args, body)])
    return [w.compare("NE", value, w.like(0, value)) if own is dtypes.bool_ else value, place]


@emits("sort", "top")
def _sort(w: Writer, n: Node, xs: list[V]) -> Sequence[V]:
    """Stable; NaN after all else, or before it."""
    (x,) = xs
    axis, descending = n.attrs[:2]
    places = w.iota(dtypes.i64, x.shape, axis)
    args = [w.scalar(d) for d in (x.dtype, x.dtype, dtypes.i64, dtypes.i64)]

    def less(a: V, b: V, i: V, j: V) -> list[V]:
        out = w.compare("GT" if descending else "LT", a, b)
        if x.dtype.kind == "f":
            first, last = (a, b) if descending else (b, a)
            out = w.op("or", out, w.op("and", is_nan(w, first), w.op("not", is_nan(w, last))))
        return [out]

    results = [(x.dtype, x.shape), (dtypes.i64, x.shape)]
    found = w.many("sort", (x, places), results, f"dimension = {axis} : i64, is_stable = true", [(args, less)])
    if n.op.name == "sort":
        return found
    shape = n.outputs[0].type.shape
    return [w.slice(v, (0,) * len(shape), shape, (1,) * len(shape)) for v in found]
