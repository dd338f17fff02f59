"""A block of rows of attention's matrix on CPUs, one row to a lane: what its kernels share (attention_rows.py, attention_panels.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from ingot.ir import dtypes
from ingot.ir.dtypes import Half, f32
from ingot.ir.graph import Graph, Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.ir import Load, Transpose
from ingot.ir.loop.points import Point
from ingot.ir.loop.walk import statements
from ingot.ir.lower.attention import matrix_side, parts_of
from ingot.ir.lower.attention_schedule import SIDE, AttentionPanels, AttentionRows
from ingot.ir.lower.elements import CalledElements, Elements
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, no_code
from ingot.ir.lower.writer import Scalar
from ingot.ir.ops.form import form_of
from ingot.ir.ops.scalars import convert
from ingot.ir.size import ceil_div, exactly
from ingot.ir.types import Dim, Shape

__all__ = ["Block", "Factor", "one"]

Factor = Callable[[Elements, Index, Index], Scalar]  # its element for a column of the matrix and a step or column of the result


def one(dims: Shape) -> int:
    """A single dim, which is known (attention.py)."""
    (d,) = dims
    assert isinstance(d, int)
    return d


class _Inside(CalledElements):
    """Elements of which some inputs' have been copied; says which are asked for."""

    def __init__(self, outer: Elements, group: Group):
        super().__init__(outer, group)
        self.copied: dict[tuple[Value, Point], Scalar] = {}
        self.asked: dict[Value, set[Point | None]] = {}  # None: under a mask

    def input(self, value: Value, idx: Point, mask: Scalar | None) -> Scalar:
        self.asked.setdefault(value, set()).add(idx if mask is None else None)
        found = self.copied.get((value, idx)) if mask is None else None
        return super().input(value, idx, mask) if found is None else found


