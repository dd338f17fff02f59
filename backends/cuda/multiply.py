"""Products in tiles by multiplications of every thread, in the precision of the sums; and what becomes of any product's schedule."""

from __future__ import annotations

from ingot.backends.cuda import points
from ingot.backends.cuda.fragments import FragmentTiles
from ingot.backends.cuda.product_tiles import Check, Side, Sums, Tiles
from ingot.backends.cuda.products import Fragments, InTiles, Product, Warpgroups
from ingot.backends.cuda.warpgroups import WarpgroupTiles
from ingot.ir.graph import Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import Point
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import Written
from ingot.ir.lower.tiles.shape import shape_of
from ingot.ir.lower.writer import Scalar
from ingot.ir.types import tensor_type

__all__ = ["emit"]

PAD = 4  # elements between the lines of a tile in shared memory, whose ends would fall into one bank
RUN = 4  # neighbours that a thread reads


def emit(group: Group, s: InTiles, check: Check) -> list[Written]:
    """The kernel of a product, or the two of one in parts; none where there are no elements."""
    n = shape_of(group.nodes[0])
    if 0 in (n.batch, n.m, n.n):
        return []
    if n.k == 0:  # sums of nothing
        return points.emit(group, points.choose(group), check)
    sums = Value(tensor_type(n.dtype, (s.parts * n.batch * n.m * n.n,))) if s.twice else None
    first: Tiles
    if isinstance(s, Warpgroups):
        first = WarpgroupTiles(group, s, check, sums)
    elif isinstance(s, Fragments):
        first = FragmentTiles(group, s, check, sums)
    else:
        assert isinstance(s, Product)
        first = ThreadTiles(group, s, check, sums)
    return [first.written()] if sums is None else [first.written(), Sums(group, s, check, sums).written()]


class ThreadTiles(Tiles):
    """Tiles of which each thread has some rows and columns."""

    s: Product

    def __init__(self, group: Group, s: Product, check: Check, sums: Value | None):
        super().__init__(group, s, check, sums)

    def shared_tiles(self) -> list[str]:
        """Shared memory for the tiles of each operand: a line for each step of k."""
        bm, bn, bk = self.s.tile
        return [self.k.shared(self.n.dtype, self.s.stages * bk * (side + PAD)) for side in (bm, bn)]

    def places(self, side: Side) -> list[tuple[Index, Index]]:
        """The thread's places in a tile: row or column, and step of k. A few are neighbours, as memory lies."""
        s, w = self.s, self.w
        count = side.length * s.tile[2] // s.threads
        run = min(RUN, count)
        inner = (s.tile[2] if side.along_k else side.length) // run
        out = []
        for e in range(count):
            at = ix.add(self.thread, ix.const(e // run * s.threads))
            outer = ix.div(at, inner, w.ranges)
            inside = ix.add(ix.mul(ix.mod(at, inner, w.ranges), run), ix.const(e % run))
            out.append((outer, inside) if side.along_k else (inside, outer))
        return out

    def read(self, q: Point, side: Side, tile: Index, step: Index) -> list[Scalar]:
        """The thread's elements of a tile at a step of k."""
        at = [(ix.add(ix.mul(tile, side.length), i), ix.add(ix.mul(step, self.s.tile[2]), k)) for i, k in self.places(side)]
        return [self.element(q, side, i, k, self.n.dtype) for i, k in at]

    def put(self, side: Side, name: str, slot: Index, values: list[Scalar]) -> None:
        """Store them in a slot of shared memory."""
        line = side.length + PAD
        for (i, k), x in zip(self.places(side), values):
            self.w.store(name, ix.add(ix.mul(slot, self.s.tile[2] * line), ix.add(ix.mul(k, line), i)), x)

    def begin(self) -> None:
        """The thread's rows, columns and sums."""
        (bm, bn, _), (tm, tn) = self.s.tile, self.s.each
        self.rows, self.columns = self.own(bm, tm, True), self.own(bn, tn, False)
        self.accs = [[self.w.acc(self.n.dtype, 0) for _ in self.columns] for _ in self.rows]

    def own(self, side: int, each: int, rows: bool) -> list[Index]:
        """The thread's rows or columns in the tile: fours of neighbours, so that a warp reads whole lines of shared memory."""
        across = self.s.tile[1] // self.s.each[1]
        t = (ix.div if rows else ix.mod)(self.thread, across, self.w.ranges)
        run = min(4, each)
        return [ix.add(ix.mul(t, run), ix.const(r // run * (side // (each // run)) + r % run)) for r in range(each)]

    def multiply(self, names: list[str], slot: Index) -> None:
        """Add the products of a tile to the sums."""
        w, (bm, bn, bk) = self.w, self.s.tile
        with w.loop("unroll", bk) as k:

            def line(name: str, length: int, own: list[Index]) -> list[Scalar]:
                base = ix.mul(ix.add(ix.mul(slot, bk), k), length + PAD)
                return [w.load(name, ix.add(base, i), self.n.dtype, pinned=True) for i in own]

            a, b = line(names[0], bm, self.rows), line(names[1], bn, self.columns)
            for accs, x in zip(self.accs, a):
                for acc, y in zip(accs, b):
                    w.reduce((acc,), "fma", (x, y))

    def results(self) -> list[tuple[Scalar, Index, Index]]:
        """The thread's sums, with the row and column of each in the tile."""
        every = ((acc, i, j) for accs, i in zip(self.accs, self.rows) for acc, j in zip(accs, self.columns))
        return [(self.w.get_acc(acc, self.n.dtype), i, j) for acc, i, j in every]
