"""Small loops at a point: windows, and contractions too small or too odd for tiles.

`Elements.unroll`: a window is expanded in place. `Elements.along_k`: a product's last loop runs by vectors of so many lanes.
`Elements.run`: steps of a run, where a sum is a cascade of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ingot.ir.dtypes import DType
from ingot.ir.facts import Contraction, Window
from ingot.ir.graph import Node
from ingot.ir.loop.folds import FMA, SUM, Fold
from ingot.ir.loop.points import Point, linear
from ingot.ir.lower.cascade import Cascade, Steps, rounds
from ingot.ir.lower.elements import Elements
from ingot.ir.lower.writer import Scalar
from ingot.ir.ops.form import form_of
from ingot.ir.ops.scalars import convert
from ingot.ir.size import ceil_div, exactly
from ingot.ir.types import Dim

__all__ = ["at_a_point", "steps_at_a_point"]

Accs = tuple[str, ...]


def steps_at_a_point(node: Node, along_k: int = 0) -> Dim:
    """How many elements in a row an element of a window op or a contraction adds up with roundings."""
    kind = node.op.lowering
    if isinstance(kind, Window):
        return math.prod(kind.extents(node)) if rounds(kind.fold, node) else 0
    if not isinstance(kind, Contraction) or not rounds(FMA, node):
        return 0
    f = form_of(node)
    *others, last = [f.k[d] for d in f.order or range(len(f.k))] or [1]
    return math.prod(others) * ceil_div(last, max(1, along_k))


def _loops(
    p: Elements, fold: Fold, loops: Sequence[Steps], types: Sequence[DType], run: int, body: Callable[[Accs, Point], None]
) -> Accs:
    """The accumulators of a fold over nested loops, the first outermost."""
    w = p.w
    initial = fold.initial(types[0])

    def fresh() -> Accs:
        return tuple(w.acc(d, start) for d, start in zip(types, initial))

    def add(accs: Accs, part: Accs) -> None:
        w.reduce(accs, fold.across.name, tuple(w.get_acc(a, d) for a, d in zip(part, types)))

    accs = fresh()
    Cascade(w, run, fresh, add).over(loops, accs, body)
    return accs


def window(p: Elements, node: Node, idx: Point) -> Scalar:
    """An element of a window op: the fold over its window, whose places outside the input count as nothing."""
    w, kind = p.w, node.op.lowering
    assert isinstance(kind, Window)
    fold, x = kind.fold, node.inputs[0]
    types = fold.accumulators(x.type.dtype)
    initial = fold.initial(types[0])

    def fold_in(accs: Accs, tap: Point) -> None:
        at, mask = kind.place(w, node, idx, tap)

        def counted(v: Scalar, nothing: bool | int | float) -> Scalar:
            return v if mask is None else w.select(mask, v, w.const(nothing, v.dtype))

        values = [counted(w.cast(p.at(x, at, mask), types[0]), initial[0])]
        if fold.positions:  # within the dims that the window moves over
            values.append(counted(w.index_value(linear(at[-len(tap) :], x.type.shape[-len(tap) :])), initial[1]))
        w.reduce(accs, fold.name, tuple(values))

    loops = [Steps(d, kind="unroll" if p.unroll else "serial") for d in kind.extents(node)]
    accs = _loops(p, fold, loops, types, p.run if rounds(fold, node) else 0, fold_in)
    return convert(w, w.get_acc(accs[fold.result], types[fold.result]), node.outputs[0].type.dtype)


def contraction(p: Elements, node: Node, idx: Point) -> Scalar:
    """An element of a contraction: one sum over k."""
    w, f = p.w, form_of(node)
    out = node.outputs[0].type.dtype
    (dtype,) = SUM.accumulators(out)
    q, m, n = f.loops(idx, w.ranges)
    if not f.k:  # an outer product
        a, b = (w.cast(x, dtype) for x in (f.a(p, q, m, ()), f.b(p, q, (), n)))
        return convert(w, w.mul(a, b), out)
    order = f.order or tuple(range(len(f.k)))
    fold = FMA if dtype.kind == "f" else SUM

    def fold_in(accs: Accs, at: Point) -> None:
        k = tuple(at[order.index(d)] for d in range(len(f.k)))
        a, mask = f.left_or_nothing(p, f.at_left(q, m, k))
        b = f.b(p, q, k, n)
        a, b = w.cast(a, dtype), w.cast(b, dtype)
        if mask is not None:
            assert f.zeros is not None
            a = w.select(mask, a, w.const(0, dtype))
            b = b if f.zeros.counted else w.select(mask, b, w.const(0, dtype))  # 0 * infinity would be a term
        w.reduce(accs, fold.name, (a, b) if fold is FMA else (w.mul(a, b),))

    loops = [Steps(f.k[d]) for d in order]
    if p.along_k:
        last = f.k[order[-1]]
        loops[-1] = Steps(last, width=p.along_k, whole=exactly(last, p.along_k) is not None)
    (acc,) = _loops(p, fold, loops, (dtype,), p.run, fold_in)
    return convert(w, w.get_acc(acc, dtype), out)


def at_a_point(p: Elements, node: Node, idx: Point) -> Scalar:
    """An element of a window op or a contraction, by a small loop."""
    return (window if isinstance(node.op.lowering, Window) else contraction)(p, node, idx)
