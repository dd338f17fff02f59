"""Kernels that are no plain nest: scatters, cumulative ops and sorting. Each returns the kernels to launch in turn."""

from __future__ import annotations

import math
from collections.abc import Callable

from ingot.ir import dtypes
from ingot.ir.facts import OwnKernels
from ingot.ir.graph import Graph, Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.ir import Index, Kernel
from ingot.ir.loop.points import ZERO, Point, delinear, linear
from ingot.ir.lower.kernel import KernelWriter, Scalar
from ingot.ir.lower.pull import Pull
from ingot.ir.machine import Machine
from ingot.ir.ops.indexing import place_of_indices
from ingot.ir.ops.scalars import convert

__all__ = ["KINDS"]


class Special:
    """What a rule needs: a writer and a Pull per kernel, names for buffers, codes for checks."""

    def __init__(self, graph: Graph, node: Node, buffer_of: Callable[[Value], str | None], check: Callable[[Node], int], machine: Machine):
        self.graph = graph
        self.node = node
        self.buffer_of = buffer_of
        self.check = check
        self.lanes = machine.lanes(32)
        self.chunk = machine.chunk_elements
        self.outputs = {id(v): f"o{k}" for k, v in enumerate(node.outputs)}

    def start(self, name: str) -> tuple[KernelWriter, Pull]:
        w = KernelWriter(name)

        def source(v: Value) -> str | None:
            found = self.buffer_of(v)
            if found is not None and found not in w.buffers:
                w.buffer(found, v.type.dtype, "r")
            return found

        return w, Pull(self.graph, w, source, self.check)

    def out(self, w: KernelWriter, k: int = 0, access: str = "w") -> str:
        v = self.node.outputs[k]
        name = self.buffer_of(v)
        assert name is not None
        return w.buffer(name, v.type.dtype, access)


