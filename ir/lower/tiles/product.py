"""Writing the product of a tiled contraction: tiles of rows and columns over all of k, and what follows them in their group."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

from ingot.ir import dtypes
from ingot.ir.graph import Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.ir import Transpose
from ingot.ir.loop.points import ZERO, Point, delinear, linear
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.cascade import Cascade, Steps
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import Written
from ingot.ir.lower.tiles.copying import LoadA, copy
from ingot.ir.lower.tiles.kernel import Check, TiledKernel, counted, single
from ingot.ir.lower.tiles.phases import Phase, phases
from ingot.ir.lower.tiles.schedule import Tiles
from ingot.ir.lower.writer import Scalar
from ingot.ir.ops.form import form_of
from ingot.ir.ops.scalars import convert
from ingot.ir.size import at_most, ceil_div, exactly, larger
from ingot.ir.types import Dim, Shape

__all__ = ["Product"]

_Row = Callable[[Shape, Point, Index], Point]
Factors = Callable[[Point, Point, Scalar], tuple[Scalar, Scalar]]  # what is multiplied for (m, k), given the element of B
LONG = 96  # instructions behind the sums of a tile, from which on they are written in a loop over its rows,
SHORT, STEPS = 30, 128  # and where a sum has so many steps that the way through memory is nothing beside them


class Product(TiledKernel):
    """packed: B in panels; None: it is read where it lies."""

    def __init__(self, group: Group, s: Tiles, check: Check, packed: Value | None):
        super().__init__("contraction", group, s, check)
        self.name = "" if packed is None else self.k.buffer(packed, "r")
        self.tail = s.tail_dim(group)
        self.parts = s.parts(group)
        self.begin(Phase(self.form.m, self.form.k))
        self.step = s.part(group)
        self.block = s.panels(self.panels, self.n.k)
        self.pitch = self.panels * s.pack.columns
        self.partial = ""

    def begin(self, phase: Phase) -> None:
        """Tiles are of the rows of a phase from here on."""
        s = self.s
        self.phase = phase
        self.m: Shape = (math.prod(phase.m),) if s.flat else phase.m  # the dims that tiles have
        self.corners = (s.tile[0] * s.together,) if s.turn else s.tile  # from a tile, or some together, to the next
        self.counts = [ceil_div(d, t) for d, t in zip(self.m, self.corners)]  # how many there are along each of them
        self.whole: Dim = 0  # of those along the dim that has tails
        if self.tail is not None:
            d, t = phase.m[self.tail], s.tile[self.tail]
            self.whole = d // t
            self.counts[self.tail] = self.whole + ceil_div(d - self.whole * t, s.tail)
        # rows that the last tile has again are not finished again where that is a loop over rows
        self.skips = self.tail is None and self.in_loop(math.prod(s.tile)) and all(c == 1 for c in self.corners[:-1]) and not s.turn

    def run(self) -> Written:
        s, w, n = self.s, self.w, self.n
        load = copy(self.k, s.copy) if s.copy is not None else self.in_place()
        if self.parts > 1:
            self.partial = w.scratch(n.dtype, larger(1, self.parts * n.batch * n.m * self.pitch), "kernel")
        for phase in phases(form_of(self.group.nodes[0])):
            self.begin(phase)
            tiles = math.prod(self.counts)
            items = n.batch * ceil_div(self.panels, self.block) * ceil_div(tiles, s.group)
            with w.loop("parallel" if s.parallel else "serial", items * self.parts) as i:
                self.item(i, tiles, load)
        if self.parts > 1:
            self.combine()
        return self.k.finish(s, twice=not self.once(), fixed=True)

    def once(self) -> bool:
        """Whether what follows the contraction is computed once for each element."""
        s, zeros = self.s, self.form.zeros
        if zeros is not None and not zeros.counted or len(phases(self.form)) > 1:
            return False
        if self.parts > 1:
            return True
        if self.tail is not None or s.pack.direct and exactly(self.n.n, s.pack.columns) is None:
            return False
        skips = [False] * (len(self.m) - 1) + [self.skips]
        return all(exactly(d, c) is not None or some and at_most(c, d) for d, c, some in zip(self.m, self.corners, skips))

    def in_loop(self, rows: int) -> bool:
        """Whether what follows the sums of so many rows is written once, in a loop over them."""
        zeros = self.form.zeros
        long = SHORT if assumed(self.n.k) >= STEPS else LONG
        return self.parts == 1 and rows > 2 and (zeros is None or zeros.counted) and self.behind() * rows >= long

    def item(self, i: Index, tiles: Dim, load: LoadA) -> None:
        """Some tiles of rows, each over a block of panels, over a part of k."""
        f, s, w, n = self.form, self.s, self.w, self.n
        # what a part of k reads stays in the caches while all tiles pass over it
        counts = (self.parts, n.batch, ceil_div(self.panels, self.block), ceil_div(tiles, s.group))
        part, batch, block, rows = counted(w, i, counts)
        q = (ZERO,) * len(f.batch) if single(n.batch) else delinear(batch, f.batch, w.ranges)
        with w.loop("serial", w.rest(rows, s.group, tiles)) as t:
            corner, tail, again = self.corner(ix.add(ix.mul(rows, s.group), t))
            here = self.gathered(q, corner) if s.gather else load
            with w.loop("serial", w.rest(block, self.block, self.panels)) as j:
                panel = ix.add(ix.mul(block, self.block), j)
                if s.turn:
                    self.turned(q, corner, panel, here)
                else:
                    self.tile(q, corner, tail, again, panel, part, here)

    def corner(self, tile: Index) -> tuple[Point, Scalar | None, Index | None]:
        """The first row of a tile in each dim of m. The last tile of a dim starts early and overlaps its neighbour instead of being
        masked: both write the same values, or it leaves those rows out. And, where a dim has tails, whether this is one; and how many rows
        are left out, where some may be."""
        w = self.w
        out: list[Index] = []
        tail = again = None
        for j, (t, d, size) in enumerate(zip(delinear(tile, tuple(self.counts), w.ranges), self.m, self.corners)):
            start = ix.mul(t, size)
            if j == self.tail:
                tail = w.ge(w.index_value(t), self.whole)
                behind = ix.add(ix.mul(t, self.s.tail), ix.const(self.whole * (size - self.s.tail)))
                start = w.as_index(w.select(tail, w.index_value(behind), w.index_value(start)))
            elif exactly(d, size) is None:
                last, begin = w.min(w.index_value(start), w.index_value(ix.const(d - size))), start
                start = w.as_index(last if at_most(size, d) else w.max(last, 0))
                if self.skips and at_most(size, d):
                    again = w.as_index(w.index_value(ix.sub(begin, start)))
            out.append(start)
        return tuple(out), tail, again

    # -- rows of A ---------------------------------------------------------------------------------------------------

    def in_place(self) -> LoadA:
        """A is read where it lies: to pack it as well cost more than it gained."""
        elements = self.k.elements()
        return lambda q, m, k: convert(self.w, self.form.a(elements, q, m, k), self.n.dtype)

    def gathered(self, q: Point, corner: Point) -> LoadA:
        """Copy a tile's rows, which lie across k in memory, to where the item's panels find them together.

        A step of k is a line of memory apart, at worst a page and in one set of the caches: each is read once then, not once
        for every panel.
        """
        f, w, dtype = self.form, self.w, self.n.dtype
        count = self.s.tile[-1]
        rows = w.scratch(dtype, count * self.n.k, "worker")
        width = 1 << (count - 1).bit_length()
        elements = self.k.elements()

        def step(k: Point) -> None:
            with w.loop("vector", count, width, count == width) as v:
                x = f.a(elements, q, (*corner[:-1], ix.add(corner[-1], v)), k)
                w.store(rows, ix.add(ix.mul(linear(k, f.k), count), v), convert(w, x, dtype))

        w.over(f.k, (), step)

        def load(q: Point, m: Point, k: Point) -> Scalar:
            row = ix.sub(m[-1], corner[-1])
            return w.load(rows, ix.add(ix.mul(linear(k, f.k), count), row), dtype, pinned=True)

        return load

    # -- a tile ------------------------------------------------------------------------------------------------------

    def tile(
        self, q: Point, corner: Point, tail: Scalar | None, again: Index | None, panel: Index, part: Index, load: LoadA
    ) -> None:  # fmt: skip
        """A tile of rows times a panel: in registers over a part of k, then finished or kept as a partial sum."""
        w, size = self.w, self.s.tile
        dims = enumerate(zip(size, self.m))
        few = [w.lt(w.index_value(ix.const(d)), t) for j, (t, d) in dims if j != self.tail and not at_most(t, d)]
        odd = reduce(w.or_, few if tail is None else [tail, *few]) if few or tail else None
        if odd is None:
            self.tile_of(size, self.row, q, corner, panel, part, load, again)
            return
        with w.when(w.not_(odd)):
            self.tile_of(size, self.row, q, corner, panel, part, load)
        with w.when(odd):
            if self.tail is not None and not few:
                size = (*size[: self.tail], self.s.tail, *size[self.tail + 1 :])
            self.tile_of(size, self.row_within, q, corner, panel, part, load)

    def tile_of(
        self, size: Shape, row: _Row, q: Point, corner: Point, panel: Index, part: Index, load: LoadA, again: Index | None = None
    ) -> None:  # fmt: skip
        """See `tile`. row(size, corner, r): a row of it."""
        w, zeros = self.w, self.form.zeros
        rows = [row(size, corner, ix.const(r)) for r in range(math.prod(size))]

        def factors(m: Point, k: Point, b: Scalar) -> tuple[Scalar, Scalar]:
            return load(q, m, k), b

        if zeros is None or zeros.counted:
            self.sums(q, rows, panel, part, factors, row_at=lambda r: row(size, corner, r), again=again)
            return
        nan = w.acc(dtypes.bool_, False)
        self.sums(q, rows, panel, part, factors, nan)
        self.again(nan, q, lambda r: row(size, corner, r), len(rows), panel, part, load)

    def again(self, nan: str, q: Point, row: Callable[[Index], Point], count: int, panel: Index, part: Index, load: LoadA) -> None:
        """Rows without the zeros among A that stand for no terms, where a sum is NaN: one of them may have met an infinity."""
        w, zeros = self.w, self.form.zeros
        assert zeros is not None

        def present(m: Point, k: Point, b: Scalar) -> tuple[Scalar, Scalar]:
            _, mask = zeros.inside(w, self.form.at_left(q, m, k), self.form.left.type.shape)
            return load(q, m, k), b if mask is None else w.select(mask, b, w.const(0, b.dtype))

        with w.when(w.get_acc(nan, dtypes.bool_)), w.loop("serial", count) as r:
            self.sums(q, [row(r)], panel, part, present)

    def turned(self, q: Point, corner: Point, panel: Index, load: LoadA) -> None:
        """Some tiles times a panel, whose results are transposed, so that they are finished row after row for each column."""
        w, s, d, columns, zeros = self.w, self.s, self.n.dtype, self.s.pack.columns, self.form.zeros
        count = s.tile[0] * s.together
        kept, turned = (w.scratch(d, count * columns, "worker") for _ in range(2))
        nan = None if zeros is None or zeros.counted else w.acc(dtypes.bool_, False)

        def factors(m: Point, k: Point, b: Scalar) -> tuple[Scalar, Scalar]:
            return load(q, m, k), b

        with w.loop("serial", s.together) as t:
            first = ix.mul(t, s.tile[0])
            rows = [self.row((count,), corner, ix.add(first, ix.const(r))) for r in range(s.tile[0])]
            self.sums(q, rows, panel, ZERO, factors, nan, kept=(kept, ix.mul(first, columns)))
        with w.loop("serial", count // s.turn) as a, w.loop("serial", columns // s.turn) as b:
            to = ix.add(ix.mul(b, s.turn * count), ix.mul(a, s.turn))
            w.append(Transpose(turned, to, count, kept, ix.add(ix.mul(a, s.turn * columns), ix.mul(b, s.turn)), columns, s.turn))
        with w.loop("serial", w.rest(panel, columns, self.n.n)) as c, w.loop("vector", count, s.turn, True) as v:
            x = w.load(turned, ix.add(ix.mul(c, count), v), d, pinned=True)
            self.finish(x, q, self.row((count,), corner, v), ix.add(ix.mul(panel, columns), c), None)
        if nan is not None:
            self.again(nan, q, lambda r: self.row((count,), corner, r), count, panel, ZERO, load)

    def row(self, size: Shape, corner: Point, r: Index) -> Point:
        """Row r of the tile at a corner."""
        point = tuple(ix.add(c, o) for c, o in zip(corner, delinear(r, size, self.w.ranges)))
        return self.phase.row(delinear(point[0], self.phase.m, self.w.ranges) if self.s.flat else point)

    def row_within(self, size: Shape, corner: Point, r: Index) -> Point:
        """Row r of a tile that may end behind a dim: the last row of the dim is all that are there."""
        w = self.w
        return tuple(
            i if j != self.tail and at_most(t, d) else w.as_index(w.min(w.index_value(i), w.index_value(ix.const(d - 1))))
            for j, (i, t, d) in enumerate(zip(self.row(size, corner, r), size, self.form.m))
        )  # fmt: skip

    def sums(
        self, q: Point, rows: list[Point], panel: Index, part: Index, factors: Factors, nan: str | None = None,
        row_at: Callable[[Index], Point] | None = None, kept: tuple[str, Index] | None = None, again: Index | None = None,
    ) -> None:  # fmt: skip
        """Some rows times a panel, over a part of k; `nan` is set where a sum is NaN.

        row_at: a row by its number. What follows is then written once for all of them where it is long, and the sums go through memory,
        which costs little beside it: code for each row takes LLVM most of the time for such a kernel.
        again: how many of them, the first ones, are left out there
        kept: the scratch that sums are left in, row after row, and where
        """
        f, s, w = self.form, self.s, self.w
        columns, elements = s.pack.columns, self.k.elements()
        in_loop = row_at is not None and self.in_loop(len(rows))
        if in_loop:
            kept = w.scratch(self.n.dtype, len(rows) * columns, "worker"), ZERO
        with w.loop("vector", columns, columns, True) as v:
            n_flat, mask = self.column(panel, v)

            def right(k: Point) -> Scalar:
                if s.pack.direct:
                    return f.b(elements, q, k, delinear(n_flat, f.n, w.ranges))
                return w.load(self.name, ix.add(self.place(q, panel, linear(k, f.k)), v), self.n.dtype)

            def fresh() -> list[str]:
                return [w.acc(self.n.dtype, 0) for _ in rows]

            def add(accs: list[str], part: list[str]) -> None:
                for acc, a in zip(accs, part):
                    w.reduce((acc,), "sum", (w.get_acc(a, self.n.dtype),))

            def step(accs: list[str], at: Point) -> None:
                k = self.phase.step((ix.add(first, at[0]), *at[1:]) if f.k else ())
                b = right(k)
                for acc, m in zip(accs, rows):
                    w.reduce((acc,), "fma", factors(m, k, b))

            accs, (first, loops) = fresh(), self.over(part)
            Cascade(w, s.run, fresh, add).over(loops, accs, step)
            for i, (acc, m) in enumerate(zip(accs, rows)):
                x = w.get_acc(acc, self.n.dtype)
                if nan is not None:
                    w.reduce((nan,), "or", (w.ne(x, x),))
                if kept is not None:
                    self.keep(kept[0], ix.add(kept[1], ix.add(v, ix.const(i * columns))), x)
                elif self.parts > 1:
                    w.store(self.partial, self.partial_at(part, q, m, n_flat), x)
                else:
                    self.finish(x, q, m, n_flat, mask)
            if in_loop:
                assert row_at is not None and kept is not None
                count = len(rows) if again is None else ix.sub(ix.const(len(rows)), again)
                with w.loop("serial", count, most=len(rows)) as left:
                    r = left if again is None else ix.add(left, again)
                    x = w.load(kept[0], ix.add(ix.mul(r, columns), v), self.n.dtype, pinned=True)
                    self.finish(x, q, row_at(r), n_flat, mask)

    def place(self, q: Point, panel: Index, k: Index) -> Index:
        """Where a step of k of a panel lies among those that are packed."""
        f = self.form
        base = self.panel_base(linear(tuple(q[d] for d in f.b_batch), tuple(f.batch[d] for d in f.b_batch)), panel)
        return ix.add(base, ix.mul(k, self.s.pack.columns))

    def over(self, part: Index) -> tuple[Index, list[Steps]]:
        """The first step of the first dim of k in a part, and the loops over its dims."""
        loops = [Steps(d) for d in self.phase.k]
        if self.parts == 1:
            return ZERO, loops
        return ix.mul(part, self.step), [Steps(self.step, self.w.rest(part, self.step, self.form.k[0])), *loops[1:]]

    def keep(self, kept: str, at: Index, x: Scalar) -> None:
        """Leave a sum in scratch."""
        self.w.store(kept, at, x)

    def behind(self) -> int:
        """About how many instructions follow a sum."""
        return sum(n.op.lowering.cost.instructions or 0 for n in self.group.nodes[1:])

    def partial_at(self, part: Index, q: Point, m: Point, n: Index) -> Index:
        """Where a partial sum lies in scratch."""
        f = self.form
        return ix.add(ix.mul(linear((part, *q, *m), (self.parts, *f.batch, *f.m)), self.pitch), n)

    def finish(self, x: Scalar, q: Point, m: Point, n_flat: Index, mask: Scalar | None) -> None:
        """Apply what follows the contraction in its group, and store."""
        w, f = self.w, self.form
        point = f.out(q, m, delinear(n_flat, f.n, w.ranges))
        self.k.store(convert(w, x, self.group.nodes[0].outputs[0].type.dtype), point, mask)

    # -- a long k ----------------------------------------------------------------------------------------------------

    def combine(self) -> None:
        """Sum the parts, then finish."""
        f, w, lines = self.form, self.w, self.s.combine
        assert lines is not None

        def row(i: Index) -> None:
            point = delinear(i, (*f.batch, *f.m), w.ranges)
            q, m = point[: len(f.batch)], point[len(f.batch) :]
            with w.loop("vector", self.n.n, lines.width, exactly(self.n.n, lines.width) is not None) as v:
                acc = w.acc(self.n.dtype, 0)
                with w.loop("serial", self.parts) as part:
                    w.reduce((acc,), "sum", (w.load(self.partial, self.partial_at(part, q, m, v), self.n.dtype, pinned=True),))
                self.finish(w.get_acc(acc, self.n.dtype), q, m, v, None)

        w.chunks(self.n.batch * self.n.m, lines.chunk, row)
