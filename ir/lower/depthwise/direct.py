"""Windows over an input that is read where it lies: without masks where all that a tile reads lies in the input, else with them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from itertools import product

from ingot.ir.graph import Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO, Point, delinear, linear
from ingot.ir.lower.depthwise.schedule import Depthwise
from ingot.ir.lower.elements import Elements
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, Written
from ingot.ir.lower.tiles.shape import shape_of
from ingot.ir.lower.writer import Scalar
from ingot.ir.ops.form import form_of
from ingot.ir.ops.scalars import convert
from ingot.ir.size import ceil_div, exactly
from ingot.ir.types import Dim

__all__ = ["Check", "Windows"]

Check = Callable[[Node], int]


class Windows:
    """A kernel of windows that are read where the input lies. `packed`: the weight in the order of its taps."""

    def __init__(self, group: Group, s: Depthwise, check: Check, packed: Value | None):
        self.group, self.s, self.packed = group, s, packed
        self.k = GroupKernel(group, "depthwise", check)
        self.w = self.k.w
        self.form = form_of(group.nodes[0])
        self.dtype = shape_of(group.nodes[0]).dtype
        self.along = s.along(group)

    def run(self) -> Written:
        f, s, w = self.form, self.s, self.w
        dims = [f.batch[0], *(() if s.channels else (f.batch[1],)), *f.m[: max(0, self.along)]]
        w.chunks(math.prod(dims), s.chunk, lambda i: self.line(delinear(i, tuple(dims), w.ranges)))
        return self.k.finish(s, twice=True, fixed=True)

    def line(self, at: Point) -> None:
        """Tiles one after the other, and within each vectors one after the other."""
        f, s, w = self.form, self.s, self.w
        lead = at[1 if s.channels else 2 :]
        last: Dim = f.m[self.along] if self.along >= 0 else 1
        with w.loop("serial", ceil_div(last, s.tile)) as t:
            start = ix.mul(t, s.tile)
            if s.tile > 1 and exactly(last, s.tile) is None:  # the last tile overlaps its neighbour: both write the same values
                start = w.as_index(w.min(w.index_value(start), w.index_value(ix.const(last - s.tile))))
            rows = [(*lead, ix.add(start, ix.const(r))) if self.along >= 0 else lead for r in range(s.tile)]
            if s.channels:
                self.either((at[0],), rows, None)
                return
            with w.loop("serial", ceil_div(f.m[-1], s.width)) as b:
                self.either(at[:2], rows, b)

    def either(self, q: Point, rows: list[Point], block: Index | None) -> None:
        """Without masks where all that is read lies in the input, else with them."""
        w, zeros = self.w, self.form.zeros
        inside = self.inside(rows, block)
        if inside is None:
            self.vectors(q, rows, block, zeros is not None)
            return
        with w.when(inside):
            self.vectors(q, rows, block, False)
        with w.when(w.not_(inside)):
            self.vectors(q, rows, block, True)

    def inside(self, rows: list[Point], block: Index | None) -> Scalar | None:
        """Whether the windows of all these results lie in the input; None where that is known, or masks are needed anyway."""
        f, w, zeros = self.form, self.w, self.form.zeros
        if zeros is None or any(g != 1 for g in zeros.gap):
            return None
        sizes = f.left.type.shape[2:]
        first, last = self.reads(rows[0], block, False), self.reads(rows[-1], block, True)
        conditions = []
        for a, b, low, size in zip(first, last, zeros.low, sizes):
            conditions += [w.ge(w.index_value(a), low), w.lt(w.index_value(b), w.index_value(ix.const(size + low)))]
        if block is not None:
            conditions.append(w.le(w.index_value(ix.add(ix.mul(block, self.s.width), ix.const(self.s.width))), self.form.m[-1]))
        return reduce(w.and_, conditions)

    def reads(self, row: Point, block: Index | None, last: bool) -> Point:
        """The first or last place that windows read, among the zeros."""
        f = self.form
        m = row
        if block is not None:
            m = (*row, ix.add(ix.mul(block, self.s.width), ix.const(self.s.width - 1 if last else 0)))
        k = tuple(ix.const(d - 1 if last else 0) for d in f.k[:-1])
        return f.at_left((ZERO, ZERO), m, (*k, ZERO))[2:]

    def vectors(self, q: Point, rows: list[Point], block: Index | None, masked: bool) -> None:
        """One tile, for all channels or for a block of the last dim."""
        f, s, w = self.form, self.s, self.w
        if block is None:
            channels = f.batch[1]
            with w.loop("vector", channels, s.width, exactly(channels, s.width) is not None) as v:
                self.tile((*q, v), rows, masked)
            return
        extent = w.rest(block, s.width, f.m[-1]) if masked or f.zeros is None else s.width
        with w.loop("vector", extent, s.width, not isinstance(extent, Index)) as v:
            self.tile(q, [(*r, ix.add(ix.mul(block, s.width), v)) for r in rows], masked)

    def tile(self, q: Point, rows: list[Point], masked: bool) -> None:
        """The sums of some results over all taps, and what follows them."""
        f, s, w, dtype = self.form, self.s, self.w, self.dtype
        accs = [w.acc(dtype, 0) for _ in rows]
        taps = f.k[:-1]
        outer = len(taps) - s.unroll
        elements = self.k.elements()

        def inner(at: Point) -> None:
            for rest in product(*(range(int(d)) for d in taps[outer:])):
                k = (*at, *map(ix.const, rest))
                b = self.weight_at(k, q)
                for acc, m in zip(accs, rows):
                    w.reduce((acc,), "fma", self.factors(elements, q, m, (*k, ZERO), b, masked))

        def over(at: Point) -> None:
            if len(at) == outer:
                inner(at)
                return
            with w.loop("serial", taps[len(at)]) as i:
                over((*at, i))

        over(())
        for acc, m in zip(accs, rows):
            self.finish(w.get_acc(acc, dtype), q, m)

    def weight_at(self, k: Point, q: Point) -> Scalar:
        """The weight of a tap of a channel."""
        assert self.packed is not None
        return self.w.load(self.k.buffer(self.packed, "r"), linear((*k, q[1]), self.packed.type.shape), self.dtype)

    def factors(self, elements: Elements, q: Point, m: Point, k: Point, b: Scalar, masked: bool) -> tuple[Scalar, Scalar]:
        """What is multiplied for a tap of a result."""
        f, w, zeros = self.form, self.w, self.form.zeros
        point = f.at_left(q, m, k)
        if zeros is None or not masked:
            low = (0,) * len(f.m) if zeros is None else zeros.low
            at = (*point[:2], *(ix.add(i, ix.const(-lo)) for i, lo in zip(point[2:], low)))
            return w.cast(elements.at(f.left, at), b.dtype), b
        at, mask = zeros.inside(w, point, f.left.type.shape)
        x = w.cast(elements.at(f.left, at, mask), b.dtype)
        if mask is None:
            return x, b
        if elements.source(f.left) is None:  # what is loaded is 0 already where there is nothing
            x = w.select(mask, x, w.const(0, x.dtype))
        return x, b if zeros.counted else w.select(mask, b, w.const(0, b.dtype))

    def finish(self, x: Scalar, q: Point, m: Point) -> None:
        """Apply what follows the convolution in its group, and store."""
        f, w = self.form, self.w
        elements = self.k.elements()
        out = self.group.nodes[0].outputs[0]
        point = f.out(q, m, (ZERO,) * len(f.n))
        result = convert(w, x, out.type.dtype)
        elements.known[out] = lambda idx: result
        for v in self.group.outputs:
            idx = tuple(ZERO if a is None else point[a] for a in self.group.maps[v])
            w.store(self.k.buffer(v, "w"), self.group.offset(v, idx), elements.at(v, idx))

