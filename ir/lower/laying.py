"""Layouts: in which order the dims of values lie in memory, between a graph's inputs and outputs.

A convolution makes vectors of channels and reads a pixel's channels one after the other, so what convolutions make and read lies with
the channels last; what is made of such values point by point, or by windows, follows. Inputs and outputs of a graph stay row-major: a
chain of convolutions, norms, activations and pools is converted where it begins and where it ends. A kernel reads and writes each value
where it lies, so that nothing is copied for it.
"""

from __future__ import annotations

from collections import Counter
from math import prod

from ingot.ir.facts import Contraction
from ingot.ir.graph import Value
from ingot.ir.loop import index as ix
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.fuse.materialise import reads_memory
from ingot.ir.lower.group import Fused, Group, Map, Order
from ingot.ir.lower.target import Target
from ingot.ir.ops.form import Form, form_of
from ingot.ir.struct import replace

__all__ = ["layouts"]


def layouts(fused: Fused, target: Target) -> Fused:
    """The same groups, with the orders that their values lie in, and the axes of nests in such an order."""
    return _layouts(fused, {}) if target.layouts else fused


def _layouts(fused: Fused, done: dict[int, Fused]) -> Fused:
    orders = _orders(fused)
    groups = []
    for g in fused.groups:
        bodies = tuple(done.get(id(b)) or done.setdefault(id(b), _layouts(b, done)) for b in g.bodies)
        groups.append(replace(_laid(g, orders), bodies=bodies) if bodies else _laid(g, orders))
    return replace(fused, groups=tuple(groups), orders=orders)


def _orders(fused: Fused) -> dict[Value, Order]:
    """The values that do not lie row-major."""
    graph = fused.graph
    fixed = {*graph.inputs, *graph.outputs, *fused.same, *fused.same.values()}
    fixed.update(v for n in graph.nodes if reads_memory(n) for v in n.inputs)
    orders: dict[Value, Order] = {}
    for g in fused.groups:
        if g.kind not in ("nest", "tiles", "depthwise"):
            continue
        order = _of_contraction(g)
        if order is None and g.kind == "nest":
            order = _of_most(g, orders)
        for v in g.outputs:
            if order is not None and v not in fixed and v.type.rank == len(order) and not _row_major(v, order):
                orders[v] = order
    return orders


def _row_major(v: Value, order: Order) -> bool:
    wide = [d for d in order if v.type.shape[d] != 1]
    return wide == sorted(wide)


def _of_contraction(g: Group) -> Order | None:
    """How the result of a contraction likes to lie, where A does as well: the dim that its lanes run along, and k in A, last."""
    node = g.nodes[0]
    if not isinstance(node.op.lowering, Contraction):
        return None
    f = form_of(node)
    lanes = len(f.batch) + len(f.m) + len(f.n) - 1
    along = next((d for d, loops in enumerate(f.dims) if loops and loops[-1] == lanes), None)
    rank = len(f.dims)
    if along is None or not f.n or along == rank - 1 or f.left.type.rank != rank or _of_k(f) != along:
        return None
    return (*(d for d in range(rank) if d != along), along)


def _of_k(f: Form) -> int | None:
    """The dim of A's value that the last dim of k runs along."""
    q, m, k = (tuple(ix.var(f"{name}{i}") for i in range(len(d))) for name, d in zip("qmk", (f.batch, f.m, f.k)))
    last = f"k{len(k) - 1}"
    return next((d for d, i in enumerate(f.at_left(q, m, k)) if ix.depends_on(i, (last,))), None)


def _of_most(g: Group, orders: dict[Value, Order]) -> Order | None:
    """The order of most of what a group reads, in bytes."""
    counts: Counter[Order | None] = Counter()
    for v in _read(g):
        if v.type.rank > 2:
            counts[orders.get(v)] += prod(map(assumed, v.type.shape)) * v.type.dtype.itemsize
    return max(counts, key=lambda order: (counts[order], order or ())) if counts else None


def _read(g: Group) -> set[Value]:
    """The values in memory that a group reads."""
    return {v for n in (*g.nodes, *g.inside()) for v in n.inputs if v in g.in_memory and v not in g.maps}


def _laid(g: Group, orders: dict[Value, Order]) -> Group:
    """A group that knows how what it touches lies; the axes of a nest in the order of what it writes, or reads."""
    mine = {v: orders[v] for v in (*g.outputs, *_read(g)) if v in orders}
    if not mine:
        return g
    g = replace(g, orders=mine)
    counts = Counter(mine.values())
    order = max(counts, key=lambda order: (counts[order], order))
    wide = {a for a, d in enumerate(g.shape) if d != 1}
    maps = (*(g.maps[v] for v in g.outputs if v in mine), *g.maps.values(), *g.opened.values())
    along = next((m for m in maps if len(m) == len(order) and wide <= {a for a in m if a is not None}), None)
    return g if g.kind != "nest" or along is None else _reordered(g, [along[d] for d in order])


def _reordered(g: Group, wanted: list[int | None]) -> Group:
    """The group with these axes last, in this order."""
    last = [a for a in wanted if a is not None]
    axes = [a for a in range(len(g.shape)) if a not in last] + last
    at = {a: k for k, a in enumerate(axes)}

    def moved(m: Map) -> Map:
        return tuple(None if a is None else at[a] for a in m)

    return replace(
        g,
        shape=tuple(g.shape[a] for a in axes),
        reduced=frozenset(at[a] for a in g.reduced),
        maps={v: moved(m) for v, m in g.maps.items()},
        opened={n: moved(m) for n, m in g.opened.items()},
    )
