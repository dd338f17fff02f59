"""Attention: products of products, with the matrix between them in tiles that never leave the chip (ir/lower/attention.py).

A block keeps some rows of the matrix (or columns, where products sum over rows) and passes over the others a tile at a time. The elements
of a tile are products of operands in shared memory; what follows from them is calculated where the threads hold them, and goes on into
the next product from there. With a softmax the maximum of a row and the sum of its exponentials run along: where the maximum grows, what
was summed up so far is scaled. Rows fall to blocks and tiles follow each other in a fixed order, so the bits are the same on every run.
Where elements above the diagonal are nothing, tiles that lie there are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ingot.backends.cuda.block_kernel import BlockKernel, verify_threads
from ingot.backends.cuda.matrix_tiles import MatrixTiles, Operand, Rows, SingleTiles, WordTiles
from ingot.ir import dtypes
from ingot.ir.dtypes import Half
from ingot.ir.graph import Graph, Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.ir import Load
from ingot.ir.loop.points import ZERO, Point, delinear, linear
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.attention import Softmax, below_diagonal, matrix_side, parts_of, power, score_of
from ingot.ir.lower.elements import CalledElements, Elements
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, Written, no_code
from ingot.ir.lower.schedule import Schedule, ScheduleError
from ingot.ir.lower.writer import Scalar
from ingot.ir.machine import Machine
from ingot.ir.op import OPS
from ingot.ir.ops.form import form_of
from ingot.ir.ops.scalars import convert
from ingot.ir.size import at_most, ceil_div, exactly
from ingot.ir.struct import value_type
from ingot.ir.types import Dim, Shape

__all__ = ["Attention", "choose", "emit"]

SHARE = 3  # blocks that should find room on a multiprocessor
MOST = 80  # elements and sums that a thread has registers for

# (rows that a block keeps, those of a step), threads of a block; the best first
TILES_WORDS = (((64, 64), 128), ((64, 32), 128), ((64, 16), 128), ((32, 64), 64), ((32, 32), 64), ((32, 16), 64), ((16, 16), 32))
TILES = (((64, 32), 128), ((32, 32), 128), ((32, 16), 64), ((16, 32), 64), ((16, 16), 32), ((8, 16), 32))


@value_type
class Attention(Schedule):
    """A matrix in tiles.

    tile      rows that a block keeps (or columns, where products sum over rows), and those of a step
    threads   of a block
    diagonal  elements above the diagonal are nothing: tiles there are left out
    """

    tile: tuple[int, int]
    threads: int
    diagonal: bool = False

    def verify(self, group: Group) -> None:
        verify_threads(kept=self.tile[0], step=self.tile[1], threads=self.threads)
        body = group.nodes[0].attrs[0]
        if not _tiles(group, self).fits:
            raise ScheduleError(f"{self}: threads do not share the tile out evenly ({group})")
        if self.diagonal and not below_diagonal(body):
            raise ScheduleError(f"{self}: there is something above the diagonal ({group})")


def _by_words(group: Group) -> bool:
    """Whether matrix instructions take the operands of all products: halves, or float32 that is rounded to TF32."""
    (node,) = group.nodes
    body: Graph = node.attrs[0]
    parts = parts_of(body)
    if parts.scores[0].inputs[0].type.dtype in Half:
        return True
    outside = dict(zip(body.inputs, node.inputs))
    read = [v for n in (*parts.scores, *parts.products) for v in n.inputs]
    made = (body.producers.get(v) or group.graph.producers.get(outside.get(v, v)) for v in read)
    return all(n is not None and n.op is OPS["round_tf32"] for n in made)


def _tiles(group: Group, s: Attention) -> MatrixTiles:
    body = group.nodes[0].attrs[0]
    parts = parts_of(body)
    dtype = parts.scores[0].inputs[0].type.dtype
    kind = WordTiles if _by_words(group) else SingleTiles
    return kind(dtype, s.tile, s.threads, [_one(form_of(n).k) for n in parts.scores], [_one(_other(body, n)) for n in parts.products])


def _one(dims: Shape) -> int:
    (d,) = dims
    return d


def _other(body: Graph, product: Node) -> Shape:
    """The dims of a product's other operand that are the result's."""
    f = form_of(product)
    return f.m if matrix_side(body, product) else f.n


def choose(group: Group, machine: Machine) -> Attention:
    """The schedule: the largest tile that fits, a smaller one where blocks would be few."""
    body = group.nodes[0].attrs[0]
    parts = parts_of(body)
    kept, batch = assumed(parts.extents[0 if parts.rows else 1]), assumed(math.prod(parts.batch))
    diagonal = below_diagonal(body)
    every = [Attention(tile, threads, diagonal) for tile, threads in (TILES_WORDS if _by_words(group) else TILES)]
    fitting = [s for s in every if (t := _tiles(group, s)).fits and t.nbytes <= machine.shared_bytes // SHARE and t.registers <= MOST]
    fitting = [s for s in fitting if s.tile[0] < 2 * kept] or fitting[-1:]

    def blocks(s: Attention) -> int:
        return batch * -(-kept // s.tile[0])

    return next((s for s in fitting if blocks(s) >= machine.workers // 4), max(fitting, key=blocks))


def emit(group: Group, s: Attention, check: Callable[[Node], int]) -> list[Written]:
    """The kernel; none where there are no elements."""
    if any(0 in v.type.shape for v in group.outputs):
        return []
    return [_Emission(group, s, check).written()]


class _Emission:
    def __init__(self, group: Group, s: Attention, check: Callable[[Node], int]):
        self.group, self.s = group, s
        (node,) = group.nodes
        self.body: Graph = node.attrs[0]
        self.parts = parts_of(self.body)
        self.results = dict(zip(self.body.outputs, node.outputs))
        self.k = BlockKernel(group, "attention", check)
        self.w = self.k.w
        self.element: dict[Value, Scalar] = {}  # what is known of the element that is being written
        self.tiles = _tiles(group, s)
        self.kept, self.passing = self.parts.extents if self.parts.rows else self.parts.extents[::-1]

    def inside(self, k: GroupKernel) -> Elements:
        """The elements of the graph that is called, in a kernel."""
        e = CalledElements(k.elements(), self.group)
        for v in (*(score_of(self.body, n) for n in self.parts.scores), *self.given()):
            e.known[v] = lambda idx, v=v: self.element[v]  # type: ignore[misc]
        return e

    def given(self) -> list[Value]:
        """What is known of a row's softmax while it is on its way: no row is dead, sums are divided by at the end."""
        s = self.parts.softmax
        return [] if s is None else [v for v in (s.dead, s.e, s.total) if v is not None]

    # -- operands ----------------------------------------------------------------------------------------------------

    def operand(self, q: Point, element: Callable[[Elements, Point, Index, Index], Scalar], line: Index, lines: Dim,
                step: Index, steps: Dim, whole: tuple[int, int]) -> Operand:  # fmt: skip
        """An operand in tiles: of its last line where there is no such line, 0 where steps have ended."""
        w, inner, dtype = self.w, self.inner, self.tiles.dtype

        def at(i: Index, k: Index) -> Scalar:
            i, _ = self.k.clamped(ix.add(line, i), lines, exactly(lines, whole[0]) is not None)
            k, there = self.k.clamped(ix.add(step, k), steps, exactly(steps, whole[1]) is not None)
            x = element(inner, q, i, k)
            return x if there is None else w.select(there, x, w.const(0, dtype))

        return Operand(at, self.along(element))

    def along(self, element: Callable[[Elements, Point, Index, Index], Scalar]) -> bool:
        """Whether memory lies along steps; found by writing one load."""
        k = GroupKernel(self.group, "trial", no_code)
        element(self.inside(k), tuple(ix.var(f"q{j}") for j in range(len(self.parts.batch))), ix.var("line"), ix.var("step"))
        loads = [s.index for s in k.w.finish().body if isinstance(s, Load)]
        return sum(ix.coefficient(i, "step") == 1 for i in loads) >= sum(ix.coefficient(i, "line") == 1 for i in loads)

    def side(self, n: Node, left: bool) -> Callable[[Elements, Point, Index, Index], Scalar]:
        """The elements of an operand of a product: at a row or column, and a step of its sum."""
        f = form_of(n)
        if left:
            return lambda e, q, i, k: f.a(e, q, (i,), (k,))
        return lambda e, q, i, k: f.b(e, q, (k,), (i,))

    # -- the kernel --------------------------------------------------------------------------------------------------

    def written(self) -> Written:
        """The kernel."""
        s, w, k, parts, t = self.s, self.w, self.k, self.parts, self.tiles
        bm, bn = s.tile
        tiles, steps = ceil_div(self.kept, bm), ceil_div(self.passing, bn)
        t.allocate(k, dtypes.u32 if isinstance(t, WordTiles) else dtypes.f32)
        with k.grid(tiles * math.prod(parts.batch), s.threads) as (g, thread):
            tile = ix.mod(g, tiles, w.ranges)
            self.q = q = delinear(ix.div(g, tiles, w.ranges), parts.batch, w.ranges)
            if s.diagonal and parts.rows:  # those with most to do come first
                tile = ix.sub(ix.const(tiles - 1), tile)
            t.begin(thread)
            self.first = ix.mul(tile, bm)
            self.own = [k.clamped(ix.add(self.first, r), self.kept, exactly(self.kept, bm) is not None) for r in t.rows]
            self.inner = self.inside(k)
            begin, count = self.span(steps)
            for name, n, depth in zip(t.kept, parts.scores, t.depths):
                d = _one(form_of(n).k)
                t.put(name, bm, depth, self.operand(q, self.side(n, parts.rows), self.first, self.kept, ZERO, d, (bm, depth)))
            self.sums = [t.sums(width) for width in t.widths]
            self.folded = [[w.acc(dtypes.f32, 0) for _ in t.rows] for _ in parts.folds]
            if parts.softmax is not None:
                self.tops = [w.acc(dtypes.f32, -math.inf) for _ in t.rows]
                self.totals = [w.acc(dtypes.f32, 0) for _ in t.rows]
            with w.loop("serial", count, most=steps if isinstance(count, Index) else None) as step:
                self.step(ix.mul(ix.add(begin, step), bn))
            self.finish()
        return k.finish(s, twice=True, fixed=True)

    def span(self, steps: Dim) -> tuple[Index, Index | Dim]:
        """The first of a block's tiles, and how many there are."""
        w, (bm, bn) = self.w, self.s.tile
        if not self.s.diagonal:
            return ZERO, steps
        if self.parts.rows:
            last = w.index_value(ix.div(ix.add(self.first, ix.const(bm + bn - 1)), bn, w.ranges))
            return ZERO, w.as_index(w.min(last, w.index_value(ix.const(steps))))
        begin = ix.div(self.first, bn, w.ranges)
        return begin, w.as_index(w.max(w.index_value(ix.sub(ix.const(steps), begin)), 0))

    def step(self, base: Index) -> None:
        """A tile: its elements, what they are folded into, and what they are factors of."""
        w, k, parts, t, bn = self.w, self.k, self.parts, self.tiles, self.s.tile[1]
        scores = []
        for which, n in enumerate(parts.scores):
            d = _one(form_of(n).k)
            other = self.operand(self.q, self.side(n, not parts.rows), base, self.passing, ZERO, d, (bn, t.depths[which]))
            t.put(t.passing, bn, t.depths[which], other)
            k.barrier()
            sums = t.sums(bn)
            t.score(which, sums)
            k.barrier()
            scores.append([[w.get_acc(x, dtypes.f32) for x in row] for row in sums])
        self.columns = [k.clamped(ix.add(base, c), self.passing, exactly(self.passing, bn) is not None) for c in t.columns(bn, True)]
        self.scores = scores
        if parts.softmax is not None:
            self.run_along(parts.softmax)
        for accs, n in zip(self.folded, parts.folds):
            for acc, row in zip(accs, self.values(n.inputs[0], 0.0)):
                for x in row:
                    w.reduce((acc,), "sum", (x,))
        for n, sums, width in zip(parts.products, self.sums, t.widths):
            side = matrix_side(self.body, n)
            left = t.factors(self.values(n.inputs[side], 0.0))
            (columns,) = _other(self.body, n)
            other = self.operand(self.q, self.side(n, side == 1), ZERO, columns, base, self.passing, (width, bn))
            t.put(t.passing, width, bn, other)
            k.barrier()
            t.product(left, sums, width)
            k.barrier()

    def values(self, v: Value, nothing: float) -> Rows:
        """The thread's elements of a value; `nothing` where there is no such element."""
        w = self.w
        out = []
        for r, (i, _) in enumerate(self.own):
            row = []
            for c, (j, there) in enumerate(self.columns):
                for n, scores in zip(self.parts.scores, self.scores):
                    self.element[score_of(self.body, n)] = self.as_score(n, scores[r][c])
                if self.parts.softmax is not None:
                    self.assume(self.parts.softmax, r, c)
                x = self.inner.at(v, (*self.q, i, j) if self.parts.rows else (*self.q, j, i))
                row.append(x if there is None else w.select(there, x, w.const(nothing, x.dtype)))
            out.append(row)
        return out

    def as_score(self, n: Node, x: Scalar) -> Scalar:
        return convert(self.w, x, score_of(self.body, n).type.dtype)

    # -- softmax -----------------------------------------------------------------------------------------------------

    def assume(self, s: Softmax, r: int, c: int) -> None:
        """What is known of an element on the way."""
        w = self.w
        self.element[s.total] = w.const(1.0, dtypes.f32)
        if s.dead is not None:
            self.element[s.dead] = w.const(False, dtypes.bool_)
        if self.powers:
            self.element[s.e] = self.powers[r][c]

    powers: Rows = []

    def run_along(self, s: Softmax) -> None:
        """Maxima and sums of rows with another tile; what was summed up before is scaled."""
        w = self.w
        self.powers = []
        xs = self.values(s.scores, -math.inf)
        powers = []
        for r, row in enumerate(xs):
            top = row[0]
            for x in row[1:]:
                top = w.max(top, x)
            before = w.get_acc(self.tops[r], dtypes.f32)
            top = w.max(before, self.across(top, w.max))
            w.set_acc(self.tops[r], top)
            zero = w.const(0.0, dtypes.f32)
            level = w.select(w.eq(top, -math.inf), zero, top)  # where nothing was found yet all powers are 0
            scale = power(w, self.body, s, before, level)
            powers.append([power(w, self.body, s, x, level) for x in row])
            total = powers[r][0]
            for x in powers[r][1:]:
                total = w.add(total, x)
            w.set_acc(self.totals[r], w.fma(w.get_acc(self.totals[r], dtypes.f32), scale, total))
            for sums in self.sums:
                for acc in sums[r]:
                    w.set_acc(acc, w.mul(w.get_acc(acc, dtypes.f32), scale))
        self.powers = powers

    def across(self, x: Scalar, combine: Callable[[Scalar, Scalar], Scalar]) -> Scalar:
        """What the threads of a row make of what each has."""
        for lanes in self.tiles.lanes:
            x = combine(x, self.w.shuffle(x, lanes))
        return x

    # -- results -----------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Store what the block has made."""
        w, parts, t = self.w, self.parts, self.tiles
        softmax = parts.softmax
        tops = totals = shares = []
        if softmax is not None:
            tops = [w.get_acc(x, dtypes.f32) for x in self.tops]
            totals = [self.across(w.get_acc(x, dtypes.f32), w.add) for x in self.totals]
            shares = [w.div(w.const(1.0, dtypes.f32), x) for x in totals]
        zero = w.const(0.0, dtypes.f32)
        for n, sums, width in zip(parts.products, self.sums, t.widths):
            side = matrix_side(self.body, n)
            f, (columns,) = form_of(n), _other(self.body, n)
            for r, ((i, there), row) in enumerate(zip(self.own, sums)):
                for c, acc in zip(t.columns(width), row):
                    x = w.get_acc(acc, dtypes.f32)
                    if softmax is not None:
                        x = w.mul(x, shares[r])
                        empty = self.nothing(softmax, tops[r])
                        x = x if empty is None else w.select(empty, zero, x)
                    mask = there
                    if exactly(columns, width) is None:
                        inside = w.lt(w.index_value(c), columns)
                        mask = inside if mask is None else w.and_(mask, inside)
                    self.store(n.outputs[0], f.out(self.q, (c,), (i,)) if side else f.out(self.q, (i,), (c,)), x, mask)
        for n, accs in zip(parts.folds, self.folded):
            self.rows(n.outputs[0], [self.across(w.get_acc(x, dtypes.f32), w.add) for x in accs])
        if softmax is None:
            return
        dead = [w.eq(x, -math.inf) for x in tops]
        if softmax.dead is not None:  # its elements are taken to be 0
            count = w.cast(w.index_value(ix.const(self.passing)), dtypes.f32)
            tops = [w.select(d, zero, x) for d, x in zip(dead, tops)]
            totals = [w.select(d, count, x) for d, x in zip(dead, totals)]
        for v, xs in ((softmax.top, tops), (softmax.total, totals), (softmax.dead, dead)):
            if v is not None and v in self.results:
                self.rows(v, xs)

    def nothing(self, s: Softmax, top: Scalar) -> Scalar | None:
        """Whether a row's results are 0 whatever was summed up: a dead row's are, and those of no columns."""
        w = self.w
        none = None if at_most(1, self.passing) else w.le(w.index_value(ix.const(self.passing)), 0)
        if s.dead is None:
            return none
        dead = w.eq(top, -math.inf)
        return dead if none is None else w.or_(dead, none)

    def rows(self, v: Value, xs: list[Scalar]) -> None:
        """Store a number for each row, one of the threads that share it."""
        w = self.w
        first = w.eq(w.index_value(self.tiles.first), 0)
        for (i, there), x in zip(self.own, xs):
            self.store(v, (*self.q, i, ZERO), x, first if there is None else w.and_(first, there))

    def store(self, v: Value, point: Point, x: Scalar, mask: Scalar | None) -> None:
        out = self.results.get(v)
        if out is not None and out in self.group.outputs:
            self.w.store(self.k.buffer(out, "w"), linear(point, out.type.shape), convert(self.w, x, out.type.dtype), mask)
