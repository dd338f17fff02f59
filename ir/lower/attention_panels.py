"""Gradients of attention on CPUs: a block of rows at a time, with all its columns in panels that stay in the second cache (attention.py).

What the matrix's elements are made of, what rows are summed up to, and products with what follows are one kernel, so that no product is
made twice. Columns are passed over a tile at a time, as often as sums of rows depend on each other: a pass makes the products that it
needs first and what of the elements is dear, and leaves what later passes read in a panel, a line of rows to a column; folds run along.
The last pass makes the factors of results. Those that have rows are finished with the block; those that are sums of rows are added to
with every block, by vectors along the result. An item does all blocks of a few rows' chunk of one matrix; where there are several chunks,
their sums are added up behind. Nothing depends on who does what, so bits are the same for any number of workers.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ingot.ir.dtypes import DType, f32
from ingot.ir.facts import Reduction
from ingot.ir.graph import Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.folds import Fold
from ingot.ir.loop.points import ZERO, Point, delinear
from ingot.ir.lower.attention import matrix_side, score_of
from ingot.ir.lower.attention_block import Block, one
from ingot.ir.lower.attention_passes import PanelPasses
from ingot.ir.lower.attention_schedule import SIDE, AttentionPanels
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import Written
from ingot.ir.lower.writer import Scalar
from ingot.ir.ops.form import form_of
from ingot.ir.ops.scalars import convert
from ingot.ir.size import ceil_div, exactly
from ingot.ir.types import Dim

__all__ = ["written"]


def written(group: Group, s: AttentionPanels, check: Callable[[Node], int]) -> Written:
    """The kernel."""
    return _Emission(group, s, check).written()


def _fold(n: Node) -> Fold:
    kind = n.op.lowering
    assert isinstance(kind, Reduction)
    return kind.fold


class _Emission(Block):
    def __init__(self, group: Group, s: AttentionPanels, check: Callable[[Node], int]):
        super().__init__(group, s, check)
        self.s: AttentionPanels = s
        self.passes = PanelPasses(self.body)
        self.known = (*self.passes.stored, *(n.outputs[0] for n in self.passes.folds))
        self.inner = self.inside(self.k)
        self.clamped = exactly(self.rows, s.rows) is None

    # -- what results are summed up in -------------------------------------------------------------------------------

    def width(self, product: Node) -> int:
        """Columns of a result."""
        f = form_of(product)
        return one(f.m if matrix_side(self.body, product) else f.n)

    def line(self, product: Node) -> int:
        """Elements of a line of sums, whole vectors."""
        return -(-self.width(product) // self.s.lanes) * self.s.lanes

    # -- the kernel --------------------------------------------------------------------------------------------------

    def written(self) -> Written:
        """The kernel."""
        s, w = self.s, self.w
        self.across = [n for n in self.parts.products if self.passes.sums_rows(n)]
        blocks = ceil_div(self.rows, s.rows)
        per = ceil_div(blocks, s.chunks) if self.across else 1
        chunks: Dim = s.chunks if self.across else blocks
        items = chunks * math.prod(self.parts.batch)
        sizes = {n: self.columns * self.line(n) for n in self.across}
        split = bool(self.across) and s.chunks > 1
        if split:
            self.partial = {n: w.scratch(f32, items * size, "kernel") for n, size in sizes.items()}
        with w.loop("parallel" if s.parallel else "serial", items) as g:
            chunk = ix.mod(g, chunks, w.ranges)
            self.q = delinear(ix.div(g, chunks, w.ranges), self.parts.batch, w.ranges)
            if s.diagonal:  # those with most to do come first
                chunk = ix.sub(ix.const(chunks - 1), chunk)
            self.near = {n: w.scratch(f32, size, "worker") for n, size in sizes.items() if not split or s.run_of_blocks}
            self.begin = {n: ZERO for n in self.across}
            self.far = dict(self.near)
            if split:
                self.far = self.partial
                self.begin = {n: ix.mul(g, size) for n, size in sizes.items()}
                self.near = self.near or self.far
            elif s.run_of_blocks:
                self.far = {n: w.scratch(f32, size, "worker") for n, size in sizes.items()}
            self.allocate()
            for n in self.across:
                self.clear_columns(self.far[n], self.begin[n], n)
                if s.run_of_blocks:
                    self.clear_columns(self.near[n], ZERO, n)
            self.chunk(chunk, per, w.rest(chunk, per, blocks) if self.across else 1)
            if not split:
                for n in self.across:
                    self.write_columns(n, [(self.far[n], ZERO)], ZERO, self.columns)
        if split:
            self.add_chunks(sizes)
        return self.k.finish(s, twice=True, fixed=True)

    def chunk(self, chunk: Index, per: Dim, count: Index | Dim) -> None:
        """The blocks of a chunk."""
        s, w = self.s, self.w

        def block(i: Index) -> None:
            at = ix.add(ix.mul(chunk, per), i)
            self.first = ix.mul(at, s.rows)
            self.count = w.rest(at, s.rows, self.rows)
            self.block()

        if not self.across:
            block(ZERO)
            return
        run = s.run_of_blocks
        if not run:
            with w.loop("serial", count, most=per) as i:
                block(i)
            return
        runs = ix.div(ix.add(count, ix.const(run - 1)), run) if isinstance(count, Index) else ceil_div(count, run)
        with w.loop("serial", runs, most=ceil_div(per, run)) as r:
            with w.loop("serial", w.rest(r, run, count), most=run) as i:
                block(ix.add(ix.mul(r, run), i))
            for n in self.across:
                self.add_run_of_blocks(n)

    def allocate(self) -> None:
        """Scratch of a worker."""
        s, w, p = self.s, self.w, self.passes
        depths = {n: -(-one(form_of(n).k) // SIDE) * SIDE for n in p.scores}
        widths = {n: -(-self.width(n) // SIDE) * SIDE for n in self.parts.products}
        self.lines = w.scratch(f32, max(*depths.values(), *widths.values(), s.columns) * s.rows, "worker")
        self.turned = {n: w.scratch(f32, d * s.rows, "worker") for n, d in depths.items()}
        whole = ceil_div(self.columns, s.columns) * s.columns
        self.scratch: dict[Value, str] = {}
        for v in p.stored:
            dtype = f32 if v in p.score else v.type.dtype
            self.scratch[v] = w.scratch(dtype, (whole if p.in_panel(v) else s.columns) * s.rows, "worker")
        self.statistics = {n: w.scratch(_fold(n).accumulators(n.inputs[0].type.dtype)[0], s.rows, "worker") for n in p.folds}
        self.stretch = {n: w.scratch(f32, s.rows, "worker") for n in p.folds if s.run and p.rounds(n)}
        self.tile = {v: w.scratch(f32, s.columns * s.rows, "worker") for v in p.factors}
        self.sums: dict[Node, str] = {}
        self.sums_of_run: dict[Node, str] = {}
        self.other: dict[Node, str] = {}
        for n in self.parts.products:
            if n in self.across:
                self.other[n] = w.scratch(f32, self.line(n) * s.rows, "worker")
            else:
                self.sums[n] = w.scratch(f32, widths[n] * s.rows, "worker")
                self.sums_of_run[n] = w.scratch(f32, widths[n] * s.rows, "worker") if s.run else self.sums[n]
        keys = {n: (self.key_of(n), one(form_of(n).k)) for n in p.scores}
        values = {n: (self.value_of(n), self.width(n)) for n in self.sums}
        self.prepared: dict[Node, str | None] = {}
        for n, (factor, length) in (keys | values).items():
            self.prepared[n] = w.scratch(f32, length * s.columns, "worker") if self.made(factor) else None
        self.wide = [self.of_the_matrix(p.wanted(k), {v: self.w.const(0, v.type.dtype) for v in p.given(k)}) for k in range(p.count)]
        self.copies = [w.scratch(f32, s.columns * s.rows, "worker") for _ in range(max(map(len, self.wide)))]

    def block(self) -> None:
        """A block of rows."""
        w, p = self.w, self.passes
        for n in p.scores:
            self.read(n, self.turned[n])
        for n in self.across:
            self.read_other(n)
        with self.in_lanes():
            for n in p.folds:
                (first, *_) = _fold(n).initial(n.inputs[0].type.dtype)
                w.store(self.statistics[n], self.lane, w.const(first, _fold(n).accumulators(n.inputs[0].type.dtype)[0]))
                if n in self.stretch:
                    w.store(self.stretch[n], self.lane, w.const(0.0, f32))
            for n, sums in self.sums.items():
                for name in dict.fromkeys((sums, self.sums_of_run[n])):
                    self.clear(name, self.width(n))
        last = self.last()
        for k in range(p.count):
            self.tiles(last, lambda t, k=k: self.step(k, t, last), lambda k=k: self.after_run(k))  # type: ignore[misc]
        for n, sums in self.sums.items():
            self.write(n, sums, self.width(n))

    def clear(self, name: str, lines: int) -> None:
        """Lines of zeros."""
        with self.w.loop("serial", lines) as c:
            self.w.store(name, self.at(c), self.w.const(0.0, f32))

    def after_run(self, k: int) -> None:
        """Add what a run of tiles was summed up to to what runs before it were."""
        w = self.w
        with self.in_lanes():
            for n in self.passes.folds_of(k):
                if n in self.stretch:
                    w.store(self.statistics[n], self.lane, w.add(self.load(self.statistics[n], ZERO), self.load(self.stretch[n], ZERO)))
                    w.store(self.stretch[n], self.lane, w.const(0.0, f32))
            if k == self.passes.count - 1:
                for n, sums in self.sums.items():
                    with w.loop("serial", self.width(n)) as c:
                        w.store(sums, self.at(c), w.add(self.load(sums, c), self.load(self.sums_of_run[n], c)))
                    self.clear(self.sums_of_run[n], self.width(n))

    # -- a tile ------------------------------------------------------------------------------------------------------

    def step(self, k: int, t: Index, last: Index | Dim) -> None:
        """A tile in a pass."""
        w, s, p = self.w, self.s, self.passes
        base, count = ix.mul(t, s.columns), w.rest(t, s.columns, last)
        n = count if isinstance(count, Index) else ix.const(count)
        for score in p.scores:
            v = score_of(self.body, score)
            if p.first(v) == k:
                self.prepare(self.prepared[score], self.key_of(score), one(form_of(score).k), base, count)
                with self.in_lanes():
                    at = base if p.in_panel(v) else ZERO
                    self.all_scores(score, self.turned[score], self.prepared[score], base, n, self.scratch[v], at)
        for (v, lead), copy in zip(self.wide[k], self.copies):
            self.turn_tile(v, lead, copy, base, count)
        with self.in_lanes():
            self.elements(k, base, n)
        if k < p.count - 1:
            return
        for product in self.parts.products:
            tile = self.tile[p.factor(product)]
            if product in self.sums:
                self.prepare(self.prepared[product], self.value_of(product), self.width(product), base, count)
                with self.in_lanes():
                    self.add_products(product, self.prepared[product], base, n, tile, self.sums_of_run[product])
            else:
                self.add_columns(product, base, n, tile)

    def elements(self, k: int, base: Index, n: Index) -> None:
        """What of a tile's elements a pass folds, keeps, and makes factors of."""
        w, p = self.w, self.passes
        folds = p.folds_of(k)
        accs = {f: w.acc(*self.begun(f)) for f in folds}
        before = dict(self.element)
        for f in p.folds:
            if p.fold_pass(f) < k:
                dtype = _fold(f).accumulators(f.inputs[0].type.dtype)[0]
                x = w.load(self.statistics[f], self.lane, dtype, pinned=True)
                self.element[f.outputs[0]] = convert(w, x, f.outputs[0].type.dtype)
        there = None
        if self.clamped and k == p.count - 1 and self.across:
            there = w.lt(w.index_value(ix.add(self.first, self.lane)), w.index_value(ix.const(self.rows)))
        with w.loop("serial", n, most=self.s.columns) as j:
            column = ix.add(base, j)
            point: Point = (*self.q, self.row, column)
            self.copied(self.wide[k], self.copies, base, j)
            for v in p.given(k):
                if v in self.scratch:
                    dtype = f32 if v in p.score else v.type.dtype
                    x = w.load(self.scratch[v], self.at(column if p.in_panel(v) else j), dtype, pinned=True)
                    self.element[v] = convert(w, x, v.type.dtype)
            stores = [(self.scratch[v], self.at(column), self.inner.at(v, point)) for v in p.kept_by(k)]
            for f, acc in accs.items():
                w.reduce((acc,), _fold(f).name, (self.accumulated(f, self.inner.at(f.inputs[0], point)),))
            if k == p.count - 1:
                for v, tile in self.tile.items():
                    x = w.cast(self.inner.at(v, point), f32)
                    x = x if there is None else w.select(there, x, w.const(0.0, f32))
                    stores.append((tile, self.at(j), x))
            for name, at, x in stores:
                w.store(name, at, x)
        for f, acc in accs.items():
            x = w.get_acc(acc, self.begun(f)[0])
            name = self.stretch.get(f, self.statistics[f])
            (x, *_) = _fold(f).combine(w, (w.load(name, self.lane, x.dtype, pinned=True),), (x,))
            w.store(name, self.lane, x)
        self.element = before

    def begun(self, f: Node) -> tuple[DType, bool | int | float]:
        """The dtype of a fold's accumulator, and what it begins with."""
        dtype = f.inputs[0].type.dtype
        return _fold(f).accumulators(dtype)[0], _fold(f).neutral(dtype)[0]

    def accumulated(self, f: Node, x: Scalar) -> Scalar:
        return self.w.cast(x, self.begun(f)[0])

    # -- sums of rows ------------------------------------------------------------------------------------------------

    def read_other(self, product: Node) -> None:
        """The operand of a product that has the block's rows; 0 in rows that are not there."""
        w, f, side = self.w, form_of(product), matrix_side(self.body, product)
        line, n = self.line(product), self.width(product)

        def element(r: Index, v: Index) -> None:
            row = ix.add(self.first, r)
            x = f.a(self.inner, self.q, (v,), (row,)) if side else f.b(self.inner, self.q, (row,), (v,))
            w.store(self.other[product], ix.add(ix.mul(r, line), v), w.cast(x, f32))

        if self.clamped:
            with w.loop("vector", self.s.rows * line, self.s.lanes, True) as v:
                w.store(self.other[product], v, w.const(0.0, f32))
        self.along(n, n, element)

    def add_columns(self, product: Node, base: Index, n: Index, tile: str) -> None:
        """What a tile's rows make of the lines of a result that its columns are."""
        w, s, per, line = self.w, self.s, self.s.at_once, self.line(product)
        other, sums = self.other[product], self.near[product]
        begin = ZERO if self.near[product] != self.far[product] else self.begin[product]

        def some(column: Index, count: int) -> None:
            with w.loop("vector", line, s.lanes, True) as v:
                accs = [w.acc(f32, 0) for _ in range(count)]
                with w.loop("serial", s.rows) as r:
                    x = w.load(other, ix.add(ix.mul(r, line), v), f32, pinned=True)
                    for j, acc in enumerate(accs):
                        y = w.load(tile, ix.add(ix.mul(ix.add(column, ix.const(j)), s.rows), r), f32, pinned=True)
                        w.reduce((acc,), "fma", (y, x))
                for j, acc in enumerate(accs):
                    at = ix.add(begin, ix.add(ix.mul(ix.add(base, ix.add(column, ix.const(j))), line), v))
                    w.store(sums, at, w.add(w.load(sums, at, f32, pinned=True), w.get_acc(acc, f32)))

        with w.loop("serial", ix.div(n, per), most=s.columns // per) as t:
            some(ix.mul(t, per), per)
        if exactly(self.columns, per) is None:
            whole = ix.mul(ix.div(n, per), per)
            with w.loop("serial", ix.sub(n, whole), most=per - 1) as t:
                some(ix.add(whole, t), 1)

    def clear_columns(self, name: str, begin: Index, product: Node) -> None:
        """Begin the sums of rows."""
        w = self.w
        with w.loop("vector", self.columns * self.line(product), self.s.lanes, True) as v:
            w.store(name, ix.add(begin, v), w.const(0.0, f32))

    def add_run_of_blocks(self, product: Node) -> None:
        """Add what a run of blocks was summed up to to what runs before it were."""
        w, near, far = self.w, self.near[product], self.far[product]
        with w.loop("vector", self.columns * self.line(product), self.s.lanes, True) as v:
            at = ix.add(self.begin[product], v)
            w.store(far, at, w.add(w.load(far, at, f32, pinned=True), w.load(near, v, f32, pinned=True)))
            w.store(near, v, w.const(0.0, f32))

    def write_columns(self, product: Node, sums: list[tuple[str, Index]], first: Index, count: Index | Dim) -> None:
        """Store lines of a result: what the sums that begin at those places in scratch add up to."""
        w, f, side = self.w, form_of(product), matrix_side(self.body, product)
        out, line, width = self.results[product.outputs[0]], self.line(product), self.width(product)
        step = max(SIDE, self.s.lanes // 2)
        with w.loop("serial", count, most=self.columns) as i, w.loop("vector", width, step, width % step == 0) as c:
            j = ix.add(first, i)
            at = ix.add(ix.mul(j, line), c)
            xs = [w.load(name, ix.add(begin, at), f32, pinned=True) for name, begin in sums]
            x = xs[0]
            for y in xs[1:]:
                x = w.add(x, y)
            point: Point = f.out(self.q, (c,), (j,)) if side else f.out(self.q, (j,), (c,))
            w.store(self.k.buffer(out, "w"), self.group.offset(out, point), convert(w, x, out.type.dtype))

    def add_chunks(self, sizes: dict[Node, Dim]) -> None:
        """The sums of all chunks together."""
        w, s = self.w, self.s
        spans = ceil_div(self.columns, s.columns)
        with w.loop("parallel" if s.parallel else "serial", spans * math.prod(self.parts.batch)) as g:
            span, matrix = ix.mod(g, spans, w.ranges), ix.div(g, spans, w.ranges)
            self.q = delinear(matrix, self.parts.batch, w.ranges)
            for n, size in sizes.items():
                begin = ix.mul(ix.mul(matrix, s.chunks), size)
                sums = [(self.partial[n], ix.add(begin, ix.mul(ix.const(c), size))) for c in range(s.chunks)]
                self.write_columns(n, sums, ix.mul(span, s.columns), w.rest(span, s.columns, self.columns))
