"""Small loops at a point: windows, and contractions too small or too odd for tiles.

`Elements.unroll`: a window is expanded in place. `Elements.along_k`: a product's last loop runs by vectors of so many lanes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from ingot.ir.facts import Window
from ingot.ir.graph import Node
from ingot.ir.loop.expression import Index
from ingot.ir.loop.folds import FMA, SUM
from ingot.ir.loop.points import ZERO, Point, linear
from ingot.ir.lower.elements import Elements
from ingot.ir.lower.writer import Scalar
from ingot.ir.ops.form import form_of
from ingot.ir.ops.scalars import convert

__all__ = ["at_a_point"]


def loops(p: Elements, stack: ExitStack, extents: Sequence[int]) -> tuple[Index, ...]:
    """Nested loops around what follows in `stack`."""
    kind = "unroll" if p.unroll else "serial"
    return tuple(stack.enter_context(p.w.loop(kind, d)) if d != 1 else ZERO for d in extents)


def window(p: Elements, node: Node, idx: Point) -> Scalar:
    """An element of a window op: the fold over its window, whose places outside the input count as nothing."""
    w, kind = p.w, node.op.lowering
    assert isinstance(kind, Window)
    fold, x = kind.fold, node.inputs[0]
    types = fold.accumulators(x.type.dtype)
    initial = fold.initial(types[0])
    accs = tuple(w.acc(d, start) for d, start in zip(types, initial))
    with ExitStack() as stack:
        tap = loops(p, stack, kind.extents(node))
        at, mask = kind.place(w, node, idx, tap)

        def counted(v: Scalar, nothing: bool | int | float) -> Scalar:
            return v if mask is None else w.select(mask, v, w.const(nothing, v.dtype))

        values = [counted(w.cast(p.at(x, at, mask), types[0]), initial[0])]
        if fold.positions:  # within the dims that the window moves over
            values.append(counted(w.index_value(linear(at[-len(tap) :], x.type.shape[-len(tap) :])), initial[1]))
        w.reduce(accs, fold.name, tuple(values))
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
    acc = w.acc(dtype, 0)
    order = f.order or tuple(range(len(f.k)))
    k = [ZERO] * len(f.k)
    with ExitStack() as stack:
        for d in order:
            if d == order[-1] and p.along_k:
                k[d] = stack.enter_context(w.loop("vector", f.k[d], p.along_k, f.k[d] % p.along_k == 0))
            elif f.k[d] != 1:
                k[d] = stack.enter_context(w.loop("serial", f.k[d]))
        a, mask = f.left_or_nothing(p, f.at_left(q, m, tuple(k)))
        b = f.b(p, q, tuple(k), n)
        a, b = w.cast(a, dtype), w.cast(b, dtype)
        if mask is not None:
            assert f.zeros is not None
            a = w.select(mask, a, w.const(0, dtype))
            b = b if f.zeros.counted else w.select(mask, b, w.const(0, dtype))  # 0 * infinity would be a term
        if dtype.kind == "f":
            w.reduce((acc,), FMA.name, (a, b))
        else:
            w.reduce((acc,), SUM.name, (w.mul(a, b),))
    return convert(w, w.get_acc(acc, dtype), out)


def at_a_point(p: Elements, node: Node, idx: Point) -> Scalar:
    """An element of a window op or a contraction, by a small loop."""
    return (window if isinstance(node.op.lowering, Window) else contraction)(p, node, idx)
