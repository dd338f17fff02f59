"""Writing the loops of products in tiles, and of the sums of parts of k; see products.py."""

from __future__ import annotations

from collections.abc import Callable

from ingot.backends.cuda import points
from ingot.backends.cuda.block_kernel import THREADS, BlockKernel
from ingot.backends.cuda.products import Product
from ingot.ir.graph import Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO, Point, delinear, linear
from ingot.ir.lower.cascade import run_of
from ingot.ir.lower.elements import Elements
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import Written
from ingot.ir.lower.small_loops import contraction, steps_at_a_point
from ingot.ir.lower.tiles.shape import shape_of
from ingot.ir.lower.writer import Scalar
from ingot.ir.ops.form import form_of
from ingot.ir.ops.scalars import convert
from ingot.ir.size import at_most, ceil_div, exactly
from ingot.ir.types import Dim, Shape, tensor_type

__all__ = ["emit"]

Check = Callable[[Node], int]
PAD = 4  # elements between the lines of a tile in shared memory, whose ends would fall into one bank


def emit(group: Group, s: Product, check: Check) -> list[Written]:
    """The kernel of a product, or the two of one in parts; none where there are no elements."""
    n = shape_of(group.nodes[0])
    if 0 in (n.batch, n.m, n.n):
        return []
    if n.k == 0:  # sums of nothing
        return points.emit(group, points.choose(group), check)
    if not s.twice:
        return [_Tiles(group, s, check, None).written()]
    sums = Value(tensor_type(n.dtype, (s.parts * n.batch * n.m * n.n,)))
    return [_Tiles(group, s, check, sums).written(), _Sums(group, s, check, sums).written()]


class _Kernel:
    """What both kernels need."""

    def __init__(self, name: str, group: Group, s: Product, check: Check, sums: Value | None):
        self.group, self.s, self.sums = group, s, sums
        self.k = BlockKernel(group, name, check)
        self.w = self.k.w
        self.form, self.n = form_of(group.nodes[0]), shape_of(group.nodes[0])

    def slot(self, part: Index, q: Index, m: Index, n: Index) -> Index:
        """Where the sum of a part lies in memory."""
        return linear((part, q, m, n), (self.s.parts, self.n.batch, self.n.m, self.n.n))

    def split(self, i: Index, dims: Shape) -> Point:
        """The point of a flat index; () where there are no dims."""
        return delinear(i, dims, self.w.ranges)

    def finish(self, x: Scalar, point: Point, mask: Scalar | None) -> None:
        """Apply what follows the contraction in its group, and store."""
        w, elements, out = self.w, self.k.elements(), self.group.nodes[0].outputs[0]
        result = convert(w, x, out.type.dtype)
        elements.known[out] = lambda idx: result
        for v in self.group.outputs:
            idx = tuple(ZERO if a is None else point[a] for a in self.group.maps[v])
            w.store(self.k.buffer(v, "w"), linear(idx, v.type.shape), elements.at(v, idx, mask), mask)


