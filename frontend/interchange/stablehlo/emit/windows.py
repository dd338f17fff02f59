"""Windows over the trailing dims."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ingot.interchange.stablehlo.emit.elementwise import is_nan
from ingot.interchange.stablehlo.emit.indexing import combiner, scatter_attrs
from ingot.interchange.stablehlo.emit.reductions import greatest, least
from ingot.interchange.stablehlo.emit.writer import V, Writer, emits, empty, ints
from ingot.ir import dtypes
from ingot.ir.graph import Node

__all__: list[str] = []

Pads = Sequence[tuple[int, int]]


def _attrs(x: V, window: Sequence[int], stride: Sequence[int], padding: Pads, dilation: Sequence[int]) -> str:
    lead = x.rank - len(window)
    ones = (1,) * lead
    pads = ", ".join(f"[{lo}, {hi}]" for lo, hi in (*((0, 0),) * lead, *padding))
    return (
        f"window_dimensions = {ints((*ones, *window))}, window_strides = {ints((*ones, *stride))}, "
        f"base_dilations = {ints([1] * x.rank)}, window_dilations = {ints((*ones, *dilation))}, "
        f"padding = dense<[{pads}]> : tensor<{x.rank}x2xi64>"
    )


def _reduced(w: Writer, x: V, name: str, init: object, shape: Sequence[int], attrs: str) -> V:
    args = (w.scalar(x.dtype), w.scalar(x.dtype))
    region: tuple[Sequence[V], Callable[..., Sequence[V]]] = (args, lambda a, b: [w.op(name, a, b)])
    return w.many("reduce_window", (x, w.constant(init, x.dtype)), [(x.dtype, shape)], attrs, [region])[0]


@emits("window_max")
def _max(w: Writer, n: Node, xs: list[V]) -> V:
    (x,) = xs
    return _reduced(w, x, "maximum", least(x.dtype), n.outputs[0].type.shape, _attrs(x, *n.attrs))


@emits("window_sum")
def _sum(w: Writer, n: Node, xs: list[V]) -> V:
    (x,) = xs
    wide = w.cast(x, dtypes.f32) if x.dtype in dtypes.Half else x
    return w.cast(_reduced(w, wide, "add", 0, n.outputs[0].type.shape, _attrs(x, *n.attrs)), x.dtype)


@emits("window_argmax")
def _argmax(w: Writer, n: Node, xs: list[V]) -> V:
    """The first place of equals, or of NaN; what pads is behind all places."""
    (x,) = xs
    k = len(n.attrs[0])
    lead, sizes = x.shape[: x.rank - k], x.shape[x.rank - k :]
    total = 1
    for d in sizes:
        total *= d
    shape = n.outputs[0].type.shape
    if empty(x.shape):
        return w.constant(0, dtypes.i64, shape)
    places = w.broadcast(w.reshape(w.iota(dtypes.i64, (total,), 0), sizes), x.shape, range(len(lead), x.rank))
    args = [w.scalar(d) for d in (x.dtype, dtypes.i64, x.dtype, dtypes.i64)]

    def body(a: V, i: V, b: V, j: V) -> list[V]:
        first = w.compare("GT", a, b)
        same = w.compare("EQ", a, b)
        if x.dtype.kind == "f":
            left, right = is_nan(w, a), is_nan(w, b)
            first = w.op("or", first, w.op("and", left, w.op("not", right)))
            same = w.op("or", same, w.op("and", left, right))
        keep = w.op("or", first, w.op("and", same, w.compare("LT", i, j)))
        return [w.select(keep, a, b), w.select(keep, i, j)]

    inits = w.constant(least(x.dtype), x.dtype), w.constant(greatest(dtypes.i64), dtypes.i64)
    results = [(x.dtype, shape), (dtypes.i64, shape)]
    return w.many("reduce_window", (x, places, *inits), results, _attrs(x, *n.attrs), [(args, body)])[1]


@emits("window_sum_grad")
def _sum_grad(w: Writer, n: Node, xs: list[V]) -> V:
    """Sums over windows of the cotangent, spread out by the stride."""
    (g,) = xs
    input_shape, window, stride, padding, dilation = n.attrs
    k = len(window)
    lead = g.rank - k
    if empty(g.shape):
        return w.constant(0, g.dtype, input_shape)
    low, high = [0] * lead, [0] * lead
    for size, out, t, s, (lo, _), d in zip(input_shape[lead:], g.shape[lead:], window, stride, padding, dilation):
        low.append((t - 1) * d - lo)
        high.append(size + (t - 1) * d - low[-1] - ((out - 1) * s + 1))
    interior = [*(0,) * lead, *(s - 1 for s in stride)]
    grown = [a + b + (d - 1) * (i + 1) + 1 for a, b, d, i in zip(low, high, g.shape, interior)]
    wide = w.cast(g, dtypes.f32) if g.dtype in dtypes.Half else g
    spread = w.pad(wide, w.constant(0, wide.dtype), low, high, interior, grown)
    none = ((0, 0),) * k
    out = _reduced(w, spread, "add", 0, input_shape, _attrs(spread, window, (1,) * k, none, dilation))
    return w.cast(out, g.dtype)


@emits("window_scatter")
def _scatter(w: Writer, n: Node, xs: list[V]) -> V:
    """Zeros, plus g at its flat places in the trailing dims."""
    g, places = xs
    (spatial,) = n.attrs
    shape = n.outputs[0].type.shape
    lead = shape[: len(shape) - len(spatial)]
    rows = size = count = 1
    for d in lead:
        rows *= d
    for d in spatial:
        size *= d
    for d in g.shape[len(lead) :]:
        count *= d
    if not rows * count:
        return w.constant(0, g.dtype, shape)
    wide = w.cast(g, dtypes.f32) if g.dtype in dtypes.Half else g
    zeros = w.constant(0, wide.dtype, (rows, size))
    at = w.reshape(w.cast(places, dtypes.i64), (rows, count, 1))
    index = w.concatenate([w.iota(dtypes.i64, (rows, count, 1), 0), at], 2)
    attrs = scatter_attrs(update_window_dims=[], inserted_window_dims=[0, 1], scatter_dims_to_operand_dims=[0, 1], index_vector_dim=2)
    region = combiner(w, wide.dtype, "add")
    out = w.many("scatter", (zeros, index, w.reshape(wide, (rows, count))), [(wide.dtype, (rows, size))], attrs, [region])[0]
    return w.cast(w.reshape(out, shape), g.dtype)
