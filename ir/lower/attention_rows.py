"""Attention on CPUs: products of products, with the matrix between them in tiles that stay in the first cache (attention.py).

An item takes some rows of the matrix, one to a lane, and passes over its columns a tile at a time. The rows' operand is turned, once, so
that a step of a sum is a vector of it times numbers of the other operand, which is read where it lies: nothing is packed, and no lane
needs another. With a tile the maxima of rows grow, and what was summed up before is scaled by what that makes of its exponentials; the
tile's own sums are added to that, so that long sums are of sums. Tiles follow each other in a fixed order, and rows do not depend on
where others are made: bits are the same for any number of workers. Columns behind the diagonal are left out where they make nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ingot.ir import dtypes
from ingot.ir.dtypes import f32
from ingot.ir.graph import Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO, delinear
from ingot.ir.lower.attention import Softmax, matrix_side, power, score_of
from ingot.ir.lower.attention_block import Block, one
from ingot.ir.lower.attention_schedule import SIDE, AttentionRows
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import Written
from ingot.ir.lower.writer import Scalar
from ingot.ir.ops.form import form_of
from ingot.ir.ops.scalars import convert
from ingot.ir.size import at_most, ceil_div, exactly
from ingot.ir.types import Dim

__all__ = ["written"]


def written(group: Group, s: AttentionRows, check: Callable[[Node], int]) -> Written:
    """The kernel."""
    return _Emission(group, s, check).written()


class _Emission(Block):
    def __init__(self, group: Group, s: AttentionRows, check: Callable[[Node], int]):
        super().__init__(group, s, check)
        assert self.parts.softmax is not None
        self.softmax: Softmax = self.parts.softmax
        (self.score,), (self.product,) = self.parts.scores, self.parts.products
        # while they are on their way no row is dead, and sums are divided by at the end
        self.element[self.softmax.total] = self.w.const(1.0, f32)
        if self.softmax.dead is not None:
            self.element[self.softmax.dead] = self.w.const(False, dtypes.bool_)
        self.known = (score_of(self.body, self.score), self.softmax.e, *self.element)
        self.inner = self.inside(self.k)
        self.key, self.value = self.key_of(self.score), self.value_of(self.product)
        f = form_of(self.product)
        self.width, self.depth = one(f.m if matrix_side(self.body, self.product) else f.n), one(form_of(self.score).k)

    def written(self) -> Written:
        """The kernel."""
        s, w = self.s, self.w
        blocks = ceil_div(self.rows, s.rows)
        with w.loop("parallel" if s.parallel else "serial", blocks * math.prod(self.parts.batch)) as g:
            block = ix.mod(g, blocks, w.ranges)
            self.q = delinear(ix.div(g, blocks, w.ranges), self.parts.batch, w.ranges)
            if s.diagonal:  # those with most to do come first
                block = ix.sub(ix.const(blocks - 1), block)
            self.first = ix.mul(block, s.rows)
            self.clamped = at_most(s.rows, self.rows) is not True
            if self.clamped:
                self.count = w.rest(block, s.rows, self.rows)
            elif exactly(self.rows, s.rows) is None:  # the last begins early and overlaps its neighbour
                self.first = w.as_index(w.min(w.index_value(self.first), w.index_value(ix.const(self.rows - s.rows))))
            self.allocate()
            self.read(self.score, self.turned)
            self.item()
            self.write(self.product, self.sums, self.width)
            self.statistics()
        return self.k.finish(s, twice=True, fixed=True)

    def allocate(self) -> None:
        """Scratch."""
        s, w = self.s, self.w
        depth, width = (-(-d // SIDE) * SIDE for d in (self.depth, self.width))
        self.lines = w.scratch(f32, max(depth, width, s.columns) * s.rows, "worker")
        self.turned, self.tile, self.sums = (w.scratch(f32, n * s.rows, "worker") for n in (depth, s.columns, width))
        self.tops, self.totals = w.scratch(f32, s.rows, "worker"), w.scratch(f32, s.rows, "worker")
        self.far = self.sums, self.tops, self.totals
        if s.run:
            self.far = w.scratch(f32, width * s.rows, "worker"), w.scratch(f32, s.rows, "worker"), w.scratch(f32, s.rows, "worker")
        zero = w.const(0.0, f32)
        known = {**self.element, score_of(self.body, self.score): zero, self.softmax.e: zero}
        self.wide = self.of_the_matrix((self.softmax.scores, self.product.inputs[matrix_side(self.body, self.product)]), known)
        self.copies = [w.scratch(f32, s.columns * s.rows, "worker") for _ in self.wide]
        self.keys = w.scratch(f32, self.depth * s.columns, "worker") if self.made(self.key) else None
        self.values = w.scratch(f32, self.width * s.columns, "worker") if self.made(self.value) else None

    def item(self) -> None:
        """A block of rows."""
        w = self.w
        with self.in_lanes():
            for sums, tops, totals in dict.fromkeys(((self.sums, self.tops, self.totals), self.far)):
                self.clear(sums, totals)
                w.store(tops, self.lane, w.const(-math.inf, f32))

        def after() -> None:
            with self.in_lanes():
                self.add_run()

        last = self.last()
        self.tiles(last, lambda step: self.step(step, last), after)
        with self.in_lanes():
            self.divide()

    def clear(self, sums: str, totals: str) -> None:
        """Begin sums."""
        w = self.w
        with w.loop("serial", self.width) as c:
            w.store(sums, self.at(c), w.const(0, f32))
        w.store(totals, self.lane, w.const(0, f32))

    def add_run(self) -> None:
        """Add the sums of a run to those of runs before it, scaled to the maxima of now."""
        w, (sums, tops, totals) = self.w, self.far
        top = self.load(self.tops, ZERO)
        scale = power(w, self.body, self.softmax, self.load(tops, ZERO), self.level(top))
        with w.loop("serial", self.width) as c:
            w.store(sums, self.at(c), w.fma(self.load(sums, c), scale, self.load(self.sums, c)))
        w.store(totals, self.lane, w.fma(self.load(totals, ZERO), scale, self.load(self.totals, ZERO)))
        w.store(tops, self.lane, top)
        self.clear(self.sums, self.totals)

    def level(self, top: Scalar) -> Scalar:
        """What is subtracted from a row's elements: 0 where nothing was found yet, so that all powers are 0."""
        return self.w.select(self.w.eq(top, -math.inf), self.w.const(0.0, f32), top)

    def step(self, step: Index, last: Index | Dim) -> None:
        """A tile."""
        base, count = ix.mul(step, self.s.columns), self.w.rest(step, self.s.columns, last)
        n = count if isinstance(count, Index) else ix.const(count)
        self.prepare(self.keys, self.key, self.depth, base, count)
        with self.in_lanes():
            self.all_scores(self.score, self.turned, self.keys, base, n, self.tile, ZERO)
        self.prepare(self.values, self.value, self.width, base, count)
        for (v, lead), copy in zip(self.wide, self.copies):
            self.turn_tile(v, lead, copy, base, count)
        with self.in_lanes():
            self.fold(base, n)

    def fold(self, base: Index, n: Index) -> None:
        """What a tile's elements are folded into, and what they are factors of."""
        w, s, soft = self.w, self.s, self.softmax
        new = w.acc(f32, -math.inf)
        score = score_of(self.body, self.score)
        with w.loop("serial", n, most=s.columns) as j:
            self.element[score] = raw = convert(w, self.load(self.tile, j), score.type.dtype)
            self.copied(self.wide, self.copies, base, j)
            x = self.inner.at(soft.scores, (*self.q, self.row, ix.add(base, j)))
            if x is not raw:
                w.store(self.tile, self.at(j), x)
            w.reduce((new,), "max", (x,))
        before = self.load(self.tops, ZERO)
        top = w.max(before, w.get_acc(new, f32))
        w.store(self.tops, self.lane, top)
        level = self.level(top)
        scale = power(w, self.body, soft, before, level)

        part = w.acc(f32, 0)
        with w.loop("serial", n, most=s.columns) as j:
            self.element[soft.e] = e = power(w, self.body, soft, self.load(self.tile, j), level)
            w.reduce((part,), "sum", (e,))
            self.copied(self.wide, self.copies, base, j)
            factor = self.inner.at(self.product.inputs[matrix_side(self.body, self.product)], (*self.q, self.row, ix.add(base, j)))
            w.store(self.tile, self.at(j), w.cast(factor, f32))
        w.store(self.totals, self.lane, w.fma(self.load(self.totals, ZERO), scale, w.get_acc(part, f32)))
        self.add_products(self.product, self.values, base, n, self.tile, self.sums, scale)

    def divide(self) -> None:
        """Divide sums of powers times something by the sums of powers."""
        w, (sums, tops, totals) = self.w, self.far
        share = w.div(w.const(1.0, f32), self.load(totals, ZERO))
        nothing = None if self.softmax.dead is None else w.eq(self.load(tops, ZERO), -math.inf)
        if not at_most(1, self.columns):
            none = w.le(w.index_value(ix.const(self.columns)), 0)
            nothing = none if nothing is None else w.or_(nothing, none)
        with w.loop("serial", self.width) as c:
            x = w.mul(self.load(sums, c), share)
            w.store(self.sums, self.at(c), x if nothing is None else w.select(nothing, w.const(0.0, f32), x))

    def statistics(self) -> None:
        """Store what is wanted of the rows' maxima and sums."""
        w, soft, (_, tops, totals) = self.w, self.softmax, self.far
        if not any(v in self.results for v in (soft.top, soft.total, soft.dead)):
            return
        with w.loop("serial", self.count, most=self.s.rows) as r:
            top, total = (w.load(x, r, f32, pinned=True) for x in (tops, totals))
            dead = w.eq(top, -math.inf)
            if soft.dead is not None:  # its elements are taken to be 0
                top = w.select(dead, w.const(0.0, f32), top)
                total = w.select(dead, w.cast(w.index_value(ix.const(self.columns)), f32), total)
            for v, x in ((soft.top, top), (soft.total, total), (soft.dead, dead)):
                if v is not None and v in self.results:
                    out: Value = self.results[v]
                    w.store(self.k.buffer(out, "w"), self.group.offset(out, (*self.q, ix.add(self.first, r), ZERO)), x)
