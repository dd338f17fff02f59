"""Products whose items pack the part of B that they multiply with, into scratch that stays in the second cache.

A kernel of its own that packs all of B writes it to memory and reads it again: that costs as much as some tiles of rows. To read B where
it lies costs more still where it is read by several of them: a step of k is a row of B further, another page, and often the same set of the
caches. An item here takes all rows and some panels, whose columns lie together in memory, and some steps of k at a time; sums are kept
in scratch from one lot of steps to the next.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO, Point, delinear
from ingot.ir.lower.cascade import Steps
from ingot.ir.lower.tiles.copying import LoadA
from ingot.ir.lower.tiles.kernel import counted, single
from ingot.ir.lower.tiles.product import Product
from ingot.ir.lower.writer import Scalar
from ingot.ir.size import ceil_div, exactly
from ingot.ir.types import Dim

__all__ = ["LocalProduct"]


class LocalProduct(Product):
    """See the module. An item has all tiles of rows."""

    def item(self, i: Index, tiles: Dim, load: LoadA) -> None:
        """All rows times a block of panels."""
        f, s, w, n = self.form, self.s, self.w, self.n
        batch, block = counted(w, i, (n.batch, ceil_div(self.panels, s.block)))
        q = (ZERO,) * len(f.batch) if single(n.batch) else delinear(batch, f.batch, w.ranges)
        self.begins = ix.mul(block, s.block)
        self.name = w.scratch(n.dtype, s.block * s.pack.depth * s.pack.columns, "worker")
        self.lots = ceil_div(n.k, s.pack.depth)
        size = math.prod(s.tile) * s.pack.columns  # sums of a tile
        if self.lots != 1:
            self.sums_of_all = w.scratch(n.dtype, tiles * s.block * size, "worker")
            with w.loop("vector", tiles * s.block * size, s.pack.columns, True) as v:
                w.store(self.sums_of_all, v, w.const(0, n.dtype))

        def every(tile: Callable[[Point, Index | None, Index, Index], None]) -> None:
            with w.loop("serial", tiles) as t:
                corner, _, again = self.corner(t)
                with w.loop("serial", w.rest(block, s.block, self.panels)) as j:
                    tile(corner, again, ix.add(self.begins, j), ix.mul(ix.add(ix.mul(t, s.block), j), size))

        with w.loop("serial", self.lots) as lot:
            self.lot = lot
            self.pack(q)
            every(lambda corner, again, panel, at: self.lot_of(q, corner, again, panel, at, load))
        if self.lots != 1:
            every(lambda corner, again, panel, at: self.results(q, corner, again, panel, at))

    def pack(self, q: Point) -> None:
        """A lot of steps of k of a block's panels, which are read together. Behind the last panel is that one again."""
        w, s = self.w, self.s
        first = ix.mul(self.lot, s.pack.depth)

        def panel(j: int) -> Index:
            i = ix.add(self.begins, ix.const(j))
            if exactly(self.panels, s.block) is not None:
                return i
            return w.as_index(w.min(w.index_value(i), w.index_value(ix.const(self.panels - 1))))

        def steps(one: Callable[[Point], None]) -> None:
            with w.loop("serial", w.rest(self.lot, s.pack.depth, self.n.k), most=s.pack.depth) as k:
                one((ix.add(first, k),))

        behind = ix.mul(first, -s.pack.columns)  # so that the lot's first step is at the beginning
        some = [(panel(j), ix.add(ix.const(j * s.pack.depth * s.pack.columns), behind)) for j in range(s.block)]
        self.columns_of(self.name, q, some, steps)

    def lot_of(self, q: Point, corner: Point, again: Index | None, panel: Index, at: Index, load: LoadA) -> None:
        """A tile times a panel, over the steps of k that are packed."""
        size = self.s.tile
        rows = [self.row(size, corner, ix.const(r)) for r in range(math.prod(size))]

        def factors(m: Point, k: Point, b: Scalar) -> tuple[Scalar, Scalar]:
            return load(q, m, k), b

        if self.lots == 1:
            self.sums(q, rows, panel, ZERO, factors, row_at=lambda r: self.row(size, corner, r), again=again)
        else:
            self.sums(q, rows, panel, ZERO, factors, kept=(self.sums_of_all, at))

    def results(self, q: Point, corner: Point, again: Index | None, panel: Index, at: Index) -> None:
        """What follows the sums of a tile."""
        w, s, columns = self.w, self.s, self.s.pack.columns
        with w.loop("vector", columns, columns, True) as v:
            n_flat, mask = self.column(panel, v)
            rows = math.prod(s.tile)
            with w.loop("serial", rows if again is None else ix.sub(ix.const(rows), again), most=rows) as i:
                r = i if again is None else ix.add(i, again)
                x = w.load(self.sums_of_all, ix.add(at, ix.add(ix.mul(r, columns), v)), self.n.dtype, pinned=True)
                self.finish(x, q, self.row(s.tile, corner, r), n_flat, mask)

    def place(self, q: Point, panel: Index, k: Index) -> Index:
        depth, columns = self.s.pack.depth, self.s.pack.columns
        base = ix.mul(ix.sub(panel, self.begins), depth * columns)
        return ix.add(base, ix.mul(ix.sub(k, ix.mul(self.lot, depth)), columns))

    def over(self, part: Index) -> tuple[Index, list[Steps]]:
        depth, k = self.s.pack.depth, self.form.k[0]
        if self.lots == 1:
            return ZERO, [Steps(k)]
        return ix.mul(self.lot, depth), [Steps(depth, None if exactly(k, depth) is not None else self.w.rest(self.lot, depth, k))]

    def keep(self, kept: str, at: Index, x: Scalar) -> None:
        w = self.w
        w.store(kept, at, x if self.lots == 1 else w.add(w.load(kept, at, self.n.dtype, pinned=True), x))