class Block:
    """Writes code for blocks of rows.

    known    the values of which the kernel says what an element is, while it is written
    inner    the elements of the graph that is called
    q, first which matrix the block is of, and its first row
    clamped  a block may have rows that are not there
    lines    scratch for as many elements as its rows have
    """

    known: Iterable[Value]
    inner: _Inside
    q: Point
    first: Index
    clamped: bool
    lines: str

    def __init__(self, group: Group, s: AttentionRows | AttentionPanels, check: Callable[[Node], int]):
        self.group, self.s = group, s
        (node,) = group.nodes
        self.body: Graph = node.attrs[0]
        self.results = dict(zip(self.body.outputs, node.outputs))
        self.parts = parts_of(self.body)
        self.rows, self.columns = self.parts.extents
        self.k = GroupKernel(group, "attention", check)
        self.w = self.k.w
        self.element: dict[Value, Scalar] = {}  # what is known of the element that is being written
        self.count: Index | Dim = s.rows  # rows of the block

    def inside(self, k: GroupKernel) -> _Inside:
        """The elements of the graph that is called, in a kernel."""
        e = _Inside(k.elements(), self.group)
        for v in self.known:
            e.known[v] = lambda idx, v=v: self.element.get(v)  # type: ignore[misc]
        return e

    # -- factors -----------------------------------------------------------------------------------------------------

    def key_of(self, score: Node) -> Factor:
        """The factor of a score that has no rows."""
        return lambda e, column, k: form_of(score).b(e, self.q, (k,), (column,))

    def value_of(self, product: Node) -> Factor:
        """The factor of a result that has no rows."""
        f = form_of(product)
        if matrix_side(self.body, product):
            return lambda e, column, c: f.a(e, self.q, (c,), (column,))
        return lambda e, column, c: f.b(e, self.q, (column,), (c,))

    def made(self, factor: Factor) -> bool:
        """Whether a factor's elements are made by more than a load, so that a tile of them is made once; found by writing one."""
        k = GroupKernel(self.group, "trial", no_code)
        k.w.ranges.update(self.w.ranges)
        factor(self.inside(k), ix.var("column"), ix.var("k"))
        body = k.w.finish().body
        return len(body) != 1 or not isinstance(body[0], Load) or k.w.buffers[body[0].buf].dtype is not f32

    def prepare(self, to: str | None, factor: Factor, length: int, base: Index, count: Index | Dim) -> None:
        """Make a tile of a factor, where that is more than loads."""
        w = self.w
        if to is not None:
            width = max(SIDE, self.s.lanes // 2)
            with w.loop("serial", count, most=self.s.columns) as j, w.loop("vector", length, width, length % width == 0) as v:
                w.store(to, ix.add(ix.mul(j, length), v), w.cast(factor(self.inner, ix.add(base, j), v), f32))

    def factor(self, prepared: str | None, factor: Factor, length: int, base: Index, column: Index, k: Index) -> Scalar:
        """An element of a factor, in single precision."""
        if prepared is not None:
            return self.w.load(prepared, ix.add(ix.mul(column, length), k), f32, pinned=True)
        return self.w.cast(factor(self.inner, ix.add(base, column), k), f32)

    # -- inputs that are as large as the matrix ----------------------------------------------------------------------

    def of_the_matrix(self, wanted: Iterable[Value], given: dict[Value, Scalar]) -> list[tuple[Value, Point]]:
        """The inputs that have an element for each of the matrix, and where the block's lie; found by writing one of those `wanted`,
        where some are `given`."""
        k = GroupKernel(self.group, "trial", no_code)
        k.w.ranges.update(self.w.ranges)
        e = self.inside(k)
        row, column = ix.var("row"), ix.var("column")
        before, self.element = self.element, given
        for v in wanted:
            e.at(v, (*self.q, row, column))
        self.element = before
        there = {"row", "column", *(getattr(s, "dst", "") for s in statements(k.w.finish().body))}  # names that this kernel alone has
        out = []
        for v, points in e.asked.items():
            point, *others = points
            if point is None or others or point[-2:] != (row, column):
                continue
            if v.type.dtype in (f32, dtypes.bool_) or v.type.dtype in Half:
                if not any(ix.depends_on(i, there) for i in point[:-2]):
                    out.append((v, point[:-2]))
        return out

    def turn_tile(self, v: Value, lead: Point, copy: str, base: Index, count: Index | Dim) -> None:
        """Copy what an input has for a tile, turned as the tile is: lanes would read it rows apart."""
        w, columns = self.w, self.s.columns

        def element(r: Index, j: Index) -> None:
            x = self.inner.at(v, (*lead, ix.add(self.first, r), ix.add(base, j)))
            x = w.select(x, w.const(1.0, f32), w.const(0.0, f32)) if x.dtype is dtypes.bool_ else w.cast(x, f32)
            w.store(self.lines, ix.add(ix.mul(r, columns), j), x)

        self.along(count, columns, element)
        self.turn(copy, self.s.rows, self.lines, columns, columns)

    def copied(self, wide: Sequence[tuple[Value, Point]], copies: Sequence[str], base: Index, j: Index) -> None:
        """Let the elements of a tile's copies be known."""
        w = self.w
        for (v, lead), copy in zip(wide, copies):
            x = self.load(copy, j)
            x = w.ne(x, 0) if v.type.dtype is dtypes.bool_ else w.cast(x, v.type.dtype)
            self.inner.copied[v, (*lead, self.row, ix.add(base, j))] = x

    # -- rows --------------------------------------------------------------------------------------------------------

    def along(self, n: Index | Dim, most: Dim, body: Callable[[Index, Index], None]) -> None:
        """`body` for a block's rows and n elements of each, by vectors."""
        w, width = self.w, max(SIDE, self.s.lanes // 2)
        with w.loop("serial", self.count, most=self.s.rows) as r:
            with w.loop("vector", n, width, isinstance(n, int) and n % width == 0, most=most) as v:
                body(r, v)

    def turn(self, to: str, step: int, source: str, source_step: int, n: int) -> None:
        """Transpose all rows of a block, or what becomes rows, by squares."""
        with self.w.loop("serial", self.s.rows // SIDE) as r, self.w.loop("serial", n // SIDE) as c:
            # the line of `turned` and the element of a row are one
            rows, elements = ix.mul(r, SIDE), ix.mul(c, SIDE)
            across, along = ix.add(ix.mul(elements, self.s.rows), rows), ix.add(ix.mul(rows, n), elements)
            there, here = (across, along) if source == self.lines else (along, across)
            self.w.append(Transpose(to, there, step, source, here, source_step, SIDE))

    def read(self, score: Node, turned: str) -> None:
        """The rows' operand of a score, turned: a step of its sums is a line."""
        w, f = self.w, form_of(score)
        n = one(f.k)
        depth = -(-n // SIDE) * SIDE

        def element(r: Index, v: Index) -> None:
            x = f.a(self.inner, self.q, (ix.add(self.first, r),), (v,))
            w.store(self.lines, ix.add(ix.mul(r, depth), v), w.cast(x, f32))

        self.along(n, n, element)
        self.turn(turned, self.s.rows, self.lines, depth, depth)

    def write(self, product: Node, sums: str, n: int) -> None:
        """The rows of a result, turned back."""
        w, f, group = self.w, form_of(product), self.group
        out = self.results[product.outputs[0]]
        width, side = -(-n // SIDE) * SIDE, matrix_side(self.body, product)
        self.turn(self.lines, width, sums, self.s.rows, width)

        def element(r: Index, v: Index) -> None:
            x = convert(w, w.load(self.lines, ix.add(ix.mul(r, width), v), f32, pinned=True), out.type.dtype)
            row = ix.add(self.first, r)
            point: Point = f.out(self.q, (v,), (row,)) if side else f.out(self.q, (row,), (v,))
            w.store(self.k.buffer(out, "w"), group.offset(out, point), x)

        self.along(n, n, element)

    @contextmanager
    def in_lanes(self) -> Iterator[None]:
        """Code for all rows of a block, one to a lane; the last row is all that are not there."""
        w = self.w
        with w.loop("vector", self.s.rows, self.s.lanes, True) as self.lane:
            self.row = ix.add(self.first, self.lane)
            if self.clamped:
                self.row = w.as_index(w.min(w.index_value(self.row), w.index_value(ix.const(self.rows - 1))))
            yield

    def last(self) -> Index | Dim:
        """How many columns the rows of a block have."""
        w, s = self.w, self.s
        if not s.diagonal:
            return self.columns
        end = ix.add(self.first, ix.const(s.rows + s.at_once - 1))
        return w.as_index(w.min(w.index_value(ix.mul(ix.div(end, s.at_once), s.at_once)), w.index_value(ix.const(self.columns))))

    def tiles(self, last: Index | Dim, step: Callable[[Index], None], after: Callable[[], None]) -> None:
        """`step` for each tile of so many columns, and `after` those of a run, where there are runs."""
        w, s = self.w, self.s
        steps = ix.div(ix.add(last, ix.const(s.columns - 1)), s.columns, w.ranges) if isinstance(last, Index) else ceil_div(last, s.columns)
        most = ceil_div(self.columns, s.columns)
        if not s.run:
            with w.loop("serial", steps, most=most) as t:
                step(t)
            return
        runs = ix.div(ix.add(steps, ix.const(s.run - 1)), s.run) if isinstance(steps, Index) else ceil_div(steps, s.run)
        with w.loop("serial", runs, most=ceil_div(most, s.run)) as run:
            with w.loop("serial", w.rest(run, s.run, steps), most=s.run) as t:
                step(ix.add(ix.mul(run, s.run), t))
            after()

    def at(self, line: Index) -> Index:
        """Where a lane's element of a line of scratch lies."""
        return ix.add(ix.mul(line, self.s.rows), self.lane)

    def load(self, scratch: str, line: Index) -> Scalar:
        """A lane's element of a line of scratch."""
        return self.w.load(scratch, self.at(line), f32, pinned=True)

    # -- products ----------------------------------------------------------------------------------------------------

    def all_scores(self, score: Node, turned: str, prepared: str | None, base: Index, n: Index, to: str, at: Index) -> None:
        """The products that are a tile's elements, to lines of scratch from `at` on."""
        w, s, per = self.w, self.s, self.s.at_once

        def some(column: Index, count: int) -> None:
            accs = [w.acc(f32, 0) for _ in range(count)]
            key, depth = self.key_of(score), one(form_of(score).k)
            with w.loop("serial", depth) as k:
                x = self.load(turned, k)
                for j, acc in enumerate(accs):
                    y = self.factor(prepared, key, depth, base, ix.add(column, ix.const(j)), k)
                    w.reduce((acc,), "fma", (y, x))
            for j, acc in enumerate(accs):
                w.store(to, self.at(ix.add(at, ix.add(column, ix.const(j)))), w.get_acc(acc, f32))

        with w.loop("serial", ix.div(n, per), most=s.columns // per) as t:
            some(ix.mul(t, per), per)
        if exactly(self.columns, per) is None:
            whole = ix.mul(ix.div(n, per), per)
            with w.loop("serial", ix.sub(n, whole), most=per - 1) as t:
                some(ix.add(whole, t), 1)

    def add_products(self, product: Node, prepared: str | None, base: Index, n: Index, tile: str, sums: str,
                     scale: Scalar | None = None) -> None:  # fmt: skip
        """What a tile makes of the columns of a result, and what was there before, scaled."""
        w, per = self.w, self.s.at_once
        value, f = self.value_of(product), form_of(product)
        width = one(f.m if matrix_side(self.body, product) else f.n)

        def some(column: Index, count: int) -> None:
            accs = [w.acc(f32, 0) for _ in range(count)]
            columns = [ix.add(column, ix.const(c)) for c in range(count)]
            with w.loop("serial", n, most=self.s.columns) as j:
                x = self.load(tile, j)
                for c, acc in zip(columns, accs):
                    w.reduce((acc,), "fma", (self.factor(prepared, value, width, base, j, c), x))
            for c, acc in zip(columns, accs):
                before, here = self.load(sums, c), w.get_acc(acc, f32)
                w.store(sums, self.at(c), w.add(before, here) if scale is None else w.fma(before, scale, here))

        with w.loop("serial", width // per) as t:
            some(ix.mul(t, per), per)
        if width % per:
            some(ix.const(width - width % per), width % per)
