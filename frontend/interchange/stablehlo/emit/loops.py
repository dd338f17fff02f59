"""Loops and branches. A scan is a `while` that counts, reads its slices and writes its results."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ingot.interchange.stablehlo.emit.writer import V, Writer, emits
from ingot.ir import dtypes
from ingot.ir.graph import Graph, Node

__all__: list[str] = []


@emits("scan")
def _scan(w: Writer, n: Node, xs: list[V]) -> Sequence[V]:
    body: Graph
    body, consts, carries, length, reverse = n.attrs
    kept, first, stacked = xs[:consts], xs[consts : consts + carries], xs[consts + carries :]
    ys = [v.type for v in body.outputs[carries:]]
    empty = [w.constant(0, t.dtype, (length, *t.shape)) for t in ys]
    if not length:
        return [*first, *empty]
    state = [w.constant(0, dtypes.i64), *first, *empty]
    results = [(v.dtype, v.shape) for v in state]

    def test(count: V, *rest: V) -> list[V]:
        return [w.compare("LT", count, w.constant(length, dtypes.i64))]

    def step(count: V, *rest: V) -> list[V]:
        at = w.op("subtract", w.constant(length - 1, dtypes.i64), count) if reverse else count
        zero = w.constant(0, dtypes.i64)
        slices = []
        for x in stacked:
            slices.append(w.reshape(w.part(x, at, 0), x.shape[1:]))
        out = w.graph(body, [*kept, *rest[:carries], *slices])
        written = []
        for whole, y in zip(rest[carries:], out[carries:]):
            row = w.reshape(y, (1, *y.shape))
            written.append(w.op("dynamic_update_slice", whole, row, at, *[zero] * (whole.rank - 1)))
        return [w.op("add", count, w.constant(1, dtypes.i64)), *out[:carries], *written]

    def args() -> list[V]:
        return [w.value(d, s) for d, s in results]

    return w.many("while", state, results, "", [(args(), test), (args(), step)])[1:]


@emits("while_loop")
def _while(w: Writer, n: Node, xs: list[V]) -> Sequence[V]:
    cond: Graph
    body: Graph
    cond, body, consts, _ = n.attrs
    kept, state = xs[:consts], xs[consts:]
    results = [(v.dtype, v.shape) for v in state]
    args = [[w.value(d, s) for d, s in results] for _ in range(2)]
    regions = [(a, lambda *rest, g=g: w.graph(g, [*kept, *rest])) for a, g in zip(args, (cond, body))]
    return w.many("while", state, results, "", regions)


@emits("cond")
def _cond(w: Writer, n: Node, xs: list[V]) -> Sequence[V]:
    pred, *operands = xs
    results = [(v.type.dtype, v.type.shape) for v in n.outputs]
    regions: list[tuple[Sequence[V], Callable[..., Sequence[V]]]] = [((), lambda g=g: w.graph(g, operands)) for g in n.attrs]
    return w.many("if", (pred,), results, "", regions)
