"""Packing B into panels: by squares that are transposed where its elements lie together along k, else by columns."""

from __future__ import annotations

from functools import reduce

from ingot.ir.graph import Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.ir import Transpose
from ingot.ir.loop.points import ZERO, Point, delinear
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import Written
from ingot.ir.lower.tiles.kernel import Check, TiledKernel, counted, single
from ingot.ir.lower.tiles.schedule import SQUARES, Tiles
from ingot.ir.lower.tiles.shape import coefficient, right_of
from ingot.ir.size import ceil_div, exactly
from ingot.ir.types import Dim

__all__ = ["Packing"]


class Packing(TiledKernel):
    """The kernel that packs B, apart, so that a loop whose B stays the same packs it once."""

    def __init__(self, group: Group, s: Tiles, check: Check, packed: Value):
        super().__init__("pack", group, s, check)
        self.name = self.k.buffer(packed, "w", noalias=True)

    def run(self) -> Written:
        k = self.form.k
        if self.s.pack.turn:
            blocks = ceil_div(self.n.k, SQUARES * self.s.pack.turn)
            self.w.chunks(self.n.b_batch * self.panels * blocks, self.s.pack.chunk, lambda i: self.squares(i, blocks))
            return self.k.finish(self.s.pack, twice=True)
        lines = self.n.b_batch * self.panels * (k[0] if k else 1)
        self.w.chunks(lines, self.s.pack.chunk, self.line)
        return self.k.finish(self.s.pack)

    def squares(self, i: Index, blocks: Dim) -> None:
        """Some steps of k of one panel, by squares of B that are transposed; the last one begins early, and overlaps its neighbour."""
        f, w, n, side, columns = self.form, self.w, self.n, self.s.pack.turn, self.s.pack.columns
        right = right_of(self.group)
        assert right is not None
        source = self.k.buffer(right.value, "r")
        batch, panel, block = counted(w, i, (n.b_batch, self.panels, blocks))
        q = self.batch_point(batch)
        base = self.panel_base(ZERO if single(n.b_batch) else batch, panel)

        def at(k: Index, column: Index) -> Index:
            terms = [ix.mul(x, coefficient(right.where, f"q{j}")) for j, x in enumerate(q)]
            return reduce(ix.add, (*terms, ix.mul(k, right.steps), ix.mul(column, right.columns)), Index(right.where.const, ()))

        def whole() -> None:
            steps = w.rest(block, SQUARES * side, n.k)
            count = ix.div(ix.add(steps, ix.const(side - 1)), side) if isinstance(steps, Index) else ceil_div(steps, side)
            with w.loop("serial", count) as s:
                first = ix.add(ix.mul(block, SQUARES * side), ix.mul(s, side))
                if exactly(n.k, side) is None:
                    first = w.as_index(w.min(w.index_value(first), w.index_value(ix.const(n.k - side))))
                to = ix.add(base, ix.mul(first, columns))
                with w.loop("serial", columns // side) as c:
                    source_at = at(first, ix.add(ix.mul(panel, columns), ix.mul(c, side)))
                    w.append(Transpose(self.name, ix.add(to, ix.mul(c, side)), columns, source, source_at, right.columns, side))

        def rest() -> None:
            with w.loop("serial", w.rest(block, SQUARES * side, n.k)) as s:
                k0 = ix.add(ix.mul(block, SQUARES * side), s)
                self.columns_of(self.name, q, [(panel, base)], lambda one: one(delinear(k0, f.k, w.ranges)))

        if exactly(n.n, columns) is not None:
            whole()
            return
        full = w.le(w.index_value(ix.add(ix.mul(panel, columns), ix.const(columns))), n.n)
        with w.when(full):
            whole()
        with w.when(w.not_(full)):
            rest()

    def batch_point(self, batch: Index) -> Point:
        """The batch dims of an item of B."""
        f = self.form
        q = [ZERO] * len(f.batch)
        if not single(self.n.b_batch):
            for d, x in zip(f.b_batch, delinear(batch, tuple(f.batch[d] for d in f.b_batch), self.w.ranges)):
                q[d] = x
        return tuple(q)

    def line(self, i: Index) -> None:
        """All but the first dim of k of one panel."""
        f, w, n = self.form, self.w, self.n
        batch, panel, k0 = counted(w, i, (n.b_batch, self.panels, f.k[0] if f.k else 1))
        base = self.panel_base(ZERO if single(n.b_batch) else batch, panel)
        self.columns_of(self.name, self.batch_point(batch), [(panel, base)], lambda one: w.over(f.k[1:], (k0,) if f.k else (), one))