def fill(s: Special, value: Callable[[Pull, Point], Scalar]) -> Kernel:
    """The first output, element by element."""
    w, p = s.start("fill")
    out = s.node.outputs[0]
    shape, n = out.type.shape, out.type.numel
    name = s.out(w)
    width = s.lanes
    blocks = -(-n // s.chunk)

    def body(base: Index | None, extent: Index | int) -> None:
        with w.loop("vector", extent, width, isinstance(extent, int) and extent % width == 0) as v:
            at = v if base is None else ix.add(base, v)
            w.store(name, at, value(p, delinear(at, shape, w.ranges)))

    if blocks <= 1:
        body(None, n)
    else:
        with w.loop("parallel", blocks) as b:
            left = w.index_value(ix.add(ix.const(n), ix.mul(b, -s.chunk)))
            body(ix.mul(b, s.chunk), w.as_index(w.min(left, w.const(s.chunk, dtypes.i64))))
    return w.finish()


def _combine(w: KernelWriter, mode: str, old: Scalar, new: Scalar) -> Scalar:
    if mode == "set":
        return new
    half = old.dtype in dtypes.Half
    a, b = (w.cast(x, dtypes.f32) if half else x for x in (old, new))
    out = {"add": w.add, "mul": w.mul, "min": w.min, "max": w.max}[mode](a, b)
    return convert(w, out, old.dtype)


def _update(w: KernelWriter, name: str, at: Index, mode: str, value: Scalar) -> None:
    if mode == "set":
        w.store(name, at, value)
    else:
        w.store(name, at, _combine(w, mode, w.load(name, at, value.dtype, pinned=True), value))


def scatter(s: Special) -> list[Kernel]:
    """out = x; then out[.., i[..], ..] op= src in index order: serial along the axis, lines apart are independent."""
    node = s.node
    x, index, src = node.inputs
    axis, mode = node.attrs
    first = fill(s, lambda p, at: p.at(x, at))
    w, p = s.start("scatter")
    name = s.out(w, 0, "rw")
    shape = index.type.shape
    others = tuple(d for a, d in enumerate(shape) if a != axis)
    lines = math.prod(others)
    per = max(1, s.chunk // max(1, shape[axis] if shape else 1))

    def line(at: Point) -> None:
        with w.loop("serial", shape[axis] if shape else 1) as k:
            point = at[:axis] + (k,) + at[axis:] if shape else ()
            to = p.checked(node, p.at(index, point), x.type.shape[axis] if shape else 1, None)
            target = point[:axis] + (to,) + point[axis + 1 :] if shape else ()
            _update(w, name, linear(target, x.type.shape), mode, p.at(src, point))

    _lines(w, lines, per, lambda i: line(delinear(i, others, w.ranges)))
    return [first, w.finish()]


def _lines(w: KernelWriter, lines: int, per: int, body: Callable[[Index], None]) -> None:
    """`body` for every line, `per` lines to a parallel chunk."""
    chunks = -(-lines // per)
    if chunks <= 1:
        with w.loop("serial", lines) as i:
            body(i)
        return
    with w.loop("parallel", chunks) as c:
        left = w.index_value(ix.add(ix.const(lines), ix.mul(c, -per)))
        count = ix.const(per) if lines % per == 0 else w.as_index(w.min(left, w.const(per, dtypes.i64)))
        with w.loop("serial", per if lines % per == 0 else count) as i:
            body(ix.add(ix.mul(c, per), i))


def index_put(s: Special) -> list[Kernel]:
    """out = x; then out at the indexed places op= src, in the order of the indices; vectors run along what is not indexed."""
    node = s.node
    x, src, *indices = node.inputs
    axes, mode = node.attrs
    first = fill(s, lambda p, at: p.at(x, at))
    w, p = s.start("index_put")
    name = s.out(w, 0, "rw")
    rank = max((v.type.rank for v in indices), default=0)
    at = place_of_indices(axes)
    shape = src.type.shape
    index_shape = shape[at : at + rank]
    rest = shape[:at] + shape[at + rank :]
    last_free = bool(rest) and (x.type.rank - 1) not in axes
    inner = rest[-1] if last_free else 1
    outer = rest[:-1] if last_free else rest
    # columns are independent of each other, so they may be shared out; the indices keep their order
    block = max(s.lanes * 4, -(-inner // 8)) if inner * math.prod(index_shape) > s.chunk else max(1, inner)
    block = -(-block // s.lanes) * s.lanes if block > s.lanes else block
    blocks = -(-inner // block) if inner else 0

    def body(base: Index | None, extent: Index | int) -> None:
        with w.loop("serial", math.prod(index_shape)) as k:
            inside = delinear(k, index_shape, w.ranges)
            where = {a: p.checked(node, p.operand(v, inside, None), x.type.shape[a], None) for a, v in zip(axes, indices)}
            with w.loop("serial", math.prod(outer)) as o:
                coords = delinear(o, outer, w.ranges)

                def one(column: Index | None) -> None:
                    free = coords + ((column,) if column is not None else ())
                    point = free[:at] + inside + free[at:]
                    it = iter(free)
                    target = tuple(where[a] if a in where else next(it) for a in range(x.type.rank))
                    _update(w, name, linear(target, x.type.shape), mode, p.at(src, point))

                if last_free:
                    with w.loop("vector", extent, s.lanes) as v:
                        one(v if base is None else ix.add(base, v))
                else:
                    one(None)

    if blocks <= 1:
        body(None, inner)
    else:
        with w.loop("parallel", blocks) as b:
            left = w.index_value(ix.add(ix.const(inner), ix.mul(b, -block)))
            body(ix.mul(b, block), w.as_index(w.min(left, w.const(block, dtypes.i64))))
    return [first, w.finish()]


def window_scatter(s: Special) -> list[Kernel]:
    """out = 0; then out[n, c, idx] += g, plane by plane."""
    node = s.node
    g, index = node.inputs
    (spatial,) = node.attrs
    k = len(spatial)
    out = node.outputs[0]
    w, p = s.start("window_scatter")
    name = s.out(w, 0, "rw")
    lead, window = g.type.shape[:-k], g.type.shape[-k:]
    plane, taps = math.prod(spatial), math.prod(window)

    def one(i: Index) -> None:
        at = delinear(i, lead, w.ranges)
        base = ix.mul(i, plane)
        with w.loop("vector", plane, s.lanes) as v:
            w.store(name, ix.add(base, v), w.const(0, out.type.dtype))
        with w.loop("serial", taps) as t:
            point = at + delinear(t, window, w.ranges)
            to = p.checked(node, p.at(index, point), plane, None)
            _update(w, name, ix.add(base, to), "add", p.at(g, point))

    _lines(w, math.prod(lead), max(1, s.chunk // max(1, plane + taps)), one)
    return [w.finish()]


def cumulative(s: Special) -> list[Kernel]:
    """A running fold along an axis; lines are independent, and vectors run along the last axis where it is another.

    The outputs are the accumulators after each step.
    """
    node = s.node
    kind = node.op.lowering
    assert isinstance(kind, OwnKernels) and kind.fold is not None
    fold = kind.fold
    (x,) = node.inputs
    axis = node.attrs[0]
    reverse = len(node.attrs) > 1 and node.attrs[1]
    dtype = x.type.dtype
    types = fold.accumulators(dtype)
    w, p = s.start("cumulative")
    shape = x.type.shape
    rank = len(shape)
    outs = [s.out(w, k) for k in range(len(node.outputs))]
    vector = axis != rank - 1
    others = tuple(d for a, d in enumerate(shape) if a != axis and not (vector and a == rank - 1))

    def line(i: Index, lane: Index | None) -> None:
        at = delinear(i, others, w.ranges) + ((lane,) if lane is not None else ())
        accs = [w.acc(d, start) for d, start in zip(types, fold.initial(types[0]))]
        with w.loop("serial", shape[axis]) as k:
            step = ix.add(ix.const(shape[axis] - 1), ix.mul(k, -1)) if reverse else k
            point = at[:axis] + (step,) + at[axis:]
            v = w.cast(p.at(x, point), types[0])
            old = tuple(w.get_acc(a, d) for a, d in zip(accs, types))
            new = fold.fold_in(w, old, (v, w.index_value(step)) if fold.positions else (v,))
            for a, result, out, made in zip(accs, new, outs, node.outputs):
                w.set_acc(a, result)
                w.store(out, linear(point, shape), convert(w, result, made.type.dtype))

    lines = math.prod(others)
    if vector:

        def wide(i: Index) -> None:
            with w.loop("vector", shape[-1], s.lanes) as v:
                line(i, v)

        _lines(w, lines, max(1, s.chunk // max(1, shape[axis] * shape[-1])), wide)
    else:
        _lines(w, lines, max(1, s.chunk // max(1, shape[axis])), lambda i: line(i, None))
    return [w.finish()]


def sort(s: Special) -> list[Kernel]:
    """Stable bottom-up merge sort of each line, positions beside the values; NaN is the largest value."""
    node = s.node
    (x,) = node.inputs
    axis, descending = node.attrs
    shape = x.type.shape
    dtype = x.type.dtype
    n = shape[axis] if shape else 1
    others = tuple(d for a, d in enumerate(shape) if a != axis)
    w, p = s.start("sort")
    outs = [s.out(w, k) for k in range(2)]
    levels = max(0, (n - 1).bit_length())

    def before(a: Scalar, b: Scalar) -> Scalar:
        """Whether b must come before a, which stands to its left."""
        wide = dtypes.f32 if dtype in dtypes.Half else dtypes.u8 if dtype.kind == "b" else dtype
        a, b = w.cast(a, wide), w.cast(b, wide)
        less = w.lt(a, b) if descending else w.lt(b, a)
        if dtype.kind == "f":
            nan, other = (b, a) if descending else (a, b)
            less = w.or_(less, w.and_(w.ne(nan, nan), w.eq(other, other)))
        return less

    def line(i: Index) -> None:
        at = delinear(i, others, w.ranges)
        values = [w.scratch(dtype, max(1, n), "worker") for _ in range(2)]
        places = [w.scratch(dtypes.i64, max(1, n), "worker") for _ in range(2)]
        with w.loop("serial", n) as k:
            w.store(values[0], k, p.at(x, at[:axis] + (k,) + at[axis:] if shape else ()))
            w.store(places[0], k, w.index_value(k))
        for level in range(levels):
            half = 1 << level
            a, b = level % 2, 1 - level % 2
            with w.loop("serial", -(-n // (2 * half))) as pair:
                base = ix.mul(pair, 2 * half)
                left_n = w.min(w.index_value(ix.add(ix.const(n), ix.mul(base, -1))), w.const(half, dtypes.i64))
                right_n = w.max(
                    w.min(w.index_value(ix.add(ix.const(n - half), ix.mul(base, -1))), w.const(half, dtypes.i64)), w.const(0, dtypes.i64)
                )
                left, right = w.acc(dtypes.i64, 0), w.acc(dtypes.i64, 0)
                with w.loop("serial", w.as_index(w.add(left_n, right_n))) as k:
                    l, r = w.get_acc(left, dtypes.i64), w.get_acc(right, dtypes.i64)
                    has_l, has_r = w.lt(l, left_n), w.lt(r, right_n)
                    at_l, at_r = ix.add(base, w.as_index(l)), ix.add(ix.add(base, ix.const(half)), w.as_index(r))
                    vl = w.load(values[a], at_l, dtype, has_l, pinned=True)
                    vr = w.load(values[a], at_r, dtype, has_r, pinned=True)
                    take_r = w.and_(has_r, w.or_(w.not_(has_l), before(vl, vr)))
                    pl = w.load(places[a], at_l, dtypes.i64, has_l, pinned=True)
                    pr = w.load(places[a], at_r, dtypes.i64, has_r, pinned=True)
                    w.store(values[b], ix.add(base, k), w.select(take_r, vr, vl))
                    w.store(places[b], ix.add(base, k), w.select(take_r, pr, pl))
                    one, zero = w.const(1, dtypes.i64), w.const(0, dtypes.i64)
                    w.set_acc(right, w.add(r, w.select(take_r, one, zero)))
                    w.set_acc(left, w.add(l, w.select(take_r, zero, one)))
        last = levels % 2
        with w.loop("serial", n) as k:
            offset = linear(at[:axis] + (k,) + at[axis:], shape) if shape else ZERO
            w.store(outs[0], offset, w.load(values[last], k, dtype, pinned=True))
            w.store(outs[1], offset, w.load(places[last], k, dtypes.i64, pinned=True))

    _lines(w, math.prod(others), max(1, s.chunk // max(1, n * max(1, levels))), line)
    return [w.finish()]


KINDS: dict[str, Callable[[Special], list[Kernel]]] = {
    "scatter": scatter, "index_put": index_put, "window_scatter": window_scatter, "sort": sort, "cumulative": cumulative,
}  # fmt: skip