class _Tiles(_Kernel):
    """Tiles of the result: finished, or the sums of a part of k."""

    def __init__(self, group: Group, s: Product, check: Check, sums: Value | None):
        super().__init__("product", group, s, check, sums)
        self.rows = (self.n.m, s.tile[0], s.left_k)
        self.columns = (self.n.n, s.tile[1], s.right_k)

    def written(self) -> Written:
        """The kernel."""
        s, w, n = self.s, self.w, self.n
        bm, bn, bk = s.tile
        tiles_m, tiles_n = ceil_div(n.m, bm), ceil_div(n.n, bn)
        steps = ceil_div(n.k, bk)  # tiles along k
        per = ceil_div(steps, s.parts)
        left, right = (self.k.shared(n.dtype, 2 * bk * (side + PAD)) for side in (bm, bn))
        with self.k.grid(tiles_m * tiles_n * n.batch * s.parts, s.threads) as (g, t):
            self.thread = t
            tile_m, rest = ix.mod(g, tiles_m, w.ranges), ix.div(g, tiles_m, w.ranges)
            tile_n, rest = ix.mod(rest, tiles_n, w.ranges), ix.div(rest, tiles_n, w.ranges)
            batch, part = ix.mod(rest, n.batch, w.ranges), ix.div(rest, n.batch, w.ranges)
            q = self.split(batch, self.form.batch)
            first = ix.mul(part, per)
            count: Index | Dim = per
            if s.parts > 1:
                count = w.as_index(w.max(w.min(w.index_value(ix.sub(ix.const(steps), first)), w.index_value(ix.const(per))), 0))
            sides = ((left, self.rows, tile_m, self.left), (right, self.columns, tile_n, self.right))

            def read(at: Index) -> list[list[Scalar]]:
                """The thread's elements of both tiles of a step of k."""
                return [self.elements_of(q, side, tile, at, element) for _, side, tile, element in sides]

            def put(half: Index, read: list[list[Scalar]]) -> None:
                for (name, side, _, _), values in zip(sides, read):
                    for e, x in enumerate(values):
                        i, k = self.place(side, e)
                        w.store(name, ix.add(ix.mul(half, bk * (side[1] + PAD)), ix.add(ix.mul(k, side[1] + PAD), i)), x)

            rows, columns = self.own(bm, s.each[0], True), self.own(bn, s.each[1], False)
            accs = [[w.acc(n.dtype, 0) for _ in columns] for _ in rows]
            last = w.index_value(ix.sub(ix.add(first, count if isinstance(count, Index) else ix.const(count)), ix.const(1)))
            some = None if s.parts == 1 and at_most(1, n.k) else w.ge(last, w.index_value(first))
            if some is None:
                put(ZERO, read(first))
            else:
                with w.when(some):
                    put(ZERO, read(first))
            self.k.barrier()
            with w.loop("serial", count) as step:
                following = w.as_index(w.min(w.index_value(ix.add(ix.add(first, step), ix.const(1))), last))
                ahead = read(following)
                half = ix.mod(step, 2, w.ranges)
                with w.loop("unroll", bk) as k:
                    line = [ix.add(ix.mul(half, bk * (b + PAD)), ix.mul(k, b + PAD)) for b in (bm, bn)]
                    a = [w.load(left, ix.add(line[0], i), n.dtype, pinned=True) for i in rows]
                    b = [w.load(right, ix.add(line[1], j), n.dtype, pinned=True) for j in columns]
                    for some_accs, x in zip(accs, a):
                        for acc, y in zip(some_accs, b):
                            w.reduce((acc,), "fma", (x, y))
                put(ix.sub(ix.const(1), half), ahead)
                self.k.barrier()
            for i, some_accs in zip(rows, accs):
                for j, acc in zip(columns, some_accs):
                    self.store(w.get_acc(acc, n.dtype), part, batch, q, ix.add(ix.mul(tile_m, bm), i), ix.add(ix.mul(tile_n, bn), j))
        return self.k.finish(s, twice=True)

    def own(self, side: int, each: int, rows: bool) -> list[Index]:
        """The thread's rows or columns in the tile: fours of neighbours, so that a warp reads whole lines of shared memory."""
        across = self.s.tile[1] // self.s.each[1]
        t = (ix.div if rows else ix.mod)(self.thread, across, self.w.ranges)
        run = min(4, each)
        return [ix.add(ix.mul(t, run), ix.const(r // run * (side // (each // run)) + r % run)) for r in range(each)]

    def place(self, side: tuple[Dim, int, bool], e: int) -> tuple[Index, Index]:
        """The e-th element that the thread brings into a tile: its row or column there, and its step of k."""
        _, length, along_k = side
        at = ix.add(self.thread, ix.const(e * self.s.threads))
        inner = self.s.tile[2] if along_k else length
        outer, inside = ix.div(at, inner, self.w.ranges), ix.mod(at, inner, self.w.ranges)
        return (outer, inside) if along_k else (inside, outer)

    def elements_of(
        self, q: Point, side: tuple[Dim, int, bool], tile: Index, step: Index, element: Callable[[Point, Index, Index], Scalar]
    ) -> list[Scalar]:
        """The thread's elements of a tile at a step of k."""
        w, bk = self.w, self.s.tile[2]
        extent, length, _ = side
        out = []
        for e in range(length * bk // self.s.threads):
            i, k = self.place(side, e)
            i, k = ix.add(ix.mul(tile, length), i), ix.add(ix.mul(step, bk), k)
            if exactly(extent, length) is None:
                i = self.clamped(i, extent)
            inside = None
            if exactly(self.n.k, bk) is None:
                inside = w.lt(w.index_value(k), self.n.k)
                k = self.clamped(k, self.n.k)
            x = convert(w, element(q, i, k), self.n.dtype)
            out.append(x if inside is None else w.select(inside, x, w.const(0, x.dtype)))
        return out

    def clamped(self, i: Index, n: Dim) -> Index:
        """min(i, n - 1)."""
        w = self.w
        return w.as_index(w.min(w.index_value(i), w.index_value(ix.const(n - 1))))

    def left(self, q: Point, m: Index, k: Index) -> Scalar:
        """An element of the left operand."""
        f = self.form
        return f.a(self.k.elements(), q, self.split(m, f.m), self.split(k, f.k))

    def right(self, q: Point, n: Index, k: Index) -> Scalar:
        """An element of the right operand."""
        f = self.form
        return f.b(self.k.elements(), q, self.split(k, f.k), self.split(n, f.n))

    def store(self, x: Scalar, part: Index, batch: Index, q: Point, m: Index, n: Index) -> None:
        """Store a sum, where it is one of the result's."""
        w, f, (bm, bn, _) = self.w, self.form, self.s.tile
        mask = None
        for i, d, b in ((m, self.n.m, bm), (n, self.n.n, bn)):
            if exactly(d, b) is None:
                inside = w.lt(w.index_value(i), d)
                mask = inside if mask is None else w.and_(mask, inside)
        if self.sums is not None:
            w.store(self.k.buffer(self.sums, "w"), self.slot(part, batch, m, n), x, mask)
        else:
            self.finish(x, f.out(q, self.split(m, f.m), self.split(n, f.n)), mask)


class _Sums(_Kernel):
    """The sums of all parts, in order, and what follows from them; an element to a thread."""

    def __init__(self, group: Group, s: Product, check: Check, sums: Value):
        super().__init__("sums", group, s, check, sums)

    def written(self) -> Written:
        """The kernel."""
        w, f, n, s = self.w, self.form, self.n, self.s
        assert self.sums is not None
        name = self.k.buffer(self.sums, "r")
        node = self.group.nodes[0]

        def element(i: Index) -> None:
            batch, m, columns = delinear(i, (n.batch, n.m, n.n), w.ranges)
            acc = w.acc(n.dtype, 0)
            with w.loop("serial", s.parts) as part:
                w.reduce((acc,), "sum", (w.load(name, self.slot(part, batch, m, columns), n.dtype, pinned=True),))
            point = f.out(self.split(batch, f.batch), self.split(m, f.m), self.split(columns, f.n))
            if s.apart:  # zero times infinity, where zeros are no terms
                x = w.get_acc(acc, n.dtype)
                with w.when(w.ne(x, x)):
                    elements: Elements = self.k.elements()
                    elements.run = run_of(steps_at_a_point(node))
                    w.set_acc(acc, convert(w, contraction(elements, node, point), n.dtype))
            self.finish(w.get_acc(acc, n.dtype), point, None)

        self.k.each(n.batch * n.m * n.n, THREADS, element)
        return self.k.finish(s)


