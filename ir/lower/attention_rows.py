"""Attention on CPUs: products of products, with the matrix between them in tiles that stay in the first cache (attention.py).

An item takes some rows of the matrix, one to a lane, and passes over its columns a tile at a time. The rows' operand is turned, once, so
that a step of a sum is a vector of it times numbers of the other operand, which is read where it lies: nothing is packed, and no lane
needs another. With a tile the maxima of rows grow, and what was summed up before is scaled by what that makes of its exponentials; the
tile's own sums are added to that, so that long sums are of sums. Tiles follow each other in a fixed order, and rows do not depend on
where others are made: bits are the same for any number of workers. Columns behind the diagonal are left out where they make nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ingot.ir import dtypes
from ingot.ir.dtypes import Half, f32
from ingot.ir.graph import Graph, Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.ir import Load, Transpose
from ingot.ir.loop.points import ZERO, Point, delinear
from ingot.ir.loop.walk import statements
from ingot.ir.lower.attention import Softmax, matrix_side, parts_of, power, score_of
from ingot.ir.lower.attention_schedule import AttentionRows, choose, takes
from ingot.ir.lower.elements import CalledElements, Elements
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, Written, no_code
from ingot.ir.lower.target import Kind
from ingot.ir.lower.writer import Scalar
from ingot.ir.ops.form import form_of
from ingot.ir.ops.scalars import convert
from ingot.ir.size import at_most, ceil_div, exactly
from ingot.ir.types import Dim, Shape

__all__ = ["ATTENTION"]

Factor = Callable[[Elements, Index, Index], Scalar]  # its element for a column of the matrix and a step or column of the result

SIDE = 8  # of squares that are transposed in registers


def emit(group: Group, s: AttentionRows, check: Callable[[Node], int]) -> list[Written]:
    """The kernel; none where there are no elements."""
    if any(0 in v.type.shape for v in group.outputs):
        return []
    return [_Emission(group, s, check).written()]


def _one(dims: Shape) -> int:
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


class _Emission:
    def __init__(self, group: Group, s: AttentionRows, check: Callable[[Node], int]):
        self.group, self.s = group, s
        (node,) = group.nodes
        self.body: Graph = node.attrs[0]
        self.parts = parts_of(self.body)
        assert self.parts.softmax is not None
        self.softmax: Softmax = self.parts.softmax
        (self.score,), (self.product,) = self.parts.scores, self.parts.products
        self.rows, self.columns = self.parts.extents
        self.k = GroupKernel(group, "attention", check)
        self.w = self.k.w
        self.element: dict[Value, Scalar] = {}  # what is known of the element that is being written
        self.inner = self.inside(self.k)
        self.side = matrix_side(self.body, self.product)
        f = form_of(self.product)
        self.width, self.depth = _one(f.m if self.side else f.n), _one(form_of(self.score).k)

    def inside(self, k: GroupKernel) -> _Inside:
        """The elements of the graph that is called, in a kernel."""
        e, w = _Inside(k.elements(), self.group), k.w
        s = self.softmax
        # while they are on their way no row is dead, and sums are divided by at the end
        self.element[s.total] = w.const(1.0, f32)
        if s.dead is not None:
            self.element[s.dead] = w.const(False, dtypes.bool_)
        for v in (score_of(self.body, self.score), s.e, *self.element):
            e.known[v] = lambda idx, v=v: self.element[v]  # type: ignore[misc]
        return e

    def key(self, e: Elements, column: Index, k: Index) -> Scalar:
        """The factor of a score that has no rows."""
        return form_of(self.score).b(e, self.q, (k,), (column,))

    def value(self, e: Elements, column: Index, c: Index) -> Scalar:
        """The factor of a result that has no rows."""
        f = form_of(self.product)
        return f.a(e, self.q, (c,), (column,)) if self.side else f.b(e, self.q, (column,), (c,))

    def made(self, factor: Factor) -> bool:
        """Whether a factor's elements are made by more than a load, so that a tile of them is made once; found by writing one."""
        k = GroupKernel(self.group, "trial", no_code)
        k.w.ranges.update(self.w.ranges)
        factor(self.inside(k), ix.var("column"), ix.var("k"))
        body = k.w.finish().body
        return len(body) != 1 or not isinstance(body[0], Load)

    def of_the_matrix(self) -> list[tuple[Value, Point]]:
        """The inputs that have an element for each of the matrix, and where the block's lie; found by writing one."""
        k = GroupKernel(self.group, "trial", no_code)
        k.w.ranges.update(self.w.ranges)
        e = self.inside(k)
        row, column = ix.var("row"), ix.var("column")
        zero = k.w.const(0.0, f32)
        self.element.update({score_of(self.body, self.score): zero, self.softmax.e: zero})
        for v in (self.softmax.scores, self.product.inputs[self.side]):
            e.at(v, (*self.q, row, column))
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

    # -- the kernel --------------------------------------------------------------------------------------------------

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
            self.enough = at_most(s.rows, self.rows) is True
            if self.enough and exactly(self.rows, s.rows) is None:  # the last begins early and overlaps its neighbour
                self.first = w.as_index(w.min(w.index_value(self.first), w.index_value(ix.const(self.rows - s.rows))))
            self.count = w.rest(block, s.rows, self.rows) if not self.enough else s.rows
            depth, width = (-(-d // SIDE) * SIDE for d in (self.depth, self.width))
            self.lines = w.scratch(f32, max(depth, width, s.columns) * s.rows, "worker")
            self.turned, self.tile, self.sums = (w.scratch(f32, n * s.rows, "worker") for n in (depth, s.columns, width))
            self.tops, self.totals = w.scratch(f32, s.rows, "worker"), w.scratch(f32, s.rows, "worker")
            self.far = self.sums, self.tops, self.totals
            if s.run:
                self.far = w.scratch(f32, width * s.rows, "worker"), w.scratch(f32, s.rows, "worker"), w.scratch(f32, s.rows, "worker")
            self.wide = self.of_the_matrix()
            self.copies = [w.scratch(f32, s.columns * s.rows, "worker") for _ in self.wide]
            factors = (("key", self.key, self.depth), ("value", self.value, self.width))
            self.prepared = {name: w.scratch(f32, n * s.columns, "worker") for name, factor, n in factors if self.made(factor)}
            self.read(depth)
            self.item()
            self.write(width)
        return self.k.finish(s, twice=True, fixed=True)

    def along(self, n: Index | int, most: int, body: Callable[[Index, Index], None]) -> None:
        """`body` for a block's rows and n elements of each, by vectors."""
        w, width = self.w, max(SIDE, self.s.rows // 2)
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

    def read(self, depth: int) -> None:
        """The rows' operand, turned: a step of its sums is a line."""
        w, f = self.w, form_of(self.score)

        def element(r: Index, v: Index) -> None:
            x = f.a(self.inner, self.q, (ix.add(self.first, r),), (v,))
            w.store(self.lines, ix.add(ix.mul(r, depth), v), w.cast(x, f32))

        self.along(self.depth, self.depth, element)
        self.turn(self.turned, self.s.rows, self.lines, depth, depth)

    def write(self, width: int) -> None:
        """The rows of the result, turned back."""
        w, f, group = self.w, form_of(self.product), self.group
        (out,) = group.outputs
        self.turn(self.lines, width, self.sums, self.s.rows, width)

        def element(r: Index, v: Index) -> None:
            x = convert(w, w.load(self.lines, ix.add(ix.mul(r, width), v), f32, pinned=True), out.type.dtype)
            row = ix.add(self.first, r)
            point: Point = f.out(self.q, (v,), (row,)) if self.side else f.out(self.q, (row,), (v,))
            w.store(self.k.buffer(out, "w"), group.offset(out, point), x)

        self.along(self.width, self.width, element)

    @contextmanager
    def in_lanes(self) -> Iterator[None]:
        """Code for all rows of a block, one to a lane."""
        w = self.w
        with w.loop("vector", self.s.rows, self.s.rows, True) as self.lane:
            self.row = ix.add(self.first, self.lane)
            if not self.enough:  # the last row is all that are not there
                self.row = w.as_index(w.min(w.index_value(self.row), w.index_value(ix.const(self.rows - 1))))
            yield

    def item(self) -> None:
        """A block of rows."""
        w, s = self.w, self.s
        with self.in_lanes():
            for sums, tops, totals in dict.fromkeys(((self.sums, self.tops, self.totals), self.far)):
                self.clear(sums, totals)
                w.store(tops, self.lane, w.const(-math.inf, f32))
        last = self.last()
        steps = ix.div(ix.add(last, ix.const(s.columns - 1)), s.columns, w.ranges) if isinstance(last, Index) else ceil_div(last, s.columns)
        most = ceil_div(self.columns, s.columns)
        if not s.run:
            with w.loop("serial", steps, most=most) as step:
                self.step(step, last)
        else:
            runs = ix.div(ix.add(steps, ix.const(s.run - 1)), s.run) if isinstance(steps, Index) else ceil_div(steps, s.run)
            with w.loop("serial", runs, most=ceil_div(most, s.run)) as run:
                with w.loop("serial", w.rest(run, s.run, steps), most=s.run) as step:
                    self.step(ix.add(ix.mul(run, s.run), step), last)
                with self.in_lanes():
                    self.add_run()
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
        self.prepare("key", self.key, self.depth, base, count)
        with self.in_lanes():
            self.all_scores(base, n)
        self.prepare("value", self.value, self.width, base, count)
        for (v, lead), copy in zip(self.wide, self.copies):
            self.turn_tile(v, lead, copy, base, count)
        with self.in_lanes():
            self.fold(base, n)

    def prepare(self, name: str, factor: Factor, length: int, base: Index, count: Index | Dim) -> None:
        """Make a tile of a factor, where that is more than loads."""
        w = self.w
        if name in self.prepared:
            width = max(SIDE, self.s.rows // 2)
            with w.loop("serial", count, most=self.s.columns) as j, w.loop("vector", length, width, length % width == 0) as v:
                w.store(self.prepared[name], ix.add(ix.mul(j, length), v), w.cast(factor(self.inner, ix.add(base, j), v), f32))

    def factor(self, name: str, factor: Factor, length: int, base: Index, column: Index, k: Index) -> Scalar:
        """An element of a factor, in single precision."""
        if name in self.prepared:
            return self.w.load(self.prepared[name], ix.add(ix.mul(column, length), k), f32, pinned=True)
        return self.w.cast(factor(self.inner, ix.add(base, column), k), f32)

    def turn_tile(self, v: Value, lead: Point, copy: str, base: Index, count: Index | Dim) -> None:
        """Copy what an input has for a tile, turned as the tile is: lanes would read it rows apart."""
        w, columns = self.w, self.s.columns

        def element(r: Index, j: Index) -> None:
            x = self.inner.at(v, (*lead, ix.add(self.first, r), ix.add(base, j)))
            x = w.select(x, w.const(1.0, f32), w.const(0.0, f32)) if x.dtype is dtypes.bool_ else w.cast(x, f32)
            w.store(self.lines, ix.add(ix.mul(r, columns), j), x)

        self.along(count, columns, element)  # type: ignore[arg-type]
        self.turn(copy, self.s.rows, self.lines, columns, columns)

    def copied(self, base: Index, j: Index) -> None:
        """Let the elements of a tile's copies be known."""
        w = self.w
        for (v, lead), copy in zip(self.wide, self.copies):
            x = self.load(copy, j)
            x = w.ne(x, 0) if v.type.dtype is dtypes.bool_ else w.cast(x, v.type.dtype)
            self.inner.copied[v, (*lead, self.row, ix.add(base, j))] = x

    def last(self) -> Index | Dim:
        """How many columns the rows of a block have."""
        w, s = self.w, self.s
        if not s.diagonal:
            return self.columns
        end = ix.add(self.first, ix.const(s.rows + s.at_once - 1))
        return w.as_index(w.min(w.index_value(ix.mul(ix.div(end, s.at_once), s.at_once)), w.index_value(ix.const(self.columns))))

    def at(self, line: Index) -> Index:
        """Where a lane's element of a line of scratch lies."""
        return ix.add(ix.mul(line, self.s.rows), self.lane)

    def load(self, scratch: str, line: Index) -> Scalar:
        return self.w.load(scratch, self.at(line), f32, pinned=True)

    def all_scores(self, base: Index, n: Index) -> None:
        """The products that are a tile's elements."""
        w, s, per = self.w, self.s, self.s.at_once
        with w.loop("serial", ix.div(n, per), most=s.columns // per) as t:
            self.scores(base, ix.mul(t, per), per)
        if exactly(self.columns, per) is None:
            whole = ix.mul(ix.div(n, per), per)
            with w.loop("serial", ix.sub(n, whole), most=per - 1) as t:
                self.scores(base, ix.add(whole, t), 1)

    def fold(self, base: Index, n: Index) -> None:
        """What a tile's elements are folded into, and what they are factors of."""
        w, s, soft, per = self.w, self.s, self.softmax, self.s.at_once
        new = w.acc(f32, -math.inf)
        with w.loop("serial", n, most=s.columns) as j:
            self.element[score_of(self.body, self.score)] = raw = self.load(self.tile, j)
            self.copied(base, j)
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
            self.copied(base, j)
            factor = self.inner.at(self.product.inputs[self.side], (*self.q, self.row, ix.add(base, j)))
            w.store(self.tile, self.at(j), w.cast(factor, f32))
        w.store(self.totals, self.lane, w.fma(self.load(self.totals, ZERO), scale, w.get_acc(part, f32)))

        with w.loop("serial", self.width // per) as t:
            self.add(base, n, ix.mul(t, per), per, scale)
        if self.width % per:
            self.add(base, n, ix.const(self.width - self.width % per), self.width % per, scale)

    def scores(self, base: Index, column: Index, count: int) -> None:
        """Some columns of a tile, as sums of products."""
        w = self.w
        accs = [w.acc(f32, 0) for _ in range(count)]
        with w.loop("serial", self.depth) as k:
            x = self.load(self.turned, k)
            for j, acc in enumerate(accs):
                y = self.factor("key", self.key, self.depth, base, ix.add(column, ix.const(j)), k)
                w.reduce((acc,), "fma", (y, x))
        for j, acc in enumerate(accs):
            w.store(self.tile, self.at(ix.add(column, ix.const(j))), w.get_acc(acc, f32))

    def add(self, base: Index, n: Index, column: Index, count: int, scale: Scalar) -> None:
        """What a tile makes of some columns of the result, and what was there before, scaled."""
        w = self.w
        accs = [w.acc(f32, 0) for _ in range(count)]
        columns = [ix.add(column, ix.const(c)) for c in range(count)]
        with w.loop("serial", n, most=self.s.columns) as j:
            x = self.load(self.tile, j)
            for c, acc in zip(columns, accs):
                w.reduce((acc,), "fma", (self.factor("value", self.value, self.width, base, j, c), x))
        for c, acc in zip(columns, accs):
            w.store(self.sums, self.at(c), w.fma(self.load(self.sums, c), scale, w.get_acc(acc, f32)))

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


ATTENTION = Kind(choose, emit, takes)
